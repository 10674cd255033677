"""The nouns of the package: `Turn` goes in, `Reading` is read of it, `Recollection` comes back.

All are frozen dataclasses. This module imports no torch, so that importing it is fast.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from titans_core.rendering import TAG, render_recalls

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime, tzinfo

    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "RECALL_TEMPLATE",
    "Confidence",
    "Memorized",
    "Reading",
    "Recall",
    "Recollection",
    "Stats",
    "Turn",
    "check_template",
]


RECALL_TEMPLATE = "- {source}: {passage}"
"""The default template of one recall in a prompt; see `Recollection.as_text`."""

_FIELDS = ("source", "speaker", "date", "id", "text", "passage")

_HEADINGS = {
    "high": "From earlier conversations; the first is relevant, the others perhaps not:",
    "low": "From earlier conversations; perhaps not relevant, do not rely on it:",
}


class Confidence(StrEnum):
    """How far a recall can be trusted.

    Attributes:
        HIGH: Trust it.
        LOW: Show it, but do not assert it.
        NONE: Nothing relevant is known; do not use the recalls.
    """

    HIGH = "high"
    LOW = "low"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation, exactly as it was said.

    Attributes:
        text: The text that was said; never empty.
        speaker: Who said it ("user", "assistant", a name), or None.
        at: When it was said. A time without a zone is the machine's local time, which `datetime.now()` gives. None
            means the time at which it is memorized.
        session: The conversation that it belongs to, or None. Neighbours are turns of one session.
        metadata: JSON values of the caller.
        id: The id, unique within the tenant; None lets `memorize` make one.
        source: Where the turn comes from, if not from the conversation itself ("tool:search", "import"), or None. The
            turns of one source can be recalled, limited and forgotten together.
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
    """The output of a frozen reader for one passage of n tokens, with d-dimensional states.

    Attributes:
        keys: float32 (n, d), the contextual token states, each of unit length, without special tokens.
        pooled: float32 (d,), the passage's sentence vector, of unit length; zeros if the reader knows no token of it.
        tokens: int32 (n,), the token ids.
        offsets: int32 (n, 2), start and end of each token in the text that was read, in characters.
    """

    keys: NDArray[np.float32]
    pooled: NDArray[np.float32]
    tokens: NDArray[np.int32]
    offsets: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Memorized:
    """The receipt of one memorized turn: the turn is on disk.

    Attributes:
        id: The turn's id.
        surprise: The share of the turn that the neural memory could not predict, in [0, 1]; 1 if all of it was new.
        learned: Whether the weights changed; False if there was nothing to learn: no token, a repeated id, a turn that
            only asks, declines or makes small talk, or one that the weights predict.
        duplicate_of: The id of an earlier turn with the same speaker and text, or None.
    """

    id: str
    surprise: float
    learned: bool
    duplicate_of: str | None = None


@dataclass(frozen=True, slots=True)
class Recall:
    """One turn that was recalled for a query.

    Attributes:
        turn: The whole turn.
        score: The fused score, in standard deviations of the candidates; higher is better, without a fixed range.
        probability: The turn's share of the softmax over the candidates' scores, in [0, 1]. It compares the recalls of
            one query; it is not calibrated.
        similarity: The cosine between the sentence vectors of the query and the turn, in [-1, 1].
        passage: The part of a long turn that matched best.
        why: The parts of the score by name; their sum is the score.
        times: How often the same was said by this speaker, at least 1. The turn is the latest of these.
        first_at: When it was said first; None if that is not known.
        superseded_by: The id of a later turn that seems to give the same subject another value; None if there is none.
        superseded_at: When that turn was said.
        supersedes: The ids of the recalls beside this one that it supersedes.
        before: Turns before this one in its session, in order, if `recall` was asked for context.
        after: Turns after it.
    """

    turn: Turn
    score: float
    probability: float
    similarity: float
    passage: str
    why: Mapping[str, float]
    times: int = 1
    first_at: datetime | None = None
    superseded_by: str | None = None
    superseded_at: datetime | None = None
    supersedes: tuple[str, ...] = ()
    before: tuple[Turn, ...] = ()
    after: tuple[Turn, ...] = ()

    @property
    def id(self) -> str:
        """The turn's id."""
        return self.turn.id or ""

    @property
    def text(self) -> str:
        """The turn's text."""
        return self.turn.text

    @property
    def at(self) -> datetime | None:
        """When the turn was said."""
        return self.turn.at


LIKELY = 0.5
"""The least probability that one of the first three recalls answers, from which on the block is likely to help."""


@dataclass(frozen=True, slots=True)
class Recollection:
    """The answer of `recall`: recalls, best first, under one label.

    Iteration and `len` use the recalls.

    Attributes:
        query: The query.
        recalls: The recalls, best first; empty if nothing is stored or no turn passes the filters.
        confidence: The label of `best`.
        probability: The probability in [0, 1] that `best` answers the query; None if the strategy gives none.
        probability_top3: The probability in [0, 1] that one of the first three recalls answers it; None if the strategy
            gives none.
        reasons: The numbers that the label rests on, by name; the names depend on the strategy.
        grounds: What is known about `best`, in words, for `explain`.
        searched: The part of a long query that was searched for; the whole of a short one.
        zone: The user's time zone, in which days are shown; None for the machine's.
    """

    query: str
    recalls: tuple[Recall, ...]
    confidence: Confidence
    probability: float | None = None
    probability_top3: float | None = None
    reasons: Mapping[str, float] = field(default_factory=dict)
    grounds: tuple[str, ...] = ()
    searched: str = ""
    zone: tzinfo | None = None

    @property
    def best(self) -> Recall | None:
        """The first recall, or None if there is none."""
        return self.recalls[0] if self.recalls else None

    @property
    def relevance(self) -> tuple[float, ...]:
        """A relevance in [0, 1] for each recall: `probability` for the first; the others fall in proportion to theirs.

        The values compare recalls of different queries and memories as far as `probability` is calibrated. If
        `probability` is None, they are `Recall.probability`, which compare the recalls of one query only.
        """
        if self.best is None or self.probability is None or not self.best.probability:
            return tuple(recall.probability for recall in self.recalls)
        first = self.best.probability
        return tuple(self.probability * min(1.0, recall.probability / first) for recall in self.recalls)

    def reaches(self, minimum: str) -> bool:
        """Whether an application that asks for this much may use the recalls.

        Args:
            minimum: "high" accepts that label only. "likely" also accepts recalls of which one of the first three
                answers with a `probability_top3` of at least `LIKELY`; "low" accepts `high` and `low`, and "none" all.
        """
        if minimum == "likely":
            probable = self.confidence is Confidence.LOW and (self.probability_top3 or 0.0) >= LIKELY
            return probable or self.confidence is Confidence.HIGH
        return minimum == Confidence.NONE or self.confidence in (Confidence.HIGH, minimum)

    def explain(self) -> str:
        """The reason for the label in a sentence or two, for a person; `reasons` holds the numbers."""
        if self.best is None and self.confidence is Confidence.NONE:
            return "none: nothing is stored that could answer this."
        if self.best is None:
            return f"{self.confidence}, but no recall fits into the budget."
        parts = [str(self.confidence)]
        if self.probability is not None:
            parts.append(f"the first recall answers this with a probability of {self.probability:.2f}")
        if self.probability_top3 is not None:
            parts.append(f"one of the first three with {self.probability_top3:.2f}")
        if self.grounds:
            return f"{'; '.join(parts)}. It {', '.join(self.grounds)}."
        reasons = ", ".join(f"{name} {value:+.2f}" for name, value in self.reasons.items())
        return "; ".join(parts) + (f" ({reasons})." if reasons else ".")

    def as_text(self, template: str = RECALL_TEMPLATE) -> str:
        """The recalls as a block for a prompt; empty under the label `none`, and if there are no recalls.

        Stored text is data: it cannot close the block, begin a line, spell a special token or be invisible (see
        `titans_core.rendering`), and it holds no field that a later prompt template would fill.

        The turns that came along with a recall (see `Recall.before` and `Recall.after`) stand beside it, each once.

        Args:
            template: The template of one recall. Its fields are {source} (the speaker, the date, until when it held if
                a later turn supersedes it, and how often it was said), {speaker}, {date} (the day in `zone`, with the
                time if another turn of the block is of that day), {id}, {text} (the whole turn) and {passage} (the part
                that matched).

        Raises:
            KeyError: The template has another field.
        """
        if self.confidence is Confidence.NONE or not self.recalls:
            return ""
        lines = list(_lines(self.recalls))
        dates = _dates((line.at for line in lines), self.zone)
        recalled = render_recalls(template, (_texts(*line, self.zone) for line in zip(lines, dates, strict=True)))
        return f'<{TAG} confidence="{self.confidence}">\n{_HEADINGS[self.confidence]}\n{recalled}\n</{TAG}>'

    def __iter__(self) -> Iterator[Recall]:
        return iter(self.recalls)

    def __len__(self) -> int:
        return len(self.recalls)

    def __bool__(self) -> bool:
        # A recollection is always an answer, also when it is empty: `if recollection` must not mean two things.
        return True


def check_template(template: str) -> None:
    """Check a template where it is given, before it is used.

    Args:
        template: A template for `Recollection.as_text`.

    Raises:
        KeyError: The template has another field.
    """
    template.format_map(dict.fromkeys(_FIELDS, ""))


def _dates(times: Iterable[datetime | None], zone: tzinfo | None) -> list[str]:
    """The days of times in a zone; days that come more than once with hours and minutes."""
    local = [at and local_time(at, zone) for at in times]
    count = Counter(at.date() for at in local if at)
    return [str(at.date() if count[at.date()] == 1 else at)[:16] if at else "" for at in local]


def local_time(at: datetime, zone: tzinfo | None) -> datetime:
    """A time in a zone; None for this machine's."""
    try:
        return at.astimezone(zone)
    except (OverflowError, ValueError, OSError):  # the ends of the calendar; on Windows, this machine's before 1970
        return at


def _lines(recalls: Sequence[Recall]) -> Iterator[Recall | Turn]:
    """The recalls, and beside each the turns that came along with it and that no other line shows."""
    shown = {recall.id for recall in recalls}
    for recall in recalls:
        yield from _not_shown(recall.before, shown)
        yield recall
        yield from _not_shown(recall.after, shown)


def _not_shown(turns: Iterable[Turn], shown: set[str]) -> Iterator[Turn]:
    for turn in turns:
        if turn.id and turn.id not in shown:
            shown.add(turn.id)
            yield turn


def _texts(line: Recall | Turn, date: str, zone: tzinfo | None) -> dict[str, str]:
    """The values of the fields of a template."""
    turn, passage = (line.turn, line.passage) if isinstance(line, Recall) else (line, line.text)
    speaker, notes = turn.speaker or "", []
    if isinstance(line, Recall):
        if line.superseded_at:
            notes.append(f"until {local_time(line.superseded_at, zone).date()}")
        if line.times > 1:
            since = f" since {local_time(line.first_at, zone).date()}" if line.first_at else ""
            notes.append(f"said {line.times} times{since}")
    source = ", ".join(part for part in (speaker, date, *notes) if part) or "somebody"
    return dict(zip(_FIELDS, (source, speaker, date, turn.id or "", turn.text, passage), strict=True))


@dataclass(frozen=True, slots=True)
class Stats:
    """The size of one tenant's memory.

    Attributes:
        turns: The number of turns in the log.
        passages: The number of passages that the turns were split into.
        tokens: The number of token keys that were written into the weights.
        weight_bytes: The size of the fast weights in memory.
        log_bytes: The size of the file on disk, of all tenants together; 0 for ":memory:".
        reader: Fingerprint of the reader.
    """

    turns: int
    passages: int
    tokens: int
    weight_bytes: int
    log_bytes: int
    reader: str
