"""What kind of memory: the constants of the inner loop."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass

from titans_core.errors import InvalidSpecError


@dataclass(frozen=True, slots=True)
class MemorySpec:
    """A linear memory with an L2 attentional bias, learned by recursive least squares.

    In the terms of MIRAS: architecture linear, attentional bias L2, retention `keep`, optimizer second order.

    Attributes:
        dim: d, the length of a key; at least 1.
        ridge: λ, above 0; how strongly the weights are held at zero. From 10 to 100 recall hardly changes.
        keep: in (0, 1]; the share of what was learned that one write leaves in place. 1 never forgets.
    """

    dim: int
    ridge: float = 30.0
    keep: float = 1.0

    def __post_init__(self) -> None:
        if self.dim < 1 or self.ridge <= 0 or not 0 < self.keep <= 1:
            raise InvalidSpecError(f"A memory needs dim >= 1, ridge > 0 and keep in (0, 1]; got {self}.")

    @property
    def fingerprint(self) -> str:
        """Identifies the spec: weights that were learned under another one are rebuilt."""
        return hashlib.sha256(repr(sorted(asdict(self).items())).encode()).hexdigest()[:16]
