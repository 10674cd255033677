"""Queries over the tables of a log in SQL. Every row is checked against its checksum."""

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

PASSAGES_PER_TURN = 1 << 20
"""The number of a passage is the position of its turn times this, plus the index of the passage in the turn.

So the numbers ascend in the order of the log, even after a turn was updated and kept its position.
"""

TURN_COLUMNS = "position, id, text, speaker, session, source, at, stored, metadata, turns.checksum"
"""Columns of one turn, in the order that `_turn_from_row` takes."""

_EPOCH = datetime.fromtimestamp(0, UTC)


class SqlQueries(TurnLog):
    """The read-only half of a log. It returns a row only if the row is exactly what was written.

    Attributes:
        url: URL or path of the storage.
        tenant: Name of the tenant. Only the rows of this tenant are visible.
    """

    _number: int
    """Number of the tenant in the storage; 0 while the tenant is not registered."""

    # ── differences between the SQL dialects ──

    @abstractmethod
    def _rows(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        """Run one statement and return all of its rows."""

    @abstractmethod
    def _stream(self, sql: str, values: Sequence[object]) -> Iterator[Any]:
        """Run a query whose result may not fit into memory, and yield its rows."""

    @abstractmethod
    def _text_condition(self, column: str, texts: Collection[str]) -> tuple[str, list[object]]:
        """Return a condition that is true if the column equals one of the texts, and its parameters."""

    @abstractmethod
    def _metadata_condition(self, key: str, value: object) -> tuple[str, list[object]]:
        """Return a condition that is true if the metadata has this value under this key, and its parameters."""

    def _encode_vector(self, vector: NDArray[np.float16]) -> object:
        """Convert a vector into the type that the database stores."""
        return vector.tobytes()

    def _decode_vector(self, value: Any) -> NDArray[np.float16]:
        """Convert a value from the database back into a vector.

        Args:
            value: The stored value. It can have any type if the row is damaged.

        Raises:
            TypeError: The value is not a vector.
            ValueError: The value has a length that no vector has.
        """
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
        [(epoch, position, turns, tenant_checksum, rehearsals_checksum)] = rows
        numbers = (epoch, tenant_checksum, rehearsals_checksum or 0)
        # A damaged row can contain values of any type.
        if not all(isinstance(number, int) for number in numbers) or epoch < 0:
            raise self._damage_error("the number of turns")
        return Head(epoch, position or 0, turns, tenant_checksum - (rehearsals_checksum or 0))

    def find(self, id: str) -> Turn | None:  # noqa: A002 - the name that callers use
        found = self._find_with_position(id)
        return found[1] if found else None

    def find_duplicate(self, turn: Turn) -> str | None:
        found = self._rows(
            "SELECT id FROM turns WHERE tenant = ? AND digest = ? ORDER BY position LIMIT 1",
            (self._number, digest(turn)),
        )
        return found[0][0] if found else None

    def select(self, filters: Filters) -> list[Turn]:
        return self._select_turns(*self._conditions(filters))

    def positions(self, filters: Filters) -> list[int]:
        sql, values = self._conditions(filters)
        query = f"SELECT position FROM turns WHERE tenant = ? {sql} ORDER BY position"
        return [position for (position,) in self._rows(query, [self._number, *values])]

    def position_of(self, id: str) -> int | None:  # noqa: A002 - the name that callers use
        found = self._find_with_position(id)
        return found[0] if found else None

    def turn_at(self, position: int) -> Turn:
        [turn] = self._select_turns("AND position = ?", [position])
        return turn

    def records(self, *, after: int, keys: bool) -> Iterator[TurnRecord]:
        key_columns, join = "NULL, NULL", ""
        if keys:
            key_columns = "packed, keys.checksum"
            join = "LEFT JOIN keys ON keys.tenant = turns.tenant AND passage = number"
        rows = self._stream(
            f'SELECT {TURN_COLUMNS}, record, number, "start", "end", "column", pooled, passages.checksum, '
            f"{key_columns} FROM turns LEFT JOIN passages USING (tenant, position) {join} "
            "WHERE turns.tenant = ? AND position > ? ORDER BY position, number",
            (self._number, after),
        )
        for (*columns, turn_checksum, record), group in groupby(rows, key=lambda row: row[:11]):
            position, _, text, speaker, session, _, at, *_ = columns
            passage_rows = [row[11:] for row in group]
            passage_checksums = [row[5] for row in passage_rows]
            intact = turn_checksum == checksum(self._number, *columns)
            intact = intact and record == checksum(self._number, position, speaker, session, at, *passage_checksums)
            if not intact or (keys and any(row[-1] is None for row in passage_rows)):
                raise self._damage_error(f"turn {position}")
            passages = tuple([self._passage_from_row(*row) for row in passage_rows])
            yield TurnRecord(position, speaker, session, at / 1e6, text, passages, record)

    def keys(self, numbers: Sequence[int]) -> list[bytes]:
        rows = self._rows(
            f"SELECT passage, packed, checksum FROM keys WHERE tenant = ? AND passage IN ({_sql_list(numbers)})",
            (self._number,),
        )
        packed = {}
        for number, keys, keys_checksum in rows:
            if keys_checksum != self._keys_checksum(number, keys):
                raise self._damage_error(f"passage {number}")
            packed[number] = keys
        return self._in_order(packed, numbers)

    def texts(self, numbers: Sequence[int]) -> list[str]:
        # Read whole turns and cut the passages out here: SQL's `substr` ends a text at a NUL character, and the
        # checksum covers the whole text.
        condition = f"tenant = ? AND number IN ({_sql_list(numbers)})"
        rows = self._rows(f'SELECT number, "start", "end" FROM passages WHERE {condition}', (self._number,))
        positions = {number // PASSAGES_PER_TURN for number, _, _ in rows}
        turns = self._select_turns(f"AND position IN ({_sql_list(positions)})", [])
        whole = dict(zip(sorted(positions), (turn.text for turn in turns), strict=False))
        texts = {
            number: whole[number // PASSAGES_PER_TURN][start:end]
            for number, start, end in rows
            if number // PASSAGES_PER_TURN in whole
        }
        return self._in_order(texts, numbers)

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
        [(after, positions, list_checksum)] = found
        if list_checksum != checksum(self._number, after, positions):
            raise self._damage_error("the list of rehearsed turns")
        return after, json.loads(positions)

    def load_snapshot(self) -> Snapshot | None:
        found = self._rows(
            "SELECT position, epoch, spec, state, sha256 FROM snapshots WHERE tenant = ?", (self._number,)
        )
        if not found or not isinstance(found[0][3], bytes):
            return None
        [(*saved, sha256)] = found
        snapshot = Snapshot(*saved)
        return snapshot if self._snapshot_sha256(snapshot) == sha256 else None

    # ── private helpers ──

    def _tenant_number(self) -> int:
        """Return the number of the tenant; 0 if the tenant is not registered."""
        for number, name, identity in self._rows(
            "SELECT number, name, identity FROM tenants WHERE name = ?", (self.tenant,)
        ):
            if identity != checksum(name):
                raise self._damage_error("the stored name")
            return int(number)
        return 0

    def _conditions(self, filters: Filters) -> tuple[str, list[object]]:
        """Return the filters as SQL conditions on the table `turns`, each after an AND, and their parameters."""
        parts: list[tuple[str, list[object]]] = []
        parts += [
            (f"{column} = ?", [value])
            for column in ("speaker", "session", "source")
            if (value := getattr(filters, column)) is not None
        ]
        if filters.since is not None:
            parts.append(("at >= ?", [microseconds(filters.since)]))
        if filters.until is not None:
            parts.append(("at < ?", [microseconds(filters.until)]))
        parts += [self._metadata_condition(key, value) for key, value in (filters.where or {}).items()]
        if filters.ids is not None:
            parts.append(self._text_condition("id", filters.ids))
        if filters.except_texts is not None:
            condition, values = self._text_condition("text", filters.except_texts)
            parts.append((f"NOT {condition}", values))
        return " ".join(f"AND {sql}" for sql, _ in parts), [value for _, values in parts for value in values]

    def _select_turns(self, conditions: str, values: Sequence[object]) -> list[Turn]:
        query = f"SELECT {TURN_COLUMNS} FROM turns WHERE tenant = ? {conditions} ORDER BY position"
        return [self._turn_from_row(*row) for row in self._rows(query, [self._number, *values])]

    def _find_with_position(self, id: str) -> tuple[int, Turn] | None:  # noqa: A002 - the name that callers use
        """Return the position of a turn and the turn; None if no turn has this id."""
        try:
            rows = self._rows(f"SELECT {TURN_COLUMNS} FROM turns WHERE tenant = ? AND id = ?", (self._number, id))
        except UnicodeEncodeError:  # the id has a lone surrogate, and no stored id has one
            return None
        for row in rows:
            if (turn := self._turn_from_row(*row)).id != id:  # a damaged index can lead to the wrong row
                raise self._damage_error(f"turn {row[0]}")
            return row[0], turn
        return None

    def _turn_from_row(self, *row: Any) -> Turn:
        """Make a turn from the columns `TURN_COLUMNS`, and check it against its checksum."""
        *columns, turn_checksum = row
        if turn_checksum != checksum(self._number, *columns):
            raise self._damage_error(f"turn {columns[0]}")
        _, id, text, speaker, session, source, at, _, metadata = columns  # noqa: A001 - the field's name
        spoken_at = _EPOCH + timedelta(microseconds=at)
        return Turn(text, speaker, spoken_at, session, json.loads(metadata), id, source)

    def _passage_from_row(self, *row: Any) -> PassageRecord:
        """Make a passage from one row of `records`, and check it against its checksums."""
        number, start, end, column, pooled, passage_checksum, packed, keys_checksum = row
        try:
            column, pooled = self._decode_vector(column), self._decode_vector(pooled)
        except (TypeError, ValueError) as error:  # a damaged row can hold any value
            raise self._damage_error(f"passage {number}") from error
        passage = PassageRecord(number, start, end, column, pooled, packed or b"")
        intact = passage_checksum == self._passage_checksum(passage)
        intact = intact and keys_checksum in (None, self._keys_checksum(number, packed))
        if not intact or (packed is None) != (keys_checksum is None):
            raise self._damage_error(f"passage {number}")
        return passage

    def _snapshot_sha256(self, snapshot: Snapshot) -> bytes:
        """Return the SHA-256 of a snapshot and its tenant, so that another tenant's snapshot fails the check."""
        origin = repr((self._number, snapshot.position, snapshot.epoch, snapshot.spec))
        return hashlib.sha256(origin.encode() + snapshot.state).digest()

    def _keys_checksum(self, number: int, packed: bytes) -> int:
        return checksum(self._number, number, packed)

    def _passage_checksum(self, passage: PassageRecord) -> int:
        column, pooled = passage.column.tobytes(), passage.pooled.tobytes()
        return checksum(self._number, passage.number, passage.start, passage.end, column, pooled)

    def _in_order(self, found: Mapping[int, Any], numbers: Sequence[int]) -> list[Any]:
        """Return the values in the order of the passage numbers. A missing passage is damage."""
        missing = [number for number in numbers if number not in found]
        if missing:
            raise self._damage_error(f"passage {missing[0]}")
        return [found[number] for number in numbers]

    def _damage_error(self, what: str) -> CorruptMemoryError:
        return CorruptMemoryError(
            f"The memory {self.url!r} is damaged: {what} of the tenant {self.tenant!r} is not what was written. "
            "Restore a backup, or save the turns that are intact with `titans repair`."
        )


def _sql_list(numbers: Iterable[int]) -> str:
    return ",".join(map(str, sorted(numbers))) or "NULL"  # SQL does not allow an empty list


def digest(turn: Turn) -> bytes:
    """Return a digest of speaker and text, to find duplicates.

    Composed and decomposed accents give the same digest.
    """
    # A speaker can contain any character. So the length of the speaker, not a separator, keeps the two texts apart.
    speaker, text = (unicodedata.normalize("NFC", part) for part in (turn.speaker or "", turn.text))
    return hashlib.sha256(f"{len(speaker)}:{speaker}{text}".encode()).digest()[:16]
