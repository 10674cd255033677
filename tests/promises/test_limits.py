"""Huge text is processed in bounded time, or refused at once with a message that says what to do."""

import enum
import time
import unicodedata
from collections import OrderedDict
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType

import pytest

from titans_core import TitansMemory, Turn
from titans_core.errors import InvalidTenantError, InvalidTurnError
from titans_core.readers import split_passages
from titans_core.readers.passages import MAX_PASSAGE_BYTES, TARGET_WORDS
from titans_core.validation import (
    MAX_METADATA_CHARS,
    MAX_METADATA_DEPTH,
    MAX_NAME_CHARS,
    MAX_TEXT_CHARS,
)

HUGE = {
    "words": "The cook planted tomatoes and a bell on the balcony in Lisbon. ",
    "one line": "tomato ",
    "one word": "x",
    "Han": "漢",
    "emojis": "👩\u200d👩\u200d👧",
    "punctuation": "!?",
    "accents": "e\u0301\u0302\u0303\u0304\u0305",
    "dates": "in May on 3 May 2023 two days ago ",
}


def repeated(text, size):
    return (text * (size // len(text) + 1))[:size]


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


SIZES = [
    *((kind, 5_000) for kind in HUGE),
    *(pytest.param(kind, MAX_TEXT_CHARS, marks=pytest.mark.slow) for kind in ("words", "one line", "one word")),
]


@pytest.mark.parametrize(("kind", "size"), SIZES)
def test_a_huge_turn_is_stored_exactly_and_shown_in_parts(memory, kind, size):
    text = repeated(HUGE[kind], size - 32) + " The gate's code is 4711."
    receipt = memory.memorize(text)
    assert memory.get(receipt.id).text == text
    assert memory.recall("What is the gate's code?").best.passage.endswith("The gate's code is 4711.")


def test_a_turn_of_line_breaks_has_a_passage_for_what_is_said(memory):
    memory.memorize("first" + "\n" * 100_000 + "last")
    assert memory.recall("last").best.passage in ("first", "last")


@pytest.mark.parametrize("kind", HUGE)
def test_passages_are_bounded_for_any_script(kind):
    text = repeated(HUGE[kind], MAX_TEXT_CHARS)
    start = time.perf_counter()
    passages = split_passages(text)
    assert time.perf_counter() - start < 10
    assert (passages[0].start, passages[-1].end) == (0, len(text.rstrip()))
    for passage in passages:
        assert len(unicodedata.normalize("NFD", passage.of(text)).encode()) <= MAX_PASSAGE_BYTES
        assert len(passage.of(text).split()) <= TARGET_WORDS


@pytest.mark.parametrize("script", ["漢字", "Лиссабон ", "리스본에서 ", "मेरी बहन "])
def test_a_passage_of_any_script_is_read_to_its_end(reader, script):
    text = repeated(script, 2_000)
    for passage in split_passages(text):
        [reading] = reader.read([passage.of(text)])
        # A character at the end may be unknown, and an unknown one has no key.
        assert reading.offsets[-1, 1] >= len(passage.of(text)) - 1
        assert len(reading.keys) <= reader.count_tokens(passage.of(text))


def test_ten_million_characters_are_refused_at_once(memory):
    for text in ("word " * 2_000_000, "x" * 10_000_000, "\n" * 10_000_000):
        start = time.perf_counter()
        with pytest.raises(InvalidTurnError, match=r"at most 1,000,000 characters.*Split a document"):
            memory.memorize(text)
        assert time.perf_counter() - start < 1
    assert memory.turns() == []


@pytest.mark.parametrize("kind", HUGE)
def test_a_query_of_ten_million_characters_is_answered(memory, kind):
    memory.memorize_many([Turn("The gate's code is 4711.", at=datetime(1990, 1, 1, tzinfo=UTC)), "We had fish."])
    query = "\n" * 10_000 + "What is the gate's code? " + repeated(HUGE[kind], 10_000_000)
    start = time.perf_counter()
    found = memory.recall(query)
    assert time.perf_counter() - start < 10
    assert found.best
    assert found.query == unicodedata.normalize("NFC", query)
    assert "What is the gate's code?" in found.searched


@pytest.mark.parametrize("kind", HUGE)
def test_what_is_asked_around_a_long_text_is_found(memory, kind):
    memory.memorize_many(["The gate's code is 4711.", "We had fish."])
    pasted, question = repeated(HUGE[kind], 100_000), "What is the gate's code?"
    for query in (f"{question}\n{pasted}", f"{pasted}\n{question}", " " * 100_000 + f"{question} " * 1_000):
        assert question in memory.recall(query).searched
    assert memory.recall(" " * 100_000 + f"{question} " * 1_000).best.text == "The gate's code is 4711."
    assert memory.recall(pasted).query == unicodedata.normalize("NFC", pasted)


@pytest.mark.parametrize("name", ["speaker", "session", "id", "source"])
def test_a_name_of_five_hundred_characters_is_stored_and_no_longer_one(memory, name):
    longest = "😀" * MAX_NAME_CHARS
    receipt = memory.memorize(Turn("The boiler leaks.", **{name: longest}))
    assert getattr(memory.get(receipt.id), name) == longest
    with pytest.raises(InvalidTurnError, match=f"{name} has at most {MAX_NAME_CHARS} characters"):
        memory.memorize(Turn("The boiler leaks.", **{name: longest + "x"}))


def test_a_tenants_name_is_as_long(reader):
    with TitansMemory.open(":memory:", tenant="😀" * MAX_NAME_CHARS, reader=reader) as memory:
        assert memory.tenant == "😀" * MAX_NAME_CHARS
    with pytest.raises(InvalidTenantError, match=f"at most {MAX_NAME_CHARS} characters"):
        TitansMemory.open(":memory:", tenant="x" * (MAX_NAME_CHARS + 1), reader=reader)


@pytest.mark.parametrize(
    "metadata",
    [
        {"deep": nested(MAX_METADATA_DEPTH - 1)},
        {"long": "x" * (MAX_METADATA_CHARS - 12)},
        {"big": 2**63, "bigger": 10**4000, "small": -(2**64)},
        {"largest": 1.7976931348623157e308, "smallest": 5e-324, "minus": -0.0},
        {"": {"": [[], {}, None, True, 1, 1.0]}},
    ],
)
def test_metadata_within_the_limits_come_back_exactly(memory, metadata):
    receipt = memory.memorize("The boiler leaks.", metadata=metadata)
    assert repr(memory.get(receipt.id).metadata) == repr(metadata)
    assert memory.recall("boiler").best.turn.metadata == metadata


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"deep": nested(MAX_METADATA_DEPTH)}, "levels"),
        ({"deep": nested(100_000)}, "levels"),
        ({"long": "x" * (MAX_METADATA_CHARS - 11)}, "at most 20,000,000 characters"),
        ({"digits": 10**5000}, "JSON"),
        ({"nan": float("nan")}, "JSON"),
        ({"infinite": [float("inf")]}, "JSON"),
        ({"bytes": b"x"}, "JSON"),
        ({"set": {1}}, "JSON"),
        ({1: "one"}, "key"),
        ({"inner": {None: "none"}}, "key"),
        ([("a", "pair")], "dict"),
        ("text", "dict"),
        (None, "dict"),
    ],
)
def test_metadata_beyond_the_limits_are_refused(memory, metadata, message):
    with pytest.raises(InvalidTurnError, match=message):
        memory.memorize(Turn("The boiler leaks.", metadata=metadata))
    assert memory.turns() == []


def test_metadata_that_hold_themselves_are_refused(memory):
    metadata = {}
    metadata["self"] = metadata
    with pytest.raises(InvalidTurnError, match="levels"):
        memory.memorize("The boiler leaks.", metadata=metadata)


def test_other_kinds_of_dicts_lists_and_texts_are_stored_as_json_knows_them(memory):
    class Colour(enum.StrEnum):
        RED = "red"

    metadata = OrderedDict(corners=((1, 2), (3, 4)), inner=MappingProxyType({Colour.RED: Colour.RED}))
    receipt = memory.memorize(Turn(Colour.RED, speaker=Colour.RED, id=Colour.RED, metadata=MappingProxyType(metadata)))
    turn = memory.get("red")
    assert turn.metadata == {"corners": [[1, 2], [3, 4]], "inner": {"red": "red"}}
    assert {type(value) for value in (turn.text, turn.speaker, turn.id, receipt.id)} == {str}


@pytest.mark.parametrize(
    "at",
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(1, 1, 1, 12, 0, 0, 1, tzinfo=timezone(timedelta(hours=12))),
        datetime(2500, 7, 9, 1, 2, 3, 456_789, tzinfo=UTC),
        datetime(1500, 7, 9, 1, 2, 3, 456_789),  # the machine's local time
    ],
)
def test_any_time_is_kept_to_the_microsecond(memory, at):
    turn = memory.get(memory.memorize("The boiler leaks.", at=at).id)
    assert turn.at == at.astimezone(UTC)
    assert memory.recall("boiler", since=at).best.turn.at == turn.at
    assert len(memory.recall("boiler", until=at)) == 0


@pytest.mark.parametrize(
    "at",
    [
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
        datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=1))),
    ],
)
def test_a_time_outside_the_calendar_is_refused(memory, at):
    with pytest.raises(InvalidTurnError, match="years 1 to 9999"):
        memory.memorize("The boiler leaks.", at=at)
    assert memory.turns() == []
