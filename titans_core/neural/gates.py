"""The gates θ, η and α: how strongly each token is written, how much past surprise stays, how much is forgotten.

In the papers the gates are functions of the token, learned in the outer loop. A frozen model has no outer loop, so here
the gates are constants of the spec, or hand-made rules set them: the functions below.
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
    """The gates of n tokens.

    Attributes:
        step: θ for each token, float64 (n,), at least 0. A token with step 0 is not written; with a window above 1 it
            still belongs to the windows of the next tokens.
        momentum: η for each token, float64 (n,), in [0, 1].
        forget: α for each token, float64 (n,), in [0, 1].
    """

    step: Tensor
    momentum: Tensor
    forget: Tensor

    @classmethod
    def constant(cls, spec: MemorySpec, tokens: int) -> Gates:
        """Make gates that have the spec's constants for every token.

        Args:
            spec: The memory's choices.
            tokens: Number n of tokens.
        """
        return cls(
            *(
                torch.full((tokens,), value, dtype=torch.float64)
                for value in (spec.step, spec.momentum, spec.retention.forget)
            )
        )

    def checked(self, tokens: int) -> Gates:
        """Return these gates after a check of their length and range.

        Args:
            tokens: Number of tokens that the gates must fit.

        Raises:
            InvalidSpecError: A gate has another length, or a number outside its range.
        """
        for name, gate, high in (("step", self.step, None), ("momentum", self.momentum, 1), ("forget", self.forget, 1)):
            fits = gate.shape == (tokens,) and bool((gate >= 0).all()) and (high is None or bool((gate <= high).all()))
            if not fits:
                limit = "at least 0" if high is None else "in [0, 1]"
                raise InvalidSpecError(f"The gate {name!r} needs one number {limit} for each of the {tokens} tokens.")
        return self

    def at(self, start: int, stop: int) -> Gates:
        """Return the gates of the tokens from `start` up to, but not including, `stop`."""
        return Gates(self.step[start:stop], self.momentum[start:stop], self.forget[start:stop])


def follow_surprise(gates: Gates, surprise: Tensor, usual: float, limit: float = 2.0) -> Gates:
    """Make the step depend on surprise: θ_t is multiplied by the token's surprise divided by the usual surprise.

    The factor has a limit, because an attacker's inventions are surprising too: without a limit the memory would write
    them most strongly.

    Args:
        gates: Gates of n tokens.
        surprise: Momentary surprise of the tokens, (n,), as `surprise` returns it.
        usual: Usual surprise of this memory's tokens (`SurpriseMetric.usual`); 0 leaves the gates unchanged.
        limit: Largest factor, at least 1.

    Returns:
        The gates with the new θ.
    """
    if usual <= 0:
        return gates
    return replace(gates, step=gates.step * (surprise.double() / usual).clamp(max=limit))


def begin_session(gates: Gates) -> Gates:
    """Reset the momentum: η = 0 for the first token (Titans §3.1).

    Then the past surprise of an earlier session has no effect on this one.

    Args:
        gates: Gates of the first n tokens of a session.

    Returns:
        The gates with the new η.
    """
    momentum = gates.momentum.clone()
    momentum[:1] = 0
    return replace(gates, momentum=momentum)


def follow_fullness(gates: Gates, fullness: float) -> Gates:
    """Make forgetting depend on fullness: α_t is multiplied by it, so that an empty memory forgets nothing.

    Args:
        gates: Gates of n tokens.
        fullness: Fullness of the memory, in [0, 1]; see the function `fullness`.

    Returns:
        The gates with the new α.
    """
    return replace(gates, forget=gates.forget * fullness)


def fullness(spec: MemorySpec, state: MemoryState) -> float:
    """Return how much of the memory's capacity is used, in [0, 1].

    For a least-squares memory this is the share of the directions of a key that it has learned, tr(I − λP) / d (its
    degrees of freedom). For other memories it is the number of tokens, divided by the number of keys that the narrowest
    layer can tell apart.

    Args:
        spec: The memory's choices.
        state: The memory's state.
    """
    if isinstance(spec.optimizer, LeastSquares):
        return max(0.0, float(1 - spec.optimizer.ridge * state.inverse.diagonal().mean()))
    capacity = min(min(weights.shape) for weights in state.weights)
    return min(1.0, state.tokens / capacity)
