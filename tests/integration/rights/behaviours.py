"""What a user sees of an operator, one behaviour at a time; each needs some of its rights."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from llm_operator.core import kinds, names
from llm_operator.core.actions import Apply
from llm_operator.core.children import HISTORY
from llm_operator.core.kinds import Kind
from tests.fakes.objects import llm_deployment, llm_prompt, resolver_answer
from tests.integration.chart.rights import Right
from tests.integration.rights.place import Place
from tests.integration.server import OWNED, condition
from tests.lab.wait import until
from tests.unit.core.builders import make_deployment
from tests.unit.core.sim import Sim

Object = dict[str, Any]

_QUIET_S = 6.0
"""Time without a word in the status after which there are no looks left over from what came before."""
_ACT_S = 180.0
_SPECS: dict[Kind, Object] = {
    kinds.DEPLOYMENT: {
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "theirs"}},
            "template": {"metadata": {"labels": {"app": "theirs"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}},
        }
    },
    kinds.SERVICE: {"spec": {"ports": [{"port": 80}]}},
    kinds.CONFIG_MAP: {"data": {"a": "b"}},
    kinds.CONTROLLER_REVISION: {"revision": 1, "data": {}},
    kinds.JOB: {
        "spec": {"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}}},
    },
    kinds.POD_DISRUPTION_BUDGET: {"spec": {"maxUnavailable": 1}},
    kinds.NETWORK_POLICY: {"spec": {"podSelector": {}}},
}


@dataclass(frozen=True)
class Behaviour:
    """What is done once, and whether what has to follow from it has come.

    What is ``told`` is told when it happens and not later, so it has to happen anew once a right is given back.
    """

    name: str
    act: Callable[[Place], None]
    came: Callable[[Place], bool]
    told: bool = False


def _deployment(place: Place, name: str = "chat", **spec: Any) -> Object:
    return llm_deployment(name, place.namespace, **{"drain": {"minimum": "0s", "maxStream": "1s"}, **spec})


def _status(place: Place, name: str = "chat") -> Object:
    return place.server.status(place.namespace, name)


def _settled(place: Place, name: str = "chat") -> bool:
    live = place.server.must(kinds.LLM_DEPLOYMENT, place.namespace, name)
    status = live.get("status", {})
    wanted = {"Ready": "True", "Reconciling": "False", "Stalled": "False"}
    current = status.get("observedGeneration") == live["metadata"]["generation"]
    return current and all(condition(status, kind).get("status") == value for kind, value in wanted.items())


def _wait_for_rest(place: Place, name: str) -> None:
    """Wait until nothing is looked at any more but what is heard of."""
    version, since = "", time.monotonic()

    def rests() -> bool:
        nonlocal version, since
        live = place.server.must(kinds.LLM_DEPLOYMENT, place.namespace, name)["metadata"]["resourceVersion"]
        if live != version:
            version, since = live, time.monotonic()
        return time.monotonic() - since > _QUIET_S

    until(rests, timeout_s=_ACT_S, what=f"{name} at rest", interval_s=0.5)


def _create(place: Place) -> None:
    place.server.create(llm_prompt("support", place.namespace), place.namespace)
    prompt = {"ref": {"name": "support"}, "updatePolicy": "Rollout"}
    place.server.create(_deployment(place, replicas=2, prompt=prompt), place.namespace)


def _serves(place: Place) -> bool:
    used = place.server.status(place.namespace, "support", kinds.LLM_PROMPT).get("usedBy") == ["chat"]
    return used and _settled(place) and not place.children(kinds.JOB) and all(place.children(kind) for kind in OWNED)


SERVES = Behaviour("serves what was created", _create, _serves)


def _edit_prompt(place: Place, words: str = "Be long.") -> None:
    place.seen["words"] = words
    place.server.merge(kinds.LLM_PROMPT, place.namespace, "support", {"spec": {"system": words}})


def _are_out(place: Place) -> bool:
    """Return whether sidecars are given the words."""
    (snapshot,) = place.children(kinds.CONFIG_MAP)
    return any(place.seen["words"] in each for each in snapshot["data"].values())


def _has_words(place: Place) -> bool:
    return _are_out(place) and _settled(place) and _status(place).get("table", {}).get("acked") == 2


EDITS_PROMPT = Behaviour("serves an edited prompt", _edit_prompt, _has_words)


def _edit_anew(place: Place) -> None:
    _edit_prompt(place, f"Be told, {time.monotonic()}.")


def _is_told_of(place: Place) -> bool:
    events = place.server.raw(f"/apis/events.k8s.io/v1/namespaces/{place.namespace}/events")["items"]
    stable = _status(place).get("stable", {}).get("revision", "?")
    return _has_words(place) and any(each["reason"] == "Promoted" and stable in each.get("note", "") for each in events)


TELLS_OF_CHANGES = Behaviour("is told of a change", _edit_anew, _is_told_of, told=True)


def _edit_many(place: Place) -> None:
    for number in range(HISTORY + 4):
        _edit_prompt(place, f"Edit {number}.")
        until(lambda: _are_out(place), timeout_s=_ACT_S, what=f"edit {number}")


def _forgets(place: Place) -> bool:
    return _settled(place) and len(place.children(kinds.CONTROLLER_REVISION)) <= HISTORY + 3


KEEPS_HISTORY_SHORT = Behaviour("forgets old revisions", _edit_many, _forgets)


def _has_evidence(place: Place) -> bool:
    return names.evidence("chat") in {each["metadata"]["name"] for each in place.children(kinds.CONFIG_MAP)}


def _begin_and_end_gates(place: Place) -> None:
    gated = {"config": {"steps": [{"weightPercent": 5}]}, "gates": [{"errors": {}}]}
    place.server.merge(kinds.LLM_DEPLOYMENT, place.namespace, "chat", {"spec": {"rollout": gated}})
    _edit_prompt(place, "Be proven.")
    until(lambda: _has_evidence(place), timeout_s=_ACT_S, what="evidence")
    place.server.merge(kinds.LLM_DEPLOYMENT, place.namespace, "chat", {"spec": {"rollout": None}})


FORGETS_EVIDENCE = Behaviour(
    "removes evidence nobody needs", _begin_and_end_gates, lambda place: not _has_evidence(place) and _has_words(place)
)


def _edit_engine(place: Place) -> None:
    place.seen["engine"] = _status(place)["stable"]["engine"]
    place.server.merge(kinds.LLM_DEPLOYMENT, place.namespace, "chat", {"spec": {"engine": {"maxModelLen": 4096}}})


def _has_other_engine(place: Place) -> bool:
    old = names.child("chat", place.seen["engine"])
    left = {each["metadata"]["name"] for kind in (kinds.DEPLOYMENT, kinds.SERVICE) for each in place.children(kind)}
    return _settled(place) and _status(place)["stable"]["engine"] != place.seen["engine"] and old not in left


EDITS_ENGINE = Behaviour("serves from another engine and removes the old one", _edit_engine, _has_other_engine)


def repairs(kind: Kind) -> Behaviour:
    """Return that what somebody does to children of a kind is undone: deleted, or where others would tell of that, annotated."""

    def act(place: Place) -> None:
        _wait_for_rest(place, "chat")
        stable = _status(place)["stable"]
        needed = {names.child("chat", stable[part]) for part in ("engine", "revision")}
        found = {each["metadata"]["name"]: each["metadata"] for each in place.children(kind)}
        place.seen[kind.plural] = {name: found[name] for name in found if kind != kinds.CONTROLLER_REVISION or name in needed}
        for name in place.seen[kind.plural]:
            if kind == kinds.DEPLOYMENT:
                place.server.merge(kind, place.namespace, name, {"metadata": {"annotations": {names.ANNOTATION_INPUTS: "{}"}}})
            else:
                place.server.delete(kind, place.namespace, name)

    def came(place: Place) -> bool:
        live = {each["metadata"]["name"]: each["metadata"] for each in place.children(kind)}
        before = place.seen[kind.plural]
        if not live.keys() >= before.keys():
            return False
        if kind == kinds.DEPLOYMENT:
            return all(live[name]["annotations"][names.ANNOTATION_INPUTS] != "{}" for name in before)
        return all(live[name]["uid"] != before[name]["uid"] for name in before)

    return Behaviour(f"repairs {kind.plural}", act, came)


def _engine_pod(place: Place) -> Object | None:
    found = place.children(kinds.POD, "stuck")
    return next((each for each in found if names.LABEL_ENGINE in each["metadata"]["labels"]), None)


def _stick(place: Place, reason: str) -> None:
    pod = _engine_pod(place)
    assert pod is not None
    waiting = {"name": "engine", "image": "a", "imageID": "", "ready": False, "restartCount": 0, "state": {"waiting": {"reason": reason}}}
    place.server.merge(kinds.POD, place.namespace, pod["metadata"]["name"], {"status": {"containerStatuses": [waiting]}}, "status")


def _stick_twice(place: Place) -> None:
    """The second time comes right after a look, so that the next one would be half a minute away."""
    place.stage.held.add(place.namespace)
    place.server.create(_deployment(place, "stuck"), place.namespace)
    until(lambda: _engine_pod(place) is not None, timeout_s=_ACT_S, what="a pod that does not run")
    _wait_for_rest(place, "stuck")
    _stick(place, "ImagePullBackOff")
    until(lambda: _status(place, "stuck").get("reason") == "ImagePullBackOff", timeout_s=_ACT_S, what="the first reason")
    _stick(place, "CreateContainerConfigError")


def _is_told(place: Place) -> bool:
    return bool(_status(place, "stuck").get("reason") == "CreateContainerConfigError")


TELLS_OF_PODS = Behaviour("tells what keeps a pod from running", _stick_twice, _is_told)


def tells_of_conflicts(kind: Kind) -> Behaviour:
    """Return that an object of somebody else under a name of ours is left alone and told of."""

    def act(place: Place) -> None:
        wanted = _deployment(place)
        sim = Sim(config=place.config, deployment=make_deployment(spec=wanted["spec"]))
        sim.resolver_answers[wanted["spec"]["model"]["source"]] = resolver_answer()
        name = next(each.name for each in _made(sim) if each.kind == kind)
        theirs = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name}}
        place.server.create(theirs | _SPECS[kind], place.namespace)
        place.server.create(wanted, place.namespace)

    def came(place: Place) -> bool:
        return bool(_status(place).get("reason") == "NameConflict" and kind.kind in _status(place)["message"])

    return Behaviour(f"tells of {kind.plural} of somebody else", act, came)


def _made(sim: Sim) -> Iterator[Apply]:
    """Yield what the operator makes until an LLMDeployment serves: names come from hashes, so they are known beforehand."""
    while True:
        yield from sim.look().applies
        sim.tick()


def _scale_twice(place: Place) -> None:
    """One whom another scaler is for, and one whom none is for: of that it has to be known."""
    for name in ("scaled", "alone"):
        place.server.create(_deployment(place, name, autoscaling={"mode": "BuiltIn"}), place.namespace)
    reference = {"apiVersion": kinds.LLM_DEPLOYMENT.api_version, "kind": kinds.LLM_DEPLOYMENT.kind, "name": "scaled"}
    spec = {"scaleTargetRef": reference, "maxReplicas": 2}
    kind = kinds.HORIZONTAL_POD_AUTOSCALER
    place.server.create({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "theirs"}, "spec": spec}, place.namespace)


def _knows_scalers(place: Place) -> bool:
    place.server.merge(kinds.LLM_DEPLOYMENT, place.namespace, "scaled", {"spec": {"replicas": 2}})  # as the other one would
    found = [condition(_status(place, name), "ScalingConflict") for name in ("scaled", "alone")]
    return found[0].get("reason") == "TargetedByAutoscaler" and found[1].get("message", "no right").endswith("sets the number of pods")


KNOWS_SCALERS = Behaviour("knows who else scales", _scale_twice, _knows_scalers)

CHANGES = (SERVES, EDITS_PROMPT, EDITS_ENGINE)
ALL = (*CHANGES, TELLS_OF_CHANGES, *(repairs(kind) for kind in OWNED), TELLS_OF_PODS, KEEPS_HISTORY_SHORT, FORGETS_EVIDENCE, KNOWS_SCALERS)
ALONE = tuple(tells_of_conflicts(kind) for kind in kinds.CHILDREN)
"""What has to be looked at before anything serves."""


def affected(right: Right) -> tuple[Behaviour, ...]:
    """Return the behaviours among which one has to break without a right; of a right nobody has thought of, any."""
    group, plural, verb = right
    kind = next((each for each in (*kinds.ALL, *kinds.SCALERS) if (each.group, each.plural) == (group, plural)), None)
    if kind in kinds.CHILDREN and verb == "get":
        return (tells_of_conflicts(kind),)
    if kind in kinds.CHILDREN and verb == "watch":
        return (SERVES, repairs(kind))
    if kind == kinds.POD and verb == "watch":
        return (TELLS_OF_PODS,)
    if kind in kinds.SCALERS:
        return (KNOWS_SCALERS,)
    if kind == kinds.EVENT:
        return (SERVES, TELLS_OF_CHANGES)
    alone = {kinds.CONTROLLER_REVISION: KEEPS_HISTORY_SHORT, kinds.CONFIG_MAP: FORGETS_EVIDENCE}
    return (SERVES, alone[kind]) if kind in alone and verb == "delete" else CHANGES
