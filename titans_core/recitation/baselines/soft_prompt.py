"""A soft prompt that is trained at test time: the usual way to teach a frozen model facts, kept as a baseline."""

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
    """How a training went.

    Attributes:
        losses: of each step, in nats per token, before it learned.
        seconds: that all steps took.
    """

    losses: tuple[float, ...]
    seconds: float

    @property
    def diverged(self) -> bool:
        """Whether the last loss is no number any more, which ended the training."""
        return bool(self.losses) and not math.isfinite(self.losses[-1])


class SoftPromptMemory:
    """Facts in a small network that writes a soft prompt for a frozen language model.

    The mean of the input embeddings of what was said so far goes through a network of two layers (the memory:
    Linear, GELU, Linear, twice as wide inside); the vectors that come out stand before the text. Each step of
    training cuts a fact at random: the first part is what was said, and the model's loss on the rest, the end token
    included, trains the network by SGD. Nothing in the language model changes.

    This is how tutorials do it, with one help: they leave the end token out, and their answers run on. As there, the
    prompt's vectors are not held at the length of an embedding. At the default rate they grow far beyond it (75 times
    after 40 steps on four facts with SmolLM2-135M in NF4), and the loss falls slowly, but does not diverge.

    Usage:

    ```python
    memory = SoftPromptMemory(CausalReader())
    memory.train(["The secret code is X-8-DELTA-9."], steps=600)
    memory.generate("The secret code is", max_new_tokens=16)
    ```

    Attributes:
        llm: the frozen model.
    """

    def __init__(
        self, llm: CausalReader, *, prompts: int = 1, rate: float = 0.04, momentum: float = 0.9, seed: int = 0
    ) -> None:
        """A memory that has learned nothing.

        Args:
            llm: the frozen model; shared, and locked for each pass.
            prompts: how many soft prompt vectors stand before a text, at least 1.
            rate: SGD's step, above 0.
            momentum: SGD's, in [0, 1).
            seed: of the first weights, of the order of facts, and of where they are cut.
        """
        self.llm = llm
        self._prompts, self._rate, self._momentum, self._seed = prompts, rate, momentum, seed
        self.reset()

    @property
    def nbytes(self) -> int:
        """Size of the network's weights in bytes."""
        return sum(parameter.nbytes for parameter in self._network.parameters())

    def reset(self) -> None:
        """Forget everything: the network is that of a new memory."""
        self._generator = torch.Generator().manual_seed(self._seed)
        dim = self._model.get_input_embeddings().embedding_dim
        inner, outer = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, self._prompts * dim)
        for layer in (inner, outer):
            # As torch begins a layer, but by our seed.
            bound = layer.in_features**-0.5
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -bound, bound, generator=self._generator)
        self._network = nn.Sequential(inner, nn.GELU(), outer).to(self._model.device)
        self._optimizer = torch.optim.SGD(self._network.parameters(), lr=self._rate, momentum=self._momentum)

    def train(self, facts: Sequence[str], *, steps: int, progress: Progress = False) -> Training:
        """Learn facts, each in turn; a second training goes on where the first ended.

        It needs hundreds of steps a fact, and all facts at once: what is trained later replaces what was before.

        Args:
            facts: in any number; each round visits all of them in a new order.
            steps: in all, each on one fact.
            progress: True for a progress bar, or a function that is called with (done, total).

        Returns:
            The losses. Once one is no number, the training has diverged and ends.

        Raises:
            EmptyTurnError: a fact has no text, or there is none.
            QuantizationError: this CPU has packed the model's 4-bit weights, and gradients do not pass them.
        """
        if not facts or not all(fact.strip() for fact in facts):
            raise EmptyTurnError("There is nothing to learn from no text; give at least one fact, and leave out empty.")
        self._check_gradients()
        tokens = [[*self.llm.tokens(fact), self.llm.end_token] for fact in facts]
        losses: list[float] = []
        start = time.perf_counter()
        with progress_bar(progress, unit="step", description="training") as advance:
            for index in self._turns(len(facts), steps):
                losses.append(self._step(tokens[index]))
                advance(len(losses), steps)
                if not math.isfinite(losses[-1]):
                    break
        return Training(tuple(losses), time.perf_counter() - start)

    def generate(self, beginning: str, *, max_new_tokens: int) -> str:
        """Continue a text, under the soft prompt that it gives.

        Args:
            beginning: of a fact, or a chat prompt.
            max_new_tokens: at most so many tokens, at least 1.

        Returns:
            The likeliest continuation, up to the end token; special tokens are left out.

        Raises:
            InvalidQueryError: the beginning has no text.
        """
        tokens = self.llm.tokens(beginning)
        if not tokens:
            raise InvalidQueryError("There is nothing to continue; give the beginning of a text.")
        with self.llm.lm.lock, torch.no_grad():
            inputs = self._inputs(tokens, said=len(tokens))
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

    def _turns(self, facts: int, steps: int) -> Iterator[int]:
        """Whose turn it is, round by round."""
        for step in range(steps):
            if step % facts == 0:
                order = torch.randperm(facts, generator=self._generator).tolist()
            yield order[step % facts]

    def _step(self, tokens: list[int]) -> float:
        """Learn what follows a random cut, and return the loss before."""
        cut = int(torch.randint(1, max(2, len(tokens) - 1), (), generator=self._generator))
        with self.llm.lm.lock, torch.enable_grad():
            logits = self._model(inputs_embeds=self._inputs(tokens[:-1], said=cut)).logits[0]
            rest = torch.tensor(tokens[cut:], device=logits.device)
            loss = cross_entropy(logits[-len(rest) :].float(), rest)
            if torch.isfinite(loss):
                self._optimizer.zero_grad()
                # Only these: the language model's parameters collect no gradients.
                torch.autograd.backward(loss, inputs=list(self._network.parameters()))
                self._optimizer.step()
            return float(loss.detach())

    def _inputs(self, tokens: list[int], *, said: int) -> Tensor:
        """The soft prompt of the first `said` tokens, then all tokens: (1, prompts + n, d)."""
        embed = self._model.get_input_embeddings()
        texts = embed(torch.tensor(tokens, device=self._model.device)).detach()
        soft = self._network(texts[:said].float().mean(0)).view(self._prompts, -1)
        return torch.cat([soft.to(texts.dtype), texts])[None]

    def _check_gradients(self) -> None:
        states = [getattr(parameter, "quant_state", None) for parameter in self._model.parameters()]
        # Without this check gradients would silently be wrong: they would pass around the packed layers only.
        if any(getattr(state, "packing_format_for_cpu", False) for state in states):
            raise QuantizationError(
                "This CPU has packed the model's 4-bit weights, and gradients do not pass them; "
                "give a CausalReader with quantization=None."
            )
