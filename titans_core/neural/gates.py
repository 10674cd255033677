"""The gates θ, η and α: how hard each token is written, how much past surprise stays, how much is forgotten.

In the papers they are functions of the token, learned in the outer loop. With a frozen model there is no outer loop:
here they are constants of the spec, or set by the rules below, by hand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from titans_core.errors import InvalidSpecError
from titans_core.neural.optimizer import LeastSquares

if TYPE_CHECKING:
    from torch import Tensor

    from titans_core.neural.spec import MemorySpec
    from titans_core.neural.state import MemoryState


@dataclass(frozen=True, slots=True)
class Gates:
    """One entry for each of n tokens, float64.

    Attributes:
        step: θ, at least 0; 0 does not write the token (under a window it still stands in those of the next ones).
        momentum: η in [0, 1].
        forget: α in [0, 1].
    """

    step: Tensor
    momentum: Tensor
    forget: Tensor

    @classmethod
    def constant(cls, spec: MemorySpec, tokens: int) -> Gates:
        """The spec's own numbers for each of so many tokens."""
        return cls(
            *(
                torch.full((tokens,), value, dtype=torch.float64)
                for value in (spec.step, spec.momentum, spec.retention.forget)
            )
        )

    def checked(self, tokens: int) -> Gates:
        """These gates, if they fit so many tokens.

        Raises:
            InvalidSpecError: a gate has another length, or leaves its range.
        """
        for name, gate, high in (("step", self.step, None), ("momentum", self.momentum, 1), ("forget", self.forget, 1)):
            fits = gate.shape == (tokens,) and bool((gate >= 0).all()) and (high is None or bool((gate <= high).all()))
            if not fits:
                limit = "at least 0" if high is None else "in [0, 1]"
                raise InvalidSpecError(f"The gate {name!r} needs one number {limit} for each of the {tokens} tokens.")
        return self

    def at(self, start: int, stop: int) -> Gates:
        """The gates of tokens start to stop."""
        return Gates(self.step[start:stop], self.momentum[start:stop], self.forget[start:stop])


def follow_surprise(gates: Gates, surprise: Tensor, usual: float, limit: float = 2.0) -> Gates:
    """Data-dependent step: θ_t times how surprising the token is against what is usual, at most `limit` times.

    The limit is there because a memory that writes surprises hardest writes an attacker's inventions hardest.

    Args:
        gates: for n tokens.
        surprise: (n,), of `surprise`.
        usual: what tokens of this memory surprise on the whole (`SurpriseMetric.usual`); 0 leaves all as it is.
        limit: at least 1.
    """
    if usual <= 0:
        return gates
    return replace(gates, step=gates.step * (surprise.double() / usual).clamp(max=limit))


def begin_session(gates: Gates) -> Gates:
    """Momentum reset: η = 0 for the first token, so that no surprise of another conversation lingers (Titans §3.1)."""
    momentum = gates.momentum.clone()
    momentum[:1] = 0
    return replace(gates, momentum=momentum)


def follow_fullness(gates: Gates, fullness: float) -> Gates:
    """Retention that adapts: α_t times how full the memory is, so that an empty one forgets nothing.

    Args:
        gates: for n tokens.
        fullness: in [0, 1], see `fullness`.
    """
    return replace(gates, forget=gates.forget * fullness)


def fullness(spec: MemorySpec, state: MemoryState) -> float:
    """How much of the memory is taken, in [0, 1].

    Of a least-squares memory the share of the directions of a key that it has learned, tr(I − λP) / d (its degrees
    of freedom). Of the others the number of tokens against the rows that their narrowest layer can tell apart.
    """
    if isinstance(spec.optimizer, LeastSquares):
        return max(0.0, float(1 - spec.optimizer.ridge * state.inverse.diagonal().mean()))
    capacity = min(min(weights.shape) for weights in state.weights)
    return min(1.0, state.tokens / capacity)
