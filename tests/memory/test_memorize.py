"""What is memorized is stored exactly, once, and learned."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from titans_core import TitansMemory, Turn

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).filter(str.strip)
# Every writing system, and what databases and full-text queries trip over.
awkward = st.sampled_from(
    [
        "% _ ' \" ; -- \\",
        'NEAR("a" b) AND NOT *',
        "a\x00b after NUL",
        "עברית and العربية \u202eright to left\u202c",
        "👩‍👩‍👧‍👦 family",
        "cafe\u0301",
        "\u200b",
        "x" * 3000,
        "'); DROP TABLE turns; --",
        "漢字かな交じり文。" * 80,
    ]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=texts | awkward,
    speaker=st.none() | texts,
    session=st.none() | texts,
    metadata=st.dictionaries(texts, json_values, max_size=3),
    at=st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.none() | st.just(UTC)),
)
def test_a_turn_comes_back_exactly(memory, text, speaker, session, metadata, at):
    receipt = memory.memorize(text, speaker=speaker, session=session, metadata=metadata, at=at)
    turn = memory.get(receipt.id)
    assert (turn.text, turn.speaker, turn.session, turn.metadata) == (text, speaker, session, metadata)
    assert abs(turn.at - at.astimezone(UTC)) < timedelta(milliseconds=1)
    memory.recall(text)  # and any text may be a question


def test_the_time_is_kept_to_the_microsecond_in_utc(memory):
    at = datetime(2026, 5, 1, 12, 30, 15, 123456, tzinfo=timezone(timedelta(hours=2)))
    turn = memory.get(memory.memorize("Lunch.", at=at).id)
    assert turn.at == at
    assert turn.at.tzinfo is UTC


def test_now_is_the_default_time(memory):
    before = datetime.now(UTC)
    turn = memory.get(memory.memorize("Hello.").id)
    assert before - timedelta(milliseconds=1) <= turn.at <= datetime.now(UTC)


def test_a_turn_and_its_fields_may_be_given_together(memory):
    receipt = memory.memorize(Turn("Hello.", speaker="Ada", session="s"), speaker="Ben", id="greeting")
    turn = memory.get("greeting")
    assert receipt.id == "greeting"
    assert (turn.speaker, turn.session) == ("Ben", "s")


def test_a_repeated_id_writes_nothing(memory):
    first = memory.memorize("The boiler leaks.", id="boiler")
    again = memory.memorize("The boiler leaks.", id="boiler")
    assert first.learned
    assert (again.learned, again.duplicate_of, again.surprise) == (False, "boiler", 0.0)
    assert len(memory.turns()) == 1


def test_a_repeated_text_is_stored_and_named(memory):
    first = memory.memorize("I like tea.", speaker="Ada")
    other = memory.memorize("I like tea.", speaker="Ben")
    again = memory.memorize("I like tea.", speaker="Ada")
    assert (first.duplicate_of, other.duplicate_of, again.duplicate_of) == (None, None, first.id)
    assert len(memory.turns()) == 3


def test_surprise_falls_for_what_is_known(memory):
    first = memory.memorize("The boiler was repaired in March by a plumber from Exeter.")
    for _ in range(40):
        last = memory.memorize("The boiler was repaired in March by a plumber from Exeter.")
    new = memory.memorize("Quantum chromodynamics describes gluons.")
    assert first.surprise == pytest.approx(1.0)
    assert last.surprise < new.surprise / 2


def test_a_turn_without_tokens_is_stored_and_not_learned(memory):
    receipt = memory.memorize("\u200b\u200b")
    assert (receipt.learned, receipt.surprise) == (False, 0.0)
    assert memory.get(receipt.id).text == "\u200b\u200b"
    memory.recall("Anything?")


@pytest.mark.parametrize(
    ("text", "speaker"),
    [
        ("Hello.", "user"),
        ("Where does the ferry leave?", "user"),
        ("I don't know that.", "assistant"),
        ("The boiler leaks.", "user"),
    ],
)
def test_what_tells_nothing_is_stored_and_not_learned(memory, text, speaker):
    tokens = memory.stats().tokens
    receipt = memory.memorize(text, speaker=speaker)
    assert receipt.learned is (text == "The boiler leaks.")
    assert (memory.stats().tokens > tokens) is receipt.learned
    assert [turn.text for turn in memory.turns()] == [text]


def test_many_at_once_equal_one_by_one(reader):
    turns = [
        Turn(f"Fact number {n}: the door code of house {n} is {n * 37}.", speaker="user", id=str(n)) for n in range(70)
    ]
    with (
        TitansMemory.open(":memory:", tenant="one", reader=reader) as one,
        TitansMemory.open(":memory:", tenant="many", reader=reader) as many,
    ):
        alone = [one.memorize(turn) for turn in turns]
        together = many.memorize_many(turns)
        assert [receipt.id for receipt in together] == [receipt.id for receipt in alone]
        # A batch pads its texts, which moves the keys by rounding only.
        assert [r.surprise for r in together] == pytest.approx([r.surprise for r in alone], abs=1e-2)
        question = "What is the door code of house 42?"
        assert many.recall(question).best.id == one.recall(question).best.id == "42"


def test_memorize_many_shows_progress_when_asked(memory, capsys):
    memory.memorize_many(["one", "two"])
    assert capsys.readouterr().err == ""
    memory.memorize_many(["three", "four"], progress=True)
    assert "2/2" in capsys.readouterr().err


def test_memorize_many_takes_any_iterable_and_nothing(memory):
    assert memory.memorize_many([]) == []
    assert len(memory.memorize_many(text for text in ("one", "two"))) == 2


def test_composed_and_decomposed_letters_find_each_other(memory):
    memory.memorize("We met at the cafe\u0301 by the station.")
    memory.memorize("The library was closed.")
    assert "station" in memory.recall("Which caf\u00e9?").best.text
