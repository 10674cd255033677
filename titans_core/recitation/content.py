"""What a fact says: memories from the states of the frozen LLM to the next token.

Shapes: n = tokens of a fact, h = length of an LLM's state, D = `WIDTH`, m = `CODE`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import normalize

from titans_core.neural import LeastSquares, MemorySpec, MemoryState, address_codes, write

if TYPE_CHECKING:
    from collections.abc import Mapping

WIDTH = 512
"""D: length of a key. Least squares holds about D pairs exactly, and then collapses."""

CODE = 256
"""m: length of a token's code. Codes of this length are ±1/16, so the noise between two tokens is 1/16."""

PAIRS = 448
"""Tokens of a bank, 7/8 of what it can hold."""

FACTS = 32
"""Facts of a bank."""

SPEC = MemorySpec(WIDTH, CODE, optimizer=LeastSquares(ridge=0.01))


@dataclass(frozen=True)
class Bank:
    """The fast weights of some facts; sealed, so that nothing written later can disturb them.

    Attributes:
        weights: float32 (D, m).
        facts: how many are in it, at most `FACTS`.
        pairs: their tokens, at most `PAIRS`.
    """

    weights: Tensor
    facts: int
    pairs: int


class ContentMemory:
    """Learns facts token by token, in banks, and says which token comes next.

    The key of a token is the LLM's state before it, projected to D numbers and multiplied by the signs of the fact's
    place in its bank; the value is the token's code. Each bank is the least-squares memory of `titans_core.neural`
    (Titans, arXiv 2501.00663, Eq. 12): exact after one pass, no fact is visited again. Projection and codes come from
    a seed and are not part of the state.

    Attributes:
        banks: the sealed ones, oldest first, and the open one.
    """

    def __init__(self, dim: int, *, seed: int = 0) -> None:
        """A memory for states of length `dim` that has learned nothing."""
        generator = torch.Generator().manual_seed(seed)
        tall = torch.randn(max(dim, WIDTH), min(dim, WIDTH), generator=generator)
        orthonormal = torch.linalg.qr(tall).Q
        self._projection = orthonormal if dim >= WIDTH else orthonormal.T
        self._open: MemoryState | None = None
        self.banks: list[Bank] = []

    def __len__(self) -> int:
        return sum(bank.facts for bank in self.banks)

    @property
    def nbytes(self) -> int:
        """Bytes of the fast weights, those that only the open bank needs for its next write included."""
        return (self._open.nbytes if self._open else 0) + sum(bank.weights.nbytes for bank in self.banks)

    def write(self, states: Tensor, tokens: Tensor) -> None:
        """Learn a fact.

        Args:
            states: (n, h), the LLM's state before each token.
            tokens: int64 (n,), at most `PAIRS`.
        """
        bank = self.banks.pop() if self._takes(len(tokens)) else Bank(torch.zeros(0), 0, 0)
        state = self._open if self._open and bank.facts else MemoryState.initial(SPEC)
        keys = self._keys(states, torch.full((len(tokens),), bank.facts))
        self._open, _ = write(SPEC, state, keys.double(), address_codes(tokens.tolist(), CODE).double())
        weights = (self._open.inverse @ self._open.weights[0]).float()
        self.banks.append(Bank(weights, bank.facts + 1, bank.pairs + len(tokens)))

    def read(self, states: Tensor, slots: Tensor, vocabulary: int) -> tuple[Tensor, Tensor]:
        """The next token of facts, and how sure of it the weights are.

        Args:
            states: (b, h), the LLM's states before the tokens.
            slots: int64 (b,), which fact each continues, counted through all banks.
            vocabulary: how many tokens there are.

        Returns:
            int64 (b,) tokens, and float32 (b,) scores: 1 for what was learned, near 0 for what was not.
        """
        places = [(bank, place) for bank in self.banks for place in range(bank.facts)]
        chosen = [places[slot] for slot in slots.tolist()]
        keys = self._keys(states, torch.tensor([place for _, place in chosen]))
        answers = torch.stack([key @ bank.weights for key, (bank, _) in zip(keys, chosen, strict=True)])
        scores, tokens = (answers @ _codes(vocabulary).T).max(dim=-1)
        return tokens, scores

    def tensors(self) -> dict[str, Tensor]:
        """What was learned, by name; `restore` takes it back."""
        named = {f"bank.{place}": bank.weights for place, bank in enumerate(self.banks)}
        named["sizes"] = torch.tensor([[bank.facts, bank.pairs] for bank in self.banks], dtype=torch.int64)
        if self._open:
            named |= {f"open.{name}": tensor for name, tensor in self._open.tensors().items()}
        return named

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take what `tensors` gave.

        Raises:
            KeyError: one is missing.
        """
        sizes = tensors["sizes"].tolist()
        self.banks = [Bank(tensors[f"bank.{place}"], *size) for place, size in enumerate(sizes)]
        open_ = {name.removeprefix("open."): one for name, one in tensors.items() if name.startswith("open.")}
        self._open = MemoryState.from_tensors(SPEC, open_)

    def truncate(self, facts: int) -> int:
        """Forget all from some fact on, and the whole banks in which the next write could make a difference.

        What stays is what a memory holds that never had the rest; how many facts that is.
        """
        if len(self) > facts:
            # A bank of fewer facts was sealed because the next one had too many tokens; another one may have fitted.
            while self.banks and (len(self) > facts or self.banks[-1].facts < FACTS):
                self.banks.pop()
            self._open = None
        return len(self)

    def drop(self) -> int:
        """Let the oldest bank go; how many facts it held."""
        return self.banks.pop(0).facts

    def _takes(self, tokens: int) -> bool:
        """Whether the last bank is open and takes a fact of so many tokens."""
        last = self.banks[-1] if self.banks and self._open else None
        return last is not None and last.facts < FACTS and last.pairs + tokens <= PAIRS

    def _keys(self, states: Tensor, places: Tensor) -> Tensor:
        local = normalize(normalize(states.float().cpu(), dim=-1) @ self._projection, dim=-1)
        signs = address_codes(places.tolist(), WIDTH) * WIDTH**0.5
        keys: Tensor = local * signs
        return keys


@lru_cache(maxsize=2)
def _codes(vocabulary: int) -> Tensor:
    return address_codes(range(vocabulary), CODE)
