"""Which fact is meant: a memory from sentence vectors to slots.

Shapes: n = facts, d = length of a sentence vector, b = questions.
"""

from __future__ import annotations

import torch
from torch import Tensor

SHARPNESS = 4.0
"""β: how fast two sentences become unlike. 2 to 6 address equally well; 3 and 4 tell strangers' questions best."""

RIDGE = 0.1
"""λ: how much an exact answer is worth against a smooth one. .03 to .3 make no difference."""


class AddressMemory:
    """Learns one slot for each fact, and answers a question with the activation of every slot.

    Least squares on one-hot slots, as the least-squares memory of `titans_core.neural`: the minimum of
    Σ‖M(s_i) − e_i‖² + λ‖M‖², here over all M in the space of the kernel κ(s, s') = exp(β(s·s' − 1)). With fewer facts
    than that space has dimensions, the dual form is small and exact (kernel ridge regression):
    M(q) = κ(q, S) (κ(S, S) + λI)⁻¹. So one vector of each fact is kept; what is learned is the inverse, which pushes
    facts that are alike apart. A fact is written once, by bordering that inverse, and no other is visited again.

    Attributes:
        keys: float32 (n, d), the facts' sentence vectors, each of unit length.
        inverse: float64 (n, n), (κ(S, S) + λI)⁻¹.
    """

    def __init__(self, dim: int) -> None:
        """A memory of vectors of length `dim` that has learned nothing."""
        self.keys = torch.zeros(0, dim)
        self.inverse = torch.zeros(0, 0, dtype=torch.float64)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def nbytes(self) -> int:
        """Bytes of what was learned."""
        return self.keys.nbytes + self.inverse.nbytes

    def write(self, keys: Tensor) -> None:
        """Learn the next slots, one for each sentence vector of keys (b, d)."""
        for key in keys:
            near = _kernel(self.keys, key[None])[:, 0]
            direction = self.inverse @ near
            # What the other facts leave unexplained of this one; never below λ.
            rest = _kernel(key[None], key[None])[0, 0] + RIDGE - near @ direction
            self.inverse = torch.cat(
                [
                    torch.cat([self.inverse + torch.outer(direction, direction) / rest, -direction[:, None] / rest], 1),
                    torch.cat([-direction / rest, 1 / rest[None]])[None],
                ]
            )
            self.keys = torch.cat([self.keys, key[None]])

    def rewrite(self, keys: Tensor) -> None:
        """Learn the slots of all keys (n, d) at once, and nothing else: the definition of `write`."""
        self.keys = keys
        self.inverse = torch.linalg.inv(_kernel(keys, keys) + RIDGE * torch.eye(len(keys), dtype=torch.float64))

    def read(self, queries: Tensor) -> Tensor:
        """The activation of each slot, float64 (b, n), for sentence vectors (b, d): near 1 for a fact's own words."""
        return _kernel(queries, self.keys) @ self.inverse


def _kernel(left: Tensor, right: Tensor) -> Tensor:
    return torch.exp(SHARPNESS * (left.double() @ right.double().T - 1))
