"""One tenant's append-only log, in SQLite."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from titans_core.episodes.database import IN_MEMORY, open_database, transaction, translated_errors
from titans_core.episodes.records import PassageRecord, Snapshot, TurnRecord
from titans_core.episodes.schema import words_table
from titans_core.errors import ReaderMismatchError
from titans_core.types import Turn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from titans_core.episodes.filters import Filters

# A passage's number is its turn's position times this, plus its place in the turn: numbers ascend along the log,
# also when a turn is updated in its place.
_PASSAGES = 1 << 20

_TURN = "id, text, speaker, session, at, metadata"


class EpisodeLog:
    """The turns of one tenant, in the order in which they were memorized.

    Writes happen inside `transaction`; not thread-safe, its memory holds a lock.
    """

    def __init__(self, url: str | Path, tenant: str, *, reader: str, dim: int) -> None:
        """Open a file, and the tenant's part of it.

        Args:
            url: a path or ":memory:".
            tenant: the tenant's name.
            reader: fingerprint of the reader; a file takes the keys of one reader only.
            dim: length of its keys.

        Raises:
            StorageError: the file cannot be used; the subclass says why.
            ReaderMismatchError: the file holds the keys of another reader.
        """
        self.url = str(url)
        self.tenant = tenant
        self._connection = open_database(url)
        try:
            with self.transaction():
                self._claim(reader, dim)
                self._number = self._register(tenant)
        except BaseException:
            self._connection.close()
            raise
        self._words = f"words_{self._number}"

    def _claim(self, reader: str, dim: int) -> None:
        found = self._connection.execute("SELECT fingerprint FROM readers").fetchone()
        if found is None:
            self._connection.execute("INSERT INTO readers VALUES (?, ?)", (reader, dim))
        elif found[0] != reader:
            raise ReaderMismatchError(
                f"{self.url!r} was written with the reader {found[0]}, not {reader}: their keys cannot be compared. "
                "Open it with the model and quantization it was written with; or export() its turns with that "
                "reader and import_() them into a new file with this one."
            )

    def _register(self, tenant: str) -> int:
        find = "SELECT number FROM tenants WHERE name = ?"
        if found := self._connection.execute(find, (tenant,)).fetchone():
            return int(found[0])
        number = self._connection.execute("INSERT INTO tenants (name) VALUES (?)", (tenant,)).lastrowid
        self._connection.execute(words_table(int(number or 0)))
        return int(number or 0)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All writes inside happen, or none; nobody else writes meanwhile."""
        with translated_errors(self.url), transaction(self._connection):
            yield

    # ── writing ──

    def append(self, turn: Turn, passages: Sequence[PassageRecord], *, position: int | None = None) -> TurnRecord:
        """Append one checked turn with its passages; inside a transaction.

        Args:
            turn: the turn, with id and time.
            passages: its passages, not numbered yet.
            position: a free position to take instead of the next one, when a turn is updated.

        Returns:
            The record with the position and the passages' numbers.
        """
        assert turn.at is not None  # noqa: S101 - `checked_turn` fills it in; for the type checker
        row = (
            position, self._number, turn.id, turn.text, turn.speaker, turn.session, turn.at.timestamp(),
            json.dumps(turn.metadata, ensure_ascii=False), _digest(turn),
        )  # fmt: skip
        position = self._connection.execute("INSERT INTO turns VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row).lastrowid or 0
        numbered = tuple(
            replace(passage, number=position * _PASSAGES + ordinal) for ordinal, passage in enumerate(passages)
        )
        for passage in numbered:
            self._append_passage(position, turn, passage)
        return TurnRecord(position, turn.speaker, turn.session, turn.at.timestamp(), numbered)

    def _append_passage(self, position: int, turn: Turn, passage: PassageRecord) -> None:
        self._connection.execute(
            "INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?)",
            (
                passage.number, position, passage.start, passage.end,
                passage.column.tobytes(), passage.pooled.tobytes(),
            ),
        )  # fmt: skip
        self._connection.execute("INSERT INTO keys VALUES (?, ?)", (passage.number, passage.keys))
        self._connection.execute(
            f"INSERT INTO {self._words} (rowid, text) VALUES (?, ?)",  # noqa: S608 - a table's number
            (passage.number, _words_of(turn, passage.start, passage.end)),
        )

    def delete(self, positions: Iterable[int]) -> None:
        """Delete turns and start a new epoch, in which all weights are rebuilt; inside a transaction."""
        for position in positions:
            [turn] = self._turns("AND position = ?", [position])
            for number, start, end in self._connection.execute(
                'SELECT number, "start", "end" FROM passages WHERE position = ?', (position,)
            ).fetchall():
                # A contentless index forgets a text only when it is told it again.
                self._connection.execute(
                    f"INSERT INTO {self._words} ({self._words}, rowid, text) VALUES ('delete', ?, ?)",  # noqa: S608
                    (number, _words_of(turn, start, end)),
                )
            self._connection.execute("DELETE FROM turns WHERE position = ?", (position,))
        # Until its parts are merged, the full-text index only marks words as deleted and keeps their stems.
        self._connection.execute(f"INSERT INTO {self._words} ({self._words}) VALUES ('optimize')")  # noqa: S608
        self._begin_epoch()

    def set_metadata(self, position: int, metadata: Mapping[str, object]) -> None:
        """Replace a turn's checked metadata, of which the weights know nothing; inside a transaction."""
        self._connection.execute(
            "UPDATE turns SET metadata = ? WHERE position = ?", (json.dumps(metadata, ensure_ascii=False), position)
        )

    def rehearse(self, positions: Sequence[int]) -> None:
        """Have the weights learn these turns once more from now on, in a new epoch; inside a transaction."""
        _, after = self.head()
        self._connection.execute("DELETE FROM rehearsals WHERE tenant = ?", (self._number,))
        self._connection.executemany(
            "INSERT INTO rehearsals VALUES (?, ?, ?)", [(position, self._number, after) for position in positions]
        )
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        """From here on all weights are rebuilt, in every process."""
        self._connection.execute("DELETE FROM snapshots WHERE tenant = ?", (self._number,))
        self._connection.execute("UPDATE tenants SET epoch = epoch + 1 WHERE number = ?", (self._number,))

    def checkpoint(self) -> None:
        """Move everything from the write-ahead log into the file and empty the former, if nobody else reads it."""
        with translated_errors(self.url):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    # ── reading ──

    def head(self) -> tuple[int, int]:
        """The tenant's epoch, and the position of the last turn (0 without one)."""
        with translated_errors(self.url):
            epoch, position = self._connection.execute(
                "SELECT epoch, (SELECT max(position) FROM turns WHERE tenant = number) FROM tenants WHERE number = ?",
                (self._number,),
            ).fetchone()
        return int(epoch), int(position or 0)

    def find(self, id: str) -> Turn | None:  # noqa: A002 - the name that callers use
        """The turn with this id."""
        with translated_errors(self.url):
            found = self._turns("AND id = ?", [id])
        return found[0] if found else None

    def find_duplicate(self, turn: Turn) -> str | None:
        """The id of the first turn with this speaker and text."""
        with translated_errors(self.url):
            found = self._connection.execute(
                "SELECT id FROM turns WHERE tenant = ? AND digest = ? ORDER BY position LIMIT 1",
                (self._number, _digest(turn)),
            ).fetchone()
        return found[0] if found else None

    def select(self, filters: Filters) -> list[Turn]:
        """The turns that pass the filters, in order."""
        sql, values = filters.sql()
        with translated_errors(self.url):
            return self._turns(sql, values)

    def positions(self, filters: Filters) -> list[int]:
        """The positions of the turns that pass the filters, in order."""
        sql, values = filters.sql()
        with translated_errors(self.url):
            query = f"SELECT position FROM turns WHERE tenant = ? {sql} ORDER BY position"  # noqa: S608 - our own texts
            return self._column(query, values)

    def position_of(self, id: str) -> int | None:  # noqa: A002 - as above
        """The position of the turn with this id."""
        with translated_errors(self.url):
            found = self._column("SELECT position FROM turns WHERE tenant = ? AND id = ?", [id])
        return found[0] if found else None

    def turn_at(self, position: int) -> Turn:
        """The turn at this position, which must exist."""
        with translated_errors(self.url):
            [turn] = self._turns("AND position = ?", [position])
        return turn

    def records(self, *, after: int, keys: bool) -> Iterator[TurnRecord]:
        """The records of all turns after a position, in order.

        Args:
            after: 0 for all.
            keys: whether to read the packed keys; without them the records' are empty.
        """
        packed = "packed" if keys else "x''"
        join = "LEFT JOIN keys ON keys.passage = number" if keys else ""
        with translated_errors(self.url):
            rows = self._connection.execute(
                f'SELECT position, speaker, session, at, number, "start", "end", "column", pooled, {packed} '  # noqa: S608
                f"FROM turns LEFT JOIN passages USING (position) {join} "
                "WHERE tenant = ? AND position > ? ORDER BY position, number",
                (self._number, after),
            )
            for (position, speaker, session, at), group in groupby(rows, key=lambda row: row[:4]):
                passages = tuple(_passage(*row[4:]) for row in group if row[4] is not None)
                yield TurnRecord(position, speaker, session, at, passages)

    def keys(self, numbers: Sequence[int]) -> list[bytes]:
        """The packed keys of passages, in the order asked for."""
        with translated_errors(self.url):
            rows = self._connection.execute(
                f"SELECT passage, packed FROM keys WHERE passage IN ({','.join(map(str, numbers))})"  # noqa: S608
            )
            packed = dict(rows.fetchall())
        return [packed[number] for number in numbers]

    def texts(self, numbers: Sequence[int]) -> list[str]:
        """The texts of passages, in the order asked for."""
        with translated_errors(self.url):
            rows = self._connection.execute(
                'SELECT number, substr(text, "start" + 1, "end" - "start") FROM passages JOIN turns USING (position) '  # noqa: S608
                f"WHERE number IN ({','.join(map(str, numbers))})"
            )
            texts = dict(rows.fetchall())
        return [texts[number] for number in numbers]

    def frequency(self, word: str) -> int:
        """The number of passages that hold a word, or another of its stem."""
        with translated_errors(self.url):
            [count] = self._connection.execute(
                f"SELECT count(*) FROM {self._words} WHERE {self._words} MATCH ?",  # noqa: S608 - a table's number
                (_quoted(word),),
            ).fetchone()
        return int(count)

    def match(self, words: Sequence[str], *, limit: int) -> list[tuple[int, float]]:
        """Full-text search: (passage number, BM25 score) of the best passages with any of the words, best first."""
        if not words:
            return []
        with translated_errors(self.url):
            return self._connection.execute(
                f"SELECT rowid, -rank FROM {self._words} WHERE {self._words} MATCH ? ORDER BY rank LIMIT ?",  # noqa: S608
                (" OR ".join(map(_quoted, words)), limit),
            ).fetchall()

    # ── weights ──

    def rehearsals(self) -> tuple[int, list[int]]:
        """The last turn at the last consolidation (0 without one), and the positions of those rehearsed, in order."""
        with translated_errors(self.url):
            rows = self._connection.execute(
                'SELECT "after", position FROM rehearsals WHERE tenant = ? ORDER BY position', (self._number,)
            ).fetchall()
        return (int(rows[0][0]) if rows else 0), [int(position) for _, position in rows]

    def load_snapshot(self) -> Snapshot | None:
        """The saved weights, if there are any and their checksum is right."""
        with translated_errors(self.url):
            found = self._connection.execute(
                "SELECT position, epoch, spec, state, sha256 FROM snapshots WHERE tenant = ?", (self._number,)
            ).fetchone()
        if found is None or hashlib.sha256(found[3]).digest() != found[4]:
            return None
        return Snapshot(*found[:4])

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Replace the saved weights; inside a transaction."""
        self._connection.execute(
            "INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?, ?, ?)",
            (
                self._number, snapshot.position, snapshot.epoch, snapshot.spec,
                hashlib.sha256(snapshot.state).digest(), snapshot.state,
            ),
        )  # fmt: skip

    # ── the file ──

    def size(self) -> int:
        """Bytes on disk, write-ahead log included; 0 for ":memory:"."""
        if self.url == IN_MEMORY:
            return 0
        files = (Path(self.url + suffix) for suffix in ("", "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def close(self) -> None:
        """Close the connection; the last one to close empties the write-ahead log."""
        self._connection.close()

    def _turns(self, sql: str, values: list[object]) -> list[Turn]:
        rows = self._connection.execute(
            f"SELECT {_TURN} FROM turns WHERE tenant = ? {sql} ORDER BY position",  # noqa: S608 - our own texts
            [self._number, *values],
        )
        return [_turn(*row) for row in rows]

    def _column(self, sql: str, values: list[object]) -> list[int]:
        return [row[0] for row in self._connection.execute(sql, [self._number, *values])]


def stored_tenants(url: str | Path) -> list[str]:
    """The names of the tenants of a file that have a turn; none if there is no file.

    Raises:
        StorageError: the file cannot be used; the subclass says why.
    """
    if not Path(url).exists():
        return []
    with translated_errors(str(url)), closing(open_database(url)) as connection:
        query = "SELECT name FROM tenants WHERE EXISTS (SELECT 1 FROM turns WHERE tenant = number)"
        return [name for (name,) in connection.execute(query)]


def _turn(id: str, text: str, speaker: str | None, session: str | None, at: float, metadata: str) -> Turn:  # noqa: A002
    return Turn(
        text=text,
        speaker=speaker,
        at=datetime.fromtimestamp(at, UTC),
        session=session,
        metadata=json.loads(metadata),
        id=id,
    )


def _passage(number: int, start: int, end: int, column: bytes, pooled: bytes, keys: bytes) -> PassageRecord:
    return PassageRecord(number, start, end, np.frombuffer(column, np.float16), np.frombuffer(pooled, np.float16), keys)


def _quoted(word: str) -> str:
    """A word as a full-text expression: quoted, it is never an operator."""
    return '"' + word.replace('"', '""') + '"'


def _words_of(turn: Turn, start: int, end: int) -> str:
    return f"{turn.speaker or ''} {turn.text[start:end]}"


def _digest(turn: Turn) -> bytes:
    # A speaker may hold any character, so that its length, not a separator, keeps the two apart.
    speaker = turn.speaker or ""
    return hashlib.sha256(f"{len(speaker)}:{speaker}{turn.text}".encode()).digest()[:16]
