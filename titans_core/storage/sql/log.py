"""The writing half of one tenant's log in SQL."""

from __future__ import annotations

import json
import time
from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING

from titans_core.errors import ReaderMismatchError
from titans_core.storage.checksum import checksum
from titans_core.storage.filters import microseconds
from titans_core.storage.records import TurnRecord
from titans_core.storage.sql.queries import PASSAGES_PER_TURN, TURN_COLUMNS, SqlQueries, digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from titans_core.storage.records import PassageRecord, Snapshot
    from titans_core.types import Turn


class SqlLog(SqlQueries):
    """A log whose tables have the names and columns of `sqlite.schema`. Statements write each parameter as `?`."""

    def __init__(self, url: str, tenant: str, *, reader: str, dim: int) -> None:
        """Claim the storage for a reader and register the tenant.

        Args:
            url: URL or path of the storage.
            tenant: Name of the tenant.
            reader: Fingerprint of the reader. A storage holds the keys of one reader only.
            dim: Length of the reader's keys.

        Raises:
            ReaderMismatchError: The storage holds the keys of another reader.
        """
        self.url = url
        self.tenant = tenant
        self._number = 0
        with self.reading():  # a known tenant needs no write, so its log can be opened on a read-only replica
            if self._is_claimed(reader):
                self._number = self._tenant_number()
        if not self._number:
            with self.transaction():
                if not self._is_claimed(reader):
                    self._rows("INSERT INTO readers (fingerprint, dim) VALUES (?, ?)", (reader, dim))
                self._number = self._register()

    @abstractmethod
    def _next_position(self) -> int:
        """Return a position that was never used before. The caller is in a transaction."""

    def append(self, turn: Turn, passages: Sequence[PassageRecord], *, position: int | None = None) -> TurnRecord:
        assert turn.at is not None  # noqa: S101 - for the type checker: `validate_turn` has set it
        if self.head().epoch < 0:  # another process has forgotten the tenant
            self._number = self._register()
        position = position or self._next_position()
        numbered = tuple(
            replace(passage, number=position * PASSAGES_PER_TURN + ordinal) for ordinal, passage in enumerate(passages)
        )
        at, stored = microseconds(turn.at), time.time_ns() // 1000
        metadata = json.dumps(dict(turn.metadata), ensure_ascii=False)
        columns = (position, turn.id, turn.text, turn.speaker, turn.session, turn.source, at, stored, metadata)
        passage_checksums = [self._passage_checksum(passage) for passage in numbered]
        record = checksum(self._number, position, turn.speaker, turn.session, at, *passage_checksums)
        self._rows(
            "INSERT INTO turns (tenant, position, id, text, speaker, session, source, at, stored, metadata, checksum, "
            "digest, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (self._number, *columns, checksum(self._number, *columns), digest(turn), record),
        )
        for passage, passage_checksum in zip(numbered, passage_checksums, strict=True):
            self._append_passage(position, passage, passage_checksum)
        self._add_to_totals(+1, record)
        return TurnRecord(position, turn.speaker, turn.session, at / 1e6, turn.text, numbered, record)

    def _append_passage(self, position: int, passage: PassageRecord, passage_checksum: int) -> None:
        column, pooled = self._encode_vector(passage.column), self._encode_vector(passage.pooled)
        self._rows(
            'INSERT INTO passages (tenant, position, number, "start", "end", "column", pooled, checksum) '
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (self._number, position, passage.number, passage.start, passage.end, column, pooled, passage_checksum),
        )
        self._rows(
            "INSERT INTO keys (tenant, passage, packed, checksum) VALUES (?, ?, ?, ?)",
            (self._number, passage.number, passage.keys, self._keys_checksum(passage.number, passage.keys)),
        )

    def delete(self, positions: Iterable[int]) -> None:
        deleted = set(positions)
        for position in deleted:
            where, values = "WHERE tenant = ? AND position = ?", (self._number, position)
            [(record,)] = self._rows(f"SELECT record FROM turns {where}", values)
            self._rows(
                f"DELETE FROM keys WHERE tenant = ? AND passage IN (SELECT number FROM passages {where})",
                (self._number, *values),
            )
            self._rows(f"DELETE FROM passages {where}", values)
            self._rows(f"DELETE FROM turns {where}", values)
            self._add_to_totals(-1, -record)
        after, rehearsed = self.rehearsals()
        self._save_rehearsals(after, [position for position in rehearsed if position not in deleted])
        self._start_epoch()

    def delete_tenant(self) -> int:
        turns = self.head().turns
        for table in ("keys", "passages", "turns", "snapshots", "rehearsals"):
            self._rows(f"DELETE FROM {table} WHERE tenant = ?", (self._number,))
        self._rows("DELETE FROM tenants WHERE number = ?", (self._number,))
        return turns

    def set_metadata(self, position: int, metadata: Mapping[str, object]) -> None:
        [row] = self._rows(
            f"SELECT {TURN_COLUMNS} FROM turns WHERE tenant = ? AND position = ?", (self._number, position)
        )
        self._turn_from_row(*row)  # check the old row first: a new checksum would make a damaged row look intact
        updated = (*row[:-2], json.dumps(dict(metadata), ensure_ascii=False))
        self._rows(
            "UPDATE turns SET metadata = ?, checksum = ? WHERE tenant = ? AND position = ?",
            (updated[-1], checksum(self._number, *updated), self._number, position),
        )

    def rehearse(self, positions: Sequence[int]) -> None:
        self._save_rehearsals(self.head().position, sorted(positions))
        self._start_epoch()

    def save_snapshot(self, snapshot: Snapshot) -> None:
        self._rows("DELETE FROM snapshots WHERE tenant = ?", (self._number,))
        self._rows(
            "INSERT INTO snapshots (tenant, position, epoch, spec, sha256, state) VALUES (?, ?, ?, ?, ?, ?)",
            (
                self._number, snapshot.position, snapshot.epoch, snapshot.spec,
                self._snapshot_sha256(snapshot), snapshot.state,
            ),
        )  # fmt: skip

    # ── private helpers ──

    def _is_claimed(self, reader: str) -> bool:
        """Return whether the storage is claimed for this reader; False if it is not claimed yet.

        Raises:
            ReaderMismatchError: The storage is claimed for another reader.
        """
        found = self._rows("SELECT fingerprint FROM readers")
        if found and found[0][0] != reader:
            raise ReaderMismatchError(
                f"The memory {self.url!r} was written with the reader {found[0][0]}, not with {reader}. The keys of "
                "two readers cannot be compared. Open the memory with the model and the quantization that it was "
                "written with. Or export() its turns with the old reader, and import_() them into a new file with the "
                "new one."
            )
        return bool(found)

    def _register(self) -> int:
        """Return the number of the tenant; register the tenant if necessary. The caller is in a transaction."""
        if not self._tenant_number():
            self._rows("INSERT INTO tenants (name, identity) VALUES (?, ?)", (self.tenant, checksum(self.tenant)))
        return self._tenant_number()

    def _add_to_totals(self, turns: int, change: int) -> None:
        """Add to the totals of the tenant.

        Args:
            turns: Change of the number of turns.
            change: Change of the sum of the checksums of records and rehearsals.
        """
        self._rows(
            "UPDATE tenants SET turns = turns + ?, checksum = checksum + ? WHERE number = ?",
            (turns, change, self._number),
        )

    def _start_epoch(self) -> None:
        """Start a new epoch: every process rebuilds the weights."""
        self._rows("DELETE FROM snapshots WHERE tenant = ?", (self._number,))
        self._rows("UPDATE tenants SET epoch = epoch + 1 WHERE number = ?", (self._number,))

    def _save_rehearsals(self, after: int, positions: Sequence[int]) -> None:
        """Replace the list of rehearsed turns.

        Args:
            after: Position of the last turn in the log when they were chosen.
            positions: Positions of the rehearsed turns, in order.
        """
        old = self._rows("SELECT checksum FROM rehearsals WHERE tenant = ?", (self._number,))
        self._rows("DELETE FROM rehearsals WHERE tenant = ?", (self._number,))
        self._add_to_totals(0, -sum(old_checksum for (old_checksum,) in old))
        if positions:
            encoded = json.dumps(list(positions))
            list_checksum = checksum(self._number, after, encoded)
            self._rows(
                'INSERT INTO rehearsals (tenant, "after", positions, checksum) VALUES (?, ?, ?, ?)',
                (self._number, after, encoded, list_checksum),
            )
            self._add_to_totals(0, list_checksum)
