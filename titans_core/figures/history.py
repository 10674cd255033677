"""What happened in a memory, turn by turn: its log, replayed into new weights. The memory itself is not touched.

Three memories are replayed side by side, for no single one shows everything:

* least squares, the memory's own choices, with codes as values, so that its weights W = P·Y have a norm;
* a first-order memory with momentum, the preset `titans`, for past surprise and for the updates;
* least squares with everything kept, and with decay, for the effect of forgetting.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from titans_core._utils.progress import progress_bar
from titans_core.errors import InvalidQueryError, InvalidSpecError
from titans_core.figures.probes import CODES, LeastSquaresProbe, MomentumProbe, RetentionProbe, TurnKeys, mean
from titans_core.neural import PRESETS, Decay, Keep, LeastSquares, MemorySpec
from titans_core.storage import TurnLog

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from titans_core._utils.progress import Progress
    from titans_core.storage import TurnRecord


@dataclass(frozen=True, slots=True, eq=False)
class FirstOrder:
    """A memory with momentum, over n turns; it begins empty at the first of them.

    Attributes:
        surprise: float64 (n,), at least 0; momentary surprise, the mean over a turn's tokens (1: all of it was new).
        past: float64 (n,), at least 0; past surprise, likewise (see `neural.Surprise`).
        weights: float64 (n,), the norm of all weights after the turn.
        momentum: float64 (n,), the norm of the momentum after the turn.
        updates: float64 (n, 48), the norm of what the turn changed in each band of rows, first layer first.
        layers: how many layers share the bands.
    """

    surprise: NDArray[np.float64]
    past: NDArray[np.float64]
    weights: NDArray[np.float64]
    momentum: NDArray[np.float64]
    updates: NDArray[np.float64]
    layers: int


@dataclass(frozen=True, slots=True, eq=False)
class Forgetting:
    """What is left of n turns at the end, in two memories that begin empty at the first of them.

    A turn's answer is ⟨W k̄, code⟩, with its own mean key k̄ and its own code.

    Attributes:
        ages: int64 (n,), the turns learned after each turn, n − 1 to 0.
        writes: int64 (n,), the writes after it, one for each of their passages.
        kept: float64 (n,), the answer at the end against the one right after writing, 1 if nothing is lost; without
            decay. NaN for a turn without tokens, or whose own answer was lost in the noise of the codes at once.
        decayed: float64 (n,), the same with decay.
        forget: the share of what it knows that the second memory forgets at each write, in [0, 1].
    """

    ages: NDArray[np.int64]
    writes: NDArray[np.int64]
    kept: NDArray[np.float64]
    decayed: NDArray[np.float64]
    forget: float


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """The last n turns of a memory, in order.

    Attributes:
        positions: int64 (n,), in the log.
        numbers: int64 (n,), counted from the memory's first turn, which is 1.
        speakers: who said them.
        tokens: int64 (n,), the token keys of each turn.
        token_surprise: float64 (Σ tokens,), momentary surprise of every token, in (0, 1].
        surprise: float64 (n,), its mean over a turn; NaN for a turn without tokens.
        relative: float64 (n,), against what was usual then: 1 is as always; NaN without tokens.
        learned: float64 (n,), the share of a turn's tokens that were written, in [0, 1]. The surprise gate decides
            for each passage.
        repeated: bool (n,), whether the turn was left out because it repeats an earlier one.
        gate: the relative surprise below which nothing is learned; 0 learns everything.
        fullness: float64 (n,), after the turn, in [0, 1].
        norm: float64 (n,), ‖W‖ (Frobenius) after the turn.
        first_order: the memory with momentum.
        forgetting: the effect of forgetting.
    """

    positions: NDArray[np.int64]
    numbers: NDArray[np.int64]
    speakers: tuple[str | None, ...]
    tokens: NDArray[np.int64]
    token_surprise: NDArray[np.float64]
    surprise: NDArray[np.float64]
    relative: NDArray[np.float64]
    learned: NDArray[np.float64]
    repeated: NDArray[np.bool_]
    gate: float
    fullness: NDArray[np.float64]
    norm: NDArray[np.float64]
    first_order: FirstOrder
    forgetting: Forgetting

    def __len__(self) -> int:
        return len(self.positions)


def replay(
    log: TurnLog | Sequence[TurnRecord],
    spec: MemorySpec,
    *,
    last: int = 500,
    repeats: Collection[int] = (),
    first_order: MemorySpec | None = None,
    forget: float = 0.01,
    progress: Progress = False,
) -> History:
    """Replay a memory's log, and look at its last turns.

    This costs about 2 milliseconds a token. The turns before the last ones are learned too, since surprise depends on
    all that came before, but not looked at: about a millisecond a turn. Rehearsals of a consolidation are left out.

    Args:
        log: the log, or its records with their keys, in order.
        spec: the memory's choices, a least-squares memory; its `values` do not matter.
        last: how many turns to look at, at least 1.
        repeats: positions of turns that the memory did not learn because they repeat an earlier one.
        first_order: the memory with momentum; None for the preset `titans`.
        forget: of `Forgetting`.
        progress: True for a progress bar, or a function that is called with (done, total) after each turn.

    Raises:
        InvalidSpecError: the spec is not a least-squares memory, or `forget` is out of range.
        InvalidQueryError: `last` is below 1.
    """
    first_order = PRESETS["titans"](spec.dim, spec.dim) if first_order is None else first_order
    if not isinstance(spec.optimizer, LeastSquares) or isinstance(first_order.optimizer, LeastSquares):
        raise InvalidSpecError(f"A history follows one least-squares memory and one other; got {spec}, {first_order}.")
    if last < 1:
        raise InvalidQueryError(f"A history shows 1 turn at least; got last={last}.")
    records = list(log.records(after=0, keys=True)) if isinstance(log, TurnLog) else list(log)
    probe, mover = LeastSquaresProbe(replace(spec, values=CODES)), MomentumProbe(first_order)
    ungated = replace(spec, values=CODES, gate=0.0)
    kept = RetentionProbe(replace(ungated, retention=Keep()))
    decayed = RetentionProbe(replace(ungated, retention=Decay(forget)))
    with progress_bar(progress, unit="turn", description="replaying") as advance:
        for number, record in enumerate(records, 1):
            turn = TurnKeys.of(record, spec.dim)
            shown_later = number > len(records) - last
            probe.learn(turn, repeated=record.position in repeats, look=shown_later)
            if shown_later:
                for follower in (mover, kept, decayed):
                    follower.learn(turn)
            advance(number, len(records))
    shown = records[-last:]
    positions = np.array([record.position for record in shown], np.int64)
    surprise, past, weights, momentum = np.array(mover.rows).reshape(-1, 4).T
    updates = np.array(mover.updates).reshape(len(shown), mover.bands)
    return History(
        positions=positions,
        numbers=np.arange(len(records) - len(shown), len(records), dtype=np.int64) + 1,
        speakers=tuple(record.speaker for record in shown),
        tokens=np.array([len(tokens) for tokens in probe.tokens], np.int64),
        token_surprise=np.concatenate([np.zeros(0), *probe.tokens]),
        surprise=np.array([mean(tokens) for tokens in probe.tokens]),
        relative=np.array(probe.relative),
        learned=np.array(probe.learned),
        repeated=np.isin(positions, list(repeats)),
        gate=spec.gate,
        fullness=np.array(probe.fullness),
        norm=np.array(probe.norm),
        first_order=FirstOrder(surprise, past, weights, momentum, updates, mover.layers),
        forgetting=Forgetting(np.arange(len(shown))[::-1], decayed.writes(), kept.left(), decayed.left(), forget),
    )
