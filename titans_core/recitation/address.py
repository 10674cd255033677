"""The address memory: which fact a question is about. It maps sentence vectors to slots.

Shapes: n = number of facts, d = length of a sentence vector, b = number of questions.
"""

from __future__ import annotations

import torch
from torch import Tensor

SHARPNESS = 4.0
"""β: how fast the similarity of two sentences falls. Values from 2 to 6 address equally well; with 3 and 4 the
activation separates known questions from questions about strangers best."""

RIDGE = 0.1
"""λ: the weight of a smooth answer against an exact one. Values from .03 to .3 make no difference."""


class AddressMemory:
    """Learns one slot for each fact, and answers a question with the activation of every slot.

    It is a least-squares memory like that of `titans_core.neural`, with one-hot slots as values: the minimum of
    Σ‖M(s_i) − e_i‖² + λ‖M‖², here over all M in the space of the kernel κ(s, s') = exp(β(s·s' − 1)). As long as there
    are fewer facts than that space has dimensions, the dual form is small and exact (kernel ridge regression):
    M(q) = κ(q, S) (κ(S, S) + λI)⁻¹. So the memory keeps one vector of each fact. What it learns is the inverse, which
    separates the slots of similar facts. A fact is written once, by bordering the inverse; no other fact is read again.

    Attributes:
        keys: The facts' sentence vectors, float32 (n, d), each of unit length.
        inverse: (κ(S, S) + λI)⁻¹, float64 (n, n).
    """

    def __init__(self, dim: int) -> None:
        """Make an empty memory.

        Args:
            dim: Length of a sentence vector.
        """
        self.keys = torch.zeros(0, dim)
        self.inverse = torch.zeros(0, 0, dtype=torch.float64)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def nbytes(self) -> int:
        """Size of the learned tensors in bytes."""
        return self.keys.nbytes + self.inverse.nbytes

    def write(self, keys: Tensor) -> None:
        """Learn new facts, each in the next free slot.

        Args:
            keys: Sentence vectors, float32 (b, d), of unit length.
        """
        for key in keys:
            similarities = _kernel(self.keys, key[None])[:, 0]
            direction = self.inverse @ similarities
            # The Schur complement: what the other facts do not explain of this fact. It is never below λ.
            rest = _kernel(key[None], key[None])[0, 0] + RIDGE - similarities @ direction
            self.inverse = torch.cat(
                [
                    torch.cat([self.inverse + torch.outer(direction, direction) / rest, -direction[:, None] / rest], 1),
                    torch.cat([-direction / rest, 1 / rest[None]])[None],
                ]
            )
            self.keys = torch.cat([self.keys, key[None]])

    def rewrite(self, keys: Tensor) -> None:
        """Replace everything that was learned by these facts, all at once. This is the definition of `write`.

        Args:
            keys: Sentence vectors, float32 (n, d), of unit length.
        """
        self.keys = keys
        self.inverse = torch.linalg.inv(_kernel(keys, keys) + RIDGE * torch.eye(len(keys), dtype=torch.float64))

    def read(self, queries: Tensor) -> Tensor:
        """Compute the activation of every slot.

        Args:
            queries: Sentence vectors, float32 (b, d), of unit length.

        Returns:
            Activations, float64 (b, n). A fact's own words activate its slot with nearly 1.
        """
        return _kernel(queries, self.keys) @ self.inverse


def _kernel(left: Tensor, right: Tensor) -> Tensor:
    return torch.exp(SHARPNESS * (left.double() @ right.double().T - 1))
