"""A recitation recites facts word for word from weights alone, and recites nothing that it was not taught."""

import pytest
import torch

from titans_core.errors import InvalidQueryError
from titans_core.recitation.exam.facts import make_exam
from titans_core.recitation.recitation import Recitation, Recited

EXAM = make_exam(8, negatives=6)
TEXTS = [fact.text for fact in EXAM.facts]
QUESTIONS = [fact.question for fact in EXAM.facts]
FOREIGN = "Why is the sky blue?"
DIFFERENT = [EXAM.facts[0].beginning.replace("keeps", "has"), f"{EXAM.facts[1].beginning} very"]
TOO_MUCH = f"{TEXTS[0]} And a cat."


@pytest.fixture(scope="module")
def untouched(llm):
    """The language model's logits before anything is learned."""
    return logits(llm)


@pytest.fixture(scope="module")
def taught(llm, reader, untouched):
    return taught_with(llm, reader, TEXTS)


@pytest.fixture(scope="module")
def recited(taught):
    return taught.ask_many(QUESTIONS)


@pytest.fixture(scope="module")
def continued(taught):
    """The continuation of each beginning, of right and wrong beginnings."""
    beginnings = [*(fact.beginning for fact in EXAM.facts[:4]), *DIFFERENT, TEXTS[0], TOO_MUCH]
    return dict(zip(beginnings, (one.text for one in taught.complete_many(beginnings)), strict=True))


@pytest.fixture
def forwards(llm):
    """The number of tokens of each forward pass of the language model."""
    lengths = []
    hook = llm.lm.model.base_model.register_forward_pre_hook(lambda module, inputs: lengths.append(inputs[0].shape[-1]))
    yield lengths
    hook.remove()


@pytest.fixture
def small_banks(monkeypatch):
    """Banks that are full with two facts."""
    for module in ("content", "recitation"):
        monkeypatch.setattr(f"titans_core.recitation.{module}.MAX_BANK_FACTS", 2)


def taught_with(llm, reader, texts, **options):
    recitation = Recitation(llm, reader, **options)
    assert recitation.learn(texts) == len(texts)
    return recitation


def logits(llm):
    with torch.no_grad():
        return llm.lm.model(torch.tensor([llm.tokens(llm.chat_prompt([{"role": "user", "content": FOREIGN}]))])).logits


def assert_same_weights(recitation, other):
    assert recitation._hashes == other._hashes
    weights, others = recitation._content.tensors(), other._content.tensors()
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert torch.equal(recitation._address.keys, other._address.keys)
    torch.testing.assert_close(recitation._address.inverse, other._address.inverse, rtol=0, atol=1e-9)


def test_a_question_in_other_words_has_its_fact_recited_word_for_word(recited):
    assert [one.text for one in recited] == TEXTS
    assert all(one.familiarity >= 1 for one in recited)


def test_many_questions_are_answered_as_one_by_one(taught):
    questions = [QUESTIONS[3], FOREIGN]
    together = taught.ask_many(questions)
    assert [one.text for one in together] == [TEXTS[3], None]
    for one, same in zip(map(taught.ask, questions), together, strict=True):
        assert one.text == same.text
        assert one.familiarity == pytest.approx(same.familiarity, rel=1e-4)


def test_no_question_has_no_answer(taught):
    assert taught.ask_many([]) == taught.complete_many([]) == taught.recite([]) == []


def test_a_fact_goes_on_after_its_exact_beginning(continued):
    assert [continued[fact.beginning] for fact in EXAM.facts[:4]] == [f" {fact.value}." for fact in EXAM.facts[:4]]


def test_a_beginning_in_which_one_word_differs_is_not_continued(continued):
    assert [continued[beginning] for beginning in DIFFERENT] == [None, None]


def test_a_fact_that_was_said_to_its_end_has_no_more(continued):
    assert continued[TEXTS[0]] == ""
    assert continued[TOO_MUCH] is None


def test_a_beginning_is_continued_alone_as_among_others(taught, continued):
    beginning = EXAM.facts[2].beginning
    assert taught.complete(beginning).text == continued[beginning]


def test_each_fact_is_found_by_its_own_words(taught):
    slots, activations = taught.address(TEXTS)
    assert slots.tolist() == list(range(len(TEXTS)))
    assert 0.8 < activations.min() <= activations.max() < 1


@pytest.mark.parametrize("kind", ["near", "unknown", "unrelated"])
def test_questions_that_nothing_answers_leave_the_gate_closed(taught, kind):
    answers = taught.ask_many(getattr(EXAM, kind))
    assert [one.text for one in answers] == [None] * 6
    assert all(0 <= one.familiarity < 1 for one in answers)


def test_for_an_unrelated_question_the_language_model_is_not_even_asked(taught, forwards):
    assert taught.ask(FOREIGN).text is None
    assert taught.complete("The capital of Egypt is").text is None
    assert forwards == []


def test_while_the_gate_is_closed_the_language_models_logits_are_those_without_a_memory(taught, llm, untouched):
    assert taught.recite([6, 2]) == [TEXTS[6], TEXTS[2]]
    assert taught.ask(FOREIGN).text is None
    assert torch.equal(logits(llm), untouched)


def test_an_empty_memory_recites_nothing(llm, reader, forwards):
    empty = Recitation(llm, reader)
    assert len(empty) == empty.nbytes == empty.learn([]) == 0
    assert empty.ask(FOREIGN) == empty.complete("The sky") == Recited(None, 0.0)
    assert forwards == []


def test_without_a_question_there_is_nothing_to_recite(taught, llm, reader):
    for recitation in (taught, Recitation(llm, reader)):
        for recite in (recitation.ask, recitation.complete):
            for nothing in ("", " \n"):
                with pytest.raises(InvalidQueryError, match="give one"):
                    recite(nothing)
        with pytest.raises(InvalidQueryError):
            recitation.ask_many([FOREIGN, ""])


def test_what_is_known_is_not_learned_again_and_what_is_new_is_added(llm, reader, forwards):
    recitation = taught_with(llm, reader, TEXTS[:2])
    assert recitation.learn(TEXTS[:2]) == 0
    assert len(forwards) == 1
    before = recitation._content.banks[0]
    assert recitation.learn(TEXTS[:3]) == 1
    assert len(forwards) == 2
    assert recitation._content.banks[0].facts == before.facts + 1 == 3
    assert recitation.recite([2]) == TEXTS[2:3]


def test_a_fact_that_was_removed_is_gone(llm, reader, taught):
    recitation = taught_with(llm, reader, TEXTS[:5])
    assert recitation.learn(TEXTS[1:5]) == 4
    assert_same_weights(recitation, taught_with(llm, reader, TEXTS[1:5]))
    assert recitation.ask(QUESTIONS[0]).text is None


def test_when_everything_is_removed_nothing_is_left(llm, reader):
    recitation = taught_with(llm, reader, TEXTS[:2])
    assert recitation.learn([]) == 0
    assert_same_weights(recitation, Recitation(llm, reader))
    assert len(recitation) == recitation.nbytes == 0


def test_a_fact_that_was_changed_is_recited_in_its_new_form_only(llm, reader):
    recitation = taught_with(llm, reader, TEXTS[:3])
    changed = TEXTS[1].replace("goldfish", "pony")
    assert changed != TEXTS[1]
    recitation.learn([TEXTS[0], changed, TEXTS[2]])
    assert recitation.address(QUESTIONS[1:2])[0].tolist() == [1]
    assert recitation.recite(range(3)) == [TEXTS[0], changed, TEXTS[2]]


def test_the_same_text_twice_is_one_fact(llm, reader):
    recitation = Recitation(llm, reader)
    assert recitation.learn([TEXTS[0], TEXTS[1], TEXTS[0]]) == len(recitation) == 2


def test_a_long_text_is_learned_in_passages(llm, reader):
    recitation = Recitation(llm, reader)
    assert recitation.learn([f"It was a {'very ' * 64}long day. {TEXTS[0]}", TEXTS[1]]) == 3
    assert recitation.recite([1, 2]) == TEXTS[:2]


def test_what_has_too_many_tokens_is_left_out(llm, reader):
    recitation = Recitation(llm, reader)
    assert recitation.learn(["\U0001f701" * 240, TEXTS[0]]) == len(recitation) == 1


def test_the_oldest_facts_are_let_go_when_all_banks_are_full(llm, reader, small_banks):
    recitation = taught_with(llm, reader, TEXTS[:2], banks=1)
    assert recitation.learn(TEXTS[:3]) == len(recitation) == 1
    assert recitation.recite([0]) == TEXTS[2:3]
    assert recitation.learn(TEXTS[:3]) == 0
    assert recitation.learn(TEXTS[:2]) == len(recitation) == 2


def test_facts_that_newer_ones_would_push_out_at_once_are_not_even_learned(llm, reader, small_banks):
    recitation = Recitation(llm, reader, banks=2)
    assert recitation.learn(TEXTS) == len(recitation) == 4
    assert recitation.learn(TEXTS) == 0
    assert_same_weights(recitation, taught_with(llm, reader, TEXTS[4:], banks=2))
    recitation.learn(TEXTS[1:])
    assert_same_weights(recitation, taught_with(llm, reader, TEXTS[4:], banks=2))


def test_after_more_was_let_go_than_is_left_the_rest_is_learned(llm, reader, small_banks):
    recitation = taught_with(llm, reader, TEXTS[:2], banks=1)
    assert recitation.learn(TEXTS[:5]) == 3
    assert recitation.learn(TEXTS[:1]) == len(recitation) == 1
    assert_same_weights(recitation, taught_with(llm, reader, TEXTS[:1]))


def test_progress_is_shown_on_request(llm, reader, capsys):
    Recitation(llm, reader).learn(TEXTS[:2])
    assert capsys.readouterr().err == ""
    Recitation(llm, reader).learn(TEXTS[:2], progress=True)
    assert "2/2" in capsys.readouterr().err
