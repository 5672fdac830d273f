"""A namespace with an operator of its own under the account and Roles of the chart, of which single rights can be taken away."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from llm_operator.api.config import OperatorConfig, load_config
from llm_operator.core.kinds import Kind
from tests.integration.chart.kit import kubectl, of_kind, one, render
from tests.integration.chart.rights import Right, refused
from tests.integration.operating import RunningOperator
from tests.integration.server import Server
from tests.integration.stage import Stage

Object = dict[str, Any]

RELEASE = "llm-operator"
_RBAC = ("ServiceAccount", "Role", "RoleBinding")


def granted(roles: Iterable[Object]) -> set[Right]:
    """Return what Roles grant, right by right."""
    rules = [rule for role in roles for rule in role["rules"]]
    return {(group, resource, verb) for rule in rules for group, resource in _targets(rule) for verb in rule["verbs"]}


def without(role: Object, right: Right | None) -> Object:
    """Return a Role that grants everything but one right."""
    rules = [
        {**rule, "apiGroups": [group], "resources": [resource], "verbs": verbs}
        for rule in role["rules"]
        for group, resource in _targets(rule)
        if (verbs := [verb for verb in rule["verbs"] if (group, resource, verb) != right])
    ]
    return {**role, "rules": rules}


def _targets(rule: Object) -> Iterator[tuple[str, str]]:
    return ((group, resource) for group in rule["apiGroups"] for resource in rule["resources"])


class Place:
    """The operator runs between entering and leaving; one that has died is started again when its right is given back."""

    def __init__(self, server: Server, stage: Stage, namespace: str, kubeconfig: Path) -> None:
        self.server, self.stage, self.namespace = server, stage, namespace
        self.account = f"system:serviceaccount:{namespace}:{RELEASE}"
        rendered = render({"namespaces": [namespace], "acceleratorProfiles": {"cpu": {}}}, namespace=namespace)
        self._rbac = [each for kind in _RBAC for each in of_kind(rendered, kind)]
        self.config: OperatorConfig = load_config(one(rendered, "ConfigMap", RELEASE)["data"]["config.yaml"])
        self._kubeconfig = kubeconfig
        self._operator: RunningOperator | None = None
        self._read_to = 0
        self._refused: set[Right] = set()
        self.seen: dict[str, Any] = {}
        """What a behaviour found before it began."""

    @property
    def rights(self) -> set[Right]:
        """Return what the chart grants."""
        return granted(of_kind(self._rbac, "Role"))

    def grant(self, *, but: Right | None = None) -> None:
        """Grant what the chart grants, or all of it but one right."""
        objects = [without(each, but) if each["kind"] == "Role" else each for each in self._rbac]
        kubectl("apply", "--filename=-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def __enter__(self) -> Self:
        config: Object = json.loads(self.server.lab.kubeconfig.read_text())
        token = kubectl("--namespace", self.namespace, "create", "token", RELEASE, "--duration=1h").strip()
        for user in config["users"]:
            user["user"] = {"token": token}
        self._kubeconfig.write_text(json.dumps(config))
        self._operator = RunningOperator(self.config, str(self._kubeconfig)).__enter__()
        return self

    def revive(self) -> None:
        """Start the operator again if it has ended."""
        if self._operator and not self._operator.is_alive:
            self._operator = RunningOperator(self.config, str(self._kubeconfig)).__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._operator and self._operator.is_alive:
            self._operator.stop()

    def was_refused(self, right: Right) -> bool:
        """Return whether the operator has asked for something that needs a right and was refused; reads what is new in the audit log."""
        with self.server.lab.state.audit_log.open("rb") as log:
            log.seek(self._read_to)
            new, newline, _ = log.read().rpartition(b"\n")
        self._read_to += len(new) + len(newline)
        events = [json.loads(line) for line in new.splitlines() if self.account.encode() in line]
        self._refused |= refused(events, self.account)
        return right in self._refused

    def children(self, kind: Kind, deployment: str = "chat") -> tuple[Object, ...]:
        """Return what is there of a kind that belongs to a deployment."""
        return self.server.children(self.namespace, deployment, kind)
