"""Routing: how requests come in, and whose they are, which decides the revision that serves them while there are two."""

from typing import Annotated, ClassVar

from pydantic import Field

from llm_operator.api.base import VALIDATIONS, ApiModel, rule
from llm_operator.api.patterns import BODY_FIELD, DNS_SUBDOMAIN, HEADER_NAME, HOSTNAME, NAMESPACE

MAX_SUBJECTS = 8
MAX_PARENTS = 8
MAX_HOSTNAMES = 16
_RESERVED = ("authorization", "cookie")


def _same(field: str) -> str:
    """Return the rule that two items have the same in a field, or neither has it."""
    return f"(has(one.{field}) ? one.{field} : '') == (has(other.{field}) ? other.{field} : '')"


_ONCE = f"self.all(one, self.exists_one(other, one.name == other.name && {_same('__namespace__')} && {_same('sectionName')}))"


class ApiKeySubject(ApiModel):
    """The API key that was shown, by its id."""


class Subject(ApiModel):
    """One place to look for whose request it is; exactly one field is set."""

    rules: ClassVar = (
        rule(
            "[has(self.header), has(self.apiKey), has(self.bodyField)].filter(is_set, is_set).size() == 1",
            "exactly one of header, apiKey and bodyField must be set",
        ),
    )

    header: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        pattern=HEADER_NAME,
        json_schema_extra={
            VALIDATIONS: [
                rule("!self.startsWith('x-llm-')", "headers x-llm-* are the sidecars' own; choose another name"),
                rule(
                    " && ".join(f"self != '{name}'" for name in _RESERVED),
                    f"{' and '.join(_RESERVED)} may hold secrets; for API keys use apiKey",
                ),
            ]
        },
    )
    """Header of the request, its name in small letters, as whatever lets users in sets it. Clients can forge it where nothing does."""
    api_key: ApiKeySubject | None = None
    """The API key, with `auth.apiKeys: Required`: all requests of a key are one subject."""
    body_field: str | None = Field(default=None, min_length=1, max_length=64, pattern=BODY_FIELD)
    """Field at the top of the request's JSON, a text or a whole number, such as `user`."""


class ParentRef(ApiModel):
    """One Gateway that brings requests."""

    name: str = Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)
    """Name of the Gateway."""
    namespace: str | None = Field(default=None, min_length=1, max_length=63, pattern=NAMESPACE)
    """Its namespace, by default that of this object. Whether routes of another namespace may join is up to the Gateway."""
    section_name: str | None = Field(default=None, min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)
    """Name of one listener of it, by default all of them."""


class Gateway(ApiModel):
    """The HTTPRoute of the Gateway API that brings requests from outside: one rule, to the Service of this object, without a timeout."""

    parent_refs: tuple[ParentRef, ...] = Field(
        min_length=1,
        max_length=MAX_PARENTS,
        json_schema_extra={
            "x-kubernetes-list-type": "atomic",
            VALIDATIONS: [rule(_ONCE, "each Gateway, or listener of one, may be named once")],
        },
    )
    """Gateways that bring requests."""
    hostnames: tuple[Annotated[str, Field(min_length=1, max_length=253, pattern=HOSTNAME)], ...] = Field(
        default=(), max_length=MAX_HOSTNAMES, json_schema_extra={"x-kubernetes-list-type": "atomic"}
    )
    """Host names of the requests it brings, such as `llm.example.com` or `*.example.com`; by default all of the Gateway's listeners."""


class Routing(ApiModel):
    """How requests come in, and which of them belong together."""

    subject: tuple[Subject, ...] = Field(default=(), max_length=MAX_SUBJECTS, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    """Where to look for whose request it is; the first that a request has counts. All requests of a subject get the same revision, and
    another one only when it is their turn in a change. A request that has none is assigned alone. While requests move to another engine, a
    new list waits."""
    gateway: Gateway | None = None
    """Gateways that bring requests from outside, where the cluster has the Gateway API and the administrator has enabled routes; the
    condition RouteAccepted says what they make of it."""
