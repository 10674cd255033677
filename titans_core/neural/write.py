"""Write, read and measure surprise: the whole interface of a neural memory, as pure functions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from titans_core.errors import InvalidSpecError
from titans_core.neural.chunked import write_chunk
from titans_core.neural.delta import is_delta_rule, write_delta
from titans_core.neural.gates import Gates
from titans_core.neural.least_squares import leverage, write_least_squares, write_least_squares_sequentially
from titans_core.neural.optimizer import LeastSquares
from titans_core.neural.sequential import Chunk, weights_for_gradients, write_chunk_sequentially
from titans_core.neural.surprise import Surprise, residual_share
from titans_core.neural.threads import one_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from titans_core.neural.spec import MemorySpec
    from titans_core.neural.state import MemoryState


def write(
    spec: MemorySpec, state: MemoryState, keys: Tensor, values: Tensor | None = None, gates: Gates | None = None
) -> tuple[MemoryState, Surprise]:
    """Learn n key–value pairs, oldest first. Every pair is learned when the function returns, even a single one.

    Args:
        spec: The memory's choices.
        state: The memory so far; it is not changed.
        keys: The keys, (n, d), of the state's dtype; n may be 0.
        values: The values, (n, v); None for a least-squares memory of addresses (`values=0`).
        gates: Gates of the n tokens; None for the spec's constants.

    Returns:
        The new state, and each token's surprise.

    Raises:
        InvalidSpecError: The shapes do not fit the spec, or a gate is out of range.
    """
    return _write(spec, state, keys, values, gates, fast=True)


def write_sequentially(
    spec: MemorySpec, state: MemoryState, keys: Tensor, values: Tensor | None = None, gates: Gates | None = None
) -> tuple[MemoryState, Surprise]:
    """Write one token after the other, as the papers print it: the definition of `write`.

    Arguments, result and errors are those of `write`, which is faster.
    """
    return _write(spec, state, keys, values, gates, fast=False)


def read(spec: MemorySpec, state: MemoryState, keys: Tensor) -> Tensor:
    """Return the memory's answers: M*(q), a forward pass that changes nothing (Titans, Eq. 15).

    Args:
        spec: The memory's choices.
        state: The memory's state.
        keys: The keys to ask for, (n, d).

    Returns:
        The answers, (n, v).
    """
    with torch.no_grad():
        if isinstance(spec.optimizer, LeastSquares):
            return ((keys.double() @ state.inverse) @ state.weights[0]).to(keys.dtype)
        return spec.architecture.forward(state.weights, keys).answers


def surprise(spec: MemorySpec, state: MemoryState, keys: Tensor, values: Tensor | None = None) -> Tensor:
    """Measure the momentary surprise of tokens at the present weights; nothing is changed.

    A write of these tokens would start with this surprise.

    Args:
        spec: The memory's choices.
        state: The memory's state.
        keys: The keys, (n, d), not zero.
        values: The values, (n, v); None for a least-squares memory, which needs no values.

    Returns:
        The surprise of each token, float64 (n,); see `Surprise.momentary`.

    Raises:
        InvalidSpecError: The shapes do not fit the spec.
    """
    if isinstance(spec.optimizer, LeastSquares):
        keys, _ = _check_shapes(spec, keys, keys.new_zeros(len(keys), spec.values))
        return leverage(spec, state, keys)
    keys, values = _check_shapes(spec, keys, values)
    weights = weights_for_gradients(spec, state.weights, Gates.constant(spec, max(1, len(keys))))
    with torch.no_grad():
        return residual_share(spec, spec.architecture.forward(weights, keys).answers, keys, values)


def _write(
    spec: MemorySpec, state: MemoryState, keys: Tensor, values: Tensor | None, gates: Gates | None, *, fast: bool
) -> tuple[MemoryState, Surprise]:
    keys, values = _check_shapes(spec, keys, values)
    gates = Gates.constant(spec, len(keys)) if gates is None else gates.checked(len(keys))
    if not state.momentum:  # without momentum no past surprise is carried on, not even within a chunk
        gates = replace(gates, momentum=torch.zeros_like(gates.momentum))
    with one_thread():
        return _write_tokens(spec, state, keys, values, gates, fast=fast)


def _write_tokens(
    spec: MemorySpec, state: MemoryState, keys: Tensor, values: Tensor, gates: Gates, *, fast: bool
) -> tuple[MemoryState, Surprise]:
    if isinstance(spec.optimizer, LeastSquares):
        write_exactly = write_least_squares if fast else write_least_squares_sequentially
        state, surprised = write_exactly(spec, state, keys, values, gates)
    elif fast and is_delta_rule(spec) and len(keys):
        state, surprised = write_delta(spec, state, keys, values, gates)
    else:
        state, surprised = _write_in_chunks(
            write_chunk if fast else write_chunk_sequentially, spec, state, keys, values, gates
        )
    state = replace(state, key_sum=state.key_sum + keys.sum(0), tokens=state.tokens + len(keys))
    return state, surprised


def _write_in_chunks(
    write_one_chunk: Callable[[MemorySpec, MemoryState, Chunk], tuple[MemoryState, Surprise]],
    spec: MemorySpec,
    state: MemoryState,
    keys: Tensor,
    values: Tensor,
    gates: Gates,
) -> tuple[MemoryState, Surprise]:
    parts = []
    for start in range(0, len(keys), spec.chunk):
        stop = min(start + spec.chunk, len(keys))
        chunk = Chunk.following(state, keys[start:stop], values[start:stop], gates.at(start, stop))
        for step in range(spec.steps):
            state, surprised = write_one_chunk(spec, state, chunk)
            if step == 0:  # at later steps the chunk is no longer new
                parts.append(surprised)
    return state, Surprise.joined(parts)


def _check_shapes(spec: MemorySpec, keys: Tensor, values: Tensor | None) -> tuple[Tensor, Tensor]:
    if values is None:
        if spec.values:
            raise InvalidSpecError(f"This memory learns values of length {spec.values}; give one value for each key.")
        values = keys.new_zeros(len(keys), 0)
    if keys.shape != (len(keys), spec.dim) or values.shape != (len(keys), spec.values):
        raise InvalidSpecError(
            f"This memory needs keys (n, {spec.dim}) and values (n, {spec.values}); "
            f"got {tuple(keys.shape)} and {tuple(values.shape)}."
        )
    return keys, values
