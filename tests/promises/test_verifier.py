"""A verifier reads the best recalls together with the query: it orders them, and the label rests on it."""

import numpy as np
import pytest

from titans_core import Confidence, MemoryBank, TitansMemory, Turn
from titans_core.confidence import Calibrated

QUESTION = "What is the name of my dentist?"
TURNS = [
    Turn("My dentist moved to Mill Lane.", id="moved", speaker="user", session="one"),
    Turn("Dr Okafor looked at my teeth and is happy with them.", id="okafor", speaker="user", session="one"),
    Turn("My brother's dentist has a name I can never spell.", id="brother", speaker="user", session="two"),
]


class Chosen:
    """A verifier that finds only one text right, and keeps what it was asked."""

    fingerprint = "chosen"

    def __init__(self, right):
        self.right, self.pairs = right, []

    def log_odds(self, pairs):
        self.pairs += pairs
        return np.array([9.0 if self.right in pair.passage else -9.0 for pair in pairs])


def opened(encoder, verify, **options):
    memory = TitansMemory.open(":memory:", tenant="t", reader=encoder, verify=verify, **options)
    memory.memorize_many(TURNS)
    return memory


@pytest.mark.parametrize("right", ["Mill Lane", "Okafor", "brother"])
def test_what_the_verifier_finds_right_comes_first(encoder, right):
    with opened(encoder, Chosen(right), strategy="softmax") as memory:
        found = memory.recall(QUESTION)
        assert right in found.best.text
        assert sum(found.best.why.values()) == pytest.approx(found.best.score)
        assert found.best.why["verified"] > 0 > found.recalls[-1].why["verified"]


def test_it_reads_the_query_the_passage_its_speaker_and_what_was_said_before(encoder):
    verifier = Chosen("Okafor")
    with opened(encoder, verifier, strategy="softmax") as memory:
        memory.recall(QUESTION)
    read = {pair.passage: pair for pair in verifier.pairs}
    assert {pair.question for pair in verifier.pairs} == {QUESTION}
    assert len(read) == len(verifier.pairs) == len(TURNS)
    assert read[TURNS[1].text].statement == f"user: {TURNS[0].text} | user: {TURNS[1].text}"
    assert read[TURNS[2].text].statement == f"user: {TURNS[2].text}"


def test_without_a_verifier_nothing_of_it_is_left(encoder):
    with opened(encoder, False) as memory:
        assert "verified" not in memory.recall(QUESTION).best.why
        assert isinstance(memory._strategy, Calibrated)
    with MemoryBank(":memory:", reader=encoder, verify=False) as bank, bank.tenant("t") as memory:
        memory.memorize_many(TURNS)
        assert "verified" not in memory.recall(QUESTION).best.why


@pytest.mark.filterwarnings("ignore:No calibration is known")
def test_the_shipped_verifier_orders_the_recalls_and_promises_nothing(encoder):
    with opened(encoder, True) as memory:
        found = memory.recall(QUESTION)
        assert "verified" in found.best.why
        assert found.confidence is Confidence.LOW


def test_a_label_of_verified_recalls_can_be_calibrated_and_explained(encoder):
    names = ["Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gita", "Hugo", "Ines", "Jan"]
    things = ["bicycle", "kettle", "tent", "piano", "camera"]
    with TitansMemory.open(":memory:", tenant="t", reader=encoder, verify=True, strategy="softmax") as memory:
        pairs = [
            (f"What has {name} done with the {thing}?", [memory.memorize(f"{name} has sold a {thing}.").id])
            for name in names
            for thing in things
        ]
        pairs += [(f"What has Zoe done with the {thing}?", []) for thing in things]
        made = memory.calibrate(pairs)
        assert "verified" in made.mean
        assert "read together with" in memory.recall(pairs[0][0]).explain()


@pytest.mark.filterwarnings("ignore:No calibration is known")
def test_a_verifier_of_your_own_has_no_promise_until_it_is_calibrated(encoder):
    with opened(encoder, Chosen("Okafor")) as memory:
        assert memory.recall(QUESTION).confidence is Confidence.LOW


def test_an_empty_memory_and_small_talk_are_not_read(encoder):
    verifier = Chosen("")
    with TitansMemory.open(":memory:", tenant="t", reader=encoder, verify=verifier, strategy="softmax") as memory:
        memory.recall(QUESTION)
        memory.memorize_many(TURNS)
        memory.recall("Thanks!")
    assert verifier.pairs == []


def test_a_turn_that_is_hidden_is_not_read_as_what_was_said_before(encoder):
    verifier = Chosen("")
    with opened(encoder, verifier, strategy="softmax") as memory:
        memory.calibration_cases([(QUESTION, ["moved"])])
    with_it, without = verifier.pairs[: len(TURNS)], verifier.pairs[len(TURNS) :]
    assert any(TURNS[0].text in pair.before for pair in with_it)
    assert without
    assert not any(TURNS[0].text in pair.statement for pair in without)
