"""A baseline: a soft prompt that is trained at test time, the usual way to teach facts to a frozen model."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from titans_core._utils.progress import progress_bar
from titans_core.errors import EmptyTurnError, InvalidQueryError, QuantizationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from titans_core._utils.progress import Progress
    from titans_core.readers.causal_reader import CausalReader


@dataclass(frozen=True)
class Training:
    """The course of a training.

    Attributes:
        losses: Loss of each step before its update, in nats per token.
        seconds: Time of all steps together, in seconds.
    """

    losses: tuple[float, ...]
    seconds: float

    @property
    def diverged(self) -> bool:
        """Whether the last loss was not finite, which ended the training."""
        return bool(self.losses) and not math.isfinite(self.losses[-1])


class SoftPromptMemory:
    """Learns facts in a small network that writes a soft prompt for a frozen language model.

    The network is the memory. It has two layers (Linear, GELU, Linear; twice as wide inside). Its input is the mean of
    the input embeddings of the text so far. Its output vectors, the soft prompt, stand before the text. Each training
    step cuts a fact at a random place: the first part is the text so far, and the model's loss on the rest, including
    the end token, trains the network by SGD. The language model does not change.

    Tutorials do the same with one difference: they leave the end token out, so their answers do not end. As in the
    tutorials, the vectors of the soft prompt are not kept at the length of an embedding. At the default rate they grow
    far beyond it (75 times after 40 steps on four facts with SmolLM2-135M in NF4); the loss falls slowly, but does not
    diverge.

    Attributes:
        llm: The frozen language model.

    Example:
        ```python
        memory = SoftPromptMemory(CausalReader())
        memory.train(["The secret code is X-8-DELTA-9."], steps=600)
        memory.generate("The secret code is", max_new_tokens=16)
        ```
    """

    def __init__(
        self, llm: CausalReader, *, prompts: int = 1, rate: float = 0.04, momentum: float = 0.9, seed: int = 0
    ) -> None:
        """Make an empty memory.

        Args:
            llm: The frozen language model. It may be shared: each pass locks it.
            prompts: Number of vectors in the soft prompt, at least 1.
            rate: Learning rate of SGD, above 0.
            momentum: Momentum of SGD, in [0, 1).
            seed: Seed of the initial weights, of the order of the facts, and of the places where they are cut.
        """
        self.llm = llm
        self._prompts, self._rate, self._momentum, self._seed = prompts, rate, momentum, seed
        self.reset()

    @property
    def nbytes(self) -> int:
        """Size of the network's weights, in bytes."""
        return sum(parameter.nbytes for parameter in self._network.parameters())

    def reset(self) -> None:
        """Forget everything. The network gets the weights of a new memory."""
        self._generator = torch.Generator().manual_seed(self._seed)
        dim = self._model.get_input_embeddings().embedding_dim
        inner, outer = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, self._prompts * dim)
        for layer in (inner, outer):
            # The initial weights that torch gives a layer, but from our seed.
            bound = layer.in_features**-0.5
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -bound, bound, generator=self._generator)
        self._network = nn.Sequential(inner, nn.GELU(), outer).to(self._model.device)
        self._optimizer = torch.optim.SGD(self._network.parameters(), lr=self._rate, momentum=self._momentum)

    def train(self, facts: Sequence[str], *, steps: int, progress: Progress = False) -> Training:
        """Learn facts. A second training continues the first.

        Each fact needs hundreds of steps, and all facts must be trained together: a later training overwrites the facts
        of an earlier one.

        Args:
            facts: The facts, at least one. Each round visits all of them in a new order.
            steps: Number of all steps; each step trains on one fact.
            progress: True for a progress bar, or a function that is called with (done, total).

        Returns:
            The losses. When a loss is not finite, the training has diverged and ends.

        Raises:
            EmptyTurnError: There is no fact, or a fact has no text.
            QuantizationError: This CPU has packed the model's 4-bit weights, which gradients cannot pass.
        """
        if not facts or not all(fact.strip() for fact in facts):
            raise EmptyTurnError("There is nothing to learn; give at least one fact, and leave out empty texts.")
        self._check_gradients()
        tokens = [[*self.llm.tokens(fact), self.llm.end_token] for fact in facts]
        losses: list[float] = []
        start = time.perf_counter()
        with progress_bar(progress, unit="step", description="training") as advance:
            for index in self._fact_order(len(facts), steps):
                losses.append(self._step(tokens[index]))
                advance(len(losses), steps)
                if not math.isfinite(losses[-1]):
                    break
        return Training(tuple(losses), time.perf_counter() - start)

    def generate(self, beginning: str, *, max_new_tokens: int) -> str:
        """Continue a text, with its soft prompt before it.

        Args:
            beginning: The beginning of a fact, or a chat prompt.
            max_new_tokens: Most tokens to write, at least 1.

        Returns:
            The likeliest continuation, up to the end token and without special tokens.

        Raises:
            InvalidQueryError: The beginning has no text.
        """
        tokens = self.llm.tokens(beginning)
        if not tokens:
            raise InvalidQueryError("There is nothing to continue; give the beginning of a text.")
        with self.llm.lm.lock, torch.no_grad():
            inputs = self._inputs(tokens, cut=len(tokens))
            [written] = self._model.generate(
                inputs_embeds=inputs,
                attention_mask=torch.ones(inputs.shape[:2], dtype=torch.int64, device=inputs.device),
                max_new_tokens=max_new_tokens,
                do_sample=False,
                pad_token_id=self.llm.lm.pad_token,
            )
            return str(self.llm.lm.tokenizer.decode(written, skip_special_tokens=True))

    @property
    def _model(self) -> Any:
        return self.llm.lm.model

    def _fact_order(self, facts: int, steps: int) -> Iterator[int]:
        """The index of the fact for each step. Each round has all facts in a new random order."""
        for step in range(steps):
            if step % facts == 0:
                order = torch.randperm(facts, generator=self._generator).tolist()
            yield order[step % facts]

    def _step(self, tokens: list[int]) -> float:
        """Train on what follows a random cut, and return the loss before the update."""
        cut = int(torch.randint(1, max(2, len(tokens) - 1), (), generator=self._generator))
        with self.llm.lm.lock, torch.enable_grad():
            logits = self._model(inputs_embeds=self._inputs(tokens[:-1], cut=cut)).logits[0]
            rest = torch.tensor(tokens[cut:], device=logits.device)
            loss = cross_entropy(logits[-len(rest) :].float(), rest)
            if torch.isfinite(loss):
                self._optimizer.zero_grad()
                # Without `inputs`, the language model's parameters would collect gradients too.
                torch.autograd.backward(loss, inputs=list(self._network.parameters()))
                self._optimizer.step()
            return float(loss.detach())

    def _inputs(self, tokens: list[int], *, cut: int) -> Tensor:
        """The soft prompt of the first `cut` tokens, then the embeddings of all tokens: (1, prompts + n, d)."""
        embed = self._model.get_input_embeddings()
        embeddings = embed(torch.tensor(tokens, device=self._model.device)).detach()
        soft_prompt = self._network(embeddings[:cut].float().mean(0)).view(self._prompts, -1)
        return torch.cat([soft_prompt.to(embeddings.dtype), embeddings])[None]

    def _check_gradients(self) -> None:
        states = [getattr(parameter, "quant_state", None) for parameter in self._model.parameters()]
        # Without this check the gradients would be wrong without an error: they would bypass the packed layers.
        if any(getattr(state, "packing_format_for_cpu", False) for state in states):
            raise QuantizationError(
                "This CPU has packed the model's 4-bit weights, and gradients cannot pass packed weights; "
                "give a CausalReader with quantization=None."
            )
