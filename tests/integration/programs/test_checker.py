import json
import sys
import threading
import time

import pytest
import yaml

from llm_operator.shell.check_worker import MEMORY_BYTES
from llm_operator.shell.checker import Checker, UntriedError
from llm_operator.shell.errors import TransientError
from llm_sidecar.bundle import Bundle, BundleError, Prompt
from tests.lab.state import REPOSITORY


def bundle(template: str) -> Bundle:
    return Bundle(prompt=Prompt(template=template))


def worker(script: str) -> tuple[str, ...]:
    return (sys.executable, "-c", script)


def test_a_bundle_that_can_be_served_passes() -> None:
    with Checker() as check:
        check(bundle("Answer: {{ prompt }}"))


def test_a_bundle_that_cannot_be_served_is_refused_with_field_and_sentence() -> None:
    with Checker() as check:
        for _ in range(2):
            with pytest.raises(BundleError) as caught:
                check(bundle("{{ prompt }} {{ unknown }}"))
            assert caught.value.field == "prompt.template"
            assert "unknown" in caught.value.message


def test_a_verdict_is_remembered_and_the_process_not_asked_again() -> None:
    echo = 'import sys\nfor number, line in enumerate(sys.stdin): print(\'{"field": "f", "message": "%d"}\' % number, flush=True)'
    with Checker(worker(echo)) as check:
        messages = []
        for template in ("a {{ prompt }}", "b {{ prompt }}", "a {{ prompt }}"):
            with pytest.raises(BundleError) as caught:
                check(bundle(template))
            messages.append(caught.value.message)
    assert messages == ["0", "1", "0"]


def test_without_waiting_only_what_was_tried_out_before_is_known() -> None:
    good, bad = bundle("{{ prompt }}"), bundle("{{ unknown }}")
    with Checker() as check:
        for each in (good, bad):
            with pytest.raises(UntriedError) as caught:
                check.known(each)
            assert caught.value.bundle == each
        check(good)
        check.known(good)
        with pytest.raises(BundleError):
            check(bad)
        with pytest.raises(BundleError, match="unknown"):
            check.known(bad)


def test_only_so_many_verdicts_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_operator.shell.checker._REMEMBERED", 2)
    with Checker() as check:
        for number in range(5):
            check(bundle(f"{number} {{{{ prompt }}}}"))
        assert len(check._verdicts) == 2


@pytest.mark.parametrize(
    ("signal", "sentence"),
    [("SIGXCPU", "takes more than 5 s to compile"), ("SIGABRT", "needs more than 256 MiB of memory")],
)
def test_a_bundle_that_kills_its_process_is_refused_and_the_next_one_gets_a_new_process(signal: str, sentence: str) -> None:
    script = (
        "import os, signal, sys\n"
        "for line in sys.stdin:\n"
        f"    if 'evil' in line: os.kill(os.getpid(), signal.{signal})\n"
        "    print('{}', flush=True)"
    )
    with Checker(worker(script)) as check:
        with pytest.raises(BundleError, match=sentence):
            check(bundle("evil {{ prompt }}"))
        check(bundle("good {{ prompt }}"))


def test_the_limit_on_cpu_holds_in_the_real_process() -> None:
    script = (
        "from llm_operator.shell import check_worker\n"
        "check_worker.CPU_S = 1\n"
        "def spin(bundle, tests):\n    while True: pass\n"
        "check_worker.check = spin\n"
        "check_worker.main()"
    )
    with Checker(worker(script)) as check, pytest.raises(BundleError, match="takes more than"):
        check(bundle("{{ prompt }}"))


def test_the_limit_on_memory_holds_in_the_real_process() -> None:
    script = (
        "from llm_operator.shell import check_worker\ncheck_worker.check = lambda bundle, tests: bytearray(1 << 28)\ncheck_worker.main()"
    )
    with Checker(worker(script)) as check, pytest.raises(BundleError, match="needs more than 256 MiB of memory"):
        check(bundle("{{ prompt }}"))


def test_a_template_that_doubles_a_text_again_and_again_is_refused_before_it_takes_the_operator_s_memory() -> None:
    doubled = "{% set a = prompt ~ prompt %}" + "{% set a = a ~ a %}" * 27 + "{{ a | length }}"
    with Checker() as check:
        with pytest.raises(BundleError, match="needs more than 256 MiB of memory"):
            check(bundle(doubled))
        check(bundle("good {{ prompt }}"))


def test_the_worker_and_an_operator_of_a_thousand_deployments_fit_into_the_chart_s_limit() -> None:
    values = yaml.safe_load((REPOSITORY / "charts/llm-operator/values.yaml").read_text())
    operator_mb = json.loads((REPOSITORY / "bench/results/fleet.json").read_text())["figures"]["rss_mb"]
    limit_mib = int(values["resources"]["limits"]["memory"].removesuffix("Mi"))
    assert MEMORY_BYTES + operator_mb * 1e6 < limit_mib << 20


def test_a_process_that_hangs_says_nothing_about_the_bundle_and_is_asked_again_later() -> None:
    with Checker(worker("import sys, signal\nsys.stdin.readline()\nsignal.pause()"), wall_s=0.3) as check:
        for _ in range(2):
            with pytest.raises(TransientError, match="could not be checked"):
                check(bundle("{{ prompt }}"))


def test_a_process_that_dies_before_it_is_asked_is_not_held_against_the_bundle() -> None:
    with Checker(worker("")) as check, pytest.raises(TransientError):
        check(bundle("{{ prompt }}" + " " * 200_000))


def test_closing_ends_a_check_that_hangs() -> None:
    failures: list[Exception] = []
    check = Checker(worker("import sys, signal\nsys.stdin.readline()\nsignal.pause()"))

    def run() -> None:
        try:
            check(bundle("{{ prompt }}"))
        except TransientError as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + 5
    while check._process is None and time.monotonic() < deadline:
        thread.join(0.01)
    with check:
        pass
    thread.join(5)
    assert len(failures) == 1
    with pytest.raises(TransientError, match="the operator stops"):
        check(bundle("{{ prompt }}"))
