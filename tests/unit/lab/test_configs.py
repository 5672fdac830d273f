import json
import tomllib
from pathlib import Path

import pytest

from tests.lab import configs
from tests.lab.state import Settings, State

STATE = State(Path("/state"))
RUN = Path("/run/llm-lab")


def test_snapshots_arrive_at_the_pace_of_a_real_cluster() -> None:
    kubelet = configs.kubelet(STATE, RUN)
    assert {"syncFrequency", "configMapAndSecretChangeDetectionStrategy"}.isdisjoint(kubelet)


def test_containerd_is_told_the_pause_image_and_spares_unprivileged_hosts() -> None:
    parsed = tomllib.loads(configs.containerd(STATE, RUN, "/usr/sbin/runc"))
    runtime = parsed["plugins"]["io.containerd.cri.v1.runtime"]
    assert runtime["restrict_oom_score_adj"] is True
    assert runtime["containerd"]["runtimes"]["runc"]["options"]["BinaryName"] == "/usr/sbin/runc"
    assert parsed["plugins"]["io.containerd.cri.v1.images"]["pinned_images"] == {"sandbox": "lab.local/pause:1"}


def test_sockets_have_short_paths_however_deep_the_state_lies() -> None:
    deep = State(Path("/" + "x" * 200))
    socket = configs.containerd(deep, configs.run_dir(deep, Settings()), "runc").split('address = "')[1].split('"')[0]
    assert len(socket) < 108


def test_the_name_service_knows_the_cluster_first_and_nothing_else() -> None:
    corefile = configs.corefile(STATE)
    assert corefile.index("kubernetes cluster.local") < corefile.index("NXDOMAIN")
    assert "forward" not in corefile


def test_the_audit_policy_records_each_request_once_and_bodies_only_of_the_benchs_account() -> None:
    policy = configs.audit_policy()
    assert policy["omitStages"] == ["RequestReceived"]
    written, everything = policy["rules"]
    assert written["userGroups"] == ["system:serviceaccounts:bench-system"]
    assert everything == {"level": "Metadata"}


def test_a_control_plane_needs_no_files_of_a_node(tmp_path: Path) -> None:
    state = State(tmp_path)
    configs.write_all(state, Settings(mode="control-plane"), "")
    assert [path.name for path in state.config.iterdir()] == ["audit-policy.yaml"]


def test_a_full_lab_gets_every_file_its_components_read(tmp_path: Path) -> None:
    state = State(tmp_path)
    configs.write_all(state, Settings(), "runc")
    assert json.loads((state.config / "kubelet.yaml").read_text())["kind"] == "KubeletConfiguration"
    for name in ("containerd.toml", "kube-proxy.yaml", "Corefile", "cni/10-lab.conflist", "resolv.conf", "exec-resolv.conf"):
        assert (state.config / name).read_text()


def test_runc_is_found_where_system_programs_lie(tmp_path: Path) -> None:
    runc = tmp_path / "sbin" / "runc"
    runc.parent.mkdir()
    runc.touch(mode=0o755)
    assert configs.runc_path(f"/nowhere:{runc.parent}") == str(runc)
    with pytest.raises(LookupError, match="runc is not installed"):
        configs.runc_path("/nowhere")
