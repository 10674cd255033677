"""What a log in SQL holds: its tables, asked and checked."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from abc import abstractmethod
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from titans_core.errors import CorruptMemoryError
from titans_core.storage.checksum import checksum
from titans_core.storage.filters import microseconds
from titans_core.storage.log import TurnLog
from titans_core.storage.records import Head, PassageRecord, Snapshot, TurnRecord
from titans_core.types import Turn

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from titans_core.storage.filters import Filters

# A passage's number is its turn's position times this, plus its place in the turn: numbers ascend along the log,
# also when a turn is updated in its place.
PASSAGES = 1 << 20

TURN = "position, id, text, speaker, session, source, at, stored, metadata, turns.checksum"
_EPOCH = datetime.fromtimestamp(0, UTC)


class SqlQueries(TurnLog):
    """The half of a log that only reads; every row that it gives back is the one that was written.

    Attributes:
        url: of the storage.
        tenant: whose rows.
    """

    _number: int
    """Of the tenant; 0 while it has none."""

    # ── what the dialects differ in ──

    @abstractmethod
    def _rows(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        """Run one statement and return its rows."""

    @abstractmethod
    def _stream(self, sql: str, values: Sequence[object]) -> Iterator[Any]:
        """Run a query whose rows may be more than fit into memory."""

    @abstractmethod
    def _among(self, column: str, texts: Collection[str]) -> tuple[str, list[object]]:
        """A condition for a column that holds one of these texts, and its parameters."""

    @abstractmethod
    def _holds(self, key: str, value: object) -> tuple[str, list[object]]:
        """A condition for metadata that hold this value under this key, and its parameters."""

    def _packed(self, vector: NDArray[np.float16]) -> object:
        """A vector as the database takes it."""
        return vector.tobytes()

    def _unpacked(self, value: Any) -> NDArray[np.float16]:
        """A vector as the database gives it back; anything at all, if the row is damaged."""
        return np.frombuffer(value, np.float16)

    # ── turns ──

    def head(self) -> Head:
        rows = self._rows(
            "SELECT epoch, (SELECT max(position) FROM turns WHERE tenant = ?), turns, tenants.checksum, "
            "rehearsals.checksum FROM tenants LEFT JOIN rehearsals ON tenant = number WHERE number = ?",
            (self._number, self._number),
        )
        if not rows:  # another process has forgotten the tenant
            return Head(epoch=-1, position=0, turns=0, checksum=0)
        [(epoch, position, turns, total, rehearsed)] = rows
        numbers = (epoch, total, rehearsed or 0)
        if not all(isinstance(number, int) for number in numbers) or epoch < 0:  # a damaged row may hold anything
            raise self._damaged("the number of turns")
        return Head(epoch, position or 0, turns, total - (rehearsed or 0))

    def find(self, id: str) -> Turn | None:  # noqa: A002 - the name that callers use
        found = self._located(id)
        return found[1] if found else None

    def find_duplicate(self, turn: Turn) -> str | None:
        found = self._rows(
            "SELECT id FROM turns WHERE tenant = ? AND digest = ? ORDER BY position LIMIT 1",
            (self._number, digest(turn)),
        )
        return found[0][0] if found else None

    def select(self, filters: Filters) -> list[Turn]:
        return self._turns(*self._conditions(filters))

    def positions(self, filters: Filters) -> list[int]:
        sql, values = self._conditions(filters)
        query = f"SELECT position FROM turns WHERE tenant = ? {sql} ORDER BY position"
        return [position for (position,) in self._rows(query, [self._number, *values])]

    def position_of(self, id: str) -> int | None:  # noqa: A002 - as above
        found = self._located(id)
        return found[0] if found else None

    def turn_at(self, position: int) -> Turn:
        [turn] = self._turns("AND position = ?", [position])
        return turn

    def records(self, *, after: int, keys: bool) -> Iterator[TurnRecord]:
        packed, join = "NULL, NULL", ""
        if keys:
            packed = "packed, keys.checksum"
            join = "LEFT JOIN keys ON keys.tenant = turns.tenant AND passage = number"
        rows = self._stream(
            f'SELECT {TURN}, record, number, "start", "end", "column", pooled, passages.checksum, {packed} '
            f"FROM turns LEFT JOIN passages USING (tenant, position) {join} "
            "WHERE turns.tenant = ? AND position > ? ORDER BY position, number",
            (self._number, after),
        )
        for (*said, total, record), group in groupby(rows, key=lambda row: row[:11]):
            position, _, text, speaker, session, _, at, *_ = said
            parts = [row[11:] for row in group]
            sums = [part[5] for part in parts]
            whole = total == checksum(self._number, *said)
            whole = whole and record == checksum(self._number, position, speaker, session, at, *sums)
            if not whole or (keys and any(part[-1] is None for part in parts)):
                raise self._damaged(f"turn {position}")
            passages = tuple([self._passage(*part) for part in parts])
            yield TurnRecord(position, speaker, session, at / 1e6, text, passages, record)

    def keys(self, numbers: Sequence[int]) -> list[bytes]:
        rows = self._rows(
            f"SELECT passage, packed, checksum FROM keys WHERE tenant = ? AND passage IN ({_listed(numbers)})",
            (self._number,),
        )
        packed = {}
        for number, keys, found in rows:
            if found != self._packed_sum(number, keys):
                raise self._damaged(f"passage {number}")
            packed[number] = keys
        return self._each(packed, numbers)

    def texts(self, numbers: Sequence[int]) -> list[str]:
        # The whole turn is read, and cut here: SQL's `substr` ends a text at NUL, and its checksum is over all of it.
        which = f"tenant = ? AND number IN ({_listed(numbers)})"
        rows = self._rows(f'SELECT number, "start", "end" FROM passages WHERE {which}', (self._number,))
        positions = {number // PASSAGES for number, _, _ in rows}
        turns = self._turns(f"AND position IN ({_listed(positions)})", [])
        whole = dict(zip(sorted(positions), (turn.text for turn in turns), strict=False))
        texts = {
            number: whole[number // PASSAGES][start:end] for number, start, end in rows if number // PASSAGES in whole
        }
        return self._each(texts, numbers)

    def written_by(self, source: str, *, since: float) -> int:
        [(count,)] = self._rows(
            "SELECT count(*) FROM turns WHERE tenant = ? AND source = ? AND stored >= ?",
            (self._number, source, int(since * 1e6)),
        )
        return int(count)

    # ── weights ──

    def rehearsals(self) -> tuple[int, list[int]]:
        found = self._rows('SELECT "after", positions, checksum FROM rehearsals WHERE tenant = ?', (self._number,))
        if not found:
            return 0, []
        [(after, positions, total)] = found
        if total != checksum(self._number, after, positions):
            raise self._damaged("the list of rehearsed turns")
        return after, json.loads(positions)

    def load_snapshot(self) -> Snapshot | None:
        found = self._rows(
            "SELECT position, epoch, spec, state, sha256 FROM snapshots WHERE tenant = ?", (self._number,)
        )
        if not found or not isinstance(found[0][3], bytes):
            return None
        [(*saved, sha256)] = found
        snapshot = Snapshot(*saved)
        return snapshot if self._seal(snapshot) == sha256 else None

    # ── ──

    def _registered(self) -> int:
        """The tenant's number; 0 if it has none."""
        for number, name, identity in self._rows(
            "SELECT number, name, identity FROM tenants WHERE name = ?", (self.tenant,)
        ):
            if identity != checksum(name):
                raise self._damaged("the name")
            return int(number)
        return 0

    def _conditions(self, filters: Filters) -> tuple[str, list[object]]:
        """The filters as SQL over the table `turns`, each after an AND, and their parameters."""
        parts: list[tuple[str, list[object]]] = []
        parts += [
            (f"{column} = ?", [wanted])
            for column in ("speaker", "session", "source")
            if (wanted := getattr(filters, column)) is not None
        ]
        if filters.since is not None:
            parts.append(("at >= ?", [microseconds(filters.since)]))
        if filters.until is not None:
            parts.append(("at < ?", [microseconds(filters.until)]))
        parts += [self._holds(key, value) for key, value in (filters.where or {}).items()]
        if filters.ids is not None:
            parts.append(self._among("id", filters.ids))
        if filters.except_texts is not None:
            condition, values = self._among("text", filters.except_texts)
            parts.append((f"NOT {condition}", values))
        return " ".join(f"AND {sql}" for sql, _ in parts), [value for _, values in parts for value in values]

    def _turns(self, sql: str, values: Sequence[object]) -> list[Turn]:
        query = f"SELECT {TURN} FROM turns WHERE tenant = ? {sql} ORDER BY position"
        return [self._turn(*row) for row in self._rows(query, [self._number, *values])]

    def _located(self, id: str) -> tuple[int, Turn] | None:  # noqa: A002 - as above
        try:
            rows = self._rows(f"SELECT {TURN} FROM turns WHERE tenant = ? AND id = ?", (self._number, id))
        except UnicodeEncodeError:  # a lone surrogate: nothing is stored with one
            return None
        for row in rows:
            if (turn := self._turn(*row)).id != id:  # an index that is damaged leads to another row
                raise self._damaged(f"turn {row[0]}")
            return row[0], turn
        return None

    def _turn(self, *row: Any) -> Turn:
        *said, found = row
        if found != checksum(self._number, *said):
            raise self._damaged(f"turn {said[0]}")
        _, id, text, speaker, session, source, at, _, metadata = said  # noqa: A001 - the field's name
        time_said = _EPOCH + timedelta(microseconds=at)
        return Turn(text, speaker, time_said, session, json.loads(metadata), id, source)

    def _passage(self, *row: Any) -> PassageRecord:
        number, start, end, column, pooled, found, packed, packed_sum = row
        try:
            column, pooled = self._unpacked(column), self._unpacked(pooled)
        except (TypeError, ValueError) as error:  # a damaged row may hold anything
            raise self._damaged(f"passage {number}") from error
        passage = PassageRecord(number, start, end, column, pooled, packed or b"")
        right = found == self._passage_sum(passage) and packed_sum in (None, self._packed_sum(number, packed))
        if not right or (packed is None) != (packed_sum is None):
            raise self._damaged(f"passage {number}")
        return passage

    def _seal(self, snapshot: Snapshot) -> bytes:
        """SHA-256 of saved weights, and of whose and of when they are: another tenant's are no good ones."""
        whose = repr((self._number, snapshot.position, snapshot.epoch, snapshot.spec))
        return hashlib.sha256(whose.encode() + snapshot.state).digest()

    def _packed_sum(self, number: int, packed: bytes) -> int:
        return checksum(self._number, number, packed)

    def _passage_sum(self, passage: PassageRecord) -> int:
        column, pooled = passage.column.tobytes(), passage.pooled.tobytes()
        return checksum(self._number, passage.number, passage.start, passage.end, column, pooled)

    def _each(self, found: Mapping[int, Any], numbers: Sequence[int]) -> list[Any]:
        missing = [number for number in numbers if number not in found]
        if missing:
            raise self._damaged(f"passage {missing[0]}")
        return [found[number] for number in numbers]

    def _damaged(self, what: str) -> CorruptMemoryError:
        return CorruptMemoryError(
            f"{self.url!r} is damaged: {what} of {self.tenant!r} is not what was written. Restore a backup, or keep "
            "what is whole with `titans repair`."
        )


def _listed(numbers: Iterable[int]) -> str:
    return ",".join(map(str, sorted(numbers))) or "NULL"  # an empty list is no SQL


def digest(turn: Turn) -> bytes:
    """Of speaker and text, to find duplicates; an accent is the same however it is encoded."""
    # A speaker may hold any character, so that its length, not a separator, keeps the two apart.
    speaker, text = (unicodedata.normalize("NFC", part) for part in (turn.speaker or "", turn.text))
    return hashlib.sha256(f"{len(speaker)}:{speaker}{text}".encode()).digest()[:16]
