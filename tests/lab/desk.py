"""Where somebody works who follows the documentation: a folder, a kubeconfig in the right namespace, and `kubectl llm` on the PATH."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Desk:
    """Runs what a page says one would type."""

    def __init__(self, folder: Path, namespace: str, kubeconfig: Path) -> None:
        self.folder = folder
        self._config = folder / "kubeconfig"
        shutil.copy(kubeconfig, self._config)
        self._env = {"KUBECONFIG": str(self._config), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        self.bash(f"kubectl config set-context --current --namespace={namespace}")
        (folder / "examples").symlink_to(ROOT / "examples")

    def bash(self, script: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a script and return how it ended."""
        whole = {**os.environ, **self._env, **env}
        return subprocess.run(["bash", "-c", script], cwd=self.folder, env=whole, capture_output=True, text=True, check=False, timeout=300)

    def follow(self, page: str, name: str) -> None:
        """Run every command of a page about one deployment, and compare what is printed with what the page shows."""
        shown = _blocks(page)
        assert shown
        before = ""
        for command, printed in shown:
            done = self.bash(f"set -euo pipefail\n{before}{command}")
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
            if printed:
                assert _open_words(done.stdout) == _open_words(printed), f"{command}\n{done.stdout}{done.stderr}"
            if "revision=" in command:  # what a shell would remember
                before = f"revision={self.bash(f'kubectl llm wait {name} --for=resolved').stdout}"


def _blocks(page: str) -> list[tuple[str, str]]:
    """Return the commands of a page, each with what it is said to print."""
    found = re.findall(r"^```bash\n(.*?)^```\n(?:```\n(.*?)^```$)?", page, re.DOTALL | re.MULTILINE)
    return [(command, printed) for command, printed in found]


def _open_words(text: str) -> str:
    """Leave open what is another one each time: revisions, times, and how many pods serve already."""
    text = re.sub(r"(revision:? |instead of )[a-z2-7]{10}\b", r"\1REVISION", text)
    text = re.sub(r"serves from \d+ pods?", "serves from PODS", text)
    text = re.sub(r"\d{4}-\d{2}-\d{2}T[\d:]+Z", "TIME", text)
    return "\n".join(line.rstrip() for line in text.splitlines()).strip()
