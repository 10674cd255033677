"""The index: the columns of all turns and passages that recall needs, in memory; a cache of the log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import torch

from titans_core.neural import address_codes
from titans_core.retrieval.bm25 import BM25Index
from titans_core.retrieval.columns import Column, PassageArrays, TurnArrays
from titans_core.retrieval.english import SPEECH_RULES, SpeechAct, cues_of, question_share, speech_act
from titans_core.retrieval.wording import WORDING_RULES, copy_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from titans_core.storage import TurnRecord

_NOBODY = -1

SKETCH = 32
"""The length of a sketch: long enough to rank a near-duplicate among the first few, at a twelfth of the cost."""


@dataclass(frozen=True, slots=True)
class LearnOutcome:
    """The outcome of learning one turn.

    Attributes:
        surprise: The mean over the turn's tokens of the token's momentary surprise times the share of its passage that
            no earlier passage has said, in [0, 1]; 0 for a repeated turn.
        rarity: The mean momentary surprise of the tokens, in (0, 1]; 0 without tokens. A repeated turn has that of the
            turn that it repeats.
        moved: Whether the weights moved. The surprise gate keeps them for a turn that the memory predicts, and a turn
            that tells nothing (see `SpeechAct`) is not written.
        duplicate: The row of the earlier turn with the same words; -1 if there is none.
        written: For each passage the number of writes that the memory had made after it.
        acts: For each passage what it does.
    """

    surprise: float
    rarity: float
    moved: bool
    duplicate: int
    written: tuple[int, ...]
    acts: tuple[SpeechAct, ...]


def acts_of(record: TurnRecord) -> tuple[SpeechAct, ...]:
    """What each passage of a turn does; the weights hold those that tell something."""
    return tuple(speech_act(record.text[passage.start : passage.end], record.speaker) for passage in record.passages)


class Index:
    """The columns of a tenant's n turns and m passages, in the order of the log.

    A row is a place in these arrays, from 0. The log's positions and numbers may have gaps.

    Attributes:
        speakers: The number of each speaker, by name.
        words: The words of the m' passages that tell something.
        other_words: The words of the other passages. What was only asked must not make a word look frequent.
    """

    def __init__(self, dim: int) -> None:
        """Make an empty index for keys of length `dim`."""
        self.speakers: dict[str, int] = {}
        self.words = BM25Index("words")
        self.other_words = BM25Index("other words")
        self._sessions: dict[str | None, int] = {}
        self._last_of_session: dict[str | None, int] = {}
        self._positions = Column(np.int64)
        self._at = Column(np.float64)
        self._speaker = Column(np.int32)
        self._session = Column(np.int64)
        self._surprise = Column(np.float32)
        self._rarity = Column(np.float32)
        self._before = Column(np.int64)
        self._after = Column(np.int64)
        self._passages = Column(np.int32)
        self._numbers = Column(np.int64)
        self._turn_of = Column(np.int64)
        self._columns = Column(np.float32, dim)
        self._lengths = Column(np.float32)
        self._pooled = Column(np.float32, dim)
        self._sketches = Column(np.float32, SKETCH)
        self._strength = Column(np.float64)
        self._written = Column(np.int64)
        self._acts = Column(np.uint8)
        self._cues = Column(np.uint8)
        self._asking = Column(np.float32)
        self._copies = Column(np.int64)
        self._repeated = Column(np.bool_)
        self._latest_copy: dict[int, int] = {}
        self._sketching = address_codes(range(SKETCH), dim).numpy()

    def add(self, record: TurnRecord, lesson: LearnOutcome, sketches: Sequence[NDArray[np.float32]]) -> None:
        """Add the next turn of the log, what learning it was like, and the sketch of each of its passages."""
        self._place([record])
        self._surprise.extend([lesson.surprise])
        self._rarity.extend([lesson.rarity])
        self._sketches.extend(sketches)
        self._strength.extend([1.0] * len(sketches))
        self._written.extend(lesson.written)
        self._acts.extend(lesson.acts)
        texts = [record.text[passage.start : passage.end] for passage in record.passages]
        self._cues.extend([cues_of(text) for text in texts])
        self._asking.extend([question_share(text) for text in texts])
        self._copies.extend([copy_key(text, record.speaker) for text in texts])
        self._mark_copies(self._repeated.size)
        for text, act in zip(texts, lesson.acts, strict=True):
            words = self.words if act is SpeechAct.TELL else self.other_words
            words.add(f"{record.speaker or ''} {text}")

    def _mark_copies(self, first: int) -> None:
        """Mark, from a passage on, which passages a later one repeats."""
        at, turn = self._at.view(), self._turn_of.view()
        self._repeated.extend(np.zeros(self._copies.size - first, np.bool_))
        for row, key in enumerate(self._copies.view()[first:].tolist(), first):
            other = self._latest_copy.setdefault(key, row)
            if other != row:
                # Files can be imported after newer turns, so that the time decides and not the order of the log.
                older, newer = (row, other) if at[turn[row]] < at[turn[other]] else (other, row)
                self._repeated.view()[older], self._latest_copy[key] = True, newer

    def _place(self, records: Sequence[TurnRecord]) -> None:
        """Add the columns of the next turns that the log holds."""
        first = self._positions.size
        self._place_in_sessions(records)
        self._positions.extend([record.position for record in records])
        self._at.extend([record.at for record in records])
        names = [record.speaker for record in records]
        numbers = [_NOBODY if name is None else self.speakers.setdefault(name, len(self.speakers)) for name in names]
        self._speaker.extend(numbers)
        self._passages.extend([len(record.passages) for record in records])
        passages = [passage for record in records for passage in record.passages]
        if not passages:
            return
        columns = np.stack([passage.column for passage in passages]).astype(np.float32)
        self._numbers.extend([passage.number for passage in passages])
        self._turn_of.extend([row for row, record in enumerate(records, first) for _ in record.passages])
        self._columns.extend(columns)
        self._lengths.extend(np.linalg.norm(columns, axis=1))
        self._pooled.extend([passage.pooled for passage in passages])

    def _place_in_sessions(self, records: Sequence[TurnRecord]) -> None:
        first = self._positions.size
        self._after.extend([_NOBODY] * len(records))
        before = []
        for row, record in enumerate(records, first):
            before.append(self._last_of_session.get(record.session, _NOBODY))
            if before[-1] != _NOBODY:
                self._after.view()[before[-1]] = row
            self._last_of_session[record.session] = row
        self._before.extend(before)
        self._session.extend([self._sessions.setdefault(record.session, len(self._sessions)) for record in records])

    def rehearse(self, passage: int, written: int, retention: float) -> None:
        """Note that a passage was written a second time: its strengths add up.

        Args:
            passage: The row of the passage.
            written: The number of writes that the memory had made after it.
            retention: The share that one write leaves of all before it, in (0, 1].
        """
        strength, times = self._strength.view(), self._written.view()
        strength[passage] = 1 + strength[passage] * retention ** (written - times[passage])
        times[passage] = written

    def retention_factors(self, writes: int, retention: float) -> NDArray[np.float32]:
        """The share of each passage that is left in the weights.

        Args:
            writes: The number of writes that the memory has made.
            retention: The share that one write leaves of all before it, in (0, 1].

        Returns:
            float32 (m,), above 0; 1 for a passage that was just written, more for one that was rehearsed.
        """
        strength, written = self._strength.view(), self._written.view()
        left: NDArray[np.float32] = (strength * retention ** (writes - written).astype(np.float64)).astype(np.float32)
        return left

    @np.errstate(invalid="ignore")  # see `maxsim_scores`
    def sketch(self, column: NDArray[np.floating]) -> NDArray[np.float32]:
        """The direction of a column in few numbers, float32 (`SKETCH`,), to find similar passages fast."""
        sketched: NDArray[np.float32] = self._sketching @ column.astype(np.float32)
        sketched /= max(float(np.linalg.norm(sketched)), 1e-12)
        return sketched

    def saved(self) -> dict[str, torch.Tensor]:
        """The tensors that a snapshot saves, because the log does not hold them."""
        learned = {name: torch.from_numpy(column.view().copy()) for name, column in self._learned().items()}
        return learned | self.words.saved() | self.other_words.saved()

    def restore(self, records: Sequence[TurnRecord], tensors: Mapping[str, torch.Tensor]) -> bool:
        """Fill an empty index.

        Args:
            records: The records of all turns up to the snapshot.
            tensors: The tensors that `saved` returned.

        Returns:
            Whether the two fit; if not, the index must not be used.
        """
        self._place(records)
        sizes = {"index.surprise": len(records), "index.rarity": len(records)}
        for name, column in self._learned().items():
            found = tensors.get(name)
            rows = sizes.get(name, self._numbers.size)
            if found is None or found.shape != (rows, *column.view().shape[1:]):
                return False
            column.extend(found.numpy())
        self._mark_copies(0)
        told = int((self._acts.view() == SpeechAct.TELL).sum())
        return (
            self.words.restore(tensors)
            and self.other_words.restore(tensors)
            and (len(self.words), len(self.other_words)) == (told, self._numbers.size - told)
        )

    def word_scores(
        self, query: str, *, told: bool = True, by_words: bool = False
    ) -> tuple[NDArray[np.float32], float]:
        """Score all passages by the words of a query.

        Args:
            query: The query.
            told: Whether passages that tell something are searched; otherwise the others are.
            by_words: Whether words that half of the passages hold count where no rarer word is found: in a young memory
                of a script that the reader does not know, nothing else finds a turn.

        Returns:
            The BM25 score of each passage, float32 (m,), 0 for passages that are not searched; and the share of the
            query's words that none of the searched passages holds, in [0, 1].
        """
        words = self.words if told else self.other_words
        frequencies = words.frequencies(query)
        scores = np.zeros(self._numbers.size, np.float32)
        found = words.scores(frequencies)
        if by_words and not found.any():
            found = words.shares(frequencies)
        scores[(self._acts.view() == SpeechAct.TELL) == told] = found
        return scores, sum(count == 0 for count in frequencies.values()) / max(len(frequencies), 1)

    def without_copies(
        self, usable: NDArray[np.bool_], preferred: NDArray[np.bool_] | None = None
    ) -> NDArray[np.bool_]:
        """Of the usable passages that say the same, only the latest.

        Args:
            usable: bool (m,).
            preferred: bool (m,), the passages of which one stands for the others, if there is any; None for all.

        Returns:
            bool (m,).
        """
        copies = self._copies.view()
        if preferred is not None and (first := usable & preferred).any():
            inside = self.without_copies(first)
            elsewhere = self.without_copies(usable & ~np.isin(copies, copies[inside]))
            return np.logical_or(inside, elsewhere)
        chosen: NDArray[np.bool_] = usable & ~self._repeated.view()
        left_out = np.flatnonzero(usable & ~chosen)
        # Filters may exclude the latest copy; then the latest one that passes them stands for all.
        left_out = left_out[~np.isin(copies[left_out], copies[chosen])]
        if len(left_out):
            by_time = left_out[np.argsort(self._at.view()[self._turn_of.view()[left_out]], kind="stable")]
            latest = {int(copies[row]): int(row) for row in by_time}
            chosen[list(latest.values())] = True
        return chosen

    def copies(self, passage: int) -> NDArray[np.int64]:
        """The rows of the turns in which a passage's speaker says the same, by time, the passage's own among them.

        Args:
            passage: The row of the passage.
        """
        rows = np.unique(self._turn_of.view()[self._copies.view() == self._copies.view()[passage]])
        by_time: NDArray[np.int64] = rows[np.argsort(self._at.view()[rows], kind="stable")]
        return by_time

    def _learned(self) -> dict[str, Column]:
        """The columns that the log does not hold, or that take long to compute from it."""
        return {
            "index.surprise": self._surprise,
            "index.rarity": self._rarity,
            "index.strength": self._strength,
            "index.written": self._written,
            "index.sketches": self._sketches,
            f"index.acts {SPEECH_RULES}": self._acts,
            f"index.cues {SPEECH_RULES}": self._cues,
            f"index.asking {SPEECH_RULES}": self._asking,
            f"index.copies {WORDING_RULES}": self._copies,
        }

    def surprises(self) -> NDArray[np.float32]:
        """The surprise of each turn, float32 (n,): of turns that say the same, that of the one that said it first."""
        surprise, turn = self._surprise.view(), self._turn_of.view()
        keys, group = np.unique(self._copies.view(), return_inverse=True)
        highest = np.zeros(len(keys), np.float32)
        np.maximum.at(highest, group, surprise[turn])
        found: NDArray[np.float32] = surprise.copy()
        np.maximum.at(found, turn, highest[group])
        return found

    def first_year(self, now: datetime) -> int:
        """The earliest year in the memory, or this year.

        Args:
            now: This moment, in the user's zone.
        """
        at = self._at.view()
        return datetime.fromtimestamp(float(at.min(initial=now.timestamp())), now.tzinfo).year

    def turns(self) -> TurnArrays:
        """The columns of the turns: views that are valid until the next `add`."""
        return TurnArrays(
            positions=self._positions.view(),
            at=self._at.view(),
            session=self._session.view(),
            speaker=self._speaker.view(),
            surprise=self._surprise.view(),
            rarity=self._rarity.view(),
            before=self._before.view(),
            after=self._after.view(),
            passages=self._passages.view(),
        )

    def passages(self) -> PassageArrays:
        """The columns of the passages: views that are valid until the next `add`."""
        return PassageArrays(
            numbers=self._numbers.view(),
            turn=self._turn_of.view(),
            columns=self._columns.view(),
            lengths=self._lengths.view(),
            pooled=self._pooled.view(),
            sketches=self._sketches.view(),
            acts=self._acts.view(),
            cues=self._cues.view(),
            asking=self._asking.view(),
            repeated=self._repeated.view(),
        )
