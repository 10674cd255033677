"""Readings of exported turns, in the safetensors format: with them an import need not read the turns again.

For N turns with P passages and K token keys of length d:

* `passages` int32 (N,): the number of passages of each turn.
* `checksums` int64 (N,): for each turn the checksum of its id, speaker, text and readings.
* `spans` int32 (P, 3): the passage's first character in its turn, the character after its last, its number of keys.
* `columns` float16 (P, d), `pooled` float16 (P, d): see `PassageRecord`.
* `keys` uint8 (K, d / 2): see `codec`.

The header's metadata hold one entry, `titans`, a JSON object: `format`, `version`, `reader` (its fingerprint), `dim`
and `turns_sha256` (the hash of the file of turns that the readings belong to).
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

_NEAR = 2**-8
"""The largest difference between a column and the sum of its keys: float16 has a precision of 2⁻¹¹, and other
processors add in another order."""


class ReadingsWriter(Closeable):
    """Collects readings in temporary files, so that they may be larger than the machine's memory."""

    def __init__(self, dim: int, folder: Path) -> None:
        """Create the temporary files; they have no name in the folder, and end with the process.

        Args:
            dim: The length of the reader's keys.
            folder: The folder of the temporary files.
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
            turns_sha256: SHA-256 of the file of turns.

        Raises:
            SafetensorError: The file cannot be written.
        """
        about = _about(reader, self._dim, turns_sha256)
        tensors = {name: self._mapped(name) for name in _DTYPES}
        save_file(tensors, path, metadata={"titans": json.dumps(about)})

    def close(self) -> None:
        """Delete the temporary files."""
        self._stack.close()

    def _write(self, name: str, values: Any) -> None:
        self._parts[name].write(np.asarray(values, _DTYPES[name]).tobytes())

    def _mapped(self, name: str) -> NDArray[Any]:
        part, dtype, row = self._parts[name], np.dtype(_DTYPES[name]), _row(name, self._dim)
        part.flush()
        rows = part.tell() // (dtype.itemsize * int(np.prod(row)))
        return np.memmap(part, dtype, "r", shape=(rows, *row)) if rows else np.zeros((0, *row), dtype)


class Readings:
    """The readings of a file of turns. They are not trusted: turns whose readings are damaged are read again."""

    def __init__(self, file: Any, dim: int) -> None:
        """Use `open`."""
        self._file = file
        self._dim = dim
        self._checksums = file.get_tensor("checksums")
        self._spans = file.get_tensor("spans")
        # For each turn its first passage, and for each passage its first key, with an end after the last one.
        self._passages = _starts(file.get_tensor("passages"))
        self._keys = _starts(self._spans[:, 2])

    @classmethod
    def open(cls, path: Path, *, reader: str, dim: int, turns: int, turns_sha256: str) -> Self | None:
        """Open a file of readings.

        Args:
            path: Path of the file.
            reader: Fingerprint of the reader that would otherwise read the turns.
            dim: The length of the reader's keys.
            turns: The number of turns.
            turns_sha256: SHA-256 of the file of turns.

        Returns:
            The readings; None if the file is missing or damaged, or belongs to other turns or to another reader.
        """
        try:
            file: Any = safe_open(path, "numpy")
            about = json.loads((file.metadata() or {}).get("titans", "{}"))
            fits = about == _about(reader, dim, turns_sha256) and _fits(file, dim, turns)
            return cls(file, dim) if fits else None
        except (SafetensorError, OSError, ValueError, RecursionError):
            return None

    def of(self, turns: Sequence[Turn], first: int) -> dict[str, list[PassageRecord]]:
        """The passages of consecutive turns, by id; turns whose readings are damaged are left out.

        Args:
            turns: The turns.
            first: The place of the first turn in the file, from 0.
        """
        starts = self._passages[first : first + len(turns) + 1]
        rows = slice(int(starts[0]), int(starts[-1]))
        keys = slice(int(self._keys[rows.start]), int(self._keys[rows.stop]))
        columns, pooled, packed = self._rows("columns", rows), self._rows("pooled", rows), self._rows("keys", keys)
        found: dict[str, list[PassageRecord]] = {}
        for number, turn in enumerate(turns):
            passages = [
                PassageRecord(
                    number=0,
                    start=int(self._spans[row, 0]),
                    end=int(self._spans[row, 1]),
                    column=columns[row - rows.start],
                    pooled=pooled[row - rows.start],
                    keys=packed[self._keys[row] - keys.start : self._keys[row + 1] - keys.start].tobytes(),
                )
                for row in range(starts[number], starts[number + 1])
            ]
            sums = int(self._checksums[first + number])
            if sums == _checksum(turn, _spans(passages, self._dim), passages) and _plausible(turn, passages, self._dim):
                found[turn.id or ""] = passages
        return found

    def _rows(self, name: str, rows: slice) -> NDArray[Any]:
        if rows.start == rows.stop:  # safetensors raises an error for an empty slice
            return np.zeros((0, *_row(name, self._dim)), _DTYPES[name])
        values: NDArray[Any] = self._file.get_slice(name)[rows]
        return values


def _about(reader: str, dim: int, turns_sha256: str) -> dict[str, object]:
    return {"format": "titans-readings", "version": 1, "reader": reader, "dim": dim, "turns_sha256": turns_sha256}


def _row(name: str, dim: int) -> tuple[int, ...]:
    """The shape of one row of a tensor."""
    return {"spans": (3,), "columns": (dim,), "pooled": (dim,), "keys": (dim // 2,)}.get(name, ())


def _fits(file: Any, dim: int, turns: int) -> bool:
    """Whether the tensors have the right types and shapes, and the counts agree with the numbers of rows."""
    slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no dict
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
    starts: NDArray[np.int64] = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    return starts


def _spans(passages: Sequence[PassageRecord], dim: int) -> NDArray[np.int32]:
    listed = [(passage.start, passage.end, len(passage.keys) * 2 // dim) for passage in passages]
    return np.array(listed, "<i4").reshape(-1, 3)


def _checksum(turn: Turn, spans: NDArray[np.int32], passages: Sequence[PassageRecord]) -> int:
    parts = [
        part for passage in passages for part in (passage.column.tobytes(), passage.pooled.tobytes(), passage.keys)
    ]
    return checksum(turn.id, turn.speaker, turn.text, spans.tobytes(), *parts)


def _plausible(turn: Turn, passages: Sequence[PassageRecord], dim: int) -> bool:
    """Whether the readings can belong to the turn; a checksum detects accidents only."""
    end = 0
    for passage in passages:
        if not end <= passage.start < passage.end <= len(turn.text):
            return False
        codes = np.frombuffer(passage.keys, np.uint8).reshape(-1, dim // 2)
        # A number is in 1 to 15, and 8 means zero. A key of zeros would have no direction.
        if not (codes & 0x0F).all() or not (codes & 0xF0).all() or not (codes != 0x88).any(axis=1).all():
            return False
        sums = decode_keys(passage.keys, dim).sum(axis=0)
        if not np.allclose(passage.column, sums, rtol=_NEAR, atol=_NEAR):
            return False
        if not np.linalg.norm(passage.pooled.astype(np.float32)) <= 1 + _NEAR:  # also false for NaN
            return False
        end = passage.end
    return True
