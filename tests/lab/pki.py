"""Keys, certificates, tokens and kubeconfigs of the lab; made once and kept, they hold no secret worth one."""

import json
import secrets
import subprocess
from pathlib import Path

from tests.lab import addresses
from tests.lab.files import write
from tests.lab.host import search_path
from tests.lab.state import Settings, State

_DAYS = "3650"
_APISERVER_NAMES = (
    f"IP:{addresses.NODE_IP}",
    f"IP:{addresses.APISERVER_SERVICE_IP}",
    "IP:127.0.0.1",
    "DNS:localhost",
    "DNS:kubernetes",
    "DNS:kubernetes.default",
    "DNS:kubernetes.default.svc",
    "DNS:kubernetes.default.svc.cluster.local",
)

# certificate → subject and extension
_CERTIFICATES = {
    "apiserver": ("/CN=kube-apiserver", f"subjectAltName={','.join(_APISERVER_NAMES)}"),
    "kubelet": (
        f"/CN=system:node:{addresses.NODE_NAME}/O=system:nodes",
        f"subjectAltName=IP:{addresses.NODE_IP},DNS:{addresses.NODE_NAME}",
    ),
    "apiserver-kubelet": ("/O=system:masters/CN=kube-apiserver-kubelet-client", "extendedKeyUsage=clientAuth"),
    "front-proxy": ("/CN=front-proxy-client", "extendedKeyUsage=clientAuth"),
}

# kubeconfig → user and group; what has a built-in role uses it
USERS = {
    "admin": ("admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kubelet": (f"system:node:{addresses.NODE_NAME}", "system:nodes"),
    "kube-proxy": ("system:kube-proxy", ""),
    "kwok": ("lab-kwok", "system:masters"),
    "coredns": ("lab-coredns", "system:masters"),
}


def apiserver_url(settings: Settings) -> str:
    """Return where clients inside the lab find the API server."""
    host = addresses.NODE_IP if settings.has_pod_addresses else "127.0.0.1"
    return f"https://{host}:{settings.ports.apiserver}"


def prepare(state: State, settings: Settings) -> None:
    """Make whatever is missing, and kubeconfigs for this start."""
    state.root.mkdir(parents=True, exist_ok=True)
    state.root.chmod(0o755)
    if not (state.pki / "complete").exists():
        state.pki.mkdir(parents=True, exist_ok=True)
        _make_certificates(state.pki)
        _make_tokens(state.pki)
        write(state.pki / "complete", "")
    tokens = read_tokens(state)
    for name in USERS:
        write(state.kubeconfig(name), json.dumps(_kubeconfig(name, tokens[name], state, settings), indent=1), 0o600)


def read_tokens(state: State) -> dict[str, str]:
    """Return the bearer token of each user."""
    tokens: dict[str, str] = json.loads((state.pki / "tokens.json").read_text())
    return tokens


def _make_certificates(folder: Path) -> None:
    _key(folder, "ca")
    _openssl(folder, "req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=lab-ca", "-days", _DAYS, "-out", "ca.crt")
    for name, (subject, extension) in _CERTIFICATES.items():
        _key(folder, name)
        write(folder / f"{name}.ext", extension + "\n")
        _openssl(folder, "req", "-new", "-key", f"{name}.key", "-subj", subject, "-out", f"{name}.csr")
        signing = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", _DAYS, "-extfile", f"{name}.ext"]
        _openssl(folder, "x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.crt")
    _key(folder, "sa")
    _openssl(folder, "pkey", "-in", "sa.key", "-pubout", "-out", "sa.pub")


def _key(folder: Path, name: str) -> None:
    _openssl(folder, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", f"{name}.key")


def _openssl(folder: Path, *args: str) -> None:
    done = subprocess.run(["openssl", *args], cwd=folder, capture_output=True, text=True, check=False, env={"PATH": search_path()})
    if done.returncode:
        raise RuntimeError(f"openssl {' '.join(args)}: {done.stderr.strip()}")


def _make_tokens(folder: Path) -> None:
    tokens = {name: secrets.token_hex(16) for name in USERS}
    rows = [
        f'{tokens[name]},{user},{name},"{group}"' if group else f"{tokens[name]},{user},{name}" for name, (user, group) in USERS.items()
    ]
    write(folder / "tokens.csv", "\n".join(rows) + "\n", 0o600)
    write(folder / "tokens.json", json.dumps(tokens), 0o600)


def _kubeconfig(name: str, token: str, state: State, settings: Settings) -> dict[str, object]:
    cluster = {"server": apiserver_url(settings), "certificate-authority": str(state.pki / "ca.crt")}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": cluster}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": name}}],
    }
