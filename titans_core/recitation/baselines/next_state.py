"""Read, be surprised, learn, recall: a neural memory of which state follows which, kept as a baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import normalize

from titans_core.errors import EmptyTurnError, InvalidQueryError
from titans_core.neural import LeastSquares, MemorySpec, NeuralMemory

if TYPE_CHECKING:
    from torch import Tensor

    from titans_core.readers.causal_reader import CausalReader

RIDGE = 0.01
"""With unit keys, 1 shrinks answers to half of what was learned; below .01 other texts are answered too boldly."""


@dataclass(frozen=True)
class Surprises:
    """How much the tokens of a text surprised a memory.

    Attributes:
        tokens: the text's tokens, as text.
        values: of each token, at least 0: the squared distance between the state that was predicted and the one that
            came, which has length 1. 0 is known, 1 is all new (nothing was predicted), above 1 is known otherwise.
    """

    tokens: tuple[str, ...]
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Of all tokens."""
        return sum(self.values) / len(self.values)


class NextStateMemory:
    """A neural memory that predicts, from a frozen language model's state at a token, the next token's state.

    Keys are the states of `CausalReader.layer`. Values are the states in which the next tokens enter the model, their
    input embeddings, and the end token's after the last; the token of a predicted state is the one of the nearest
    embedding. Predicting last-layer states instead, and reading them by the model's head, recites nothing: what the
    head says of a state is the model's own guess at the token after it. All states have unit length.

    Only the state at the last token says what is recited. Facts that begin alike are told apart from where they
    differ: after "The" only one of all words that were learned can come.

    The memory is linear and fitted by least squares with λ = .01. Eight facts in one pass each (SmolLM2-135M, NF4,
    last layer): tokens that are right after the true ones, and the mean surprise of these facts / of others.

    | memory | of 88 tokens | surprise |
    |---|---|---|
    | least squares, λ = .01 (the four misses: what follows "The") | 84 | .11 / .98 |
    | least squares, λ = 1 | 58 | .55 / .77 |
    | `tutorial`, fifty steps a write | 58 | .35 / .63 |
    | delta rule, θ = .5 | 30 | .73 / .98 |
    | `tutorial` | 28 | .46 / .52 |
    | `titans`, `yaad`: values of length √d | 5 | .93 / .94 |
    | `deltanet`, `gated_deltanet`, `linear_attention`, `least_squares` (λ = 100) | 2 | no difference |

    Usage:

    ```python
    memory = NextStateMemory(CausalReader())
    memory.learn("The secret code is X-8-DELTA-9.").mean  # 1.0
    memory.read("The secret code is X-8-DELTA-9.").mean  # .03
    memory.recall("The secret code is", max_new_tokens=16)  # " X-8-DELTA-9."
    ```

    Attributes:
        llm: the frozen model.
        memory: what was learned.
    """

    def __init__(self, llm: CausalReader) -> None:
        """A memory that has learned nothing; `llm` is shared, and locked for each pass."""
        self.llm = llm
        self.memory = NeuralMemory(MemorySpec(llm.dim, llm.dim, optimizer=LeastSquares(RIDGE)), dtype=torch.float32)

    @property
    def nbytes(self) -> int:
        """Size of the memory in bytes, however much was learned."""
        return self.memory.state.nbytes

    def read(self, text: str) -> Surprises:
        """How much a text surprises; nothing is learned.

        Raises:
            InvalidQueryError: the text is empty.
        """
        tokens = self.llm.tokens(text)
        if not tokens:
            raise InvalidQueryError("There is nothing to read; give a text.")
        return self._surprises(tokens, *self._pairs(tokens))

    def learn(self, text: str) -> Surprises:
        """Learn a text in one pass.

        Returns:
            How much it surprised before.

        Raises:
            EmptyTurnError: the text is empty.
        """
        tokens = self.llm.tokens(text)
        if not tokens:
            raise EmptyTurnError("There is nothing to learn; give a text.")
        keys, values = self._pairs(tokens)
        surprises = self._surprises(tokens, keys, values)
        self.memory.write(keys, values)
        return surprises

    def recall(self, text: str, *, max_new_tokens: int) -> str:
        """Continue a text by what was learned; the model gives states, and no word of its own.

        Args:
            text: the beginning of a text that was learned.
            max_new_tokens: at most so many tokens, at least 1.

        Returns:
            The continuation, up to the end token; special tokens are left out. Empty if nothing was learned.

        Raises:
            InvalidQueryError: the text is empty.
        """
        beginning = [self.llm.start_token, *self.llm.tokens(text)]
        if len(beginning) == 1:
            raise InvalidQueryError("There is nothing to continue; give the beginning of a text.")
        tokens = list(beginning)
        while self.memory.state.tokens and len(tokens) < len(beginning) + max_new_tokens:
            token = self._nearest(self.memory.read(self._keys(tokens)[-1:])[0])
            if token == self.llm.end_token:
                break
            tokens.append(token)
        with self.llm.lm.lock:
            return str(self.llm.lm.tokenizer.decode(tokens[len(beginning) :], skip_special_tokens=True))

    def _pairs(self, tokens: list[int]) -> tuple[Tensor, Tensor]:
        """The states at the start token and at each token, and the state that comes after each."""
        following = torch.tensor([*tokens, self.llm.end_token])
        values = self._embeddings()[following.to(self.llm.lm.model.device)].float().cpu()
        return self._keys([self.llm.start_token, *tokens]), normalize(values, dim=-1)

    def _keys(self, tokens: list[int]) -> Tensor:
        return normalize(self.llm.states(torch.tensor([tokens]))[0].cpu(), dim=-1)

    def _surprises(self, tokens: list[int], keys: Tensor, values: Tensor) -> Surprises:
        # The end token is no part of the text.
        distances = (self.memory.read(keys) - values).square().sum(-1)[:-1]
        with self.llm.lm.lock:
            pieces = tuple(str(self.llm.lm.tokenizer.decode([token])) for token in tokens)
        return Surprises(pieces, tuple(distances.tolist()))

    def _embeddings(self) -> Tensor:
        model: Any = self.llm.lm.model  # the base class of all models does not say what its embeddings are
        weight: Tensor = model.get_input_embeddings().weight.detach()
        return weight

    def _nearest(self, state: Tensor) -> int:
        """The token whose input embedding has the smallest angle to a state."""
        embeddings = self._embeddings()
        likeness = embeddings @ state.to(embeddings)
        # A token that was never trained can have an embedding of zeros.
        return int((likeness / embeddings.norm(dim=-1).clamp(min=1e-6)).argmax())
