"""Routing: whose request it is, which decides the revision that serves it while there are two."""

from typing import ClassVar

from pydantic import Field

from llm_operator.api.base import VALIDATIONS, ApiModel, rule
from llm_operator.api.patterns import BODY_FIELD, HEADER_NAME

MAX_SUBJECTS = 8
_RESERVED = ("authorization", "cookie")


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


class Routing(ApiModel):
    """Which requests belong together."""

    subject: tuple[Subject, ...] = Field(default=(), max_length=MAX_SUBJECTS, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    """Where to look for whose request it is; the first that a request has counts. All requests of a subject get the same revision, and
    another one only when it is their turn in a change. A request that has none is assigned alone. While requests move to another engine, a
    new list waits."""
