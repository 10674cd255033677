"""Recall finds the turn, says why, and keeps to the filters."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from titans_core import Confidence, TitansMemory, Turn
from titans_core.errors import InvalidQueryError
from titans_core.retrieval.english import Tense, named_speakers
from titans_core.retrieval.fusion import Parts, Weights, fuse, group_top_mean, time_rank

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
FACTS = [
    "The secret code is X-8-DELTA-9.",
    "Alice's favorite color is turquoise.",
    "The meeting is scheduled for 3pm on Friday.",
]
TALK = [
    ("monday", "Ada", "My brother Tom broke his arm while climbing.", {"topic": "health"}),
    ("monday", "Ben", "Oh no! Was that in the gym or outside?", {}),
    ("monday", "Ada", "Outside, near the quarry at Bellever.", {"topic": "place", "year": 2026}),
    ("tuesday", "Ben", "I finally sold my old Volvo to a neighbour.", {"topic": "car", "paid": True}),
    ("tuesday", "Ada", "For how much?", {}),
    ("tuesday", "Ben", "Eleven hundred, and he paid in cash.", {"topic": "car"}),
]
ASKING = {"t1", "t4"}  # which are never recalled, but stay in the log


@pytest.fixture(scope="module")
def talk(reader):
    with TitansMemory.open(":memory:", tenant="talk", reader=reader) as memory:
        memory.memorize_many(
            Turn(
                text,
                speaker=speaker,
                session=session,
                metadata=metadata,
                at=START + timedelta(days=number),
                id=f"t{number}",
            )
            for number, (session, speaker, text, metadata) in enumerate(TALK)
        )
        yield memory


def test_the_facts_of_the_tutorial_are_high_and_what_was_never_said_is_not(memory):
    for fact in FACTS:
        memory.memorize(fact, speaker="user")
    for question, fact in zip(
        ["What is the secret code?", "What is Alice's favorite color?", "When is the meeting?"], FACTS, strict=True
    ):
        found = memory.recall(question)
        assert (found.best.text, found.confidence) == (fact, Confidence.HIGH)
    assert memory.recall("What is the address of the meeting?").confidence is not Confidence.HIGH
    assert memory.recall("What is the capital of Peru?").confidence is Confidence.NONE


def test_an_empty_memory_knows_nothing(memory):
    found = memory.recall("Anything?")
    assert (found.recalls, found.best, found.confidence) == ((), None, Confidence.NONE)
    assert found  # an answer all the same


def test_the_parts_add_up_to_the_score_and_order_the_recalls(talk):
    found = talk.recall("How much did Ben get for the car?", k=6)
    assert {recall.id for recall in found} == {"t0", "t2", "t3", "t5"}
    for recall in found:
        assert sum(recall.why.values()) == pytest.approx(recall.score)
        assert set(recall.why) == {*Weights.fitted().parts, "current"}
        assert 0 <= recall.probability <= 1
        assert -1 <= recall.similarity <= 1
    scores = [recall.score for recall in found]
    assert scores == sorted(scores, reverse=True)
    assert [r.probability for r in found] == sorted((r.probability for r in found), reverse=True)


def test_a_turn_gains_from_what_was_said_next_to_it(talk):
    found = {recall.id: recall for recall in talk.recall("What did Ben sell?", k=6)}
    # The last turn stands two turns after a good one, and those of the other session do not.
    assert found["t5"].why["late"] > found["t0"].why["late"]


def test_k_bounds_the_recalls(talk):
    assert [len(talk.recall("What happened?", k=k)) for k in (1, 3, 100)] == [1, 3, 4]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"speaker": "Ben"}, {"t1", "t3", "t5"}),
        ({"session": "monday"}, {"t0", "t1", "t2"}),
        ({"since": START + timedelta(days=3)}, {"t3", "t4", "t5"}),
        ({"until": START + timedelta(days=3)}, {"t0", "t1", "t2"}),
        ({"since": datetime(2026, 3, 2, tzinfo=UTC), "until": datetime(2026, 3, 4, tzinfo=UTC)}, {"t1", "t2"}),
        ({"since": (START + timedelta(days=3)).astimezone().replace(tzinfo=None)}, {"t3", "t4", "t5"}),  # local time
        ({"where": {"topic": "car"}}, {"t3", "t5"}),
        ({"where": {"year": 2026}}, {"t2"}),
        ({"where": {"paid": True}}, {"t3"}),
        ({"where": {"topic": "car"}, "speaker": "Ada"}, set()),
        ({"where": {"topic' OR 1=1 --": "x"}}, set()),
        ({"speaker": "ben"}, set()),
        ({"speaker": "B%"}, set()),
        ({"ids": ["t2", "t5", "never"]}, {"t2", "t5"}),
        ({"ids": []}, set()),
        ({"ids": ["t2\0", "t3\0t5"]}, set()),
        ({"except_texts": [TALK[3][2] + "\0"]}, {"t0", "t1", "t2", "t3", "t4", "t5"}),
        ({"ids": ["t2' OR 1=1 --", "t%"]}, set()),
        ({"except_texts": [TALK[3][2], TALK[4][2]]}, {"t0", "t1", "t2", "t5"}),
        ({"where": {}}, {"t0", "t1", "t2", "t3", "t4", "t5"}),
    ],
)
def test_filters_bound_recall_and_turns_alike(talk, filters, expected):
    assert {recall.id for recall in talk.recall("What did the car cost?", k=10, **filters)} == expected - ASKING
    assert {turn.id for turn in talk.turns(**filters)} == expected


def test_nothing_that_passes_the_filters_is_none(talk):
    assert talk.recall("What did the car cost?", speaker="Zoe").confidence is Confidence.NONE


def test_an_unknown_filter_is_an_error(talk):
    with pytest.raises(TypeError):
        talk.recall("What?", colour="blue")


@pytest.mark.parametrize("filters", [{"ids": "t1"}, {"ids": [1]}, {"except_texts": "t1"}, {"except_texts": [None]}])
def test_a_filter_of_texts_takes_texts(talk, filters):
    with pytest.raises(InvalidQueryError, match="collection of texts"):
        talk.recall("car", **filters)


def test_the_label_compares_with_the_turns_that_were_asked_for(memory):
    memory.memorize("The secret code is X-8-DELTA-9.", session="a")
    memory.memorize("The secret code is K-2-OMEGA-1.", session="b")
    assert memory.recall("What is the secret code?").confidence is Confidence.LOW  # which of the two?
    assert memory.recall("What is the secret code?", session="a").confidence is Confidence.HIGH


def test_the_passage_of_a_long_turn_is_shown(memory):
    filler = "There was a lot of talk about nothing in particular that day. " * 12
    memory.memorize(filler + "By the way, the spare key is with Maria. " + filler, speaker="user")
    memory.memorize("I like tea.", speaker="user")
    best = memory.recall("Who has the spare key?").best
    assert "spare key is with Maria" in best.passage
    assert len(best.passage) < 500 < len(best.text)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("What did Ada plant?", ["Ada Lovelace"]),
        ("what did LOVELACE plant", ["Ada Lovelace"]),
        ("When is my train?", ["user"]),
        ("What did you recommend?", ["assistant"]),
        ("Can you tell me when I moved?", ["user"]),
        ("Is Adam at home?", []),
        ("Ada's and Ben's car?", ["Ada Lovelace", "Ben"]),
        ("", []),
    ],
)
def test_a_question_names_speakers_by_name_or_pronoun(query, named):
    assert named_speakers(query, ["Ada Lovelace", "Ben", "user", "assistant", "1", "?"]) == named


def test_without_differences_no_part_decides():
    same, no, none = np.ones(3, np.float32), np.zeros(3, bool), np.zeros(3)
    one = np.ones(3, np.int32)
    parts = Parts(
        lexical=same,
        associative=same,
        late=same,
        session=np.array([0, 0, 1]),
        named=no,
        rarity=same,
        passages=one,
        asking=none,
        timely=no,
        dated=none,
        number=no,
        name=no,
        recency=none,
        tense=Tense.PRESENT,
    )
    for passages in (3, 100, 100_000):
        assert all((values == 0).all() for values in fuse(parts.scaled, Weights.fitted(), passages).values())


def test_weights_grow_with_the_memory_between_ten_and_a_thousand_passages():
    weights = Weights({"late": 1.0, "session": 0.3}, {"session": 0.2})
    sizes = (0, 1, 10, 100, 1_000, 1_000_000)
    assert [weights.at_size(passages)["session"] for passages in sizes] == pytest.approx([0.1, 0.1, 0.1, 0.3, 0.5, 0.5])
    assert {weights.at_size(passages)["late"] for passages in sizes} == {1.0}
    assert Weights({"session": 0.1}, {"session": 0.2}).at_size(1)["session"] == 0  # never below


def test_the_later_of_two_turns_is_more_recent_and_the_log_decides_between_equals():
    at, positions = np.array([5.0, 1.0, 5.0, 3.0]), np.array([4, 3, 2, 1])
    assert time_rank(at, positions).tolist() == pytest.approx([1, 0, 2 / 3, 1 / 3])
    assert time_rank(at[:1], positions[:1]).tolist() == [0]


def test_a_session_stands_by_its_three_strongest_turns():
    found = group_top_mean(np.array([1.0, 5.0, 2.0, 3.0, 4.0]), np.array([0, 1, 0, 0, 0]))
    assert found.tolist() == [3.0, 5.0, 3.0, 3.0, 3.0]


def test_a_turn_that_only_asks_is_not_recalled_and_one_that_also_asks_loses_by_it(memory):
    memory.memorize_many(
        [
            Turn("Where do you keep the spare key of the cabin, Ada?", speaker="Ben", session="a"),
            Turn("It was raining all day.", speaker="Ben", session="b"),
            Turn("I lost the spare key of the cabin. Where do you keep yours?", speaker="Ben", session="d"),
            Turn("The spare key of the cabin hangs behind the door.", speaker="Ada", session="c"),
        ]
    )
    found = memory.recall("Where is the spare key of the cabin kept?")
    asking = {recall.turn.session: recall.why["asking"] for recall in found}
    assert asking["d"] < asking["b"] == asking["c"] == 0
    assert "a" not in asking


def test_a_question_for_a_time_prefers_what_tells_one(memory):
    memory.memorize_many(["I planted the apple tree with my brother.", "I planted the apple tree last Friday."])
    assert memory.recall("When was the apple tree planted?").best.why["timely"] > 0
    assert memory.recall("Who planted the apple tree?").best.why["timely"] == 0


def test_a_time_in_the_question_is_matched_against_the_turns_dates(memory):
    for month in (3, 6, 9):
        memory.memorize("We went hiking in the mountains.", at=datetime(2023, month, 12, tzinfo=UTC), id=f"m{month}")
    assert memory.recall("Where did we go hiking in June 2023?").best.id == "m6"
    assert memory.recall("Where did we go hiking in September?").best.id == "m9"
    assert memory.recall("Where did we go on 2023-03-12?").best.id == "m3"


def test_only_turns_of_the_same_session_are_neighbours(memory):
    for number, session in enumerate(["a", "b", "a", "b", "a"]):
        memory.memorize(f"Turn {number}", session=session)
    turns = memory._learned.learner.index.turns()
    assert turns.before.tolist() == [-1, -1, 0, 1, 2]
    assert turns.after.tolist() == [2, 3, 4, -1, -1]
