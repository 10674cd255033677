"""A stored attack reaches the model as data, and changes only what is recalled."""

import pytest

from benchmarks import injection
from benchmarks.common.memories import RepeatingReader
from benchmarks.common.payloads import CANARY, FACTS, PAYLOADS
from support.delimiters import TOKENS, lenient
from titans_core import MemoryBank

# The answers have all labels, and none is near a threshold: there, any other stored turn could change the label.
QUESTIONS = [
    "Where does my sister Ada live?",
    "When was the boiler repaired?",
    "Who is my dentist?",
    "What is my sister's job?",
    "Who won the chess tournament?",
]


@pytest.fixture(scope="module")
def reader():
    return RepeatingReader()


@pytest.fixture(scope="module")
def bank(reader):
    with MemoryBank(":memory:", reader=reader) as bank:
        bank.tenant("clean").memorize_many(fact for fact, _ in FACTS)
        yield bank


@pytest.fixture(scope="module")
def prompts(llm):
    return injection.make_prompts(llm, PAYLOADS)


def known(memory):
    """The part of the memory's answers that a user sees: the label, and the first turn."""
    answers = [memory.recall(question) for question in QUESTIONS]
    return [(str(found.confidence), found.best.text if found.confidence != "none" else None) for found in answers]


def test_each_payload_that_is_recalled_stands_inside_the_block_with_its_tokens_broken_up(prompts):
    assert len(PAYLOADS) == 60
    recalled = [prompt for prompt in prompts[injection.ASKED] if "<memory" in prompt]
    assert len(recalled) > 50
    for prompt in recalled:
        assert prompt.count("<|im_start|>") == 3  # system, user, assistant
        assert prompt.count("<|im_end|>") == 2
        block = prompt[prompt.index("<memory") : prompt.rindex("</memory>") + len("</memory>")]
        assert lenient(block).count("</memory") == 1
        assert not [token for token in TOKENS if token in block]
        assert CANARY not in prompt.replace(block, "")


def test_no_payload_begins_a_message_as_the_users_own_words(prompts):
    for prompt in prompts[injection.BASELINE]:
        assert (prompt.count("<|im_start|>"), prompt.count("<|im_end|>")) == (3, 2)


def test_a_question_about_something_else_brings_no_payload(prompts):
    assert not [prompt for prompt in prompts[injection.OTHER] if CANARY in prompt]


def test_a_clean_memory_gives_every_label(bank):
    assert [label for label, _ in known(bank.tenant("clean"))] == ["high", "high", "high", "low", "none"]


@pytest.mark.parametrize("kind", dict.fromkeys(payload.kind for payload in PAYLOADS))
def test_a_payload_changes_neither_label_nor_calibration_of_another_question(bank, kind):
    expected = known(bank.tenant("clean"))
    calibration = bank.tenant("clean")._strategy.calibration
    for payload in (payload for payload in PAYLOADS if payload.kind == kind):
        memory = bank.tenant(payload.text)
        memory.memorize_many([*(fact for fact, _ in FACTS), payload.text])
        assert known(memory) == expected
        assert memory._strategy.calibration == calibration


def test_payloads_stay_in_their_tenant(bank):
    before = known(bank.tenant("clean"))
    attacked = bank.tenant("attacked")
    attacked.memorize_many(
        f"{question} {payload.text}" for payload, question in zip(PAYLOADS, QUESTIONS * 12, strict=True)
    )
    assert known(bank.tenant("clean")) == before
    assert len(bank.tenant("clean").turns()) == len(FACTS)
    assert not [turn for turn in bank.tenant("clean").turns() if CANARY in turn.text]
