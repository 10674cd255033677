"""The content memory: what each fact says. It maps states of the frozen LLM to the next token.

Shapes: n = tokens of a fact, h = length of an LLM state, D = `KEY_DIM`, m = `CODE_DIM`, b = number of facts read.
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

KEY_DIM = 512
"""D: length of a key. Least squares stores about D pairs exactly; with more pairs it collapses."""

CODE_DIM = 256
"""m: length of a token's code. The entries of a code are ±1/16, so the noise between two tokens is 1/16."""

MAX_BANK_TOKENS = 448
"""Most tokens in one bank: 7/8 of what its weights can store."""

MAX_BANK_FACTS = 32
"""Most facts in one bank."""

BANK_SPEC = MemorySpec(KEY_DIM, CODE_DIM, optimizer=LeastSquares(ridge=0.01))


@dataclass(frozen=True)
class Bank:
    """The fast weights of several facts. A full bank is sealed: no later write changes it.

    Attributes:
        weights: The fast weights, float32 (D, m).
        facts: Number of facts in the bank, at most `MAX_BANK_FACTS`.
        tokens: Number of tokens in the bank, at most `MAX_BANK_TOKENS`.
    """

    weights: Tensor
    facts: int
    tokens: int


class ContentMemory:
    """Learns facts token by token, in banks, and predicts the next token of a fact.

    The key of a token is the LLM's state before that token, projected to D numbers and multiplied by the signs of the
    fact's place in its bank. The value is the token's code. Each bank is a least-squares memory of `titans_core.neural`
    (Titans, arXiv 2501.00663, Eq. 12): it is exact after one pass, and no fact is read again. The projection and the
    codes come from a seed and are not part of the state.

    Attributes:
        banks: The sealed banks, oldest first, then the open bank.
    """

    def __init__(self, dim: int, *, seed: int = 0) -> None:
        """Make an empty memory.

        Args:
            dim: Length h of an LLM state.
            seed: Seed of the random projection.
        """
        generator = torch.Generator().manual_seed(seed)
        tall = torch.randn(max(dim, KEY_DIM), min(dim, KEY_DIM), generator=generator)
        orthonormal = torch.linalg.qr(tall).Q
        self._projection = orthonormal if dim >= KEY_DIM else orthonormal.T
        self._open: MemoryState | None = None
        self.banks: list[Bank] = []

    def __len__(self) -> int:
        return sum(bank.facts for bank in self.banks)

    @property
    def nbytes(self) -> int:
        """Size of the fast weights in bytes, including the state that the open bank needs for its next write."""
        return (self._open.nbytes if self._open else 0) + sum(bank.weights.nbytes for bank in self.banks)

    def write(self, states: Tensor, tokens: Tensor) -> None:
        """Learn a fact.

        Args:
            states: The LLM's state before each token, (n, h).
            tokens: The fact's tokens, int64 (n,); n is at most `MAX_BANK_TOKENS`.
        """
        bank = self.banks.pop() if self._fits_open_bank(len(tokens)) else Bank(torch.zeros(0), 0, 0)
        state = self._open if self._open and bank.facts else MemoryState.initial(BANK_SPEC)
        keys = self._keys(states, torch.full((len(tokens),), bank.facts))
        self._open, _ = write(BANK_SPEC, state, keys.double(), address_codes(tokens.tolist(), CODE_DIM).double())
        weights = (self._open.inverse @ self._open.weights[0]).float()
        self.banks.append(Bank(weights, bank.facts + 1, bank.tokens + len(tokens)))

    def read(self, states: Tensor, slots: Tensor, vocabulary: int) -> tuple[Tensor, Tensor]:
        """Predict the next token of several facts.

        Args:
            states: The LLM's state before each wanted token, (b, h).
            slots: The fact that each state belongs to, int64 (b,), counted through all banks.
            vocabulary: Number of tokens in the vocabulary.

        Returns:
            The tokens, int64 (b,), and their scores, float32 (b,). A score is 1 for what was learned, and near 0 for
            what was not.
        """
        places = [(bank, place) for bank in self.banks for place in range(bank.facts)]
        chosen = [places[slot] for slot in slots.tolist()]
        keys = self._keys(states, torch.tensor([place for _, place in chosen]))
        answers = torch.stack([key @ bank.weights for key, (bank, _) in zip(keys, chosen, strict=True)])
        scores, tokens = (answers @ _codes(vocabulary).T).max(dim=-1)
        return tokens, scores

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that was learned as named tensors, for `restore`."""
        named = {f"bank.{place}": bank.weights for place, bank in enumerate(self.banks)}
        named["sizes"] = torch.tensor([[bank.facts, bank.tokens] for bank in self.banks], dtype=torch.int64)
        if self._open:
            named |= {f"open.{name}": tensor for name, tensor in self._open.tensors().items()}
        return named

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Replace everything that was learned by what `tensors` returned.

        Args:
            tensors: Named tensors from `tensors`.

        Raises:
            KeyError: A tensor is missing.
        """
        sizes = tensors["sizes"].tolist()
        self.banks = [Bank(tensors[f"bank.{place}"], *size) for place, size in enumerate(sizes)]
        prefix = "open."
        open_ = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        self._open = MemoryState.from_tensors(BANK_SPEC, open_)

    def truncate(self, facts: int) -> int:
        """Forget the last facts, so that at most a given number is left.

        Whole banks are dropped: every bank that holds a forgotten fact, and the last banks before it that could have
        taken another fact. So the memory is as if it had never learned the facts that are gone.

        Args:
            facts: Most facts to keep.

        Returns:
            The number of facts that are left.
        """
        if len(self) > facts:
            # A bank with fewer facts was sealed because the next fact had too many tokens. Another fact may have fit.
            while self.banks and (len(self) > facts or self.banks[-1].facts < MAX_BANK_FACTS):
                self.banks.pop()
            self._open = None
        return len(self)

    def drop(self) -> int:
        """Drop the oldest bank.

        Returns:
            The number of facts that it held.
        """
        return self.banks.pop(0).facts

    def _fits_open_bank(self, tokens: int) -> bool:
        """Whether the last bank is open and has space for a fact of this many tokens."""
        last = self.banks[-1] if self.banks and self._open else None
        return last is not None and last.facts < MAX_BANK_FACTS and last.tokens + tokens <= MAX_BANK_TOKENS

    def _keys(self, states: Tensor, places: Tensor) -> Tensor:
        local = normalize(normalize(states.float().cpu(), dim=-1) @ self._projection, dim=-1)
        signs = address_codes(places.tolist(), KEY_DIM) * KEY_DIM**0.5
        keys: Tensor = local * signs
        return keys


@lru_cache(maxsize=2)
def _codes(vocabulary: int) -> Tensor:
    return address_codes(range(vocabulary), CODE_DIM)
