"""Measures the neural memory alone: every preset, written online in one pass, beside cosine and Hebbian writes.

    python -m benchmarks.neural --data conversations.json [--limit 2] [--presets titans omega] [--json figures.json]

Nothing but the weights answers: no words, no late interaction, no speakers. A key is a token state as the memory stores
it, a value the address of its passage, a write one passage. Three kinds of rows:

* "by column": the addresses are one-hot and the columns stand in the log, 384 numbers for each passage, as many as
  cosine search stores. Only least squares and Hebbian writing factorise that way.
* "of the usual": a first-order memory learns what is usual, each key as its own value, and what it does not predict of
  a query is looked up in Hebbian columns: 384 numbers for each passage again.
* "bounded": the addresses are random codes (4,096 numbers for a linear memory, 384 for a deep one), and nothing grows.

A turn scores by its best passage, and by .15 of the turn before and of the one after it in its session.
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
"""Numbers of a linear memory's random code; a deep memory with a residual needs as many as a key has."""

NEIGHBOUR = 0.15


@dataclass(slots=True)
class Material:
    """One conversation as the memories are given it: P passages of T turns, Q questions.

    Attributes:
        conversation: the conversation.
        keys: for each passage (n, d), float32.
        turn: (P,), the turn of each passage.
        beside: (T, 2), the turn before and the one after in the session, -1 for none.
        pooled: (P, d), sentence vectors.
        queries: for each question (q, d), float32.
        query_vectors: (Q, d), sentence vectors.
    """

    conversation: Conversation
    keys: list[NDArray[np.float32]]
    turn: NDArray[np.int64]
    beside: NDArray[np.int64]
    pooled: NDArray[np.float32]
    queries: list[NDArray[np.float32]]
    query_vectors: NDArray[np.float32]

    @property
    def passages(self) -> NDArray[np.int32]:
        """(P,), how many passages the turn of each has."""
        return np.bincount(self.turn)[self.turn].astype(np.int32)


@dataclass(slots=True)
class Row:
    """The figures of one method, gathered over conversations."""

    recall: list[float] = field(default_factory=list)
    reciprocal: list[float] = field(default_factory=list)
    write_ms: list[float] = field(default_factory=list)
    skipped: list[float] = field(default_factory=list)
    bytes: int = 0
    growing: int = 0

    def timed_write(self, *arguments: Any) -> MemoryState:
        """The state after a write (with the arguments of `write`), whose time is noted."""
        start = time.perf_counter()
        state, _ = write(*arguments)
        self.write_ms.append((time.perf_counter() - start) * 1000)
        return state


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="file of conversations and questions")
    parser.add_argument("--limit", type=int, help="only the first N conversations")
    parser.add_argument("--presets", nargs="*", choices=PRESETS, default=list(PRESETS), help="only these")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    options = parser.parse_args(arguments)
    name, conversations = load_conversations(options.data, options.limit)
    console = Console()
    columns = (TextColumn("{task.description:<40}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        rows = measure(conversations, options.presets, progress)
    report = {"benchmark": "neural", "data": name, "rows": {method: figures(row) for method, row in rows.items()}}
    console.print(table(report))
    if options.json:
        write_report(options.json, report)


def measure(conversations: Sequence[Conversation], presets: Sequence[str], progress: Progress) -> dict[str, Row]:
    """The figures of every method over the conversations."""
    dim = load_reader().dim
    methods: dict[str, Callable[[Material, Row], NDArray[np.float32]]] = {
        "cosine of passages": cosine,
        "cosine of whole turns, float32": whole_turns,
        "Hebbian, by column": partial(by_column, learns=False),
        "least_squares, by column": by_column,
        f"least_squares, by column, gate {SURPRISE_GATE}": partial(by_column, gate=SURPRISE_GATE),
    }
    for name in presets:
        spec = PRESETS[name](dim, dim)
        if isinstance(spec.architecture, Linear) and name not in ("least_squares", "linear_attention"):
            methods[f"{name}, of the usual"] = partial(by_usual, spec=spec)
        spec = bounded(name, dim)
        methods[f"{name}, bounded"] = partial(by_code, spec=spec)
    rows = {method: Row() for method in methods}
    task = progress.add_task("", total=len(conversations) * (len(methods) + 1))
    for number, conversation in enumerate(conversations, 1):
        progress.update(task, description=f"{number}: reading")
        material = prepare(conversation)
        progress.advance(task)
        for method, scores in methods.items():
            progress.update(task, description=f"{number}: {method}")
            judge(material, scores(material, rows[method]), rows[method])
            progress.advance(task)
    return rows


def bounded(name: str, dim: int) -> MemorySpec:
    """A preset whose values are codes."""
    spec = PRESETS[name](dim, dim)
    return replace(spec, values=CODE) if isinstance(spec.architecture, Linear) else spec


def prepare(conversation: Conversation) -> Material:
    """Read a conversation and its questions as the memory does."""
    reader = load_reader()
    records = read_passages(reader, conversation.turns)
    questions = reader.read([question.text for question in conversation.questions])
    last: dict[str | None, int] = {}
    beside = np.full((len(records), 2), -1)
    for row, turn in enumerate(conversation.turns):
        if turn.session in last:
            beside[row, 0] = last[turn.session]
            beside[last[turn.session], 1] = row
        last[turn.session] = row
    return Material(
        conversation=conversation,
        keys=[decode_keys(passage.keys, reader.dim) for parts in records for passage in parts],
        turn=np.repeat(np.arange(len(records)), [len(parts) for parts in records]),
        beside=beside,
        pooled=np.stack([passage.pooled for parts in records for passage in parts]).astype(np.float32),
        queries=[question.keys for question in questions],
        query_vectors=np.stack([question.pooled for question in questions]),
    )


def cosine(material: Material, row: Row) -> NDArray[np.float32]:
    """Sentence vectors of the same reading, one for each passage: scores of turns, (Q, T)."""
    row.growing = material.pooled[0].nbytes
    scores = torch.from_numpy(material.query_vectors) @ torch.from_numpy(material.pooled).T
    return best_passage(material, scores.numpy())


def whole_turns(material: Material, row: Row) -> NDArray[np.float32]:
    """The usual vector store: the bare text of each turn, up to the model's 256 tokens."""
    row.growing = material.pooled[0].nbytes
    turns = [turn.text for turn in material.conversation.turns]
    questions = [question.text for question in material.conversation.questions]
    return cosine_scores(load_reader(quantization=None).model, turns, questions)


def by_column(material: Material, row: Row, *, gate: float = 0.0, learns: bool = True) -> NDArray[np.float32]:
    """Least squares over one-hot addresses; Hebbian writing is the same with a P that never moves."""
    spec = replace(PRESETS["least_squares"](material.pooled.shape[1], 0), gate=gate)
    state = MemoryState.initial(spec)
    for keys in material.keys if learns else []:
        before = state.inverse
        state = row.timed_write(spec, state, torch.from_numpy(keys).double())
        row.skipped.append(float(state.inverse is before))
    row.bytes, row.growing = state.nbytes, material.pooled[0].nbytes
    columns = np.stack([keys.sum(axis=0) for keys in material.keys])
    lengths, retention_factors = np.linalg.norm(columns, axis=1), np.ones(len(columns), np.float32)
    scores = [
        associative_scores(
            state,
            columns,
            query,
            token_weights(spec, state, query),
            lengths=lengths,
            retention_factors=retention_factors,
            passages=material.passages,
        )
        for query in material.queries
    ]
    return with_neighbours(material, best_passage(material, np.stack(scores)))


def by_usual(material: Material, row: Row, spec: MemorySpec) -> NDArray[np.float32]:
    """A memory A of what is usual, k → k, in front of Hebbian columns: Σ_q |r|⁴ ⟨r, y⟩ / (yᵀ(I − A)y)^¼, r = q − A q.

    To first order I − A is what λP is to second: it shortens the directions that everything shares.
    """
    state = MemoryState.initial(spec)
    for keys in map(torch.from_numpy, material.keys):
        state = row.timed_write(spec, state, keys, keys)
    row.bytes, row.growing = state.nbytes, material.pooled[0].nbytes
    columns = torch.from_numpy(np.stack([keys.sum(axis=0) for keys in material.keys]))
    lengths = ((columns - read(spec, state, columns)) * columns).sum(-1).clamp(min=1e-6)
    share = lengths.pow(-0.25) / torch.from_numpy(material.passages) ** CHANCES
    scores = []
    for query in map(torch.from_numpy, material.queries):
        rest = query - read(spec, state, query)
        wanted = (rest.square().sum(-1, keepdim=True).square() * rest).sum(0)
        scores.append(((columns @ wanted) * share).numpy())
    return with_neighbours(material, best_passage(material, np.stack(scores)))


def by_code(material: Material, row: Row, spec: MemorySpec) -> NDArray[np.float32]:
    """A memory whose size does not depend on the number of turns.

    A deep one gets centred keys, and codes of length √v, in which its layer normalisation answers. A column's length
    and the passages of its turn are known when it is written: they go into the step (of least squares: the value).
    """
    deep = not isinstance(spec.architecture, Linear)
    codes = address_codes(range(len(material.keys)), spec.values) * (spec.values**0.5 if deep else 1)
    state = MemoryState.initial(spec)
    exact, dtype = bool(state.inverse.numel()), state.key_sum.dtype
    total, tokens = torch.zeros(spec.dim, dtype=dtype), 0
    for stored, code, passages in zip(material.keys, codes, material.passages, strict=True):
        keys = torch.from_numpy(stored).to(dtype)
        share = 1 / (float(keys.sum(0).norm()) * passages + 1e-6) ** 0.5
        total, tokens = total + keys.sum(0), tokens + len(keys)
        keys = centred(keys, total / tokens) if deep else keys
        values = (code * (share if exact else 1)).to(dtype).expand(len(keys), -1)
        gates = Gates.constant(spec, len(keys))
        gates = gates if exact else replace(gates, step=gates.step * share)
        state = row.timed_write(spec, state, keys, values, gates)
    row.bytes = state.nbytes
    empty = MemoryState.initial(spec)
    scores = []
    for query in material.queries:
        keys = torch.from_numpy(query).to(dtype)
        keys = centred(keys, total / tokens) if deep else keys
        answers = read(spec, state, keys) - read(spec, empty, keys)
        scores.append((codes @ (query_weights(spec, state, keys) @ answers).float()).numpy())
    return with_neighbours(material, best_passage(material, np.stack(scores)))


def centred(keys: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """Keys without what all share, of unit length again."""
    return torch.nn.functional.normalize(keys - mean, dim=-1)


def query_weights(spec: MemorySpec, state: MemoryState, keys: torch.Tensor) -> torch.Tensor:
    """How much each token of a query counts, (q,): its surprise squared where the memory knows that before a write."""
    if state.inverse.numel():
        return surprise(spec, state, keys).square().to(keys.dtype)
    return torch.ones(len(keys), dtype=keys.dtype)


def best_passage(material: Material, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """From passages (Q, P) to turns (Q, T)."""
    starts = np.flatnonzero(np.diff(material.turn, prepend=-1))
    return np.maximum.reduceat(scores, starts, axis=1)


def with_neighbours(material: Material, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each turn's score and a share of its neighbours', (Q, T)."""
    padded = np.concatenate([scores, np.zeros_like(scores[:, :1])], axis=1)
    neighbours = padded[:, material.beside[:, 0]] + padded[:, material.beside[:, 1]]
    total: NDArray[np.float32] = scores + NEIGHBOUR * neighbours
    return total


def judge(material: Material, scores: NDArray[np.float32], row: Row) -> None:
    """Add the metrics of the answerable questions to a row."""
    ids = [turn.id or "" for turn in material.conversation.turns]
    for question, ranking in zip(material.conversation.questions, rank(scores, ids, len(ids)), strict=True):
        if question.answerable:
            row.recall.append(recall_at(ranking, question.evidence, 10))
            row.reciprocal.append(reciprocal_rank(ranking, question.evidence))


def figures(row: Row) -> dict[str, Any]:
    """What is reported of a method."""
    return {
        "questions": len(row.recall),
        "R@10": fmean(row.recall),
        "MRR": fmean(row.reciprocal),
        "write_ms_p50": median(row.write_ms) if row.write_ms else None,
        "skipped": fmean(row.skipped) if row.skipped else None,
        "state_bytes": row.bytes,
        "bytes_per_passage": row.growing,
    }


def table(report: dict[str, Any]) -> Table:
    """One line for each method."""
    shown = Table("memory", title=f"{report['data']}: the neural memory alone", box=SIMPLE_HEAD)
    for heading in ("R@10", "MRR", "write ms", "skipped", "state MB", "bytes a passage"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for method, row in report["rows"].items():
        shown.add_row(
            method,
            f"{row['R@10']:.3f}",
            f"{row['MRR']:.3f}",
            "-" if row["write_ms_p50"] is None else f"{row['write_ms_p50']:.2f}",
            f"{row['skipped']:.0%}" if row["skipped"] else "-",
            f"{row['state_bytes'] / 1e6:.1f}",
            str(row["bytes_per_passage"] or "-"),
        )
    return shown


if __name__ == "__main__":
    main()
