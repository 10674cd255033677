"""Tests of one open log."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from titans_core.errors import StorageError
from titans_core.storage import Filters, PassageRecord, Snapshot
from titans_core.testing.samples import append, comparable, passage, turn
from titans_core.testing.turns import TurnsContract

if TYPE_CHECKING:
    from titans_core.storage import TurnLog, TurnRecord


class OneLogContract(TurnsContract):
    """All promises of a single log. Subclass it, name the subclass `Test…`, and define `open_log`."""

    # ── records ──

    def test_records_are_what_was_appended(self, log: TurnLog) -> None:
        text = "One. Two. Three."
        parts = [passage(text, start, end) for start, end in ((0, 5), (5, 10), (10, 16))]
        with log.transaction():
            written = [
                log.append(turn("a", text, speaker="user", session="s"), parts),
                log.append(turn("b"), [replace(passage("b"), keys=b"")]),
                log.append(turn("c", "x" * 3000), [passage(str(number)) for number in range(30)]),
            ]
        assert [comparable(record) for record in log.records(after=0, keys=True)] == [
            comparable(record) for record in written
        ]
        without = [replace(record, passages=_without_keys(record)) for record in written]
        assert [comparable(record) for record in log.records(after=0, keys=False)] == [
            comparable(record) for record in without
        ]
        after = list(log.records(after=written[0].position, keys=True))
        assert [record.position for record in after] == [record.position for record in written[1:]]

    def test_keys_and_texts_of_passages_come_in_the_order_asked_for(self, log: TurnLog) -> None:
        text = "naïve 👩‍👩‍👧 text of two parts"
        with log.transaction():
            first = log.append(turn("a", text), [passage(text, 0, 6), passage(text, 6)])
            second = log.append(turn("b", "b"), [passage("b")])
        numbers = [each.number for each in (*first.passages, *second.passages)]
        assert numbers == sorted(set(numbers))
        packed = [each.keys for each in (*first.passages, *second.passages)]
        for order in ([0, 1, 2], [2, 0], [1, 1, 2]):
            wanted = [numbers[row] for row in order]
            assert log.keys(wanted) == [packed[row] for row in order]
            assert log.texts(wanted) == [[text[:6], text[6:], "b"][row] for row in order]

    def test_the_head_adds_up_what_is_there(self, log: TurnLog) -> None:
        records = append(log, *(turn(str(number)) for number in range(4)))
        head = log.head()
        assert (head.position, head.turns) == (records[-1].position, 4)
        assert head.checksum == sum(record.checksum for record in records)
        with log.transaction():
            log.delete([records[1].position, records[3].position])
        head = log.head()
        assert (head.position, head.turns) == (records[2].position, 2)
        assert head.checksum == records[0].checksum + records[2].checksum

    def test_reading_goes_on_while_records_are_streamed(self, log: TurnLog) -> None:
        append(log, *(turn(str(number)) for number in range(600)))
        with log.reading():
            found = [(record.position, log.turn_at(record.position).id) for record in log.records(after=0, keys=True)]
        assert [name for _, name in found] == [str(number) for number in range(600)]

    # ── deleting and weights ──

    def test_deleting_begins_an_epoch_and_takes_all_of_a_turn(self, log: TurnLog) -> None:
        records = append(log, turn("a"), turn("b"))
        epoch = log.head().epoch
        with log.transaction():
            log.delete([records[0].position])
        assert log.head().epoch > epoch
        assert log.find("a") is None
        assert log.position_of("a") is None
        assert log.find_duplicate(turn("x", "The text of a.")) is None
        assert [record.position for record in log.records(after=0, keys=True)] == [records[1].position]
        for read in (log.keys, log.texts):
            with pytest.raises(StorageError):
                read([records[0].passages[0].number])
        log.scrub()
        append(log, turn("a", "another"))  # the id is free again

    def test_a_snapshot_is_replaced_and_does_not_outlive_its_epoch(self, log: TurnLog) -> None:
        [record] = append(log, turn("a"))
        for state in (b"weights", b"\0\xff" * 700_000):
            snapshot = Snapshot(record.position, log.head().epoch, "a spec", state)
            with log.transaction():
                log.save_snapshot(snapshot)
            assert log.load_snapshot() == snapshot
        with log.transaction():
            log.delete([record.position])
        assert log.load_snapshot() is None

    def test_rehearsals_are_of_the_last_consolidation(self, log: TurnLog) -> None:
        positions = [record.position for record in append(log, *(turn(str(number)) for number in range(4)))]
        epoch = log.head().epoch
        for chosen in ([positions[2], positions[0]], [positions[3], positions[1]]):
            with log.transaction():
                log.rehearse(chosen)
            assert log.rehearsals() == (positions[-1], sorted(chosen))
        assert log.head().epoch > epoch
        with log.transaction():
            log.delete([positions[1]])
        assert log.rehearsals() == (positions[-1], [positions[3]])
        with log.transaction():
            log.rehearse([])
        assert log.rehearsals() == (0, [])

    # ── transactions ──

    def test_all_of_a_transaction_happens_or_nothing(self, log: TurnLog) -> None:
        records = append(log, turn("a"), turn("b"))
        with log.transaction():
            log.save_snapshot(Snapshot(records[1].position, log.head().epoch, "a spec", b"weights"))
        before = self._contents(log)
        with pytest.raises(KeyError), log.transaction():
            log.append(turn("c"), [passage("c")])
            log.set_metadata(records[0].position, {"changed": True})
            log.delete([records[1].position])
            log.rehearse([records[0].position])
            raise KeyError
        assert self._contents(log) == before
        with pytest.raises(KeyError), log.transaction():
            log.delete_tenant()
            raise KeyError
        assert self._contents(log) == before

    def test_a_transaction_sees_its_own_writes(self, log: TurnLog) -> None:
        with log.transaction(), log.reading():
            record = log.append(turn("a"), [passage("a")])
            assert log.find("a")
            assert [each.position for each in log.records(after=0, keys=True)] == [record.position]
            assert log.head().turns == 1

    def test_a_tenant_that_is_deleted_has_nothing_left(self, log: TurnLog) -> None:
        append(log, turn("a"), turn("b"))
        with log.transaction():
            assert log.delete_tenant() == 2
        assert not any((log.select(Filters()), list(log.records(after=0, keys=True))))
        assert log.head().turns == 0

    def test_its_size_is_told_in_bytes(self, log: TurnLog) -> None:
        append(log, turn("a", "x" * 100_000))
        assert log.size() >= 0
        assert isinstance(log.size(), int)

    def test_closing_twice_is_no_error_and_a_closed_log_answers_nothing(self, log: TurnLog) -> None:
        log.close()
        log.close()
        with pytest.raises(StorageError):
            log.head()

    def _contents(self, log: TurnLog) -> tuple[Any, ...]:
        """Return all that a log holds, in a form that can be compared."""
        records = [comparable(record) for record in log.records(after=0, keys=True)]
        return log.select(Filters()), records, log.head(), log.load_snapshot(), log.rehearsals()


def _without_keys(record: TurnRecord) -> tuple[PassageRecord, ...]:
    return tuple(replace(each, keys=b"") for each in record.passages)
