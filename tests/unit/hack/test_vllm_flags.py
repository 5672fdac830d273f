import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "hack/vllm_flags.py"

TEXT = """\
usage: vllm serve [model_tag] [options]

options:
  --api-server-count API_SERVER_COUNT, -asc API_SERVER_COUNT
                        How many. (default: None)
  --grpc                Launch it.
                        (default: False)
  --enable-lora, --no-enable-lora
                        If True, enable it. (default:
                        None)
  --dtype {auto,half}   The type. (default: auto)
  --format ['auto', 'hf']
                        The format. (default: auto)
  --api-key API_KEY [API_KEY ...]
                        Keys. (default: None)
  --some-config SOME_CONFIG
                        Should either be a valid JSON string or JSON keys
                        passed individually. (default: {})
  -h, --help            show this help message and exit
"""


@pytest.fixture(name="script", scope="module")
def script_fixture() -> ModuleType:
    found = importlib.util.spec_from_file_location("vllm_flags", SCRIPT)
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_help_is_read_flag_by_flag(script: ModuleType) -> None:
    facts = script.parse(TEXT)
    assert list(facts) == ["api-server-count", "grpc", "enable-lora", "dtype", "format", "api-key", "some-config", "help"]
    assert facts["api-server-count"] == {
        "aliases": ["-asc"],
        "takesValue": True,
        "negatable": False,
        "several": False,
        "json": False,
        "choices": None,
        "default": "None",
    }


def test_switches_choices_lists_and_json_are_told_apart(script: ModuleType) -> None:
    facts = script.parse(TEXT)
    assert (facts["grpc"]["takesValue"], facts["grpc"]["negatable"]) == (False, False)
    assert (facts["enable-lora"]["takesValue"], facts["enable-lora"]["negatable"]) == (False, True)
    assert facts["dtype"]["choices"] == ["auto", "half"]
    assert facts["format"]["choices"] == ["auto", "hf"]
    assert facts["api-key"]["several"]
    assert facts["some-config"]["json"]
