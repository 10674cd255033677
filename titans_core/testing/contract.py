"""Tests of several logs in one storage."""

from __future__ import annotations

import threading
import time
import unicodedata
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

from titans_core.errors import ReaderMismatchError, StorageBusyError
from titans_core.storage import Filters, Snapshot
from titans_core.testing.one_log import OneLogContract
from titans_core.testing.samples import append, comparable, passage, turn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from titans_core.storage import TurnLog

SIMILAR_NAMES = [  # one of them has a Cyrillic letter
    "foo", "Foo", "foobar", "foo%", "f_o", "foo.bar", "foo ", " foo", "fóo", "fo\u0301o", "ﬀoo", "f\u043eo",
    "foo\u200d", "'; DROP TABLE turns; --", "foo\\", "1", "01", "None", "f" * 500,
]  # fmt: skip


class TurnLogContract(OneLogContract):
    """All promises of `TurnLog`. Subclass it, name the subclass `Test…`, and define `open_log`.

    Each test needs a storage that is empty when the test begins; all logs that the test opens are in that storage.
    """

    @pytest.fixture
    def other(self, log: TurnLog) -> Iterator[TurnLog]:
        """Alice's log, opened a second time, as in another process."""
        with closing(self.open_log(log.tenant)) as other:
            yield other

    # ── one storage ──

    def test_what_was_written_is_there_when_the_log_is_opened_again(self, log: TurnLog) -> None:
        records = append(log, turn("a"), turn("b", metadata={"n": 1}))
        with log.transaction():
            log.rehearse([records[0].position])
            log.save_snapshot(Snapshot(records[1].position, log.head().epoch, "a spec", b"weights"))
        before = self._contents(log)
        log.close()
        with closing(self.open_log()) as reopened:
            assert self._contents(reopened) == before
            [later] = append(reopened, turn("c"))
        assert later.position > records[-1].position

    def test_a_position_is_not_given_twice_after_all_were_deleted_and_the_log_reopened(self, log: TurnLog) -> None:
        [record] = append(log, turn("a"))
        with log.transaction():
            log.delete([record.position])
        log.close()
        with closing(self.open_log()) as reopened:
            [later] = append(reopened, turn("b"))
        assert later.position > record.position

    @pytest.mark.usefixtures("log")
    def test_a_storage_takes_the_keys_of_one_reader_only(self) -> None:
        for tenant in ("alice", "bob"):
            with pytest.raises(ReaderMismatchError):
                self.open_log(tenant, reader="another reader")
        self.open_log("bob").close()

    # ── tenants ──

    def test_tenants_with_confusable_names_share_nothing(self) -> None:
        assert len(set(SIMILAR_NAMES)) == len(SIMILAR_NAMES)
        assert len({unicodedata.normalize("NFKC", name) for name in SIMILAR_NAMES}) < len(SIMILAR_NAMES)
        for name in SIMILAR_NAMES:
            with closing(self.open_log(name)) as log:
                assert log.head()[1:] == (0, 0, 0)
                append(log, turn("secret", f"The password of {name!r}.", source="web"))
        for name in SIMILAR_NAMES:
            with closing(self.open_log(name)) as log:
                assert [found.text for found in log.select(Filters())] == [f"The password of {name!r}."]
                assert log.head().turns == log.written_by("web", since=0) == 1
                for other in SIMILAR_NAMES:
                    equal = unicodedata.normalize("NFC", other) == unicodedata.normalize("NFC", name)
                    duplicate = log.find_duplicate(turn("x", f"The password of {other!r}."))
                    assert duplicate == ("secret" if equal else None)

    def test_nothing_of_another_tenant_is_reached_by_position_or_number(self, log: TurnLog) -> None:
        [record] = append(log, turn("a"))
        with closing(self.open_log("bob")) as bob:
            append(bob, turn("b"))
            numbers = [record.passages[0].number]
            for attempt in (
                lambda: bob.turn_at(record.position),
                lambda: bob.set_metadata(record.position, {"changed": True}),
                lambda: bob.keys(numbers),
                lambda: bob.texts(numbers),
            ):
                with pytest.raises(Exception), bob.transaction():  # noqa: B017 - any error will do, but no answer
                    attempt()
            assert log.turn_at(record.position) == turn("a")

    def test_deleting_is_the_tenants_own(self, log: TurnLog) -> None:
        with closing(self.open_log("bob")) as bob:
            [record] = append(log, turn("a"))
            [bobs_record] = append(bob, turn("a"))
            with bob.transaction():
                bob.save_snapshot(Snapshot(bobs_record.position, bob.head().epoch, "a spec", b"bob's"))
            before = self._contents(bob)
            with log.transaction():
                log.delete([record.position])
            with log.transaction():
                log.delete_tenant()
            log.scrub()
            assert self._contents(bob) == before

    def test_a_tenant_that_is_deleted_begins_anew(self, log: TurnLog, other: TurnLog) -> None:
        append(log, turn("a"))
        with log.transaction():
            log.delete_tenant()
        assert other.head().turns == 0
        with closing(self.open_log()) as new:
            assert new.select(Filters()) == []
            append(new, turn("a", "another text"))
            assert other.select(Filters()) == []  # `other` still belongs to the deleted tenant of the same name
        append(other, turn("b"))
        assert [found.id for found in other.select(Filters())] == ["a", "b"]  # its first write joins the new tenant

    # ── several processes ──

    def test_what_one_has_written_the_other_reads(self, log: TurnLog, other: TurnLog) -> None:
        [record] = append(log, turn("a"))
        assert [comparable(found) for found in other.records(after=0, keys=True)] == [comparable(record)]
        with other.transaction():
            other.delete([record.position])
        assert log.find("a") is None
        assert log.head() == other.head()

    def test_nobody_sees_a_transaction_that_has_not_ended(self, log: TurnLog, other: TurnLog) -> None:
        with log.transaction():
            log.append(turn("a"), [passage("a")])
            assert other.find("a") is None
            assert other.head().turns == 0
        assert other.find("a")

    def test_reading_sees_one_moment_whatever_others_write(self, log: TurnLog, other: TurnLog) -> None:
        records = append(log, *(turn(str(number)) for number in range(10)))
        with log.reading():
            before = self._contents(log)
            append(other, turn("later"))
            with other.transaction():
                other.delete([records[0].position])
                other.rehearse([records[1].position])
            with log.reading():
                assert self._contents(log) == before
            assert log.find("later") is None
        assert log.find("later")
        assert log.find("0") is None

    def test_there_is_one_writer_at_a_time(self, log: TurnLog, other: TurnLog) -> None:
        with _second_writer(other) as writer:
            with log.transaction():
                writer.start()
                assert not writer.began.wait(0.3)
                log.append(turn("first"), [passage("first")])
            assert writer.began.wait(4)
        assert [found.id for found in log.select(Filters())] == ["first", "second"]

    def test_a_writer_who_waits_for_five_seconds_is_told_that_it_is_busy(self, log: TurnLog, other: TurnLog) -> None:
        with log.transaction():
            start = time.monotonic()
            with pytest.raises(StorageBusyError), other.transaction():
                pass
            assert 4 < time.monotonic() - start < 8
            log.append(turn("a"), [passage("a")])
        append(other, turn("b"))
        assert [found.id for found in log.select(Filters())] == ["a", "b"]


class _Writer:
    """A writer in another thread. It appends the turn "second".

    Attributes:
        began: Set when its transaction has begun.
    """

    def __init__(self, log: TurnLog) -> None:
        self.began = threading.Event()
        self._log = log
        self._thread = threading.Thread(target=self._write)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join(10)

    def _write(self) -> None:
        with self._log.transaction():
            self.began.set()
            self._log.append(turn("second"), [passage("second")])


@contextmanager
def _second_writer(log: TurnLog) -> Iterator[_Writer]:
    """Yield a writer that is not started yet, and wait for its end after the block."""
    writer = _Writer(log)
    yield writer
    writer.join()
