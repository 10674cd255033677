"""The history of a memory, turn by turn: its log is replayed into new weights. The memory itself is not changed.

The log is replayed into four memories at once, because no single memory shows everything:

* least squares with the memory's own choices, and with codes as values, so that its weights W = P·Y have a norm;
* a first-order memory with momentum, by default the preset `titans`, for past surprise and for the updates;
* least squares that keeps everything, and least squares with decay, for the effect of forgetting.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from titans_core._utils.progress import progress_bar
from titans_core.errors import InvalidQueryError, InvalidSpecError
from titans_core.figures.probes import CODE_SIZE, LeastSquaresProbe, MomentumProbe, RetentionProbe, TurnKeys, mean
from titans_core.neural import PRESETS, Decay, Keep, LeastSquares, MemorySpec
from titans_core.storage import TurnLog

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from titans_core._utils.progress import Progress
    from titans_core.storage import TurnRecord


@dataclass(frozen=True, slots=True, eq=False)
class FirstOrder:
    """A memory with momentum over n turns; it is empty before the first turn.

    Attributes:
        surprise: Momentary surprise, the mean over a turn's tokens, float64 (n,), at least 0; 1 is entirely new.
        past: Past surprise, the mean over a turn's tokens, float64 (n,), at least 0; see `neural.Surprise`.
        weights: Norm of all weights after the turn, float64 (n,).
        momentum: Norm of the momentum after the turn, float64 (n,).
        updates: Norm of the change that the turn made in each band of rows, float64 (n, 48), first layer first.
        layers: Number of layers; each has the same number of bands.
    """

    surprise: NDArray[np.float64]
    past: NDArray[np.float64]
    weights: NDArray[np.float64]
    momentum: NDArray[np.float64]
    updates: NDArray[np.float64]
    layers: int


@dataclass(frozen=True, slots=True, eq=False)
class Forgetting:
    """How much of n turns remains at the end, in two memories that are empty before the first turn.

    A turn's answer is ⟨W k̄, code⟩, with its own mean key k̄ and its own code.

    Attributes:
        ages: Number of turns learned after each turn, n − 1 to 0, int64 (n,).
        writes: Number of writes after each turn, int64 (n,); each later passage is one write.
        kept: Answer at the end divided by the answer right after writing, without decay, float64 (n,); 1 if nothing is
            lost. NaN for a turn without tokens, and for a turn whose first answer was lost in the noise of the codes.
        decayed: Same quotient with decay, float64 (n,).
        forget: Share of its knowledge that the memory with decay forgets at each write, in [0, 1].
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
        positions: Position of each turn in the log, int64 (n,).
        numbers: Number of each turn, int64 (n,); the memory's first turn is 1.
        speakers: Speaker of each turn; None without a speaker.
        tokens: Number of token keys of each turn, int64 (n,).
        token_surprise: Momentary surprise of every token, float64 (Σ tokens,), in (0, 1].
        surprise: Mean momentary surprise of each turn, float64 (n,); NaN for a turn without tokens.
        relative: Mean surprise divided by the usual surprise at that time, float64 (n,); 1 is as usual, NaN without
            tokens.
        learned: Share of each turn's tokens that were written, float64 (n,), in [0, 1]. The surprise gate decides for
            each passage.
        repeated: Whether the turn was left out because it repeats an earlier one, bool (n,).
        gate: Relative surprise below which nothing is learned; 0 learns everything.
        fullness: Fullness of the memory after the turn, float64 (n,), in [0, 1].
        norm: ‖W‖ (Frobenius) after the turn, float64 (n,).
        first_order: Measurements of the memory with momentum.
        forgetting: Measurements of the effect of forgetting.
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
    """Replay a memory's log, and measure its last turns.

    A measured turn costs about 2 milliseconds for each token. The turns before are learned too, because surprise
    depends on everything before it, but they are not measured: about 1 millisecond for each turn. The rehearsals of a
    consolidation are left out.

    Args:
        log: The log, or its records with their keys, in order.
        spec: Choices of the memory, which must be a least-squares memory; its `values` do not matter.
        last: Number of turns to measure, at least 1.
        repeats: Positions of turns that the memory did not learn because they repeat an earlier one.
        first_order: Choices of the memory with momentum; None for the preset `titans`.
        forget: Share that the memory with decay forgets at each write, in [0, 1].
        progress: True for a progress bar, or a function that is called with (done, total) after each turn.

    Returns:
        The history of the last turns.

    Raises:
        InvalidSpecError: `spec` is not a least-squares memory, `first_order` is one, or `forget` is out of range.
        InvalidQueryError: `last` is below 1.
    """
    first_order = PRESETS["titans"](spec.dim, spec.dim) if first_order is None else first_order
    if not isinstance(spec.optimizer, LeastSquares) or isinstance(first_order.optimizer, LeastSquares):
        raise InvalidSpecError(
            "`spec` must be a least-squares memory, and `first_order` must be another kind of memory; "
            f"got {spec} and {first_order}."
        )
    if last < 1:
        raise InvalidQueryError(f"`last` must be at least 1; got {last}.")
    records = list(log.records(after=0, keys=True)) if isinstance(log, TurnLog) else list(log)
    least_squares = LeastSquaresProbe(replace(spec, values=CODE_SIZE))
    momentum = MomentumProbe(first_order)
    ungated = replace(spec, values=CODE_SIZE, gate=0.0)
    keeping = RetentionProbe(replace(ungated, retention=Keep()))
    decaying = RetentionProbe(replace(ungated, retention=Decay(forget)))
    with progress_bar(progress, unit="turn", description="replaying") as advance:
        for number, record in enumerate(records, 1):
            turn = TurnKeys.from_record(record, spec.dim)
            is_shown = number > len(records) - last
            least_squares.learn(turn, repeated=record.position in repeats, record=is_shown)
            if is_shown:
                for probe in (momentum, keeping, decaying):
                    probe.learn(turn)
            advance(number, len(records))
    shown = records[-last:]
    positions = np.array([record.position for record in shown], np.int64)
    surprise, past, weight_norm, momentum_norm = np.array(momentum.rows).reshape(-1, 4).T
    updates = np.array(momentum.updates).reshape(len(shown), momentum.bands)
    return History(
        positions=positions,
        numbers=np.arange(len(records) - len(shown), len(records), dtype=np.int64) + 1,
        speakers=tuple(record.speaker for record in shown),
        tokens=np.array([len(tokens) for tokens in least_squares.tokens], np.int64),
        token_surprise=np.concatenate([np.zeros(0), *least_squares.tokens]),
        surprise=np.array([mean(tokens) for tokens in least_squares.tokens]),
        relative=np.array(least_squares.relative),
        learned=np.array(least_squares.learned),
        repeated=np.isin(positions, list(repeats)),
        gate=spec.gate,
        fullness=np.array(least_squares.fullness),
        norm=np.array(least_squares.norm),
        first_order=FirstOrder(surprise, past, weight_norm, momentum_norm, updates, momentum.layers),
        forgetting=Forgetting(
            np.arange(len(shown))[::-1], decaying.later_writes(), keeping.remaining(), decaying.remaining(), forget
        ),
    )
