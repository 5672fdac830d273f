"""Manifests from files, read as strictly as the API server does: what it would refuse is refused here, with every reason at once."""

import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from llm_operator.api.crd import GROUP, LLM_DEPLOYMENT, LLM_PROMPT, RESOURCES, VERSION
from llm_operator.cli import apiserver
from llm_operator.cli.exits import CliError, Exit
from llm_operator.core.depth import MAX_DEPTH, is_too_deep

DEPLOYMENT, PROMPT = LLM_DEPLOYMENT.kind, LLM_PROMPT.kind
STDIN = "-"
_END = 2**63
_KINDS = frozenset(resource.kind for resource in RESOURCES)
_API_VERSION = f"{GROUP}/{VERSION}"


class _Loader(yaml.SafeLoader):
    """YAML as kubectl reads it: a key stands once, a date is a text, and an integer has 64 bits."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    loader.flatten_mapping(node)
    found: dict[str, Any] = {}
    for key, value in node.value:
        name = loader.construct_object(key, deep=True)
        if not isinstance(name, str):
            raise yaml.constructor.ConstructorError(None, None, f"the key {name!r} is no text; put it in quotes", key.start_mark)
        if name in found:
            raise yaml.constructor.ConstructorError(None, None, f'the key "{name}" stands here twice', key.start_mark)
        found[name] = loader.construct_object(value, deep=True)
    return found


def _number(loader: _Loader, node: yaml.ScalarNode) -> int:
    value = loader.construct_yaml_int(node)
    if not -_END <= value < _END:
        raise yaml.constructor.ConstructorError(None, None, f"{node.value[:20]} is not an integer of 64 bits", node.start_mark)
    return value


def _text(loader: _Loader, node: yaml.ScalarNode) -> str:
    """Return a text; what JSON writes as a pair of surrogates is one character."""
    return loader.construct_yaml_str(node).encode("utf-16", "surrogatepass").decode("utf-16")


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:str", _text)
_Loader.add_constructor("tag:yaml.org,2002:int", _number)


@dataclass(frozen=True)
class Manifest:
    """One object of ours, as it would be stored."""

    kind: str
    name: str
    file: str
    body: dict[str, Any]

    @property
    def place(self) -> str:
        """Return where it is, as people say it."""
        return f"{self.file}: {self.kind} {self.name}"


def read(files: Sequence[str]) -> list[Manifest]:
    """Return the objects of ours in these files, or raise CliError with all that is wrong with them."""
    found: list[Manifest] = []
    wrong: list[str] = []
    for file in files:
        for number, document in enumerate(_documents(file), 1):
            manifest = _manifest(document, file, f"{file}: document {number}")
            if manifest is not None:
                wrong += [f"{manifest.place}: {words}" for words in _refusals(manifest)]
                found.append(manifest)
    if wrong:
        raise CliError("\n".join(wrong), Exit.REJECTED)
    for one, other in itertools.combinations(found, 2):
        if (one.kind, one.name) == (other.kind, other.name):
            raise CliError(f"{one.place} is there twice, also in {other.file}")
    return found


def text_of(file: str, what: str) -> bytes:
    """Return what a file holds, or standard input."""
    if file == STDIN:
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise CliError(f"{what} {file}: {error.strerror}") from error


def _documents(file: str) -> Iterator[Any]:
    """Yield the documents of a file, those of a List one by one."""
    try:
        documents = list(yaml.load_all(text_of(file, "-f"), _Loader))  # a safe loader of our own
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        raise CliError(f"-f {file}: cannot be read as YAML: {place}{error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise CliError(f"-f {file}: cannot be read as YAML: {error}") from error
    except RecursionError as error:
        raise CliError(f"-f {file}: nested too deeply") from error
    for document in documents:
        if isinstance(document, dict) and document.get("kind") == "List" and isinstance(document.get("items"), list):
            yield from document["items"]
        elif document is not None:
            yield document


def _manifest(document: Any, file: str, place: str) -> Manifest | None:
    if not isinstance(document, dict):
        raise CliError(f"{place} is no manifest but {type(document).__name__}: {str(document)[:80]!r}")
    kind, version, metadata = str(document.get("kind")), document.get("apiVersion"), document.get("metadata")
    is_ours = isinstance(version, str) and version.partition("/")[0] == GROUP
    if not is_ours and (kind not in _KINDS or version):
        return None
    if kind not in _KINDS:
        raise CliError(f'{place}: kind: "{kind}" is none of {", ".join(sorted(_KINDS))}', Exit.REJECTED)
    if version != _API_VERSION:
        raise CliError(f'{place}: apiVersion: "{version}" is not {_API_VERSION}', Exit.REJECTED)
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or not name:
        raise CliError(f"{place}: metadata.name: Required value", Exit.REJECTED)
    return Manifest(kind, name, "standard input" if file == STDIN else file, document)


def _refusals(manifest: Manifest) -> Iterable[str]:
    if is_too_deep(manifest.body):
        return [f"nested deeper than {MAX_DEPTH} levels; nothing that can be served is"]
    return apiserver.refusals(manifest.body)
