from datetime import timedelta

from llm_operator.core.plan_prompt import plan_prompt
from llm_operator.core.prompts import prompt_digest, read_prompt
from llm_sidecar.bundle import Bundle, BundleError
from llm_sidecar.prompt_tests import PromptTest
from tests.unit.core.builders import NOW, make_prompt


def test_a_good_prompt_has_its_digest_and_its_users_in_order() -> None:
    prompt = make_prompt(generation=3)
    status = plan_prompt(prompt, ["b", "a"], NOW)
    assert status["digest"] == prompt_digest(read_prompt(prompt))
    assert (status["observedGeneration"], status["usedBy"]) == (3, ["a", "b"])
    (valid,) = status["conditions"]
    assert (valid["type"], valid["status"], valid["observedGeneration"]) == ("Valid", "True", 3)


def test_a_status_does_not_grow_with_the_number_of_users() -> None:
    status = plan_prompt(make_prompt(), [f"user-{number:04}" for number in range(1000)], NOW)
    assert (status["users"], len(status["usedBy"]), status["usedBy"][0]) == (1000, 32, "user-0000")


def test_a_prompt_that_cannot_be_served_says_why_and_where_and_has_no_digest() -> None:
    status = plan_prompt(make_prompt(system="{{ tone }}"), [], NOW)
    assert "digest" not in status
    assert "usedBy" not in status
    (valid,) = status["conditions"]
    assert (valid["status"], valid["reason"]) == ("False", "PromptInvalid")
    assert valid["message"].startswith("spec.system: ")
    assert "tone" in valid["message"]


def test_a_prompt_of_the_wrong_shape_says_so() -> None:
    (valid,) = plan_prompt(make_prompt(messages=[{"role": "nobody", "content": ""}]), [], NOW)["conditions"]
    assert "messages[0].role" in valid["message"]


def test_looking_again_changes_nothing() -> None:
    prompt = make_prompt()
    prompt["status"] = plan_prompt(prompt, ["a"], NOW)
    assert plan_prompt(prompt, ["a"], NOW + timedelta(hours=1)) == prompt["status"]


def test_the_check_can_be_somebody_elses() -> None:
    def check(bundle: Bundle, _tests: tuple[PromptTest, ...]) -> None:
        raise BundleError("prompt.system", f"no, {bundle.schema_version}")

    (valid,) = plan_prompt(make_prompt(), [], NOW, check)["conditions"]
    assert valid["message"] == "spec.system: no, 1"


def test_a_prompt_that_passes_its_tests_says_how_many() -> None:
    test = {"name": "a", "expect": {"contains": ["brief"]}}
    for tests, words in (([], "compiles"), ([test], "passes its test"), ([test, test], "passes 2 tests")):
        (valid,) = plan_prompt(make_prompt(system="Be brief.", tests=tests), [], NOW)["conditions"]
        assert valid["status"] == "True"
        assert valid["message"].endswith(words)
