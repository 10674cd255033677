"""Readings of exported turns, in the safetensors format. With them an import does not read the turns again.

For N turns with P passages and K token keys of length d:

* `passages` int32 (N,): the number of passages of each turn.
* `checksums` int64 (N,): for each turn the checksum of its id, speaker, text and readings.
* `spans` int32 (P, 3): for each passage the index of its first character in the turn, the index of the character after
  its last one, and its number of keys.
* `columns` float16 (P, d), `pooled` float16 (P, d): see `PassageRecord`.
* `keys` uint8 (K, d / 2): see `codec`.

The metadata of the header have one entry, `titans`. It is a JSON object with the fields `format`, `version`, `reader`
(the fingerprint of the reader), `dim` and `turns_sha256` (the hash of the file of turns that the readings belong to).
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from titans_core._utils.closeable import Closeable
from titans_core.storage.checksum import checksum
from titans_core.storage.codec import decode_keys
from titans_core.storage.records import PassageRecord

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from titans_core.types import Turn

_DTYPES = {"passages": "<i4", "checksums": "<i8", "spans": "<i4", "columns": "<f2", "pooled": "<f2", "keys": "u1"}
_SAVED_AS = {"<i4": "I32", "<i8": "I64", "<f2": "F16", "u1": "U8"}

_TOLERANCE = 2**-8
"""Largest difference between a column and the sum of its keys.

They may differ because float16 has a precision of 2⁻¹¹, and other processors add in another order.
"""


class ReadingsWriter(Closeable):
    """Collects readings in temporary files, so that they may be larger than the machine's memory."""

    def __init__(self, dim: int, folder: Path) -> None:
        """Create the temporary files. They have no name in the folder, and disappear when the process ends.

        Args:
            dim: Length of the reader's keys.
            folder: Folder of the temporary files.
        """
        self._dim = dim
        self._stack = ExitStack()
        self._parts: dict[str, IO[bytes]] = {
            name: self._stack.enter_context(TemporaryFile(dir=folder))  # noqa: SIM115 - the stack closes it
            for name in _DTYPES
        }

    def add(self, turn: Turn, passages: Sequence[PassageRecord]) -> None:
        """Add the readings of the next turn."""
        spans = _spans(passages, self._dim)
        self._write("passages", [len(passages)])
        self._write("checksums", [_checksum(turn, spans, passages)])
        self._write("spans", spans)
        for passage in passages:
            self._write("columns", passage.column)
            self._write("pooled", passage.pooled)
            self._parts["keys"].write(passage.keys)

    def save(self, path: Path, *, reader: str, turns_sha256: str) -> None:
        """Write all readings to a file.

        Args:
            path: Path of the file.
            reader: Fingerprint of the reader.
            turns_sha256: SHA-256 of the file of turns, in hexadecimal.

        Raises:
            SafetensorError: The file cannot be written.
        """
        header = _header(reader, self._dim, turns_sha256)
        tensors = {name: self._map(name) for name in _DTYPES}
        save_file(tensors, path, metadata={"titans": json.dumps(header)})

    def close(self) -> None:
        """Delete the temporary files."""
        self._stack.close()

    def _write(self, name: str, values: Any) -> None:
        self._parts[name].write(np.asarray(values, _DTYPES[name]).tobytes())

    def _map(self, name: str) -> NDArray[Any]:
        """Map a temporary file into memory as a tensor."""
        part, dtype, row = self._parts[name], np.dtype(_DTYPES[name]), _row(name, self._dim)
        part.flush()
        rows = part.tell() // (dtype.itemsize * int(np.prod(row)))
        return np.memmap(part, dtype, "r", shape=(rows, *row)) if rows else np.zeros((0, *row), dtype)


class Readings:
    """The readings of a file of turns. They are not trusted: `of` leaves out turns whose readings are damaged."""

    def __init__(self, file: Any, dim: int) -> None:
        """Use `open`."""
        self._file = file
        self._dim = dim
        self._checksums = file.get_tensor("checksums")
        self._spans = file.get_tensor("spans")
        # Index of the first passage of each turn, and of the first key of each passage; the last entry is the end.
        self._passages = _starts(file.get_tensor("passages"))
        self._keys = _starts(self._spans[:, 2])

    @classmethod
    def open(cls, path: Path, *, reader: str, dim: int, turns: int, turns_sha256: str) -> Self | None:
        """Open a file of readings.

        Args:
            path: Path of the file.
            reader: Fingerprint of the reader that would otherwise read the turns.
            dim: Length of the reader's keys.
            turns: Number of turns.
            turns_sha256: SHA-256 of the file of turns, in hexadecimal.

        Returns:
            The readings; None if the file is missing or damaged, or belongs to other turns or to another reader.
        """
        try:
            file: Any = safe_open(path, "numpy")
            header = json.loads((file.metadata() or {}).get("titans", "{}"))
            fits = header == _header(reader, dim, turns_sha256) and _fits(file, dim, turns)
            return cls(file, dim) if fits else None
        except (SafetensorError, OSError, ValueError, RecursionError):
            return None

    def of(self, turns: Sequence[Turn], first: int) -> dict[str, list[PassageRecord]]:
        """Return the passages of consecutive turns.

        Args:
            turns: The turns.
            first: Index of the first turn in the file, from 0.

        Returns:
            The passages by the id of the turn, without the turns whose readings are damaged.
        """
        starts = self._passages[first : first + len(turns) + 1]
        rows = slice(int(starts[0]), int(starts[-1]))
        keys = slice(int(self._keys[rows.start]), int(self._keys[rows.stop]))
        columns, pooled, packed = self._rows("columns", rows), self._rows("pooled", rows), self._rows("keys", keys)
        passages_by_id: dict[str, list[PassageRecord]] = {}
        for ordinal, turn in enumerate(turns):
            passages = [
                PassageRecord(
                    number=0,
                    start=int(self._spans[row, 0]),
                    end=int(self._spans[row, 1]),
                    column=columns[row - rows.start],
                    pooled=pooled[row - rows.start],
                    keys=packed[self._keys[row] - keys.start : self._keys[row + 1] - keys.start].tobytes(),
                )
                for row in range(starts[ordinal], starts[ordinal + 1])
            ]
            intact = int(self._checksums[first + ordinal]) == _checksum(turn, _spans(passages, self._dim), passages)
            if intact and _is_plausible(turn, passages, self._dim):
                passages_by_id[turn.id or ""] = passages
        return passages_by_id

    def _rows(self, name: str, rows: slice) -> NDArray[Any]:
        if rows.start == rows.stop:  # safetensors raises an error for an empty slice
            return np.zeros((0, *_row(name, self._dim)), _DTYPES[name])
        values: NDArray[Any] = self._file.get_slice(name)[rows]
        return values


def _header(reader: str, dim: int, turns_sha256: str) -> dict[str, object]:
    """Return the entry `titans` of the header's metadata."""
    return {"format": "titans-readings", "version": 1, "reader": reader, "dim": dim, "turns_sha256": turns_sha256}


def _row(name: str, dim: int) -> tuple[int, ...]:
    """Return the shape of one row of a tensor."""
    return {"spans": (3,), "columns": (dim,), "pooled": (dim,), "keys": (dim // 2,)}.get(name, ())


def _fits(file: Any, dim: int, turns: int) -> bool:
    """Return whether the tensors have the right types and shapes, and the counts agree with the numbers of rows."""
    slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - the file is no dict
    if slices.keys() != _DTYPES.keys():
        return False
    shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
    for name, part in slices.items():
        if part.get_dtype() != _SAVED_AS[_DTYPES[name]] or shapes[name][1:] != _row(name, dim) or not shapes[name]:
            return False
    passages, spans = file.get_tensor("passages"), file.get_tensor("spans")
    return bool(
        shapes["passages"] == shapes["checksums"] == (turns,)
        and shapes["spans"][0] == shapes["columns"][0] == shapes["pooled"][0] == passages.sum(dtype=np.int64)
        and shapes["keys"][0] == spans[:, 2].sum(dtype=np.int64)
        and (passages >= 0).all()
        and (spans >= 0).all()
    )


def _starts(counts: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the start of each group, and the end of the last group, from the sizes of the groups."""
    starts: NDArray[np.int64] = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    return starts


def _spans(passages: Sequence[PassageRecord], dim: int) -> NDArray[np.int32]:
    spans = [(passage.start, passage.end, len(passage.keys) * 2 // dim) for passage in passages]
    return np.array(spans, "<i4").reshape(-1, 3)


def _checksum(turn: Turn, spans: NDArray[np.int32], passages: Sequence[PassageRecord]) -> int:
    parts = [
        part for passage in passages for part in (passage.column.tobytes(), passage.pooled.tobytes(), passage.keys)
    ]
    return checksum(turn.id, turn.speaker, turn.text, spans.tobytes(), *parts)


def _is_plausible(turn: Turn, passages: Sequence[PassageRecord], dim: int) -> bool:
    """Return whether the readings can belong to the turn. A checksum detects accidents only, and not attacks."""
    end = 0
    for passage in passages:
        if not end <= passage.start < passage.end <= len(turn.text):
            return False
        codes = np.frombuffer(passage.keys, np.uint8).reshape(-1, dim // 2)
        # Each code is in 1 to 15, and 8 means zero. A key that has only zeros would have no direction.
        if not (codes & 0x0F).all() or not (codes & 0xF0).all() or not (codes != 0x88).any(axis=1).all():
            return False
        sums = decode_keys(passage.keys, dim).sum(axis=0)
        if not np.allclose(passage.column, sums, rtol=_TOLERANCE, atol=_TOLERANCE):
            return False
        if not np.linalg.norm(passage.pooled.astype(np.float32)) <= 1 + _TOLERANCE:  # also false for NaN
            return False
        end = passage.end
    return True
