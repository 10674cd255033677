"""Facts from weights alone: addressed by the question, recited token by token, or not at all."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from titans_core._utils.progress import progress_bar
from titans_core.errors import CorruptStateError, InvalidQueryError
from titans_core.readers.passages import split_passages
from titans_core.recitation.address import AddressMemory
from titans_core.recitation.content import FACTS, ContentMemory
from titans_core.recitation.gate import address_threshold, familiarity_threshold
from titans_core.recitation.serialization import load_weights, save_weights

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from titans_core._utils.progress import Progress
    from titans_core.readers import CausalReader
    from titans_core.readers.protocol import Reader

READ_BATCH = 16
"""Facts that the LLM reads in one forward pass."""

MAX_FACT_TOKENS = 256
"""Tokens of a fact; passages have about a hundred."""

MIN_TOKEN_SCORE = 0.5
"""The least score of a token: below, the weights do not know how the fact goes on."""


@dataclass(frozen=True)
class Recited:
    """What the weights say about a question.

    Attributes:
        text: the fact, or its continuation; None if the gate stayed closed.
        familiarity: how well the question fits what was learned, as a share of what opens the gate.
    """

    text: str | None
    familiarity: float


class Recitation:
    """Learns facts into fast weights, and recites the one that a question is about.

    Three parts: an address memory finds the fact by the question's sentence vector; a content memory recites it through
    the frozen LLM; and a gate keeps quiet unless the question is familiar: the fact must be activated enough, and
    the question must hold no word that still surprises the LLM after it has read the fact (a stranger's name does).

    The text of a fact is not kept, only weights and its hash. Writing takes one forward pass a fact, and no fact
    is visited again. When all banks are full, the oldest is let go with its facts. Not safe for threads.

    Usage:

    ```python
    recitation = Recitation(CausalReader(), load_reader())
    recitation.learn(["The favorite color of Ada Keller is teal.", "Ben Rossi works as a welder."])
    recitation.ask("What does Ben Rossi do for a living?").text  # "Ben Rossi works as a welder."
    recitation.ask("Why is the sky blue?").text  # None
    ```
    """

    def __init__(self, llm: CausalReader, encoder: Reader, *, banks: int = 32) -> None:
        """An empty memory.

        Args:
            llm: recites; its last layer's states are the keys of the content.
            encoder: reads facts and questions as sentence vectors.
            banks: how many to keep; each holds 32 facts or 448 tokens, and takes half a megabyte.
        """
        self._llm = llm
        self._encoder = encoder
        self._banks = banks
        self._address = AddressMemory(encoder.dim)
        self._content = ContentMemory(llm.dim)
        self._hashes: list[str] = []
        self._let_go = 0
        self._made_with = [llm.fingerprint, encoder.fingerprint]

    def __len__(self) -> int:
        """How many facts it can recite."""
        return len(self._hashes)

    @property
    def nbytes(self) -> int:
        """Bytes of all that was learned."""
        return self._address.nbytes + self._content.nbytes

    def learn(self, facts: Sequence[str], *, progress: Progress = False) -> int:
        """Make the weights those of these facts: learn what is new, and forget what is not among them.

        New facts at the end are written as they are. If an earlier one was changed or is missing, all from its bank on
        is written anew. Texts are split into passages, each a fact of its own; a passage of more than 256
        tokens is left out.

        Args:
            facts: texts, in the order of the log.
            progress: True for a progress bar, or a function that is called with (done, total).

        Returns:
            How many facts were written.
        """
        parts = (part.of(text) for text in facts for part in split_passages(text))
        held = set(self._hashes)
        texts = {
            name: part
            for part in parts
            if (name := _hash(part)) in held or len(self._llm.tokens(part)) < MAX_FACT_TOKENS
        }
        hashes = list(texts)
        self._forget_others(hashes)
        new = hashes[self._let_go + len(self) :]
        with progress_bar(progress, unit="fact", description="learning") as advance:
            for start in range(0, len(new), READ_BATCH):
                batch = new[start : start + READ_BATCH]
                self._write([texts[one] for one in batch])
                self._hashes += batch
                self._let_oldest_go()
                advance(start + len(batch), len(new))
        return len(new)

    def address(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Which fact each text is about, and its activation.

        Args:
            texts: b questions, or beginnings of facts.

        Returns:
            int64 (b,) slots, the place among the facts that can be recited; float64 (b,) activations, up to about 1.
        """
        activations, slots = self._address.read(self._vectors(texts)).max(dim=-1)
        return slots, activations

    def ask(self, question: str) -> Recited:
        """Recite the fact that answers a question, from its first token to its last.

        Raises:
            InvalidQueryError: there is no question.
        """
        return self.ask_many([question])[0]

    def ask_many(self, questions: Sequence[str]) -> list[Recited]:
        """`ask` for several questions, recited side by side."""
        slots, ratios, called = self._called(questions)
        texts = self._recite(slots[called], [[]] * len(called))
        recited = dict(zip(called, texts, strict=True))
        answers = []
        for number, question in enumerate(questions):
            text, familiarity = recited.get(number), ratios[number]
            if text is not None:
                activation = familiarity * address_threshold(len(self))
                familiarity = activation / surprisal_given(self._llm, text, question) / familiarity_threshold(len(self))
            answers.append(Recited(text if familiarity >= 1 else None, familiarity))
        return answers

    def complete(self, beginning: str) -> Recited:
        """Go on as the fact does that begins in exactly these words.

        Raises:
            InvalidQueryError: there is no beginning.
        """
        return self.complete_many([beginning])[0]

    def complete_many(self, beginnings: Sequence[str]) -> list[Recited]:
        """`complete` for several beginnings, recited side by side."""
        slots, ratios, called = self._called(beginnings)
        texts = self._recite(slots[called], [self._llm.tokens(beginnings[number]) for number in called])
        recited = dict(zip(called, texts, strict=True))
        return [Recited(recited.get(number), ratio) for number, ratio in enumerate(ratios)]

    def save(self, path: str | Path) -> None:
        """Save the weights as a safetensors file; they hold hashes of the facts, and can be made to recite them."""
        tensors = {"address.keys": self._address.keys, **self._content.tensors()}
        save_weights(path, tensors, {"made_with": self._made_with, "hashes": self._hashes, "evicted": self._let_go})

    def load(self, path: str | Path) -> None:
        """Take saved weights in the place of these.

        Raises:
            CorruptStateError: the file is damaged, or its weights were learned with other models.
            OSError: it cannot be read.
        """
        tensors, about = load_weights(path)
        if about.get("made_with") != self._made_with:
            raise CorruptStateError(f"The weights in {path} were learned with other models. Learn them from the log.")
        address, content = AddressMemory(self._encoder.dim), ContentMemory(self._llm.dim)
        try:
            content.restore(tensors)
            address.rewrite(tensors["address.keys"])
            hashes, evicted = list(about["hashes"]), int(about["evicted"])
        except (LookupError, TypeError, ValueError, RuntimeError) as error:
            raise CorruptStateError(f"{path} lacks something: {error!r}. Learn the weights from the log.") from error
        if not len(address) == len(content) == len(hashes):
            raise CorruptStateError(f"The parts of {path} do not fit together. Learn the weights from the log.")
        self._address, self._content, self._hashes, self._let_go = address, content, hashes, evicted

    def recite(self, slots: Sequence[int]) -> list[str | None]:
        """Facts by their places, from first token to last; None where the weights do not know how one goes on."""
        return self._recite(torch.tensor(slots), [[]] * len(slots))

    def _called(self, texts: Sequence[str]) -> tuple[Tensor, list[float], list[int]]:
        """Each text's slot, its activation as a share of what is needed, and which have enough of it."""
        if not all(text.strip() for text in texts):
            raise InvalidQueryError("There is nothing to recall without a question; give one.")
        if not texts or not len(self):
            return torch.zeros(len(texts), dtype=torch.int64), [0.0] * len(texts), []
        slots, activations = self.address(texts)
        ratios = (activations / address_threshold(len(self))).tolist()
        return slots, ratios, [number for number, ratio in enumerate(ratios) if ratio >= 1]

    def _recite(self, slots: Tensor, beginnings: Sequence[list[int]]) -> list[str | None]:
        """What follows the given tokens in each slot's fact; None where the weights would not have said those."""
        if not len(slots):
            return []
        lm = self._llm.lm
        body: Any = lm.model.base_model
        vocabulary = lm.model.config.get_text_config().vocab_size
        said: list[list[int]] = [[] for _ in slots]
        right, open_ = [True] * len(said), [True] * len(said)
        tokens, cache, past = torch.full((len(said), 1), self._llm.start_token), lm.cache_name, None
        with lm.lock, torch.no_grad():
            for place in range(MAX_FACT_TOKENS):
                out = body(tokens.to(lm.model.device), use_cache=True, **{cache: past})
                past = out[cache]
                answers, scores = self._content.read(out.last_hidden_state[:, -1], slots, vocabulary)
                for row, (answer, score) in enumerate(zip(answers.tolist(), scores.tolist(), strict=True)):
                    given = beginnings[row][place] if place < len(beginnings[row]) else answer
                    right[row] &= not open_[row] or (score >= MIN_TOKEN_SCORE and given == answer)
                    open_[row] &= right[row] and given != self._llm.end_token
                    said[row] += [given] if open_[row] else []
                    tokens[row] = given
                if not any(open_):
                    break
            return [
                str(lm.tokenizer.decode(row[len(beginning) :])) if known and not log_failures else None
                for row, beginning, known, log_failures in zip(said, beginnings, right, open_, strict=True)
            ]

    def _vectors(self, texts: Sequence[str]) -> Tensor:
        return torch.from_numpy(np.stack([reading.pooled for reading in self._encoder.read(texts)]))

    def _write(self, texts: Sequence[str]) -> None:
        vectors = self._vectors(texts)
        tokens = [[self._llm.start_token, *self._llm.tokens(text), self._llm.end_token] for text in texts]
        # What stands to the right changes no state of a causal model.
        rows = [torch.tensor(row[:-1]) for row in tokens]
        states = self._llm.states(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), layer=-1).cpu()
        for row, seen in zip(tokens, states, strict=True):
            self._content.write(seen[: len(row) - 1], torch.tensor(row[1:]))
        self._address.write(vectors)

    def _forget_others(self, hashes: Sequence[str]) -> None:
        """Keep the banks before the first fact that is not where it was."""
        there = hashes[self._let_go : self._let_go + len(self)]
        same = next((place for place, one in enumerate(self._hashes) if there[place : place + 1] != [one]), len(self))
        if same < len(self):
            kept = self._content.truncate(same)
            self._hashes = self._hashes[:kept]
            self._address.rewrite(self._address.keys[:kept])
        if not len(self):
            # From the beginning, but for those that the newer ones would push out at once.
            self._let_go = max(0, len(hashes) - self._banks * FACTS)

    def _let_oldest_go(self) -> None:
        while len(self._content.banks) > self._banks:
            gone = self._content.drop()
            self._let_go += gone
            self._hashes = self._hashes[gone:]
            self._address.rewrite(self._address.keys[gone:])


def surprisal_given(llm: CausalReader, text: str, question: str) -> float:
    """How much a question still surprises an LLM that has just read a text.

    The question's first word is left out: which one comes is open in any case.

    Returns:
        The root mean square of its tokens' surprise, in nats; at least 1. Squares, for one stranger's name among many
        words that fit is what tells.
    """
    before = len(llm.tokens(f"{text}\n"))
    surprise = llm.surprisal(f"{text}\n{question}")[before:]
    return max(1.0, float((surprise[1:] if len(surprise) > 1 else surprise).square().mean().sqrt()))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
