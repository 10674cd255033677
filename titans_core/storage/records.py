"""Records of the log: turns with their passages, saved weights, and the state of the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Head(NamedTuple):
    """The state of a tenant's log.

    Attributes:
        epoch: Number of the epoch. Forgetting, updating and consolidating start a new epoch, in which all weights are
            rebuilt.
        position: Position of the last turn; 0 without turns.
        turns: Number of turns.
        checksum: Sum of the checksums of all records (see `TurnRecord`); it shows whether a row is missing.
    """

    epoch: int
    position: int
    turns: int
    checksum: int


@dataclass(frozen=True, slots=True)
class PassageRecord:
    """The reading of one passage, as it is stored.

    Attributes:
        number: Number of the passage in the log; 0 before the passage is appended.
        start: Index of its first character in the turn's text.
        end: Index of the character after its last one.
        column: Sum of the keys, float16 (d,); the passage's column in the memory's values (see `MemoryState`).
        pooled: Sentence vector of unit length, float16 (d,).
        keys: Packed keys (see `codec`).
    """

    number: int
    start: int
    end: int
    column: NDArray[np.float16]
    pooled: NDArray[np.float16]
    keys: bytes


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """One turn, as the memory learns it.

    Attributes:
        position: Position of the turn in the log; later turns have higher positions.
        speaker: Name of the speaker; None if it is unknown.
        session: Name of the conversation; None if it has none.
        at: Time at which the turn was said, in seconds since 1970, UTC.
        text: Text of the turn.
        passages: Passages of the turn, in the order of the text.
        checksum: Checksum of all fields except the text and the keys, which have checksums of their own.
    """

    position: int
    speaker: str | None
    session: str | None
    at: float
    text: str
    passages: tuple[PassageRecord, ...]
    checksum: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Saved weights.

    Attributes:
        position: Position of the last turn that the weights have learned.
        epoch: Epoch of the tenant at that time.
        spec: Fingerprint of the memory's spec.
        state: Weights in the safetensors format.
    """

    position: int
    epoch: int
    spec: str
    state: bytes
