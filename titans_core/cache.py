"""The learned side of a memory: weights and index, a function of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from titans_core.episodes import Snapshot, decode_keys
from titans_core.neural import MemorySpec, MemoryState, write
from titans_core.recalling import Index

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from titans_core.episodes import EpisodeLog, TurnRecord

SNAPSHOT_EVERY = 256
"""Turns between two snapshots: what is replayed after a crash, at about a millisecond each."""


class Cache:
    """Follows the log: after `catch_up` it is what replaying the whole log would give.

    Attributes:
        spec: the memory's constants.
        state: the weights.
        index: what recall needs of every turn.
        position: the last turn that both know.
    """

    state: MemoryState
    index: Index
    position: int
    _saved: int

    def __init__(self, log: EpisodeLog, spec: MemorySpec) -> None:
        """Load the snapshot, if it is a good one, and replay what came after it."""
        self.spec = spec
        self._log = log
        self._epoch = -1  # none yet: the first catch_up begins one
        self.catch_up()

    def catch_up(self) -> None:
        """Learn what this or another process has appended; start anew if turns were forgotten."""
        epoch, position = self._log.head()
        if epoch != self._epoch:
            self._forget_all()
            self._epoch = epoch
            self._load_snapshot()
        if position > self.position:
            for record in self._log.records(after=self.position, keys=True):
                state, surprise = self.learn(self.state, record)
                self.add([record], [surprise], state)

    def learn(self, state: MemoryState, record: TurnRecord) -> tuple[MemoryState, float]:
        """What the weights are after one more turn; changes nothing here.

        Returns:
            The state, and the turn's surprise: the mean of its tokens', each against the weights before its
            passage; 0 for a turn without tokens.
        """
        surprises = []
        for passage in record.passages:
            keys = torch.from_numpy(decode_keys(passage.keys, self.spec.dim)).double()
            state, surprise = write(self.spec, state, keys)
            surprises.append(surprise)
        tokens = torch.cat(surprises) if surprises else torch.zeros(0)
        return state, float(tokens.mean()) if len(tokens) else 0.0

    def add(self, records: Sequence[TurnRecord], surprises: Sequence[float], state: MemoryState) -> None:
        """Take over turns that are in the log, and the state that has learned them."""
        for record, surprise in zip(records, surprises, strict=True):
            self.index.add(record, surprise)
            self.position = record.position
        self.state = state

    def surprise_at(self, position: int) -> float:
        """How much the turn at a position surprised the weights."""
        turns = self.index.turns()
        return float(turns.surprise[np.searchsorted(turns.positions, position)])

    def save_snapshot(self, *, at_least: int = 1) -> None:
        """Save the weights if they have learned `at_least` this many turns since they were saved last."""
        turns = len(self.index.turns().positions)
        if turns - self._saved < at_least:
            return
        tensors = self.state.tensors() | {"surprise": torch.tensor(self.index.turns().surprise)}
        snapshot = Snapshot(self.position, self._epoch, self.spec.fingerprint, save_tensors(tensors))
        with self._log.transaction():
            if self._log.head()[0] == self._epoch:  # else another process has forgotten a turn that they know
                self._log.save_snapshot(snapshot)
        self._saved = turns

    def _forget_all(self) -> None:
        self.state = MemoryState.initial(self.spec)
        self.index = Index(self.spec.dim)
        self.position = 0
        self._saved = 0

    def _load_snapshot(self) -> None:
        """Take the saved weights if they are of this spec and epoch, and fit the log; else leave it to replay."""
        snapshot = self._log.load_snapshot()
        if snapshot is None or (snapshot.spec, snapshot.epoch) != (self.spec.fingerprint, self._epoch):
            return
        tensors = _tensors(snapshot.state)
        state = MemoryState.from_tensors(self.spec, tensors)
        surprise = tensors.get("surprise", torch.zeros(0)).tolist()
        records = [record for record in self._log.records(after=0, keys=False) if record.position <= snapshot.position]
        if state is None or not records or len(records) != len(surprise):
            return
        if records[-1].position == snapshot.position:
            self.add(records, surprise, state)
            self._saved = len(records)


def _tensors(data: bytes) -> Mapping[str, Tensor]:
    try:
        return load_tensors(data)
    except SafetensorError:
        return {}
