"""A later value of the same thing leads, an earlier one is marked, and one turn supersedes nothing."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from titans_core import TitansMemory
from titans_core.retrieval.candidates import Ranking
from titans_core.retrieval.english import Tense
from titans_core.retrieval.supersession import LEADS, SIGNS, Supersession, SupersessionModel, lead_with_latest

NOW = datetime(2026, 6, 20, 12, tzinfo=UTC)
DAILY = (
    "I need to buy stamps.",
    "The train was late again.",
    "Lunch was a lentil soup.",
    "My back hurts a bit.",
    "We watched a film about bees.",
    "The neighbours have a new dog.",
    "I finished the report for Maria.",
    "My bike has a flat tyre.",
)


@pytest.fixture
def talk(memory):
    for number, text in enumerate(DAILY):
        memory.memorize(text, speaker="user", session="old", at=NOW - timedelta(days=200 - number))
    return memory


def tell(memory, *texts):
    """Memorize statements, ten days after each other; the last one ten days ago."""
    for number, text in enumerate(texts):
        at = NOW - timedelta(days=10 * (len(texts) - number))
        memory.memorize(text, speaker="user", session=str(number), at=at)


def ranking(*scores, late=1.0):
    parts = {"late": np.full(len(scores), late)}
    return Ranking(np.arange(len(scores)), np.arange(len(scores)), np.array(scores, np.float64), parts)


def test_the_shipped_model_has_a_weight_for_each_sign():
    model = SupersessionModel.fitted()
    assert len(model.mean) == len(model.scale) == len(model.weights) == len(SIGNS)
    assert all(scale > 0 for scale in model.scale)


def test_log_odds_are_a_weighted_sum_of_the_scaled_signs():
    model = SupersessionModel(mean=(1.0, 0.0), scale=(2.0, 1.0), weights=(3.0, -1.0), bias=0.5)
    assert model.log_odds(np.array([[1.0, 0.0], [3.0, 0.0], [1.0, 2.0]])).tolist() == [0.5, 3.5, -1.5]
    assert model.log_odds(np.zeros((0, 2))).shape == (0,)


@pytest.mark.parametrize("tense", [Tense.NOW, Tense.PRESENT])
def test_the_later_one_comes_just_before_the_one_that_it_supersedes(tense):
    found = lead_with_latest(ranking(2.0, 1.9, 1.8), [Supersession(0, 2, LEADS[tense] + 0.1)], tense)
    assert found.rows.tolist() == [2, 0, 1]
    assert found.scores[0] == pytest.approx(2.0, abs=0.05)
    assert found.scores[0] > 2.0
    assert (found.parts["current"] > 0).tolist() == [True, False, False]
    assert set(found.parts) == {"late", "current"}


def test_before_the_earlier_one_comes_first():
    found = lead_with_latest(ranking(2.0, 1.9, 1.8), [Supersession(2, 0, LEADS[Tense.BEFORE] + 0.1)], Tense.BEFORE)
    assert found.rows.tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("tense", "pairs"),
    [
        (Tense.PAST, [Supersession(0, 2, 9.0)]),
        (Tense.PRESENT, [Supersession(0, 2, LEADS[Tense.PRESENT] - 0.1)]),
        (Tense.PRESENT, [Supersession(2, 0, 9.0)]),  # the later one leads already
        (Tense.NOW, []),
    ],
)
def test_otherwise_the_order_stays(tense, pairs):
    found = lead_with_latest(ranking(2.0, 1.9, 1.8), pairs, tense)
    assert found.rows.tolist() == [0, 1, 2]
    assert found.scores.tolist() == [2.0, 1.9, 1.8]
    assert not found.parts["current"].any()


def test_of_two_later_ones_the_surer_comes_first():
    pairs = [Supersession(0, 1, 0.5), Supersession(0, 2, 2.0)]
    assert lead_with_latest(ranking(2.0, 1.9, 1.8), pairs, Tense.NOW).rows.tolist() == [2, 1, 0]


def test_a_later_value_leads_and_the_earlier_one_is_marked(talk):
    tell(talk, "I live in Bonn.", "We moved, I live in Ulm now.")
    found = talk.recall("Where do I live?", now=NOW)
    new, old = (next(recall for recall in found if place in recall.text) for place in ("Ulm", "Bonn"))
    assert found.best is new
    assert (old.superseded_by, old.superseded_at) == (new.id, new.at)
    assert new.supersedes == (old.id,)
    assert new.superseded_by is None


def test_a_query_for_the_state_before_leaves_the_marks_and_leads_with_the_earlier_one(talk):
    tell(talk, "I live in Bonn.", "We moved, I live in Ulm now.")
    found = talk.recall("Where did I live before?", now=NOW)
    assert found.best.text == "I live in Bonn."
    assert found.best.superseded_by is not None


def test_the_log_decides_between_turns_of_one_time(talk):
    for text in ("The gate code is 5571.", "The gate code is 5517 now, not 5571."):
        talk.memorize(text, speaker="user", session="s", at=NOW)
    assert talk.recall("What is the gate code now?", now=NOW).best.text.startswith("The gate code is 5517")


def test_one_turn_supersedes_nothing(memory):
    memory.memorize("We moved, I live in Ulm now.", speaker="user")
    [found] = memory.recall("Where do I live now?")
    assert found.why["current"] == 0
    assert (found.superseded_by, found.supersedes) == (None, ())


@pytest.mark.parametrize(
    ("asked", "other", "question"),
    [
        (
            "The blue bin is collected on Mondays.",
            "The green bin is collected on Fridays.",
            "When is the blue bin collected?",
        ),
        ("Tom's birthday is on 3 May.", "Ida's birthday is on 9 June.", "When is Tom's birthday?"),
        (
            "My locker at the gym is number 214.",
            "My locker at work is number 87.",
            "What is my locker number at the gym?",
        ),
        ("Flight LH123 leaves at 9.", "Flight LH456 leaves at 11.", "When does flight LH123 leave?"),
        ("Room 3 is for Ana.", "Room 4 is for Ben.", "Who is in room 3?"),
    ],
)
def test_a_later_value_of_another_thing_does_not_lead(talk, asked, other, question):
    tell(talk, asked, other)
    assert talk.recall(question, now=NOW).best.text == asked


def test_an_empty_memory_has_nothing_to_supersede(reader):
    with TitansMemory.open(":memory:", tenant="empty", reader=reader) as memory:
        assert memory.recall("Where do I live now?").recalls == ()
