"""Tests of how one open log stores and finds turns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from titans_core.errors import InvalidTurnError, StorageError
from titans_core.storage import Filters
from titans_core.testing.samples import AT, DIM, METADATA, ODD_TEXTS, append, comparable, passage, turn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from titans_core.storage import TurnLog


class TurnsContract(ABC):
    """The promises about turns. Subclass it, name the subclass `Test…`, and define `open_log`."""

    @abstractmethod
    def open_log(self, tenant: str = "alice", *, reader: str = "a reader", dim: int = DIM) -> TurnLog:
        """Open a tenant's log, or create it. The storage must be empty when a test begins.

        Args:
            tenant: Name of the tenant.
            reader: Fingerprint of the reader.
            dim: Length of the reader's keys.

        Returns:
            The open log. The tests close it.
        """

    @pytest.fixture
    def log(self) -> Iterator[TurnLog]:
        """Alice's log, closed after the test."""
        with closing(self.open_log()) as log:
            yield log

    # ── turns ──

    def test_an_empty_log_has_nothing(self, log: TurnLog) -> None:
        assert log.head()[1:] == (0, 0, 0)
        assert not any((log.select(Filters()), log.positions(Filters()), list(log.records(after=0, keys=True))))
        assert not any((log.find("nobody"), log.position_of("nobody"), log.load_snapshot()))
        assert not any((log.keys([]), log.texts([])))
        assert log.rehearsals() == (0, [])

    def test_what_was_appended_is_found(self, log: TurnLog) -> None:
        appended = turn("a", speaker="user", session="s", source="web", metadata={"topic": "car"})
        [record] = append(log, appended)
        assert log.find("a") == log.turn_at(record.position) == appended
        assert log.position_of("a") == record.position

    def test_positions_ascend_and_are_never_given_twice(self, log: TurnLog) -> None:
        first = [record.position for record in append(log, *(turn(str(number)) for number in range(5)))]
        assert first == sorted(set(first))
        with log.transaction():
            log.delete(first[2:])
        [later] = append(log, turn("later"))
        assert later.position > first[-1]

    def test_an_updated_turn_keeps_its_place(self, log: TurnLog) -> None:
        records = append(log, turn("a"), turn("b"), turn("c"))
        with log.transaction():
            log.delete([records[1].position])
            updated = log.append(turn("b", "another text"), [passage("another text")], position=records[1].position)
        assert updated.position == records[1].position
        assert [found.id for found in log.select(Filters())] == ["a", "b", "c"]
        assert log.texts([updated.passages[0].number]) == ["another text"]

    def test_an_id_that_is_taken_is_refused(self, log: TurnLog) -> None:
        append(log, turn("a"))
        with pytest.raises(StorageError):
            append(log, turn("b"), turn("a", "another"))
        assert [found.id for found in log.select(Filters())] == ["a"]

    @pytest.mark.parametrize("text", ODD_TEXTS, ids=lambda text: ascii(text[:12]))
    @pytest.mark.parametrize("field", ["text", "speaker", "session", "source", "id"])
    def test_odd_text_comes_back_exactly_or_is_refused(self, log: TurnLog, field: str, text: str) -> None:
        changes: dict[str, Any] = {field: text if field == "text" else text[:400]}
        odd = replace(turn("a", "plain"), **changes)
        try:
            append(log, odd)
        except InvalidTurnError:
            assert log.select(Filters()) == []
            return
        [found] = log.select(Filters(ids=[odd.id or ""]))
        assert found == log.find(odd.id or "") == odd
        if field in ("speaker", "session", "source"):
            assert log.select(Filters(**{field: getattr(odd, field)})) == [odd]

    @pytest.mark.parametrize(
        "at",
        [
            AT,
            datetime.min.replace(tzinfo=UTC),
            datetime.max.replace(tzinfo=UTC),
            datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
            datetime(2026, 3, 29, 2, 30, 0, 1, tzinfo=timezone(timedelta(hours=5, minutes=45))),
        ],
    )
    def test_times_are_kept_to_the_microsecond(self, log: TurnLog, at: datetime) -> None:
        append(log, turn("a", at=at))
        found = log.find("a")
        assert found
        assert found.at == at
        assert log.positions(Filters(since=at))
        assert not log.positions(Filters(until=at))

    def test_metadata_come_back_exactly(self, log: TurnLog) -> None:
        [record] = append(log, turn("a", metadata=METADATA))
        for _ in range(2):
            found = log.turn_at(record.position)
            assert found.metadata == METADATA
            assert [type(value) for value in found.metadata.values()] == [type(value) for value in METADATA.values()]
            with log.transaction():
                log.set_metadata(record.position, METADATA)

    def test_metadata_are_replaced_whole_and_nothing_else_changes(self, log: TurnLog) -> None:
        appended = turn("a", speaker="user", metadata={"old": 1})
        [record] = append(log, appended)
        before = [comparable(each) for each in log.records(after=0, keys=True)], log.head()
        with log.transaction():
            log.set_metadata(record.position, {"new": 2})
        assert log.find("a") == replace(appended, metadata={"new": 2})
        assert ([comparable(each) for each in log.records(after=0, keys=True)], log.head()) == before

    def test_a_nul_in_metadata_is_exact_or_refused_and_harms_no_search(self, log: TurnLog) -> None:
        append(log, turn("a", metadata={"topic": "car"}))
        with_nul = turn("b", metadata={"topic": "c\0r", "k\0y": 1})
        try:
            append(log, with_nul)
        except InvalidTurnError:
            pass
        else:
            assert log.find("b") == with_nul
        assert [found.id for found in log.select(Filters(where={"topic": "car"}))] == ["a"]
        for where in ({"topic": "ca"}, {"k\0": 1}, {"topic": "car\0"}):
            assert log.select(Filters(where=where)) == []
        assert log.find("a\0") is None
        assert log.find("\ud800") is None
        assert log.written_by("w\0b", since=0) == 0

    # ── filters ──

    @pytest.mark.parametrize(
        ("filters", "ids"),
        [
            ({}, "abcd"),
            ({"speaker": "user"}, "ac"),
            ({"speaker": "USER"}, ""),
            ({"speaker": "us%"}, ""),
            ({"session": "s1"}, "ab"),
            ({"source": "web"}, "d"),
            ({"since": AT + timedelta(hours=1)}, "bcd"),
            ({"since": (AT + timedelta(hours=1)).astimezone().replace(tzinfo=None)}, "bcd"),  # local time
            ({"until": AT + timedelta(hours=1)}, "a"),
            ({"since": AT + timedelta(hours=1), "until": AT + timedelta(hours=3)}, "bc"),
            ({"ids": ["c", "a", "nobody", "x\0y"]}, "ac"),
            ({"ids": []}, ""),
            ({"except_texts": ["The text of a.", "no such", "x\0y"]}, "bcd"),
            ({"except_texts": []}, "abcd"),
            ({"where": {"n": 1}}, "ad"),
            ({"where": {"n": 1.0}}, "ad"),
            ({"where": {"n": True}}, "ad"),
            ({"where": {"n": "1"}}, "b"),
            ({"where": {"n": 0}}, "c"),
            ({"where": {"n": False}}, "c"),
            ({"where": {"none": None}}, "a"),
            ({"where": {"absent": None}}, ""),
            ({"where": {"f": 0.1}}, "b"),
            ({"where": {"t": "%"}}, "c"),
            ({"where": {"n": 1, "none": None}}, "a"),
            ({"where": {"n' OR 1=1 --": 1}}, ""),
            ({"where": {"$.n": 1}}, ""),
            ({"where": {"deep": 1}}, ""),
            ({"speaker": "user", "where": {"n": 1}, "ids": ["a", "d"]}, "a"),
        ],
    )
    def test_filters_are_exact(self, log: TurnLog, filters: Any, ids: str) -> None:
        append(
            log,
            turn("a", speaker="user", session="s1", metadata={"n": 1, "none": None, "t": "x"}),
            turn("b", session="s1", at=AT + timedelta(hours=1), metadata={"n": "1", "f": 0.1}),
            turn("c", speaker="user", at=AT + timedelta(hours=2), metadata={"n": False, "t": "%", "in": {"deep": 1}}),
            turn("d", source="web", at=AT + timedelta(hours=3), metadata={"n": True}),
        )
        assert [found.id for found in log.select(Filters(**filters))] == list(ids)
        assert log.positions(Filters(**filters)) == [log.position_of(found) for found in ids]

    def test_duplicates_are_of_one_speaker_however_accents_are_written(self, log: TurnLog) -> None:
        append(log, turn("first", "café", speaker="Zoé"), turn("second", "cafe\u0301", speaker="Zoe\u0301"))
        for text, speaker in (("café", "Zoe\u0301"), ("cafe\u0301", "Zoé")):
            assert log.find_duplicate(turn("x", text, speaker=speaker)) == "first"
        for text, other_speaker in (("cafe", "Zoé"), ("café", "Zoe"), ("café", None), ("écafé", "Zo")):
            assert log.find_duplicate(turn("x", text, speaker=other_speaker)) is None

    def test_the_turns_of_a_source_are_counted(self, log: TurnLog) -> None:
        before = datetime.now(UTC).timestamp() - 60
        append(log, turn("a", source="web"), turn("b", source="web"), turn("c", source="mail"), turn("d"))
        assert log.written_by("web", since=before) == 2  # counted by the time of writing, not by the time of the turn
        assert log.written_by("web", since=before + 3600) == 0
        assert log.written_by("w%", since=before) == 0
