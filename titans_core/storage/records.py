"""Records of the log: what it holds of a turn, and of the saved weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Head(NamedTuple):
    """The state of a tenant's log.

    Attributes:
        epoch: The epoch. Forgetting, updating and consolidating start a new one, in which all weights are rebuilt.
        position: The position of the last turn; 0 without turns.
        turns: The number of turns.
        checksum: The sum of the checksums of all records (see `TurnRecord`); it shows whether a row is missing.
    """

    epoch: int
    position: int
    turns: int
    checksum: int


@dataclass(frozen=True, slots=True)
class PassageRecord:
    """The reading of one passage, as it is stored.

    Attributes:
        number: The passage's number in the log; 0 before it is appended.
        start: The first character in the turn's text.
        end: The character after the last one.
        column: float16 (d,), the sum of the keys; the passage's column in the memory's values (see `MemoryState`).
        pooled: float16 (d,), the sentence vector, of unit length.
        keys: The packed keys (see `codec`).
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
        position: The turn's place in the log; later turns have higher positions.
        speaker: Who said it.
        session: The conversation.
        at: When it was said, in seconds since 1970, UTC.
        text: The text.
        passages: The passages, in the order of the text.
        checksum: The checksum of all fields but the text and the keys, which have their own.
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
        position: The position of the last turn that the weights have learned.
        epoch: The tenant's epoch at that time.
        spec: Fingerprint of the memory's spec.
        state: The weights in the safetensors format.
    """

    position: int
    epoch: int
    spec: str
    state: bytes
