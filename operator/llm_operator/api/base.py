"""What every API model shares: camelCase in YAML, immutable in Python, one docstring per field for people and CRD alike."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ValidationError
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

VALIDATIONS = "x-kubernetes-validations"
PRESERVE_UNKNOWN = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING = "x-kubernetes-int-or-string"


def rule(expression: str, message: str) -> JsonDict:
    """Return one CEL rule of a CRD: what must hold for ``self`` and the sentence the API server answers when it does not."""
    return {"rule": expression, "message": message}


class ApiModel(BaseModel):
    """Base of all API models. Unknown fields are ignored: an older operator must read what a newer one wrote."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )

    rules: ClassVar[tuple[JsonDict, ...]] = ()
    """CEL rules over the whole object; the API server checks them, so the models do not check them again."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core_schema))
        if cls.rules:
            schema[VALIDATIONS] = [dict(each) for each in cls.rules]
        return schema

    def to_yaml_dict(self) -> dict[str, Any]:
        """Return the object as YAML shows it: camelCase keys, plain JSON values, absent fields absent."""
        return self.model_dump(by_alias=True, mode="json", exclude_none=True)


def problems(error: ValidationError) -> tuple[tuple[str, str], ...]:
    """Return each problem of a failed validation as (path with dots, sentence)."""
    return tuple((path(each["loc"]), _sentence(each)) for each in error.errors(include_url=False))


def path(location: tuple[int | str, ...]) -> str:
    """Return a location as people write it: ``spec.prompt.messages[0].role``."""
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")


def _sentence(error: Mapping[str, Any]) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    value = repr(error["input"])
    if error["type"] in {"missing", "extra_forbidden"} or isinstance(error["input"], dict | list) or value in message:
        return message
    return f"{message}, not {value}"
