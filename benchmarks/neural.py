"""Measures the neural memory alone: every preset, written online in one pass, compared with cosine and Hebbian writes.

    python -m benchmarks.neural --data conversations.json [--limit 2] [--presets titans omega] [--json figures.json]

Only the weights answer: no words, no late interaction, no speakers. A key is a token state as the memory stores it. A
value is the address of the key's passage. A write is one passage. There are three kinds of rows:

* "by column": the addresses are one-hot, and the columns are in the log. They have 384 numbers for each passage, as
  many as cosine search stores. Only least squares and Hebbian writing factorise in this way.
* "of the usual": a first-order memory learns what is usual, because the value of each key is the key itself. The part
  of a query that this memory does not predict is looked up in Hebbian columns, with 384 numbers for each passage again.
* "bounded": the addresses are random codes (4,096 numbers for a linear memory, 384 for a deep one), and nothing grows.

The score of a turn is the score of its best passage, plus .15 of the scores of the turns before and after it in its
session.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.common.baselines import cosine_scores, rank
from benchmarks.common.conversations import load_conversations
from benchmarks.common.environment import write_report
from benchmarks.common.metrics import recall_at, reciprocal_rank
from titans_core.memory.ingest import read_passages
from titans_core.memory.memory import SURPRISE_GATE
from titans_core.neural import PRESETS, Gates, Linear, MemoryState, address_codes, read, surprise, write
from titans_core.readers import load_reader
from titans_core.retrieval.associative import CHANCES, associative_scores, token_weights
from titans_core.storage import decode_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from benchmarks.common.conversations import Conversation
    from titans_core.neural import MemorySpec

CODE = 4096
"""Length of a linear memory's random code. In a deep memory with a residual, a code must be as long as a key."""

NEIGHBOUR_SHARE = 0.15
"""Share of the scores of the turns before and after in the score of a turn."""


@dataclass(slots=True)
class Inputs:
    """One conversation as the input of the memories: P passages of T turns, and Q questions.

    Attributes:
        conversation: The conversation.
        keys: For each passage float32 (n, d), the keys of its n tokens.
        turn: (P,), the row of each passage's turn.
        neighbours: (T, 2), the rows of the turns before and after in the session, -1 for none.
        pooled: (P, d), the sentence vectors of the passages.
        queries: For each question float32 (q, d), the keys of its q tokens.
        query_vectors: (Q, d), the sentence vectors of the questions.
    """

    conversation: Conversation
    keys: list[NDArray[np.float32]]
    turn: NDArray[np.int64]
    neighbours: NDArray[np.int64]
    pooled: NDArray[np.float32]
    queries: list[NDArray[np.float32]]
    query_vectors: NDArray[np.float32]

    @property
    def passages(self) -> NDArray[np.int32]:
        """(P,), the number of passages of each passage's turn."""
        return np.bincount(self.turn)[self.turn].astype(np.int32)


@dataclass(slots=True)
class Row:
    """The figures of one method over all conversations.

    Attributes:
        recall: R@10 of each question.
        reciprocal: The reciprocal rank of each question.
        write_ms: The milliseconds of each write.
        skipped: For each write, 1 if the gate skipped it, else 0.
        bytes: The size of the state.
        growing: The bytes that each passage adds to the log.
    """

    recall: list[float] = field(default_factory=list)
    reciprocal: list[float] = field(default_factory=list)
    write_ms: list[float] = field(default_factory=list)
    skipped: list[float] = field(default_factory=list)
    bytes: int = 0
    growing: int = 0

    def timed_write(self, *arguments: Any) -> MemoryState:
        """Write, record the duration, and return the new state. The arguments are those of `write`."""
        start = time.perf_counter()
        state, _ = write(*arguments)
        self.write_ms.append((time.perf_counter() - start) * 1000)
        return state


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="file of conversations and questions")
    parser.add_argument("--limit", type=int, help="only the first N conversations")
    parser.add_argument("--presets", nargs="*", choices=PRESETS, default=list(PRESETS), help="presets to measure")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    options = parser.parse_args(arguments)
    name, conversations = load_conversations(options.data, options.limit)
    console = Console()
    columns = (TextColumn("{task.description:<40}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        rows = measure(conversations, options.presets, progress)
    report = {"benchmark": "neural", "data": name, "rows": {method: row_figures(row) for method, row in rows.items()}}
    console.print(make_table(report))
    if options.json:
        write_report(options.json, report)


def measure(conversations: Sequence[Conversation], presets: Sequence[str], progress: Progress) -> dict[str, Row]:
    """Measure every method on the conversations."""
    dim = load_reader().dim
    methods: dict[str, Callable[[Inputs, Row], NDArray[np.float32]]] = {
        "cosine of passages": score_by_cosine,
        "cosine of whole turns, float32": score_whole_turns,
        "Hebbian, by column": partial(score_by_column, learns=False),
        "least_squares, by column": score_by_column,
        f"least_squares, by column, gate {SURPRISE_GATE}": partial(score_by_column, gate=SURPRISE_GATE),
    }
    for name in presets:
        spec = PRESETS[name](dim, dim)
        if isinstance(spec.architecture, Linear) and name not in ("least_squares", "linear_attention"):
            methods[f"{name}, of the usual"] = partial(score_by_residual, spec=spec)
        spec = bounded_spec(name, dim)
        methods[f"{name}, bounded"] = partial(score_by_code, spec=spec)
    rows = {method: Row() for method in methods}
    task = progress.add_task("", total=len(conversations) * (len(methods) + 1))
    for number, conversation in enumerate(conversations, 1):
        progress.update(task, description=f"{number}: reading")
        inputs = read_conversation(conversation)
        progress.advance(task)
        for method, scores in methods.items():
            progress.update(task, description=f"{number}: {method}")
            add_metrics(inputs, scores(inputs, rows[method]), rows[method])
            progress.advance(task)
    return rows


def bounded_spec(name: str, dim: int) -> MemorySpec:
    """Make the spec of a preset whose values are codes."""
    spec = PRESETS[name](dim, dim)
    return replace(spec, values=CODE) if isinstance(spec.architecture, Linear) else spec


def read_conversation(conversation: Conversation) -> Inputs:
    """Read a conversation and its questions as the memory does."""
    reader = load_reader()
    records = read_passages(reader, conversation.turns)
    questions = reader.read([question.text for question in conversation.questions])
    last: dict[str | None, int] = {}
    neighbours = np.full((len(records), 2), -1)
    for row, turn in enumerate(conversation.turns):
        if turn.session in last:
            neighbours[row, 0] = last[turn.session]
            neighbours[last[turn.session], 1] = row
        last[turn.session] = row
    return Inputs(
        conversation=conversation,
        keys=[decode_keys(passage.keys, reader.dim) for parts in records for passage in parts],
        turn=np.repeat(np.arange(len(records)), [len(parts) for parts in records]),
        neighbours=neighbours,
        pooled=np.stack([passage.pooled for parts in records for passage in parts]).astype(np.float32),
        queries=[question.keys for question in questions],
        query_vectors=np.stack([question.pooled for question in questions]),
    )


def score_by_cosine(inputs: Inputs, row: Row) -> NDArray[np.float32]:
    """Score the turns, (Q, T), by the sentence vectors of their passages, from the same reading as the keys."""
    row.growing = inputs.pooled[0].nbytes
    scores = torch.from_numpy(inputs.query_vectors) @ torch.from_numpy(inputs.pooled).T
    return best_passages(inputs, scores.numpy())


def score_whole_turns(inputs: Inputs, row: Row) -> NDArray[np.float32]:
    """Score the turns, (Q, T), like the usual vector store: by the bare text, up to the model's 256 tokens."""
    row.growing = inputs.pooled[0].nbytes
    turns = [turn.text for turn in inputs.conversation.turns]
    questions = [question.text for question in inputs.conversation.questions]
    return cosine_scores(load_reader(quantization=None).model, turns, questions)


def score_by_column(inputs: Inputs, row: Row, *, gate: float = 0.0, learns: bool = True) -> NDArray[np.float32]:
    """Score the turns, (Q, T), by least squares over one-hot addresses.

    Args:
        inputs: The conversation.
        row: The figures, to which the costs are added.
        gate: The gate of the spec, see `MemorySpec`; 0 skips no write.
        learns: Whether P learns. With a P that never changes, this is Hebbian writing.
    """
    spec = replace(PRESETS["least_squares"](inputs.pooled.shape[1], 0), gate=gate)
    state = MemoryState.initial(spec)
    for keys in inputs.keys if learns else []:
        before = state.inverse
        state = row.timed_write(spec, state, torch.from_numpy(keys).double())
        row.skipped.append(float(state.inverse is before))
    row.bytes, row.growing = state.nbytes, inputs.pooled[0].nbytes
    columns = np.stack([keys.sum(axis=0) for keys in inputs.keys])
    lengths, retention_factors = np.linalg.norm(columns, axis=1), np.ones(len(columns), np.float32)
    scores = [
        associative_scores(
            state,
            columns,
            query,
            token_weights(spec, state, query),
            lengths=lengths,
            retention_factors=retention_factors,
            passages=inputs.passages,
        )
        for query in inputs.queries
    ]
    return add_neighbours(inputs, best_passages(inputs, np.stack(scores)))


def score_by_residual(inputs: Inputs, row: Row, spec: MemorySpec) -> NDArray[np.float32]:
    """Score the turns, (Q, T), by the part of the query that a memory A of what is usual (k → k) does not predict.

    The score is Σ_q |r|⁴ ⟨r, y⟩ / (yᵀ(I − A)y)^¼ with r = q − A q, for Hebbian columns y. I − A has the role in a
    first-order memory that λP has in a second-order memory: it shortens the directions that all keys share.
    """
    state = MemoryState.initial(spec)
    for keys in map(torch.from_numpy, inputs.keys):
        state = row.timed_write(spec, state, keys, keys)
    row.bytes, row.growing = state.nbytes, inputs.pooled[0].nbytes
    columns = torch.from_numpy(np.stack([keys.sum(axis=0) for keys in inputs.keys]))
    lengths = ((columns - read(spec, state, columns)) * columns).sum(-1).clamp(min=1e-6)
    share = lengths.pow(-0.25) / torch.from_numpy(inputs.passages) ** CHANCES
    scores = []
    for query in map(torch.from_numpy, inputs.queries):
        residual = query - read(spec, state, query)
        target = (residual.square().sum(-1, keepdim=True).square() * residual).sum(0)
        scores.append(((columns @ target) * share).numpy())
    return add_neighbours(inputs, best_passages(inputs, np.stack(scores)))


def score_by_code(inputs: Inputs, row: Row, spec: MemorySpec) -> NDArray[np.float32]:
    """Score the turns, (Q, T), by a memory whose size does not depend on the number of turns.

    A deep memory gets centred keys. Its codes have the length √v, because its layer normalisation gives answers of this
    length. The length of a column and the number of passages of its turn are known at the write, so they scale the step
    (in least squares, the value).
    """
    deep = not isinstance(spec.architecture, Linear)
    codes = address_codes(range(len(inputs.keys)), spec.values) * (spec.values**0.5 if deep else 1)
    state = MemoryState.initial(spec)
    least_squares, dtype = bool(state.inverse.numel()), state.key_sum.dtype
    total, tokens = torch.zeros(spec.dim, dtype=dtype), 0
    for stored, code, passages in zip(inputs.keys, codes, inputs.passages, strict=True):
        keys = torch.from_numpy(stored).to(dtype)
        share = 1 / (float(keys.sum(0).norm()) * passages + 1e-6) ** 0.5
        total, tokens = total + keys.sum(0), tokens + len(keys)
        keys = centre(keys, total / tokens) if deep else keys
        values = (code * (share if least_squares else 1)).to(dtype).expand(len(keys), -1)
        gates = Gates.constant(spec, len(keys))
        gates = gates if least_squares else replace(gates, step=gates.step * share)
        state = row.timed_write(spec, state, keys, values, gates)
    row.bytes = state.nbytes
    empty = MemoryState.initial(spec)
    scores = []
    for query in inputs.queries:
        keys = torch.from_numpy(query).to(dtype)
        keys = centre(keys, total / tokens) if deep else keys
        answers = read(spec, state, keys) - read(spec, empty, keys)
        scores.append((codes @ (query_weights(spec, state, keys) @ answers).float()).numpy())
    return add_neighbours(inputs, best_passages(inputs, np.stack(scores)))


def centre(keys: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """Subtract the mean of all keys, and normalise to unit length."""
    return torch.nn.functional.normalize(keys - mean, dim=-1)


def query_weights(spec: MemorySpec, state: MemoryState, keys: torch.Tensor) -> torch.Tensor:
    """Compute the weight of each token of a query, (q,): its surprise squared if the memory can compute it, else 1."""
    if state.inverse.numel():
        return surprise(spec, state, keys).square().to(keys.dtype)
    return torch.ones(len(keys), dtype=keys.dtype)


def best_passages(inputs: Inputs, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take the score of the best passage for each turn: from passages (Q, P) to turns (Q, T)."""
    starts = np.flatnonzero(np.diff(inputs.turn, prepend=-1))
    return np.maximum.reduceat(scores, starts, axis=1)


def add_neighbours(inputs: Inputs, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add a share of the neighbours' scores to the score of each turn, (Q, T)."""
    padded = np.concatenate([scores, np.zeros_like(scores[:, :1])], axis=1)
    neighbours = padded[:, inputs.neighbours[:, 0]] + padded[:, inputs.neighbours[:, 1]]
    total: NDArray[np.float32] = scores + NEIGHBOUR_SHARE * neighbours
    return total


def add_metrics(inputs: Inputs, scores: NDArray[np.float32], row: Row) -> None:
    """Add the metrics of the answerable questions to the figures of a method."""
    ids = [turn.id or "" for turn in inputs.conversation.turns]
    for question, ranking in zip(inputs.conversation.questions, rank(scores, ids, len(ids)), strict=True):
        if question.answerable:
            row.recall.append(recall_at(ranking, question.evidence, 10))
            row.reciprocal.append(reciprocal_rank(ranking, question.evidence))


def row_figures(row: Row) -> dict[str, Any]:
    """Return the figures of a method for the report."""
    return {
        "questions": len(row.recall),
        "R@10": fmean(row.recall),
        "MRR": fmean(row.reciprocal),
        "write_ms_p50": median(row.write_ms) if row.write_ms else None,
        "skipped": fmean(row.skipped) if row.skipped else None,
        "state_bytes": row.bytes,
        "bytes_per_passage": row.growing,
    }


def make_table(report: dict[str, Any]) -> Table:
    """Make a table with a row for each method."""
    table = Table("memory", title=f"{report['data']}: the neural memory alone", box=SIMPLE_HEAD)
    for heading in ("R@10", "MRR", "write ms", "skipped", "state MB", "bytes a passage"):
        table.add_column(heading, justify="right", no_wrap=True)
    for method, row in report["rows"].items():
        table.add_row(
            method,
            f"{row['R@10']:.3f}",
            f"{row['MRR']:.3f}",
            "-" if row["write_ms_p50"] is None else f"{row['write_ms_p50']:.2f}",
            f"{row['skipped']:.0%}" if row["skipped"] else "-",
            f"{row['state_bytes'] / 1e6:.1f}",
            str(row["bytes_per_passage"] or "-"),
        )
    return table


if __name__ == "__main__":
    main()
