"""The exam measures what each contestant still knows after the context was cleared."""

import pytest

from titans_core.recitation.exam import run, total_recall

KINDS = {"near", "unknown", "unrelated"}


@pytest.fixture(scope="module")
def reports():
    """The sentences that are reported before the long steps."""
    return []


@pytest.fixture(scope="module")
def outcomes(llm, reader, reports):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(run, "NEGATIVES_PER_KIND", 2)
        patched.setattr(run, "ANSWER_TOKENS", 4)  # enough to continue an exact beginning, and six times as fast
        return list(total_recall(llm, reader, facts=4, questions=2, baseline_steps=4, report=reports.append))


def test_recitation_the_model_alone_and_the_soft_prompt_are_examined_in_this_order(outcomes):
    assert [one.name for one in outcomes] == ["recitation", "LLM alone", "soft prompt"]
    assert [one.facts for one in outcomes] == [4, 4, 4]
    assert all(0 <= share <= 1 for one in outcomes for share in (one.continued, one.answered))


def test_recitation_finds_recites_and_continues_every_fact(outcomes):
    recitation = outcomes[0]
    assert (recitation.continued, recitation.addressed, recitation.recited, recitation.spoken) == (1, 1, 1, 1)


def test_recitation_tells_known_questions_from_others(outcomes):
    recitation = outcomes[0]
    assert recitation.separated == dict.fromkeys(KINDS, 1.0)
    assert recitation.opened == dict.fromkeys(KINDS, 0.0)


def test_the_model_alone_knows_nothing_and_has_learned_nothing(outcomes):
    alone = outcomes[1]
    assert alone.continued == alone.answered == 0
    assert (alone.seconds, alone.nbytes, alone.addressed, alone.recited, alone.spoken) == (None,) * 5
    assert alone.separated == alone.opened == {}
    assert alone.losses == ()


def test_the_soft_prompt_was_trained_for_so_many_steps(outcomes):
    recitation, _, soft_prompt = outcomes
    assert len(soft_prompt.losses) == 4
    assert recitation.losses == ()
    assert (soft_prompt.addressed, soft_prompt.recited, soft_prompt.spoken) == (None,) * 3
    assert soft_prompt.separated == soft_prompt.opened == {}


def test_time_and_size_are_those_of_what_was_learned(outcomes):
    recitation, _, soft_prompt = outcomes
    assert recitation.seconds > 0
    assert soft_prompt.seconds > 0
    assert 3e6 < recitation.nbytes < 5e6
    assert soft_prompt.nbytes > 1e6


def test_each_long_step_is_reported_before_it_begins(outcomes, reports):
    assert reports[:3] == ["learning 4 facts, one forward pass each", "reciting 2 facts", "answering 2 questions"]
    assert [line for line in reports if "nothing answers" in line] == [
        f"asking 2 {kind} questions that nothing answers" for kind in ("near", "unknown", "unrelated")
    ]
    assert [line for line in reports if "soft prompt" in line] == ["training a soft prompt, 4 steps for 4 facts"]
    assert reports[-1] == "asking it 2 questions"


def test_without_steps_there_is_no_soft_prompt(llm, reader, monkeypatch):
    monkeypatch.setattr(run, "NEGATIVES_PER_KIND", 1)
    monkeypatch.setattr(run, "ANSWER_TOKENS", 1)
    assert [one.name for one in total_recall(llm, reader, facts=1)] == ["recitation", "LLM alone"]
