"""A recall brings the turns beside it along, and a block shows each turn once."""

import pytest

from titans_core import TitansMemory, Turn
from titans_core.errors import InvalidQueryError

TALK = (
    ("user", "I painted the kitchen door."),
    ("user", "My dentist is Dr Moor, and which pharmacy is next to her?"),
    ("assistant", "The pharmacy on Mill Street, number 12."),
    ("user", "I will fix the shelf tomorrow."),
)


@pytest.fixture
def memory():
    with TitansMemory.open(":memory:", tenant="alice") as opened:
        opened.memorize_many(Turn(text, speaker=speaker, session="s") for speaker, text in TALK)
        opened.memorize("The train was late.", speaker="user", session="other")
        yield opened


def recall(memory, question, said, **options):
    """The recall of a certain text."""
    [found] = [each for each in memory.recall(question, **options) if each.text == said]
    return found


def test_turns_on_both_sides_of_the_session(memory):
    dentist = recall(memory, "Who is my dentist?", TALK[1][1], context=1)
    assert [turn.text for turn in dentist.before] == [TALK[0][1]]
    assert [turn.text for turn in dentist.after] == [TALK[2][1]]
    wide = recall(memory, "Who is my dentist?", TALK[1][1], context=9)
    assert [turn.text for turn in (*wide.before, wide.turn, *wide.after)] == [text for _, text in TALK]


def test_reply_brings_the_turn_after_one_that_asks(memory):
    dentist = recall(memory, "Who is my dentist?", TALK[1][1], context="reply")
    assert [turn.text for turn in dentist.after] == [TALK[2][1]]
    assert not dentist.before
    assert not recall(memory, "What did I paint?", TALK[0][1], context="reply").after


def test_a_block_shows_each_turn_once(memory):
    text = memory.recall("Who is my dentist?", context=2, strategy="softmax").as_text()
    for _, said in TALK:
        assert text.count(said) == 1


def test_without_context_there_is_none(memory):
    for each in memory.recall("Who is my dentist?"):
        assert each.before == each.after == ()


@pytest.mark.parametrize("context", [-1, "replies", 1.5, None])
def test_other_values_are_refused(memory, context):
    with pytest.raises(InvalidQueryError, match="context"):
        memory.recall("Who is my dentist?", context=context)
