"""Fits the weights of the parts of a recall's score, and measures them on held-out conversations.

    python -m benchmarks.fit.ranking --data one.json other.json [--cache FOLDER] [--write FILE]

The weights w maximise the likelihood of the evidence under softmax(w · parts) over the candidates of each question
(the listwise loss of ListNet), with a small ridge penalty. The parts in `GROWING` have two weights: one for a memory of
100 passages, and one that is multiplied by `growth`. Each given file has the same weight, and the shipped everyday
conversations together have as much as one file. The figures are cross-validated: the weights for a conversation are
fitted to the other conversations.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.common.candidates import find_all
from benchmarks.common.conversations import EVERYDAY
from benchmarks.common.memories import make_parser, memorize_file
from benchmarks.common.metrics import recall_at, reciprocal_rank
from titans_core.readers import load_reader
from titans_core.retrieval import Weights, growth

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from benchmarks.common.conversations import Conversation
    from titans_core import TitansMemory

RIDGE = 0.001
"""Factor on the sum of squared weights in the loss. From .001 to .003 no figure changes by more than .012."""

GROWING = ("late", "session", "speaker", "novelty", "length", "asking", "timely", "dated")
"""The parts whose weights depend on the size of the memory. With BM25 and the neural memory's answer as well, nothing
was gained."""


PARTS = tuple(Weights.fitted().parts)
"""The names of the parts."""


@dataclass(frozen=True, slots=True)
class Case:
    """The c candidates of one question.

    Attributes:
        data: The name of the data; "everyday" for the shipped conversations.
        conversation: The id of the conversation.
        parts: (c, p), the p parts of each candidate's score before weighting, see `Parts.scaled`; then those in
            `GROWING`, multiplied by the memory's `growth`.
        ids: The ids of the c candidate turns.
        evidence: The ids of the turns that answer the question.
    """

    data: str
    conversation: str
    parts: NDArray[np.float64]
    ids: list[str]
    evidence: frozenset[str]

    @property
    def target(self) -> NDArray[np.float64]:
        """(c,), 1 / n for each of the n candidates that are evidence, 0 for the others."""
        right = np.array([turn in self.evidence for turn in self.ids], np.float64)
        share: NDArray[np.float64] = right / max(right.sum(), 1)
        return share


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="write the weights to this file")
    options = parser.parse_args(arguments)
    console = Console()
    with Progress(console=console) as progress:
        cases = [
            case
            for path in (*EVERYDAY, *options.data)
            for case in collect_cases(path, options.limit, options.cache, progress)
        ]
        held_out = cross_validate(cases, progress)
    weights = np.round(fit(cases), 3).tolist()
    found = {
        "weights": dict(zip(PARTS, weights, strict=False)),
        "growth": dict(zip(GROWING, weights[len(PARTS) :], strict=True)),
    }
    show(found, held_out, console)
    if options.write:
        report = {**found, "ridge": RIDGE, "reader": load_reader().fingerprint, "held_out": held_out}
        options.write.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def collect_cases(path: Path, limit: int | None, cache: Path | None, progress: Progress) -> list[Case]:
    """Make the cases of a file's answerable questions; for the arguments see `memorize_file`."""
    cases: list[Case] = []
    for name, conversation, _, bank in memorize_file(path, limit, cache, progress):
        with bank.tenant(conversation.id) as memory:
            cases += conversation_cases("everyday" if path in EVERYDAY else name, conversation, memory)
    return cases


def conversation_cases(name: str, conversation: Conversation, memory: TitansMemory) -> Iterator[Case]:
    """Make a case for each answerable question for which the memory finds anything."""
    for found in find_all(memory, conversation):
        scaled = found.candidates.parts.scaled
        size = growth(len(found.known.index.passages().turn))
        parts = [*(scaled[part] for part in PARTS), *(scaled[part] * size for part in GROWING)]
        yield Case(name, conversation.id, np.stack(parts, axis=1), found.ids, found.asked.evidence)


def fit(cases: Sequence[Case]) -> NDArray[np.float64]:
    """Fit the weights of the parts, (p,)."""
    usable = [case for case in cases if case.target.any()]
    size = max(len(case.ids) for case in usable)
    questions = {name: sum(case.data == name for case in usable) for name in {case.data for case in usable}}
    parts = torch.zeros(len(usable), size, usable[0].parts.shape[1], dtype=torch.float64)
    target = torch.zeros(len(usable), size, dtype=torch.float64)
    padding = torch.full((len(usable), size), -torch.inf, dtype=torch.float64)
    for row, case in enumerate(usable):
        count = len(case.ids)
        parts[row, :count] = torch.from_numpy(case.parts)
        target[row, :count] = torch.from_numpy(case.target)
        padding[row, :count] = 0
    share = torch.tensor([1 / questions[case.data] / len(questions) for case in usable], dtype=torch.float64)
    weights = torch.zeros(parts.shape[2], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        likelihood = torch.log_softmax(parts @ weights + padding, dim=1).clamp(min=-1e9)
        total = -(share * (target * likelihood).sum(dim=1)).sum() + RIDGE * weights.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return weights.detach().numpy()


def cross_validate(cases: Sequence[Case], progress: Progress) -> dict[str, dict[str, float]]:
    """Compute the figures of each file; every conversation is ranked by weights that were fitted to the others."""
    groups = list(dict.fromkeys((case.data, case.conversation) for case in cases))
    metrics: dict[str, list[dict[str, float]]] = {}
    for data, conversation in progress.track(groups, description="cross-validate"):
        weights = fit([case for case in cases if (case.data, case.conversation) != (data, conversation)])
        for case in cases:
            if (case.data, case.conversation) == (data, conversation):
                ranking = [case.ids[row] for row in np.argsort(-(case.parts @ weights), kind="stable")]
                metrics.setdefault(data, []).append(
                    {
                        "hit1": float(ranking[0] in case.evidence),
                        "R@5": recall_at(ranking, case.evidence, 5),
                        "R@10": recall_at(ranking, case.evidence, 10),
                        "MRR": reciprocal_rank(ranking[:20], case.evidence),
                    }
                )
    return {
        data: {name: round(fmean(row[name] for row in rows), 4) for name in rows[0]} | {"questions": len(rows)}
        for data, rows in metrics.items()
    }


def show(found: dict[str, dict[str, float]], held_out: dict[str, dict[str, Any]], console: Console) -> None:
    """Print the weights and the figures."""
    for title, weights in found.items():
        table = Table(*weights, title=title)
        table.add_row(*(f"{weight:.2f}" for weight in weights.values()))
        console.print(table)
    table = Table("held out", *next(iter(held_out.values())))
    for data, figures in held_out.items():
        table.add_row(data, *(f"{figure:g}" for figure in figures.values()))
    console.print(table)


if __name__ == "__main__":
    main()
