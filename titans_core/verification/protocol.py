"""The interface of a verifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from titans_core.verification.pair import Pair


class Verifier(Protocol):
    """A frozen model that reads a question and a passage together.

    A verifier never learns. The same pair gets the same log odds alone or in a batch, with any number of threads and
    on any CPU, up to .01.
    """

    @property
    def fingerprint(self) -> str:
        """Identifies the model and its weights: equal fingerprints mean equal log odds."""

    def log_odds(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        """The log odds that each passage answers its question, (n,); in any order and number."""
