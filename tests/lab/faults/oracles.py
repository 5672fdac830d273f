"""What has to hold of a run, whatever struck it: pure functions from the evidence to what is wrong in words."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from llm_operator.core import kinds, names
from llm_operator.core.world import ready
from llm_sidecar import table
from llm_sidecar.table import Table, TableError
from tests.lab.faults.lane import Call
from tests.lab.faults.normal import Facts, comings, differences, facts
from tests.lab.faults.observer import Key, Object, Seen
from tests.lab.faults.plan import open_name
from tests.lab.faults.workloads import NAME, is_current

_SNAPSHOT: Key = (kinds.CONFIG_MAP.plural, names.snapshot(NAME))
_OWNER = kinds.LLM_DEPLOYMENT.plural
_PLANTED: tuple[Key, ...] = ((kinds.CONFIG_MAP.plural, "bystander"), (kinds.SERVICE.plural, "bystander"))
_MAY_COME_AGAIN = frozenset({kinds.JOB.plural, kinds.POD.plural})
"""Resolvers that failed are started anew under their name; pods are the business of their Deployment."""


@dataclass(frozen=True)
class Reference:
    """What a workload comes to when nothing strikes, and where two clean runs differed."""

    facts: Facts
    mask: frozenset[str]
    comings: Mapping[str, int]
    varying: frozenset[str]
    writes: int


@dataclass(frozen=True)
class Evidence:
    """All that is known of one run. ``seen`` is in the order in which it happened."""

    namespace: str
    seen: list[Seen]
    live: Mapping[Key, Object]
    calls: list[Call]
    log: Sequence[Mapping[str, str]]
    reference: Reference
    ended_by_itself: int = 0
    damaged: Mapping[Key, int] = field(default_factory=dict)


def end_state(evidence: Evidence) -> list[str]:
    """Everything there is as it is in a clean run."""
    reference = evidence.reference
    return differences(reference.facts, facts(evidence.live, evidence.namespace), reference.mask)


def nothing_twice(evidence: Evidence) -> list[str]:
    """Every object came and went as often as in a clean run."""
    reference = evidence.reference
    expected = Counter(reference.comings)
    for (resource, name), times in evidence.damaged.items():
        for event in ("ADDED", "DELETED"):
            expected[f"{event} {resource} {open_name(resource, name)}"] += times
    found = comings(each for each in evidence.seen if "leaves" not in each.key[1])
    damaged_pods = bool(evidence.damaged)
    return [
        f"{what}: {found[what]} times, {expected[what]} in a clean run"
        for what in sorted(found.keys() | expected.keys())
        if found[what] != expected[what] and what not in reference.varying and not (damaged_pods and " pods " in what)
    ]


def owners(evidence: Evidence) -> list[str]:
    """Every child belongs to an LLMDeployment that exists, by uid."""
    known: dict[str, set[str]] = defaultdict(set)
    wrong = []
    for each in evidence.seen:
        if each.resource == _OWNER:
            known[each.key[1]].add(each.object["metadata"]["uid"])
            continue
        reference = _controller(each.object)
        if reference and reference["kind"] == kinds.LLM_DEPLOYMENT.kind and reference["uid"] not in known[reference["name"]]:
            wrong.append(f"{each.resource}/{each.key[1]} belongs to a {reference['name']} of uid {reference['uid']} that never was")
    return wrong


def foreign(evidence: Evidence) -> list[str]:
    """Nobody touched what somebody else planted."""
    versions = Counter(each.key for each in evidence.seen if each.key in _PLANTED)
    return [f"{resource}/{name} was changed or removed" for (resource, name), times in versions.items() if times > 1]


def addressed(evidence: Evidence) -> list[str]:
    """The operator removes objects by uid, and writes only under names and kinds of its own."""
    wrong = []
    for call in evidence.calls:
        asked = call.asked
        if asked.verb == "deletecollection":
            wrong.append(f"deletes all {asked.resource}")
        if asked.verb == "delete" and not ((call.body or {}).get("preconditions") or {}).get("uid"):
            wrong.append(f"deletes {asked.resource}/{asked.name} whatever uid it has")
        if (asked.resource, asked.name) in _PLANTED and asked.writes:
            wrong.append(f"{asked.verb} of somebody else's {asked.resource}/{asked.name}")
    return wrong


def tables(evidence: Evidence) -> list[str]:
    """Weights are always 100 % together, stable always has a route, and the generation only rises."""
    wrong: list[str] = []
    newest: dict[str, int] = {}
    for each in evidence.seen:
        live = _table(each.object) if each.key == _SNAPSHOT and each.event != "DELETED" else None
        if live is None:
            continue
        owner = (_controller(each.object) or {}).get("uid", "")
        total = sum(route.weight for route in live.routes)
        if total != table.WHOLE:
            wrong.append(f"table {live.generation}: weights add up to {total} of {table.WHOLE}")
        if live.stable not in {route.revision for route in live.routes}:
            wrong.append(f"table {live.generation}: stable {live.stable} has no route")
        if live.generation < newest.get(owner, 0):
            wrong.append(f"table generation fell from {newest[owner]} to {live.generation}")
        newest[owner] = live.generation
    return wrong


def challengers(evidence: Evidence) -> list[str]:
    """A challenger is given no unit before it has a pod that takes requests."""
    wrong = []
    for each, there in _replayed(evidence.seen):
        live = _table(each.object) if each.key == _SNAPSHOT and each.event != "DELETED" else None
        if live is not None:
            given = [route for route in live.routes if route.weight and route.revision != live.stable]
            idle = [route for route in given if not _serves(route.engine, NAME, there)]
            wrong += [f"table {live.generation} gives {route.weight} to engine {route.engine}, which has no ready pod" for route in idle]
    return wrong


def observed_generation(evidence: Evidence) -> list[str]:
    """The generation a status is about never falls."""
    wrong = []
    newest: dict[str, int] = {}
    for each in evidence.seen:
        if each.resource == _OWNER:
            uid, told = each.object["metadata"]["uid"], each.object.get("status", {}).get("observedGeneration", 0)
            if told < newest.get(uid, 0):
                wrong.append(f"observedGeneration fell from {newest[uid]} to {told}")
            newest[uid] = max(told, newest.get(uid, 0))
    return wrong


def nothing_removed_that_serves(evidence: Evidence) -> list[str]:
    """As long as a table names an engine or a revision, what stands for it stays."""
    wrong = []
    spared = Counter(evidence.damaged)
    for each, there in _replayed(evidence.seen):
        going = each.event == "DELETED" and there.get(each.key) is not None
        reference = _controller(each.object)
        owner = there.get((_OWNER, reference["name"])) if reference else None
        if not going or owner is None or reference is None or owner["metadata"]["uid"] != reference["uid"] or _is_going(owner):
            continue
        snapshot = there.get((kinds.CONFIG_MAP.plural, names.snapshot(reference["name"])))
        live = _table(snapshot) if snapshot else None
        if live and each.key in set(_named(live, reference["name"])):
            if spared[each.key] > 0:
                spared[each.key] -= 1
            else:
                wrong.append(f"{each.resource}/{each.key[1]} was removed while table {live.generation} names it")
    return wrong


def nothing_removed_to_be_made_again(evidence: Evidence) -> list[str]:
    """What one LLMDeployment has is not taken away and made anew under the same name."""
    made: Counter[tuple[Key, str]] = Counter()
    for each in evidence.seen:
        reference = _controller(each.object)
        if each.event == "ADDED" and reference and each.resource not in _MAY_COME_AGAIN:
            made[each.key, reference["uid"]] += 1
    return [
        f"{resource}/{name} was made {times} times for the same owner"
        for ((resource, name), _), times in made.items()
        if times > 1 + evidence.damaged.get((resource, name), 0)
    ]


def truth(evidence: Evidence) -> list[str]:
    """Whenever a status says that all is as asked, what only the operator writes bears it out."""
    wrong = []
    for each, there in _replayed(evidence.seen):
        if each.resource != _OWNER or each.event == "DELETED" or not is_current(each.object):
            continue
        before = there.get(each.key)
        if before is not None and before.get("status") == each.object["status"]:
            continue  # somebody else's write, such as one of the spec: the status is as old as it was
        wrong += [f"said Ready for generation {each.object['metadata']['generation']}, but {lie}" for lie in _lies(each.object, there)]
    return wrong


def _lies(about: Object, there: Mapping[Key, Object]) -> Iterator[str]:
    status, name = about["status"], about["metadata"]["name"]
    stable = status.get("stable") or {}
    if "engine" not in stable:
        return
    deployment = there.get((kinds.DEPLOYMENT.plural, names.child(name, stable["engine"])))
    if deployment is None:
        yield f"engine {stable['engine']} has no Deployment"
    elif deployment["spec"]["replicas"] != about["spec"]["replicas"]:
        yield f"its Deployment has {deployment['spec']['replicas']} replicas of {about['spec']['replicas']}"
    snapshot = there.get((kinds.CONFIG_MAP.plural, names.snapshot(name)))
    live = _table(snapshot) if snapshot else None
    if live is None:
        yield "there is no table"
    elif live.stable != stable["revision"]:
        yield f"the table's stable is {live.stable}, not {stable['revision']}"
    if (kinds.SERVICE.plural, name) not in there:
        yield "there is no Service"


def restraint(evidence: Evidence) -> list[str]:
    """A fault costs a few writes more, not a storm."""
    most = 3 * evidence.reference.writes + 30
    count = sum(call.asked.writes and call.asked.resource != "leases" for call in evidence.calls)
    return [f"{count} writes, {evidence.reference.writes} in a clean run"] if count > most else []


def hygiene(evidence: Evidence) -> list[str]:
    """No fault is answered with a traceback, but that of a process which ends over it."""
    bugs = [line["message"] for line in evidence.log if line.get("message", "").startswith("bug:")]
    return bugs + [line["message"] for line in evidence.log if line.get("traceback") and not evidence.ended_by_itself]


def endurance(evidence: Evidence) -> list[str]:
    """One end of the process at most: what a restart does not heal, a second one does not either."""
    times = evidence.ended_by_itself
    return [f"the process ended {times} times by itself"] if times > 1 else []


ORACLES: dict[str, Callable[[Evidence], list[str]]] = {
    "end state": end_state,
    "nothing twice": nothing_twice,
    "owners": owners,
    "foreign": foreign,
    "addressed": addressed,
    "tables": tables,
    "challengers": challengers,
    "observed generation": observed_generation,
    "nothing removed that serves": nothing_removed_that_serves,
    "nothing removed to be made again": nothing_removed_to_be_made_again,
    "truth": truth,
    "restraint": restraint,
    "hygiene": hygiene,
    "endurance": endurance,
}


def _replayed(seen: list[Seen]) -> Iterator[tuple[Seen, Mapping[Key, Object]]]:
    """Yield each version with everything that was there just before it."""
    there: dict[Key, Object] = {}
    for each in seen:
        yield each, there
        if each.event == "DELETED":
            there.pop(each.key, None)
        else:
            there[each.key] = each.object


def _named(live: Table, deployment: str) -> Iterator[Key]:
    """Yield what a table relies on: a Deployment as long as its engine may be given units. The pods of one that goes drain."""
    given = {route.engine for route in live.routes if route.weight or route.slot is not None or route.revision == live.stable}
    for engine, reached in live.engines.items():
        if engine in given:
            yield kinds.DEPLOYMENT.plural, names.child(deployment, engine)
        yield kinds.SERVICE.plural, reached.service
    for route in live.routes:
        if route.weight or route.revision == live.stable:
            yield kinds.CONTROLLER_REVISION.plural, names.child(deployment, route.revision)


def _serves(engine: str, deployment: str, there: Mapping[Key, Object]) -> bool:
    wanted = {names.LABEL_DEPLOYMENT: deployment, names.LABEL_ENGINE: engine}
    pods = (about for (resource, _), about in there.items() if resource == kinds.POD.plural)
    return any(wanted.items() <= pod["metadata"].get("labels", {}).items() and ready(pod) for pod in pods)


def _table(config_map: Object) -> Table | None:
    try:
        return table.decode((config_map.get("data") or {}).get(table.TABLE_KEY, "").encode())
    except TableError:
        return None


def _controller(child: Object) -> Object | None:
    return next((each for each in child["metadata"].get("ownerReferences", []) if each.get("controller")), None)


def _is_going(about: Object) -> bool:
    return "deletionTimestamp" in about["metadata"]
