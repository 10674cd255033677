"""Facts from weights alone: found by the question, recited token by token, or withheld by the gate."""

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
from titans_core.recitation.content import MAX_BANK_FACTS, ContentMemory
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
"""Number of facts that the LLM reads in one forward pass."""

MAX_FACT_TOKENS = 256
"""Most tokens of a fact. A passage usually has about a hundred."""

MIN_TOKEN_SCORE = 0.5
"""The least score of a recited token. Below it, the weights do not know how the fact continues."""


@dataclass(frozen=True)
class Recited:
    """What the weights know about a question.

    Attributes:
        text: The fact, or its continuation. None if the gate stayed closed.
        familiarity: How well the question fits what was learned, as a share of what opens the gate.
    """

    text: str | None
    familiarity: float


class Recitation:
    """Learns facts into fast weights, and recites the fact that a question is about.

    It has three parts. An address memory finds the fact by the question's sentence vector. A content memory recites the
    fact through the frozen LLM. A gate keeps it silent unless the question is familiar: the question must activate the
    fact strongly enough, and it must not hold a word that still surprises the LLM after the LLM has read the fact, such
    as the name of a stranger.

    The text of a fact is not stored, only weights and the fact's hash. Writing a fact takes one forward pass, and no
    fact is read again. When all banks are full, the oldest bank is dropped with its facts. Not safe for threads.

    Example:
        ```python
        recitation = Recitation(CausalReader(), load_reader())
        recitation.learn(["The favorite color of Ada Keller is teal.", "Ben Rossi works as a welder."])
        recitation.ask("What does Ben Rossi do for a living?").text  # "Ben Rossi works as a welder."
        recitation.ask("Why is the sky blue?").text  # None
        ```
    """

    def __init__(self, llm: CausalReader, encoder: Reader, *, banks: int = 32) -> None:
        """Make an empty memory.

        Args:
            llm: The language model that recites. The states of its last layer are the keys of the content memory.
            encoder: The encoder of facts and questions; its sentence vectors are the keys of the address memory.
            banks: Number of banks to keep, at least 1. A bank holds 32 facts or 448 tokens and takes half a megabyte.
        """
        self._llm = llm
        self._encoder = encoder
        self._banks = banks
        self._address = AddressMemory(encoder.dim)
        self._content = ContentMemory(llm.dim)
        self._hashes: list[str] = []
        self._evicted = 0
        self._models = [llm.fingerprint, encoder.fingerprint]

    def __len__(self) -> int:
        """Number of facts that it can recite."""
        return len(self._hashes)

    @property
    def nbytes(self) -> int:
        """Size of everything that was learned, in bytes."""
        return self._address.nbytes + self._content.nbytes

    def learn(self, facts: Sequence[str], *, progress: Progress = False) -> int:
        """Make the weights hold exactly these facts: learn the new ones, and forget all others.

        New facts at the end are simply written. If an earlier fact was changed or is missing, every fact from that
        fact's bank on is written again. Texts are split into passages, and each passage is a fact. A passage of more
        than 256 tokens is left out.

        Args:
            facts: All facts, in the order of the log.
            progress: True for a progress bar, or a function that is called with (done, total).

        Returns:
            The number of facts that were written.
        """
        passages = (passage.of(text) for text in facts for passage in split_passages(text))
        known = set(self._hashes)
        texts = {
            name: passage
            for passage in passages
            if (name := _hash(passage)) in known or len(self._llm.tokens(passage)) < MAX_FACT_TOKENS
        }
        hashes = list(texts)
        self._forget_except(hashes)
        new = hashes[self._evicted + len(self) :]
        with progress_bar(progress, unit="fact", description="learning") as advance:
            for start in range(0, len(new), READ_BATCH):
                batch = new[start : start + READ_BATCH]
                self._write([texts[name] for name in batch])
                self._hashes += batch
                self._evict_oldest()
                advance(start + len(batch), len(new))
        return len(new)

    def address(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Find the fact that each text is about.

        Args:
            texts: b questions, or beginnings of facts.

        Returns:
            The slots, int64 (b,): each fact's place among the facts that can be recited. And the slots' activations,
            float64 (b,), up to about 1.
        """
        activations, slots = self._address.read(self._vectors(texts)).max(dim=-1)
        return slots, activations

    def ask(self, question: str) -> Recited:
        """Recite the fact that answers a question, from its first token to its last.

        Args:
            question: The question, in any words.

        Returns:
            The fact as `text`; None instead if the question is not familiar enough.

        Raises:
            InvalidQueryError: The question is empty.
        """
        return self.ask_many([question])[0]

    def ask_many(self, questions: Sequence[str]) -> list[Recited]:
        """Answer several questions in one batch.

        Args:
            questions: The questions, as in `ask`.

        Returns:
            What `ask` returns for each question.

        Raises:
            InvalidQueryError: A question is empty.
        """
        slots, ratios, familiar = self._find_facts(questions)
        texts = self._recite(slots[familiar], [[]] * len(familiar))
        recited = dict(zip(familiar, texts, strict=True))
        answers = []
        for number, question in enumerate(questions):
            text, familiarity = recited.get(number), ratios[number]
            if text is not None:
                activation = familiarity * address_threshold(len(self))
                familiarity = activation / surprisal_given(self._llm, text, question) / familiarity_threshold(len(self))
            answers.append(Recited(text if familiarity >= 1 else None, familiarity))
        return answers

    def complete(self, beginning: str) -> Recited:
        """Continue the fact that begins with exactly these words.

        Args:
            beginning: The first words of a fact.

        Returns:
            The rest of the fact as `text`.

        Raises:
            InvalidQueryError: The beginning is empty.
        """
        return self.complete_many([beginning])[0]

    def complete_many(self, beginnings: Sequence[str]) -> list[Recited]:
        """Continue several beginnings in one batch.

        Args:
            beginnings: The beginnings, as in `complete`.

        Returns:
            What `complete` returns for each beginning.

        Raises:
            InvalidQueryError: A beginning is empty.
        """
        slots, ratios, familiar = self._find_facts(beginnings)
        texts = self._recite(slots[familiar], [self._llm.tokens(beginnings[number]) for number in familiar])
        recited = dict(zip(familiar, texts, strict=True))
        return [Recited(recited.get(number), ratio) for number, ratio in enumerate(ratios)]

    def save(self, path: str | Path) -> None:
        """Save the weights as a safetensors file. An existing file is replaced as a whole.

        The file holds no text, but a hash of each fact; and the weights can be made to recite the facts.

        Args:
            path: Path of the file.

        Raises:
            UnwritableError: The file cannot be written.
        """
        tensors = {"address.keys": self._address.keys, **self._content.tensors()}
        save_weights(path, tensors, {"made_with": self._models, "hashes": self._hashes, "evicted": self._evicted})

    def load(self, path: str | Path) -> None:
        """Replace the weights by saved ones.

        Args:
            path: Path of a file that `save` wrote.

        Raises:
            CorruptStateError: The file is damaged, or its weights were learned with other models.
            OSError: The file cannot be read.
        """
        tensors, about = load_weights(path)
        if about.get("made_with") != self._models:
            raise CorruptStateError(f"The weights in {path} were learned with other models. Learn them from the log.")
        address, content = AddressMemory(self._encoder.dim), ContentMemory(self._llm.dim)
        try:
            content.restore(tensors)
            address.rewrite(tensors["address.keys"])
            hashes, evicted = list(about["hashes"]), int(about["evicted"])
        except (LookupError, TypeError, ValueError, RuntimeError) as error:
            raise CorruptStateError(f"{path} is incomplete: {error!r}. Learn the weights from the log.") from error
        if not len(address) == len(content) == len(hashes):
            raise CorruptStateError(f"The parts of {path} do not fit together. Learn the weights from the log.")
        self._address, self._content, self._hashes, self._evicted = address, content, hashes, evicted

    def recite(self, slots: Sequence[int]) -> list[str | None]:
        """Recite facts by their slots, without the gate.

        Args:
            slots: The facts' places among the facts that can be recited.

        Returns:
            The facts, each from its first token to its last; None where the weights do not know how a fact continues.
        """
        return self._recite(torch.tensor(slots), [[]] * len(slots))

    def _find_facts(self, texts: Sequence[str]) -> tuple[Tensor, list[float], list[int]]:
        """The slot of each text, its activation as a share of the threshold, and the indices that reach it."""
        if not all(text.strip() for text in texts):
            raise InvalidQueryError("There is nothing to recall without a question; give one.")
        if not texts or not len(self):
            return torch.zeros(len(texts), dtype=torch.int64), [0.0] * len(texts), []
        slots, activations = self.address(texts)
        ratios = (activations / address_threshold(len(self))).tolist()
        return slots, ratios, [number for number, ratio in enumerate(ratios) if ratio >= 1]

    def _recite(self, slots: Tensor, beginnings: Sequence[list[int]]) -> list[str | None]:
        """Recite what follows a beginning (tokens) in each slot's fact; None where the weights predict other tokens."""
        if not len(slots):
            return []
        lm = self._llm.lm
        body: Any = lm.model.base_model
        vocabulary = lm.model.config.get_text_config().vocab_size
        recited: list[list[int]] = [[] for _ in slots]
        # A row is unfinished until its end token, or until the weights do not know it.
        known, unfinished = [True] * len(recited), [True] * len(recited)
        tokens, cache, past = torch.full((len(recited), 1), self._llm.start_token), lm.cache_name, None
        with lm.lock, torch.no_grad():
            for place in range(MAX_FACT_TOKENS):
                out = body(tokens.to(lm.model.device), use_cache=True, **{cache: past})
                past = out[cache]
                answers, scores = self._content.read(out.last_hidden_state[:, -1], slots, vocabulary)
                for row, (answer, score) in enumerate(zip(answers.tolist(), scores.tolist(), strict=True)):
                    token = beginnings[row][place] if place < len(beginnings[row]) else answer
                    known[row] &= not unfinished[row] or (score >= MIN_TOKEN_SCORE and token == answer)
                    unfinished[row] &= known[row] and token != self._llm.end_token
                    recited[row] += [token] if unfinished[row] else []
                    tokens[row] = token
                if not any(unfinished):
                    break
            return [
                str(lm.tokenizer.decode(row[len(beginning) :])) if row_known and not row_unfinished else None
                for row, beginning, row_known, row_unfinished in zip(
                    recited, beginnings, known, unfinished, strict=True
                )
            ]

    def _vectors(self, texts: Sequence[str]) -> Tensor:
        return torch.from_numpy(np.stack([reading.pooled for reading in self._encoder.read(texts)]))

    def _write(self, texts: Sequence[str]) -> None:
        vectors = self._vectors(texts)
        tokens = [[self._llm.start_token, *self._llm.tokens(text), self._llm.end_token] for text in texts]
        # The padding on the right does not change the states: the model is causal.
        rows = [torch.tensor(row[:-1]) for row in tokens]
        states = self._llm.states(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), layer=-1).cpu()
        for row, row_states in zip(tokens, states, strict=True):
            self._content.write(row_states[: len(row) - 1], torch.tensor(row[1:]))
        self._address.write(vectors)

    def _forget_except(self, hashes: Sequence[str]) -> None:
        """Keep only the banks before the first fact that is no longer in its place."""
        expected = hashes[self._evicted : self._evicted + len(self)]
        unchanged = next(
            (place for place, name in enumerate(self._hashes) if expected[place : place + 1] != [name]), len(self)
        )
        if unchanged < len(self):
            kept = self._content.truncate(unchanged)
            self._hashes = self._hashes[:kept]
            self._address.rewrite(self._address.keys[:kept])
        if not len(self):
            # Learning starts from the beginning, but skips the facts that later ones would evict at once.
            self._evicted = max(0, len(hashes) - self._banks * MAX_BANK_FACTS)

    def _evict_oldest(self) -> None:
        while len(self._content.banks) > self._banks:
            count = self._content.drop()
            self._evicted += count
            self._hashes = self._hashes[count:]
            self._address.rewrite(self._address.keys[count:])


def surprisal_given(llm: CausalReader, text: str, question: str) -> float:
    """Measure how much a question still surprises an LLM that has just read a text.

    The question's first word does not count: no text makes it predictable.

    Args:
        llm: The language model.
        text: The text that it has read.
        question: The question.

    Returns:
        The root mean square of the tokens' surprisal, in nats; at least 1. The square makes a single unexpected token
        count, such as a stranger's name among many words that fit.
    """
    before = len(llm.tokens(f"{text}\n"))
    surprisals = llm.surprisal(f"{text}\n{question}")[before:]
    return max(1.0, float((surprisals[1:] if len(surprisals) > 1 else surprisals).square().mean().sqrt()))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
