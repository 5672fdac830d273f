"""LLMPrompt: the words around a request, versioned by their content and owned by whoever writes prompts."""

from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, WithJsonSchema

from llm_operator.api.base import PRESERVE_UNKNOWN, ApiModel, rule
from llm_operator.api.decimals import Real

MAX_TEXT = 65_536
MAX_MESSAGES = 64
MAX_STOPS = 16

MAX_TESTS = 32
MAX_PARTS = 16
MAX_MATCHES = 512

Part = Annotated[str, Field(min_length=1, max_length=1024)]
Stop = Annotated[str, Field(min_length=1, max_length=256)]
FreeObject = Annotated[dict[str, Any], WithJsonSchema({"type": "object", PRESERVE_UNKNOWN: True})]


class PromptMessage(ApiModel):
    """One message that goes in front of the client's own."""

    role: Literal["system", "user", "assistant"]
    """Who speaks the message."""
    content: str = Field(max_length=MAX_TEXT)
    """Text of the message, a minijinja template over the variables that `inputs` declares."""


class Sampling(ApiModel):
    """Sampling parameters for requests that do not set them; what a client sends always wins."""

    temperature: Annotated[Decimal, Real("0", "2")] | None = None
    """Randomness of the choice of tokens; 0 always takes the most likely one."""
    top_p: Annotated[Decimal, Real("0", "1", above=True)] | None = None
    """Choose among the most likely tokens that together have this probability; 1 is all of them."""
    top_k: int | None = Field(default=None, ge=-1, le=1_000_000)
    """Choose among this many most likely tokens; 0 or -1 is all of them."""
    min_p: Annotated[Decimal, Real("0", "1")] | None = None
    """Drop tokens that are less likely than this share of the most likely one."""
    max_tokens: int | None = Field(default=None, ge=1, le=10_000_000)
    """Most tokens an answer may have."""
    presence_penalty: Annotated[Decimal, Real("-2", "2")] | None = None
    """Above 0 favours tokens the answer does not have yet."""
    frequency_penalty: Annotated[Decimal, Real("-2", "2")] | None = None
    """Above 0 disfavours tokens by how often the answer has them already."""
    repetition_penalty: Annotated[Decimal, Real("0", "10", above=True)] | None = None
    """Above 1 disfavours tokens that prompt or answer have already."""
    seed: int | None = Field(default=None, ge=0, le=2**53 - 1)
    """Seed of the random choice, for answers that repeat."""
    stop: tuple[Stop, ...] = Field(default=(), max_length=MAX_STOPS)
    """Texts that end the answer; they are not part of it."""


class Expectation(ApiModel):
    """What the rendered prompt has to be."""

    rules: ClassVar = (
        rule(
            "has(self.equals) || has(self.contains) || has(self.excludes) || has(self.refused)",
            "a test expects something: set equals, contains, excludes or refused",
        ),
    )

    equals: str | None = Field(default=None, max_length=MAX_TEXT)
    """The whole rendered prompt."""
    contains: tuple[Part, ...] | None = Field(default=None, min_length=1, max_length=MAX_PARTS)
    """Texts that are all in it."""
    excludes: tuple[Part, ...] | None = Field(default=None, min_length=1, max_length=MAX_PARTS)
    """Texts none of which is in it."""
    refused: bool | None = None
    """Whether a request with these variables is refused; by default it is not."""


class AnswerExpectation(ApiModel):
    """What an engine's answer to the rendered prompt has to be. Only `kubectl llm prompt test --url` asks for one, never the operator."""

    rules: ClassVar = (
        rule(
            "has(self.contains) || has(self.excludes) || has(self.matches) || has(self.schema)",
            "a test expects something of the answer: set contains, excludes, matches or schema",
        ),
    )

    contains: tuple[Part, ...] | None = Field(default=None, min_length=1, max_length=MAX_PARTS)
    """Texts that are all in it."""
    excludes: tuple[Part, ...] | None = Field(default=None, min_length=1, max_length=MAX_PARTS)
    """Texts none of which is in it."""
    matches: str | None = Field(default=None, min_length=1, max_length=MAX_MATCHES)
    """Regular expression in RE2's syntax that is found in it; `^` and `$` are the ends of the answer, `(?i)` in front ignores case."""
    json_schema: FreeObject | None = Field(default=None, alias="schema")
    """JSON Schema, draft 2020-12, that the answer as JSON has to fit."""


class PromptTest(ApiModel):
    """A test of the prompt: what a request brings, what that renders to, and what an engine answers."""

    rules: ClassVar = (
        rule("has(self.expect) || has(self.answer)", "a test expects something: set expect, answer or both"),
        rule(
            "!has(self.answer) || !has(self.expect) || !has(self.expect.refused) || !self.expect.refused",
            "a request that is refused has no answer: remove answer or expect.refused",
        ),
    )

    name: str = Field(min_length=1, max_length=64)
    """Name of the test."""
    variables: FreeObject | None = None
    """Variables the request brings."""
    prompt: str = Field(default="", max_length=MAX_TEXT)
    """Text the request brings. It comes behind `system` and `messages`, with blank lines between all of them, or in the template."""
    expect: Expectation | None = None
    """What the rendered prompt has to be."""
    answer: AnswerExpectation | None = None
    """What an engine's answer has to be. Only `kubectl llm prompt test --url` asks one; the operator sees to it that it could be held
    against this."""


class PromptSpec(ApiModel):
    """What is wrapped around the client's text: `system` and `messages`, or one `template`."""

    rules: ClassVar = (
        rule(
            "!has(self.template) || (!has(self.system) && (!has(self.messages) || size(self.messages) == 0))",
            "template stands alone: remove template, or remove system and messages",
        ),
    )

    system: str | None = Field(default=None, min_length=1, max_length=MAX_TEXT)
    """System message in front of the client's messages, a minijinja template over the variables that `inputs` declares."""
    messages: tuple[PromptMessage, ...] = Field(default=(), max_length=MAX_MESSAGES)
    """Messages after `system` and in front of the client's own, such as examples of good answers."""
    template: str | None = Field(default=None, min_length=1, max_length=MAX_TEXT)
    """Minijinja template that replaces the client's text and must use it as `prompt`, besides the variables that `inputs` declares."""
    inputs: FreeObject | None = None
    """JSON Schema, of type object, of the variables a request may send; `default` of a property is used where a request sends none. List
    a property without a default in `required`: then a request that leaves it out is told so."""
    sampling: Sampling = Sampling()
    """Sampling parameters for requests that do not set them."""
    tests: tuple[PromptTest, ...] = Field(default=(), max_length=MAX_TESTS)
    """Tests of the prompt. One that fails a test of what it renders to is not valid and is not served; tests are no part of its digest."""
