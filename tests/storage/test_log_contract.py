"""Every storage passes the contract of `TurnLog`."""

import pytest

from titans_core.errors import CorruptMemoryError
from titans_core.storage import Snapshot, open_log
from titans_core.testing import OneLogContract, TurnLogContract
from titans_core.testing.samples import DIM, append, turn

DAMAGES = {
    "a turn's text": ("UPDATE turns SET text = 'x'", lambda log: log.find("a")),
    "a turn's checksum": ("UPDATE turns SET checksum = checksum + 1", lambda log: log.turn_at(log.position_of("a"))),
    "a turn's speaker": ("UPDATE turns SET speaker = NULL", lambda log: list(log.records(after=0, keys=False))),
    "a passage's end": ('UPDATE passages SET "end" = 2', lambda log: list(log.records(after=0, keys=False))),
    "a passage that is gone": ("DELETE FROM passages", lambda log: list(log.records(after=0, keys=False))),
    "keys": ("UPDATE keys SET packed = ?", lambda log: log.keys(_numbers(log))),
    "keys that are gone": ("DELETE FROM keys", lambda log: list(log.records(after=0, keys=True))),
    "rehearsals": ("UPDATE rehearsals SET positions = '[]'", lambda log: log.rehearsals()),
}


def _numbers(log):
    return [each.number for record in log.records(after=0, keys=False) for each in record.passages]


class DamageTests:
    """Tests of logs in SQL whose rows were changed."""

    @pytest.mark.parametrize("name", DAMAGES)
    def test_a_row_that_was_changed_is_an_error(self, log, name):
        statement, read = DAMAGES[name]
        [record] = append(log, turn("a", speaker="user"))
        with log.transaction():
            log.rehearse([record.position])
        read(log)
        with log.transaction():
            log._rows(statement, [b"other keys"] * statement.count("?"))
        with pytest.raises(CorruptMemoryError):
            read(log)

    def test_a_damaged_snapshot_is_none(self, log):
        with log.transaction():
            log.save_snapshot(Snapshot(0, log.head().epoch, "a spec", b"weights"))
        assert log.load_snapshot()
        with log.transaction():
            log._rows("UPDATE snapshots SET state = ?", (b"weighty",))
        assert log.load_snapshot() is None


class TestFile(DamageTests, TurnLogContract):
    @pytest.fixture(autouse=True)
    def _path(self, tmp_path):
        self.path = tmp_path / "memory.db"

    def open_log(self, tenant="alice", *, reader="a reader", dim=DIM):
        return open_log(self.path, tenant, reader=reader, dim=dim)


class TestInMemory(DamageTests, OneLogContract):
    def open_log(self, tenant="alice", *, reader="a reader", dim=DIM):
        return open_log(":memory:", tenant, reader=reader, dim=dim)


class TestPostgres(DamageTests, TurnLogContract):
    @pytest.fixture(autouse=True)
    def _url(self, postgres_url):
        self.url = postgres_url

    def open_log(self, tenant="alice", *, reader="a reader", dim=DIM):
        return open_log(self.url, tenant, reader=reader, dim=dim)
