"""What was said before surprises less, is not learned again, and is told apart from a correction."""

import pytest
import torch

from titans_core import TitansMemory, Turn

SAID = "I moved from Hamburg to Lisbon in March, because my sister Ada lives there."
OTHERS = [
    "The train to Porto leaves at 7:40 on Sunday.",
    "I planted tomatoes and basil on the balcony last week.",
    "My new bike has a green bell, and it is louder than I thought.",
    "We could cook the fish with lemon and fennel tonight.",
]


@pytest.fixture
def talked(memory):
    memory.memorize_many([Turn(text, speaker="user") for text in [OTHERS[0], SAID, *OTHERS[1:]]])
    return memory


def test_a_repeated_turn_surprises_ten_times_less(memory):
    memory.memorize_many([Turn(text, speaker="user") for text in OTHERS])
    first, again = (memory.memorize(SAID, speaker="user") for _ in range(2))
    assert first.surprise > 0.3
    assert again.surprise < first.surprise / 10


def test_what_is_predicted_is_not_learned_again_but_is_still_stored(talked):
    weights = talked._learned.learner.state.inverse
    again = talked.memorize(SAID, speaker="user")
    assert not again.learned
    assert torch.equal(talked._learned.learner.state.inverse, weights)
    assert len(talked.turns()) == len(OTHERS) + 2
    [found] = [recall for recall in talked.recall("Where does Ada live?", k=3) if recall.text == SAID]
    assert (found.id, found.times) == (again.id, 2)


@pytest.mark.parametrize(
    "again",
    [
        SAID,
        SAID.lower(),
        SAID.replace(",", "").replace(".", "!"),
        "I moved from Hamburg to Lisbon in March because my sister Ada lives there",
        "Because my sister Ada lives there, I moved from Hamburg to Lisbon in March.",
    ],
)
def test_the_same_words_are_recognised_however_they_are_written(talked, again):
    expected = next(turn.id for turn in talked.turns() if turn.text == SAID)
    assert talked.memorize(again, speaker="user").duplicate_of == expected


@pytest.mark.parametrize(
    "correction",
    [
        "I moved from Hamburg to Lisbon in April, because my sister Ada lives there.",
        "I moved from Hamburg to Porto in March, because my sister Ada lives there.",
        "I moved from Hamburg to Lisbon in March, because my sister Ada never lives there.",
        "I moved from Hamburg to Lisbon in March.",
    ],
)
def test_a_correction_is_no_duplicate(talked, correction):
    assert talked.memorize(correction, speaker="user").duplicate_of is None


def test_a_repetition_is_found_among_corrections_that_are_more_alike(talked):
    expected = next(turn.id for turn in talked.turns() if turn.text == SAID)
    for month in ("April", "May", "June", "July"):
        talked.memorize(SAID.replace("March", month).replace(".", "!"), speaker="user")
    assert talked.memorize(SAID.replace(".", "!"), speaker="user").duplicate_of == expected


def test_a_change_of_one_number_is_no_duplicate(memory):
    memory.memorize("The code of the gate is 4711.", speaker="user")
    assert memory.memorize("The code of the gate is 4712.", speaker="user").duplicate_of is None


def test_the_same_said_by_somebody_else_is_no_duplicate(talked):
    assert talked.memorize(SAID, speaker="Ada").duplicate_of is None


def test_a_long_turn_is_a_duplicate_only_as_a_whole(memory):
    long = " ".join(f"Item {number} of the list is a {word}." for number in range(30) for word in ("lamp", "chair"))
    first = memory.memorize(long, speaker="user")
    assert memory.memorize(long[: len(long) // 2], speaker="user").duplicate_of is None
    assert memory.memorize(long, speaker="user").duplicate_of == first.id


def test_a_replay_decides_as_the_first_time(tmp_path, reader):
    path = tmp_path / "memory.db"
    turns = [Turn(text, speaker="user") for text in [*OTHERS, SAID, SAID.lower(), *OTHERS]]
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        one_by_one = [memory.memorize(turn) for turn in turns]
        state, surprise = memory._learned.learner.state, memory._learned.learner.index.turns().surprise.copy()
        memory._learned.log._connection.execute("DELETE FROM snapshots")
        memory._learned.learner._saved = len(turns) + 1
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        assert memory._learned.learner._saved == 0  # replayed
        assert torch.equal(memory._learned.learner.state.inverse, state.inverse)
        assert (memory._learned.learner.index.turns().surprise == surprise).all()
    with TitansMemory.open(":memory:", tenant="alice", reader=reader) as memory:
        together = memory.memorize_many(turns)
    assert [one.learned for one in together] == [one.learned for one in one_by_one]
    assert [one.duplicate_of is None for one in together] == [one.duplicate_of is None for one in one_by_one]


def test_a_turn_that_cannot_be_stored_leaves_nothing_learned(talked):
    weights, turns = talked._learned.learner.state.inverse, len(talked.turns())
    taken = talked.turns()[0].id
    with pytest.raises(ValueError, match="belongs to another turn"):
        talked.memorize_many([Turn("A new fact about whales.", speaker="user"), Turn("Another text.", id=taken)])
    assert len(talked.turns()) == turns
    assert talked.recall("whales").best.text != "A new fact about whales."
    assert torch.equal(talked._learned.learner.state.inverse, weights)
