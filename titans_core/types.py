"""The nouns of the package: what goes in (Turn), what is read of it (Reading), what comes back (Recollection).

Plain frozen dataclasses; this module imports no torch, so that adapters may import it at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from titans_core.rendering import TAG, render_recalls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray


RECALL_TEMPLATE = "- {source}: {passage}"
"""How a recall stands in a prompt unless another template is given; see `Recollection.as_text`."""

_FIELDS = ("source", "speaker", "date", "id", "text", "passage")

_HEADINGS = {
    "high": "From earlier conversations; the first is relevant, the others perhaps not:",
    "low": "From earlier conversations; perhaps not relevant, do not rely on it:",
}


class Confidence(StrEnum):
    """How far a recall can be trusted.

    Attributes:
        HIGH: trust it.
        LOW: show it, but do not assert it.
        NONE: nothing relevant is known; do not use the recalls.
    """

    HIGH = "high"
    LOW = "low"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation, exactly as it was said.

    Attributes:
        text: what was said; never empty.
        speaker: who said it ("user", "assistant", a name), or None.
        at: when it was said. A time without a zone is taken as UTC; None means now, when it is memorized.
        session: the conversation that it belongs to, or None. Neighbours are turns of one session.
        metadata: JSON-compatible values of the caller's.
        id: unique within the tenant; None lets `memorize` make one.
        source: where it comes from, if not from the conversation itself ("tool:search", "import"), or None. What one
            source has said can be recalled, bounded and forgotten together.
    """

    text: str
    speaker: str | None = None
    at: datetime | None = None
    session: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    id: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a frozen reader makes of one passage of n tokens, with d-dimensional states.

    Attributes:
        keys: float32 (n, d); the contextual token states, each of unit length, special tokens left out.
        pooled: float32 (d,); the passage's sentence vector, of unit length.
        tokens: int32 (n,); the token ids.
        offsets: int32 (n, 2); start and end of each token in the text that was read, in characters.
    """

    keys: NDArray[np.float32]
    pooled: NDArray[np.float32]
    tokens: NDArray[np.int32]
    offsets: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Memorized:
    """The receipt for one memorized turn: it is on disk.

    Attributes:
        id: the turn's id.
        surprise: in [0, 1]; how much of the turn the neural memory could not predict (1: all of it was new).
        learned: whether the weights changed; False if there was nothing to learn (no token, or a repeated id).
        duplicate_of: the id of an earlier turn with the same speaker and text, or None.
    """

    id: str
    surprise: float
    learned: bool
    duplicate_of: str | None = None


@dataclass(frozen=True, slots=True)
class Recall:
    """One turn that a query brought back.

    Attributes:
        turn: the turn, whole.
        score: the fused score, in standard deviations of the candidates; higher is better, no fixed range.
        probability: in [0, 1]; this turn's share of the softmax over the candidates' scores. It orders and
            compares the recalls of one query; it is not calibrated.
        similarity: in [-1, 1]; the cosine between the sentence vectors of the query and the turn.
        passage: the part of a long turn that matched best.
        why: the parts of the score by name; they add up to it.
    """

    turn: Turn
    score: float
    probability: float
    similarity: float
    passage: str
    why: Mapping[str, float]

    @property
    def id(self) -> str:
        """The turn's id."""
        return self.turn.id or ""

    @property
    def text(self) -> str:
        """The turn's text."""
        return self.turn.text


@dataclass(frozen=True, slots=True)
class Recollection:
    """The answer of `recall`: recalls, best first, under one label.

    Iterating and `len` go over the recalls.

    Attributes:
        query: what was asked.
        recalls: best first; empty if nothing is stored or no turn passes the filters.
        confidence: the label of `best`.
        probability: in [0, 1], that `best` answers the query; None if the strategy does not say.
        probability_top3: in [0, 1], that one of the first three does; None likewise.
        reasons: what the label rests on, by name; which names depends on the strategy.
    """

    query: str
    recalls: tuple[Recall, ...]
    confidence: Confidence
    probability: float | None = None
    probability_top3: float | None = None
    reasons: Mapping[str, float] = field(default_factory=dict)

    @property
    def best(self) -> Recall | None:
        """The first recall, or None if there is none."""
        return self.recalls[0] if self.recalls else None

    @property
    def relevance(self) -> tuple[float, ...]:
        """Of each recall, in [0, 1]: the first's is `probability`, the others' fall as their shares do.

        Comparable between queries and memories, as far as `probability` is calibrated. Without one they are the
        shares themselves, `Recall.probability`, which compare the recalls of one query only.
        """
        if self.best is None or self.probability is None or not self.best.probability:
            return tuple(recall.probability for recall in self.recalls)
        first = self.best.probability
        return tuple(self.probability * min(1.0, recall.probability / first) for recall in self.recalls)

    def reaches(self, minimum: str) -> bool:
        """Whether the label is at least this one: under "high" only `high` is, under "low" `high` and `low` are."""
        return self.confidence in (Confidence.HIGH, minimum)

    def explain(self) -> str:
        """Why this label, in one or two sentences; `reasons` has the same as numbers."""
        if self.best is None and self.confidence is Confidence.NONE:
            return "none: nothing is stored that could answer this."
        if self.best is None:
            return f"{self.confidence}, but no recall fits into the budget."
        parts = [str(self.confidence)]
        if self.probability is not None:
            parts.append(f"the first recall answers this with a probability of {self.probability:.2f}")
        if self.probability_top3 is not None:
            parts.append(f"one of the first three with {self.probability_top3:.2f}")
        told = ", ".join(f"{name} {value:+.2f}" for name, value in self.reasons.items())
        return "; ".join(parts) + (f" ({told})." if told else ".")

    def as_text(self, template: str = RECALL_TEMPLATE) -> str:
        """The recalls as a block for a prompt; empty under the label `none`, and without recalls.

        Stored text is data: it cannot close the block, begin a line, spell a special token or be invisible (see
        `titans_core.rendering`), and a later prompt template finds no field of its own in it.

        Args:
            template: for one recall, with any of {source} (the speaker and the day), {speaker}, {date}, {id}, {text}
                (the whole turn), {passage} (the part of it that matched).

        Raises:
            KeyError: the template names something else.
        """
        if self.confidence is Confidence.NONE or not self.recalls:
            return ""
        recalled = render_recalls(template, map(_texts, self.recalls))
        return f'<{TAG} confidence="{self.confidence}">\n{_HEADINGS[self.confidence]}\n{recalled}\n</{TAG}>'

    def __iter__(self) -> Iterator[Recall]:
        return iter(self.recalls)

    def __len__(self) -> int:
        return len(self.recalls)

    def __bool__(self) -> bool:
        # A recollection is always an answer, also when it is empty: `if recollection` must not mean two things.
        return True


def check_template(template: str) -> None:
    """Fail where a template is given, rather than where it is used.

    Raises:
        KeyError: it names something else than `Recollection.as_text` knows.
    """
    template.format_map(dict.fromkeys(_FIELDS, ""))


def _texts(recall: Recall) -> dict[str, str]:
    """What a template may name."""
    turn = recall.turn
    speaker, date = turn.speaker or "", turn.at.date().isoformat() if turn.at else ""
    source = ", ".join(part for part in (speaker, date) if part) or "somebody"
    return dict(zip(_FIELDS, (source, speaker, date, recall.id, turn.text, recall.passage), strict=True))


@dataclass(frozen=True, slots=True)
class Stats:
    """The size of one tenant's memory.

    Attributes:
        turns: turns in the log.
        passages: passages that they were split into.
        tokens: token keys written into the weights.
        weight_bytes: size of the fast weights in memory.
        log_bytes: size of the file on disk, all tenants together; 0 for ":memory:".
        reader: fingerprint of the reader.
    """

    turns: int
    passages: int
    tokens: int
    weight_bytes: int
    log_bytes: int
    reader: str
