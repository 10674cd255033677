"""What the log holds of a turn beside its text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Head(NamedTuple):
    """How far a tenant's log has come.

    Attributes:
        epoch: forgetting, updating and consolidating start a new one, in which all weights are rebuilt.
        position: of the last turn; 0 without one.
        turns: how many there are.
        checksum: the sum of the records' checksums (see `TurnRecord`): tells whether a row has vanished.
    """

    epoch: int
    position: int
    turns: int
    checksum: int


@dataclass(frozen=True, slots=True)
class PassageRecord:
    """One passage, as the memory uses it.

    Attributes:
        number: its number in the log; 0 before it is appended.
        start: first character in the turn's text.
        end: character after the last.
        column: float16 (d,); the sum of its keys, its column in the memory's values (see `MemoryState`).
        pooled: float16 (d,); its sentence vector, of unit length.
        keys: the packed keys (see `codec`).
    """

    number: int
    start: int
    end: int
    column: NDArray[np.float16]
    pooled: NDArray[np.float16]
    keys: bytes


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """One turn without its text.

    Attributes:
        position: its place in the log; later turns have higher ones.
        speaker: who said it.
        session: the conversation.
        at: when it was said, in seconds since 1970, UTC.
        text: what was said.
        passages: in the order of the text.
        checksum: over all of this but the text and the keys, which have their own.
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
        position: the last turn that they have learned.
        epoch: the tenant's epoch then; forgetting and updating start a new one.
        spec: fingerprint of the memory's spec.
        state: the weights in the safetensors format.
    """

    position: int
    epoch: int
    spec: str
    state: bytes
