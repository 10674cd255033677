"""The weights and the index of a memory: a function of its log."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from titans_core.errors import CorruptMemoryError
from titans_core.neural import MemorySpec, MemoryState, one_thread, write
from titans_core.retrieval import DUPLICATE, Index, Knowledge, LearnOutcome, acts_of, nearest_passages, same_words
from titans_core.retrieval.english import SpeechAct
from titans_core.storage import Snapshot, decode_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from titans_core.storage import TurnLog, TurnRecord

SNAPSHOT_EVERY = 64
"""Turns between two snapshots; after a crash the turns since the last snapshot are learned again. With 10,000 turns, on
two busy cores, opening after a kill took .67 s; with twice as many turns between two snapshots it took .97 s."""


class Learner:
    """Follows the log: after `catch_up`, weights and index equal those of a replay of the whole log.

    Attributes:
        spec: The neural memory's choices.
        state: The weights.
        index: The columns of all turns and passages, for recall.
        position: The position of the last turn that weights and index have learned.
        recalled: For each position, how often its turn was the first recall. The counts are saved in snapshots and not
            in the log, so that a crash loses a few of them.
    """

    state: MemoryState
    index: Index
    position: int
    _saved: int
    _turns: int
    _checksum: int
    _rehearsals: tuple[int, list[int]] | None  # not written yet: (after this position, these positions)

    def __init__(self, log: TurnLog, spec: MemorySpec) -> None:
        """Load the snapshot if it fits the log, and learn the turns after it.

        Args:
            log: The tenant's log.
            spec: The neural memory's choices.
        """
        self.spec = spec
        self.recalled: dict[int, int] = {}
        self._log = log
        self._epoch: int | None = None  # the first catch_up sets it
        self.catch_up()

    @property
    def version(self) -> tuple[int, int]:
        """Epoch and last position of the log, as far as this object knows them."""
        return self._epoch or 0, self.position

    @property
    def knowledge(self) -> Knowledge:
        """The log and what was learned of it, for a recall. It is valid until the next turn is learned."""
        return Knowledge(self._log, self.index, self.spec, self.state)

    def catch_up(self) -> None:
        """Learn the turns that any process has appended. If turns were forgotten, start again.

        Raises:
            CorruptMemoryError: Turns are missing from the log.
        """
        with self._log.reading():
            head = self._log.head()
            if head.epoch != self._epoch:
                self._forget_all()
                self._epoch = head.epoch
                self._load_snapshot()
            if head.position > self.position:
                for record in self._log.records(after=self.position, keys=True):
                    self.learn(record)
            self._rehearse(math.inf)
        if (head.turns, head.checksum) != (self._turns, self._checksum):
            raise CorruptMemoryError(
                f"The log of {self._log.tenant!r} should hold {head.turns} turns, but {self._turns} were found, or "
                "others. Restore a backup, or save the intact turns with `titans repair`."
            )

    def learn(self, record: TurnRecord) -> LearnOutcome:
        """Learn the next turn of the log.

        Args:
            record: The turn's record with its keys.
        """
        with one_thread():
            return self._learn(record)

    def _learn(self, record: TurnRecord) -> LearnOutcome:
        self._rehearse(record.position)
        state, rarities, surprises, updates, moved = self.state, [], [], [], False
        sketches = [self.index.sketch(passage.column) for passage in record.passages]
        nearest = [
            nearest_passages(self.index, state, passage.column, sketch)
            for passage, sketch in zip(record.passages, sketches, strict=True)
        ]
        duplicate = self._find_duplicate(record, nearest)
        acts = acts_of(record)
        for passage, [(_, overlap), *_], act in zip(record.passages, nearest, acts, strict=True):
            keys = self._keys(passage.keys)
            after, surprise = write(self.spec, state, keys)
            if duplicate < 0 and act is SpeechAct.TELL:
                moved = moved or after.inverse is not state.inverse
                state = after
            rarities.append(surprise.momentary)
            surprises.append(surprise.momentary * (1 - overlap**2))
            updates.append(state.updates)
        # A statement that is said again is as rare as it was at first.
        rarity = _mean(rarities) if duplicate < 0 else float(self.index.turns().rarity[duplicate])
        outcome = LearnOutcome(_mean(surprises), rarity, moved, duplicate, tuple(updates), acts)
        self.index.add(record, outcome, sketches)
        self.position, self.state = record.position, state
        self._turns, self._checksum = self._turns + 1, self._checksum + record.checksum
        return outcome

    def discard(self) -> None:
        """Drop all that was learned, because the log may not hold it; the next `catch_up` starts again."""
        self._epoch = None

    def outcome_at(self, position: int) -> tuple[float, bool]:
        """What learning the turn at a position was like.

        Returns:
            The turn's surprise in [0, 1], and whether the turn has any token to learn: it tells something.
        """
        turns, passages = self.index.turns(), self.index.passages()
        row = np.searchsorted(turns.positions, position)
        told = (passages.acts[passages.turn == row] == SpeechAct.TELL).any()
        return float(turns.surprise[row]), bool(told and turns.rarity[row] > 0)

    def count_recall(self, position: int) -> None:
        """Count that the turn at this position was the first recall."""
        self.recalled[position] = self.recalled.get(position, 0) + 1

    def save_snapshot(self, *, at_least: int = 1) -> None:
        """Save the weights.

        Args:
            at_least: The least number of turns that must have been learned since the last snapshot; with fewer, nothing
                is saved.
        """
        turns = len(self.index.turns().positions)
        if turns - self._saved < at_least:
            return
        counts = torch.tensor([*self.recalled.items()], dtype=torch.int64).reshape(-1, 2)
        tensors = self.state.tensors() | self.index.saved() | {"recalled": counts}
        snapshot = Snapshot(self.position, self._epoch or 0, self.spec.fingerprint, save_tensors(tensors))
        with self._log.transaction():
            if self._log.head().epoch == self._epoch:  # otherwise another process has forgotten a turn that they hold
                self._log.save_snapshot(snapshot)
        self._saved = turns

    def most_important(self, share: float) -> list[int]:
        """Positions of the turns that tell something and matter most, in the order of the log.

        Turns that were recalled more often come first, then turns with a higher surprise. The two are not added up:
        surprise falls as a memory fills, so that early small talk would outweigh a late turn that is recalled often.

        Args:
            share: The share of these turns to return, in [0, 1].
        """
        turns, passages = self.index.turns(), self.index.passages()
        told = np.unique(passages.turn[passages.acts == SpeechAct.TELL])
        positions = turns.positions[told]
        recalled = np.array([self.recalled.get(int(position), 0) for position in positions])
        count = math.ceil(share * len(positions))
        best = np.lexsort((-turns.surprise[told], -recalled))[:count]
        return sorted(positions[best].tolist())

    def _find_duplicate(self, record: TurnRecord, nearest: list[list[tuple[int, float]]]) -> int:
        """Find an earlier turn of the same speaker with the same words.

        Args:
            record: The new turn.
            nearest: For each of its passages, rows and overlaps of the nearest earlier passages.

        Returns:
            The row of the first such turn, or -1.
        """
        turns, passages = self.index.turns(), self.index.passages()
        speaker = self.index.speakers.get(record.speaker or "", -1)
        near = [{int(passages.turn[row]) for row, overlap in found if overlap >= DUPLICATE} for found in nearest]
        rows = sorted(row for row in set[int]().union(*near).intersection(*near) if turns.speaker[row] == speaker)
        if not rows:
            return -1
        # A turn with another number may overlap more than a turn with other commas, so the words of each are compared.
        return next(
            (row for row in rows if same_words(record.text, self._log.turn_at(int(turns.positions[row])).text)), -1
        )

    def _keys(self, packed: bytes) -> Tensor:
        return torch.from_numpy(decode_keys(packed, self.spec.dim)).double()

    def _rehearse(self, before: float) -> None:
        """Write the last consolidation's turns once more, if it lies before this position and is not done yet."""
        if self._rehearsals is None or self._rehearsals[0] >= before:
            return
        rows = self._rows(self._rehearsals[1])
        self._rehearsals = None
        for row, packed in zip(rows, self._log.keys(self.index.passages().numbers[rows].tolist()), strict=True):
            self.state, _ = write(self.spec, self.state, self._keys(packed))
            self.index.rehearse(int(row), self.state.updates, 1 - self.spec.retention.forget)

    def _rows(self, positions: list[int]) -> NDArray[np.int64]:
        """Rows of the passages of the turns at these positions."""
        passages = self.index.passages()
        wanted = np.searchsorted(self.index.turns().positions, positions)
        return np.flatnonzero(np.isin(passages.turn, wanted))

    def _forget_all(self) -> None:
        self.state = MemoryState.initial(self.spec)
        self.index = Index(self.spec.dim)
        self.position = 0
        self._saved = self._turns = self._checksum = 0
        self._rehearsals = self._log.rehearsals()

    def _load_snapshot(self) -> None:
        """Load the saved weights if they have this spec and epoch and fit the log; otherwise the log is replayed."""
        snapshot = self._log.load_snapshot()
        if snapshot is None or (snapshot.spec, snapshot.epoch) != (self.spec.fingerprint, self._epoch):
            return
        tensors = _tensors(snapshot.state)
        state = MemoryState.from_tensors(self.spec, tensors)
        records = [record for record in self._log.records(after=0, keys=False) if record.position <= snapshot.position]
        if state is None or not records or records[-1].position != snapshot.position:
            return
        index = Index(self.spec.dim)
        if not index.restore(records, tensors):
            return
        self.state, self.index, self.position = state, index, snapshot.position
        self._saved = self._turns = len(records)
        self._checksum = sum(record.checksum for record in records)
        self._rehearsals = None  # the saved weights include them
        if not self.recalled and "recalled" in tensors:
            self.recalled = {int(position): int(count) for position, count in tensors["recalled"]}


def _mean(parts: list[Tensor]) -> float:
    joined = torch.cat(parts) if parts else torch.zeros(0)
    return float(joined.mean()) if len(joined) else 0.0


def _tensors(data: bytes) -> Mapping[str, Tensor]:
    try:
        return load_tensors(data)
    except SafetensorError:
        return {}
