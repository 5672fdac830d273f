"""Numbers with decimals. The API server knows them as floats; the models keep the digits that were written."""

from dataclasses import dataclass
from decimal import Decimal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from llm_operator.api.base import VALIDATIONS, rule


@dataclass(frozen=True)
class Real:
    """Annotation of a Decimal field: its bounds, for the model and for the API server alike. ``above`` leaves the low one out."""

    low: str
    high: str
    above: bool = False

    def __get_pydantic_core_schema__(self, source: type[Decimal], handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        low, high = (int(bound) if bound.lstrip("-").isdecimal() else float(bound) for bound in (self.low, self.high))
        schema: JsonSchemaValue = {"type": "number", "exclusiveMinimum" if self.above else "minimum": low, "maximum": high}
        if isinstance(low, float):  # of a number written without decimals the API server compares with the bound's whole part
            words = f"must be {'above' if self.above else 'at least'} {self.low}"
            schema[VALIDATIONS] = [rule(f"self {'>' if self.above else '>='} {self.low}", words)]
        return schema

    def _checked(self, number: Decimal) -> Decimal:
        low, high = Decimal(self.low), Decimal(self.high)
        if not low <= number <= high or (self.above and number == low):
            raise ValueError(f"must be {'above' if self.above else 'at least'} {self.low} and at most {self.high}")
        return number
