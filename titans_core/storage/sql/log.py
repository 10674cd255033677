"""One tenant's log in SQL: how it changes."""

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
from titans_core.storage.sql.queries import PASSAGES, TURN, SqlQueries, digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from titans_core.storage.records import PassageRecord, Snapshot
    from titans_core.types import Turn


class SqlLog(SqlQueries):
    """A log whose tables have the names and columns of `sqlite.schema`; parameters are written as `?`."""

    def __init__(self, url: str, tenant: str, *, reader: str, dim: int) -> None:
        """Claim the storage for a reader and register the tenant; a storage takes the keys of one reader only.

        Raises:
            ReaderMismatchError: it holds the keys of another reader.
        """
        self.url = url
        self.tenant = tenant
        self._number = 0
        with self.reading():  # nothing is written for a tenant that is known: a replica that only reads will do
            if self._claimed(reader):
                self._number = self._registered()
        if not self._number:
            with self.transaction():
                if not self._claimed(reader):
                    self._rows("INSERT INTO readers (fingerprint, dim) VALUES (?, ?)", (reader, dim))
                self._number = self._register()

    @abstractmethod
    def _next_position(self) -> int:
        """A position that was never given; inside a transaction."""

    def append(self, turn: Turn, passages: Sequence[PassageRecord], *, position: int | None = None) -> TurnRecord:
        assert turn.at is not None  # noqa: S101 - `validate_turn` fills it in; for the type checker
        if self.head().epoch < 0:  # another process has forgotten the tenant
            self._number = self._register()
        position = position or self._next_position()
        numbered = tuple(
            replace(passage, number=position * PASSAGES + ordinal) for ordinal, passage in enumerate(passages)
        )
        at, stored = microseconds(turn.at), time.time_ns() // 1000
        metadata = json.dumps(dict(turn.metadata), ensure_ascii=False)
        said = (position, turn.id, turn.text, turn.speaker, turn.session, turn.source, at, stored, metadata)
        sums = [self._passage_sum(passage) for passage in numbered]
        record = checksum(self._number, position, turn.speaker, turn.session, at, *sums)
        self._rows(
            "INSERT INTO turns (tenant, position, id, text, speaker, session, source, at, stored, metadata, checksum, "
            "digest, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (self._number, *said, checksum(self._number, *said), digest(turn), record),
        )
        for passage, passage_sum in zip(numbered, sums, strict=True):
            self._append_passage(position, passage, passage_sum)
        self._count(+1, record)
        return TurnRecord(position, turn.speaker, turn.session, at / 1e6, turn.text, numbered, record)

    def _append_passage(self, position: int, passage: PassageRecord, passage_sum: int) -> None:
        column, pooled = self._packed(passage.column), self._packed(passage.pooled)
        self._rows(
            'INSERT INTO passages (tenant, position, number, "start", "end", "column", pooled, checksum) '
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (self._number, position, passage.number, passage.start, passage.end, column, pooled, passage_sum),
        )
        self._rows(
            "INSERT INTO keys (tenant, passage, packed, checksum) VALUES (?, ?, ?, ?)",
            (self._number, passage.number, passage.keys, self._packed_sum(passage.number, passage.keys)),
        )

    def delete(self, positions: Iterable[int]) -> None:
        doomed = set(positions)
        for position in doomed:
            where, values = "WHERE tenant = ? AND position = ?", (self._number, position)
            [(record,)] = self._rows(f"SELECT record FROM turns {where}", values)
            self._rows(
                f"DELETE FROM keys WHERE tenant = ? AND passage IN (SELECT number FROM passages {where})",
                (self._number, *values),
            )
            self._rows(f"DELETE FROM passages {where}", values)
            self._rows(f"DELETE FROM turns {where}", values)
            self._count(-1, -record)
        after, rehearsed = self.rehearsals()
        self._save_rehearsals(after, [position for position in rehearsed if position not in doomed])
        self._begin_epoch()

    def delete_tenant(self) -> int:
        turns = self.head().turns
        for table in ("keys", "passages", "turns", "snapshots", "rehearsals"):
            self._rows(f"DELETE FROM {table} WHERE tenant = ?", (self._number,))
        self._rows("DELETE FROM tenants WHERE number = ?", (self._number,))
        return turns

    def set_metadata(self, position: int, metadata: Mapping[str, object]) -> None:
        [row] = self._rows(f"SELECT {TURN} FROM turns WHERE tenant = ? AND position = ?", (self._number, position))
        self._turn(*row)  # is right, or its new checksum would make a damaged row look so
        changed = (*row[:-2], json.dumps(dict(metadata), ensure_ascii=False))
        self._rows(
            "UPDATE turns SET metadata = ?, checksum = ? WHERE tenant = ? AND position = ?",
            (changed[-1], checksum(self._number, *changed), self._number, position),
        )

    def rehearse(self, positions: Sequence[int]) -> None:
        self._save_rehearsals(self.head().position, sorted(positions))
        self._begin_epoch()

    def save_snapshot(self, snapshot: Snapshot) -> None:
        self._rows("DELETE FROM snapshots WHERE tenant = ?", (self._number,))
        self._rows(
            "INSERT INTO snapshots (tenant, position, epoch, spec, sha256, state) VALUES (?, ?, ?, ?, ?, ?)",
            (
                self._number, snapshot.position, snapshot.epoch, snapshot.spec,
                self._seal(snapshot), snapshot.state,
            ),
        )  # fmt: skip

    # ── ──

    def _claimed(self, reader: str) -> bool:
        """Whether the storage holds this reader's keys; False if it holds none yet."""
        found = self._rows("SELECT fingerprint FROM readers")
        if found and found[0][0] != reader:
            raise ReaderMismatchError(
                f"{self.url!r} was written with the reader {found[0][0]}, not {reader}: their keys cannot be compared. "
                "Open it with the model and quantization it was written with; or export() its turns with that "
                "reader and import_() them into a new file with this one."
            )
        return bool(found)

    def _register(self) -> int:
        """The tenant's number; a new one if it has none. Inside a transaction."""
        if not self._registered():
            self._rows("INSERT INTO tenants (name, identity) VALUES (?, ?)", (self.tenant, checksum(self.tenant)))
        return self._registered()

    def _count(self, turns: int, change: int) -> None:
        """Change how many turns the tenant has, and the sum of the checksums of its records and rehearsals."""
        self._rows(
            "UPDATE tenants SET turns = turns + ?, checksum = checksum + ? WHERE number = ?",
            (turns, change, self._number),
        )

    def _begin_epoch(self) -> None:
        """From here on all weights are rebuilt, in every process."""
        self._rows("DELETE FROM snapshots WHERE tenant = ?", (self._number,))
        self._rows("UPDATE tenants SET epoch = epoch + 1 WHERE number = ?", (self._number,))

    def _save_rehearsals(self, after: int, positions: Sequence[int]) -> None:
        old = self._rows("SELECT checksum FROM rehearsals WHERE tenant = ?", (self._number,))
        self._rows("DELETE FROM rehearsals WHERE tenant = ?", (self._number,))
        self._count(0, -sum(found for (found,) in old))
        if positions:
            listed = json.dumps(list(positions))
            total = checksum(self._number, after, listed)
            self._rows(
                'INSERT INTO rehearsals (tenant, "after", positions, checksum) VALUES (?, ?, ?, ?)',
                (self._number, after, listed, total),
            )
            self._count(0, total)
