"""What gates say, as a rollout reads it."""

from llm_operator.core.rollout.evidence import NO_GATES, Answer


def test_a_step_without_gates_is_kept_by_none() -> None:
    assert (NO_GATES.answer, NO_GATES.gates) == (Answer.PASS, ())
