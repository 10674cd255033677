"""Fits the weights of the parts of a recall's score, and measures them on conversations they were not fitted to.

    python -m benchmarks.fit.ranking --data one.json other.json [--cache FOLDER] [--write FILE]

The weights w maximise the likelihood of the evidence under softmax(w · parts) over the candidates of each question
(the listwise loss of ListNet), with every file counting the same, and a little ridge. There are ten of them, for more
than a thousand questions; every conversation in turn is left out, and the figures are of the conversations left out.
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

from benchmarks.common.memories import data_arguments, remembered
from benchmarks.common.metrics import EVERYTHING, recall_at, reciprocal_rank
from titans_core.readers import load_reader
from titans_core.retrieval import Weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from benchmarks.common.conversations import Conversation
    from titans_core import TitansMemory

RIDGE = 0.003
"""Times the sum of squared weights. From .001 to .01 no figure moves by more than .005."""


@dataclass(frozen=True, slots=True)
class Case:
    """One question's c candidates.

    Attributes:
        data: name of the file.
        conversation: its id.
        parts: (c, p), see `Parts.scaled`.
        ids: (c,), of the turns.
        evidence: ids of the turns that answer.
    """

    data: str
    conversation: str
    parts: NDArray[np.float64]
    ids: list[str]
    evidence: frozenset[str]

    @property
    def target(self) -> NDArray[np.float64]:
        """(c,), the share of the evidence that each candidate is; all 0 where none was found."""
        right = np.array([found in self.evidence for found in self.ids], np.float64)
        share: NDArray[np.float64] = right / max(right.sum(), 1)
        return share


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = data_arguments(__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="write the weights to this file")
    options = parser.parse_args(arguments)
    console = Console()
    with Progress(console=console) as progress:
        cases = [case for path in options.data for case in gather(path, options.limit, options.cache, progress)]
        names = list(Weights.fitted().by_name)
        held_out = cross_validate(cases, progress)
    weights = dict(zip(names, np.round(fit(cases), 3).tolist(), strict=True))
    show(weights, held_out, console)
    if options.write:
        report = {"weights": weights, "ridge": RIDGE, "reader": load_reader().fingerprint, "held_out": held_out}
        options.write.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def gather(path: Path, limit: int | None, cache: Path | None, progress: Progress) -> list[Case]:
    """The cases of a file's answerable questions."""
    cases: list[Case] = []
    for name, conversation, _, bank in remembered(path, limit, cache, progress):
        with bank.tenant(conversation.id) as memory:
            cases += ask(name, conversation, memory)
    return cases


def ask(name: str, conversation: Conversation, memory: TitansMemory) -> Iterator[Case]:
    """A case for each answerable question for which anything was found."""
    weights = Weights.fitted().by_name
    for question in conversation.questions:
        found = memory.recall(question.text, k=EVERYTHING) if question.answerable else ()
        if len(found):
            # What each part added to the score, over what it counts, is the part.
            parts = [[recall.why[part] / weight for part, weight in weights.items()] for recall in found]
            yield Case(name, conversation.id, np.array(parts), [recall.id for recall in found], question.evidence)


def fit(cases: Sequence[Case]) -> NDArray[np.float64]:
    """The weights of the parts, (p,)."""
    usable = [case for case in cases if case.target.any()]
    size = max(len(case.ids) for case in usable)
    counts = {name: sum(case.data == name for case in usable) for name in {case.data for case in usable}}
    parts = torch.zeros(len(usable), size, usable[0].parts.shape[1], dtype=torch.float64)
    target = torch.zeros(len(usable), size, dtype=torch.float64)
    absent = torch.full((len(usable), size), -torch.inf, dtype=torch.float64)
    for row, case in enumerate(usable):
        count = len(case.ids)
        parts[row, :count] = torch.from_numpy(case.parts)
        target[row, :count] = torch.from_numpy(case.target)
        absent[row, :count] = 0
    share = torch.tensor([1 / counts[case.data] / len(counts) for case in usable], dtype=torch.float64)
    weights = torch.zeros(parts.shape[2], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        likelihood = torch.log_softmax(parts @ weights + absent, dim=1).clamp(min=-1e9)
        found = -(share * (target * likelihood).sum(dim=1)).sum() + RIDGE * weights.square().sum()
        found.backward()  # type: ignore[no-untyped-call]
        return found

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return weights.detach().numpy()


def cross_validate(cases: Sequence[Case], progress: Progress) -> dict[str, dict[str, float]]:
    """The figures of each file, each conversation ranked by weights that were fitted without it."""
    groups = list(dict.fromkeys((case.data, case.conversation) for case in cases))
    scored: dict[str, list[dict[str, float]]] = {}
    for data, conversation in progress.track(groups, description="cross-validate"):
        weights = fit([case for case in cases if (case.data, case.conversation) != (data, conversation)])
        for case in cases:
            if (case.data, case.conversation) == (data, conversation):
                ranking = [case.ids[row] for row in np.argsort(-(case.parts @ weights), kind="stable")]
                scored.setdefault(data, []).append(
                    {
                        "R@5": recall_at(ranking, case.evidence, 5),
                        "R@10": recall_at(ranking, case.evidence, 10),
                        "MRR": reciprocal_rank(ranking[:20], case.evidence),
                    }
                )
    return {
        data: {metric: round(fmean(one[metric] for one in found), 4) for metric in found[0]} | {"questions": len(found)}
        for data, found in scored.items()
    }


def show(weights: dict[str, float], held_out: dict[str, dict[str, Any]], console: Console) -> None:
    """Print the weights and the figures."""
    table = Table(*weights, title="weights")
    table.add_row(*(f"{weight:.2f}" for weight in weights.values()))
    console.print(table)
    table = Table("held out", *next(iter(held_out.values())))
    for data, figures in held_out.items():
        table.add_row(data, *(f"{figure:g}" for figure in figures.values()))
    console.print(table)


if __name__ == "__main__":
    main()
