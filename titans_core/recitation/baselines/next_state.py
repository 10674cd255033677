"""A baseline: a neural memory that predicts the next state of a language model, and learns from its surprise."""

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
"""λ of the least squares. With unit keys, λ = 1 shrinks the answers to half of what was learned. Below .01 the memory
answers other texts too boldly."""


@dataclass(frozen=True)
class Surprises:
    """How much the tokens of a text surprised a memory.

    Attributes:
        tokens: The text's tokens, as text.
        values: The surprise of each token, at least 0: the squared distance between the predicted state and the true
            state, which has length 1. 0: the token is known. 1: the token is new, nothing was predicted. Above 1:
            another token was predicted.
    """

    tokens: tuple[str, ...]
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean surprise of all tokens."""
        return sum(self.values) / len(self.values)


class NextStateMemory:
    """A neural memory that predicts, from a frozen language model's state at a token, the next token's state.

    The key of a token is the model's state at that token, in layer `CausalReader.layer`. The value is the input
    embedding of the next token; after the last token, that of the end token. A predicted state stands for the token
    with the nearest embedding. All states have unit length. It does not work to predict last-layer states and to decode
    them with the model's head: the head turns a state into the model's own guess at the token after it.

    Only the state at the last token decides what is recited. So facts with the same beginning are confused until they
    differ: after "The", only one of all learned words can follow.

    The memory is linear and fitted by least squares with λ = .01. The table shows eight facts, learned in one pass each
    (SmolLM2-135M, NF4, last layer): how many tokens are right when the true tokens stand before them, and the mean
    surprise of these facts / of other facts.

    | memory | right of 88 tokens | surprise |
    |---|---|---|
    | least squares, λ = .01 (the four misses follow "The") | 84 | .11 / .98 |
    | least squares, λ = 1 | 58 | .55 / .77 |
    | `tutorial`, fifty steps for each write | 58 | .35 / .63 |
    | delta rule, θ = .5 | 30 | .73 / .98 |
    | `tutorial` | 28 | .46 / .52 |
    | `titans`, `yaad`: values of length √d | 5 | .93 / .94 |
    | `deltanet`, `gated_deltanet`, `linear_attention`, `least_squares` (λ = 100) | 2 | no difference |

    Attributes:
        llm: The frozen language model.
        memory: The neural memory.

    Example:
        ```python
        memory = NextStateMemory(CausalReader())
        memory.learn("The secret code is X-8-DELTA-9.").mean  # 1.0
        memory.read("The secret code is X-8-DELTA-9.").mean  # .03
        memory.recall("The secret code is", max_new_tokens=16)  # " X-8-DELTA-9."
        ```
    """

    def __init__(self, llm: CausalReader) -> None:
        """Make an empty memory.

        Args:
            llm: The frozen language model. It may be shared: each pass locks it.
        """
        self.llm = llm
        self.memory = NeuralMemory(MemorySpec(llm.dim, llm.dim, optimizer=LeastSquares(RIDGE)), dtype=torch.float32)

    @property
    def nbytes(self) -> int:
        """Size of the memory in bytes. It does not depend on how much was learned."""
        return self.memory.state.nbytes

    def read(self, text: str) -> Surprises:
        """Measure how much a text surprises the memory. Nothing is learned.

        Args:
            text: The text, with at least one token.

        Raises:
            InvalidQueryError: The text is empty.
        """
        tokens = self.llm.tokens(text)
        if not tokens:
            raise InvalidQueryError("There is nothing to read; give a text.")
        return self._surprises(tokens, *self._pairs(tokens))

    def learn(self, text: str) -> Surprises:
        """Learn a text in one pass.

        Args:
            text: The text, with at least one token.

        Returns:
            How much the text surprised the memory before it was learned.

        Raises:
            EmptyTurnError: The text is empty.
        """
        tokens = self.llm.tokens(text)
        if not tokens:
            raise EmptyTurnError("There is nothing to learn; give a text.")
        keys, values = self._pairs(tokens)
        surprises = self._surprises(tokens, keys, values)
        self.memory.write(keys, values)
        return surprises

    def recall(self, text: str, *, max_new_tokens: int) -> str:
        """Continue a text with what was learned. The model computes the states, but no token is its own guess.

        Args:
            text: The beginning of a text that was learned.
            max_new_tokens: Most tokens to write, at least 1.

        Returns:
            The continuation, up to the end token and without special tokens. Empty if nothing was learned.

        Raises:
            InvalidQueryError: The text is empty.
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
        """The keys of the start token and of each token, and the value of each: the embedding of the next token."""
        next_tokens = torch.tensor([*tokens, self.llm.end_token])
        values = self._embeddings()[next_tokens.to(self.llm.lm.model.device)].float().cpu()
        return self._keys([self.llm.start_token, *tokens]), normalize(values, dim=-1)

    def _keys(self, tokens: list[int]) -> Tensor:
        return normalize(self.llm.states(torch.tensor([tokens]))[0].cpu(), dim=-1)

    def _surprises(self, tokens: list[int], keys: Tensor, values: Tensor) -> Surprises:
        # The last distance belongs to the end token, which is not a part of the text.
        distances = (self.memory.read(keys) - values).square().sum(-1)[:-1]
        with self.llm.lm.lock:
            pieces = tuple(str(self.llm.lm.tokenizer.decode([token])) for token in tokens)
        return Surprises(pieces, tuple(distances.tolist()))

    def _embeddings(self) -> Tensor:
        model: Any = self.llm.lm.model  # the base class of all models does not declare the type of its embeddings
        weight: Tensor = model.get_input_embeddings().weight.detach()
        return weight

    def _nearest(self, state: Tensor) -> int:
        """The token whose input embedding has the smallest angle to a state."""
        embeddings = self._embeddings()
        similarities = embeddings @ state.to(embeddings)
        # The embedding of a token that was never trained can be all zeros.
        return int((similarities / embeddings.norm(dim=-1).clamp(min=1e-6)).argmax())
