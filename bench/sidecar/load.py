"""One way to the engine under load: checked first, then alone, with many, as streams, and as streams at a pace."""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from bench.sidecar import install
from bench.sidecar.figures import Measured
from bench.sidecar.payload import Payload, http
from bench.sidecar.ways import Cores, Running

MANY = 32
PACED = 64
WARM_UP_S = 0.2
ALONE_S, MANY_S, STREAMS_S, PACED_S = 0.8, 0.8, 0.8, 1.3


@dataclass
class Loaded:
    """A way to the engine, and what is sent along it."""

    cores: Cores
    at: Running
    payload: Payload
    folder: Path
    _files: dict[str, str] = field(default_factory=dict)

    def prepare(self) -> None:
        """Write down what is asked and what must come back."""
        kinds: dict[str, dict[str, Any]] = {"json": {}, "stream": {"stream": True}, "paced": {"stream": True, "user": "paced"}}
        for name, fields in kinds.items():
            self._file(name, http(self.payload.request(**fields), self.at.port))
        self._file("answer", self.payload.answer)
        self._file("text", self.payload.streamed.encode())

    def measure(self) -> Measured:
        """Measure once."""
        alone = self._load("json", 1, ALONE_S, "json", "answer")
        began = self.at.cpu_s()
        many = self._load("json", MANY, MANY_S, "json", "answer")
        between = self.at.cpu_s()
        streams = self._load("stream", MANY, STREAMS_S, "stream", "text")
        ended = self.at.cpu_s()
        paced = self._load("stream", PACED, PACED_S, "paced", "text")
        return Measured(
            p50_us=alone["p50_us"],
            p99_us=alone["p99_us"],
            rps=many["per_s"],
            event_p50_us=paced["event_p50_us"],
            event_p99_us=paced["event_p99_us"],
            cpu_us_per_request=(between - began) * 1e6 / many["asked"],
            cpu_us_per_stream=(ended - between) * 1e6 / streams["asked"],
        )

    def _file(self, name: str, content: bytes) -> None:
        path = self.folder / name
        path.write_bytes(content)
        self._files[name] = str(path)

    def _load(self, mode: str, connections: int, seconds: float, request: str, expected: str) -> dict[str, Any]:
        arguments = [mode, str(self.at.port), str(connections), str(WARM_UP_S), str(seconds), self._files[request], self._files[expected]]
        command = [*self.cores.prefix(self.cores.load), install.program("load"), *arguments]
        run = subprocess.run(command, check=False, capture_output=True, timeout=30)
        assert run.returncode == 0, run.stderr.decode()
        found: dict[str, Any] = orjson.loads(run.stdout)
        assert found["answers"], f"no answer within {seconds} s"
        return found
