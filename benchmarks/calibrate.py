"""Makes the calibration that ships with the package, and says what its labels are worth on conversations held out.

    python benchmarks/calibrate.py --data one.json other.json [--keep FOLDER] [--write FILE] [--json figures.json]

Cases: every question as it is; every answerable one with its evidence hidden; and for every conversation 30 questions
about other conversations of its file.

A question that is asked as it is counts 1 in the fit, the others less, and every file the square root of what it holds,
so that the smaller one is heard. The figures are cross-validated: the probabilities of a conversation come from a fit
without it, its thresholds from the other conversations alone.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from conversations import load_conversations
from environment import write_report
from memories import memories
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sklearn.metrics import brier_score_loss, roc_auc_score

from titans_core.confidence import PROMISES
from titans_core.confidence.fitting import fit_calibration
from titans_core.reading import load_reader
from titans_core.recalling import Weights

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from conversations import Conversation
    from numpy.typing import NDArray

    from titans_core import TitansMemory
    from titans_core.confidence import Calibration, Case

FOREIGN = 30
"""Questions about other conversations that each conversation is asked."""

FOREIGN_WEIGHT = 0.5
"""What they count in the fit."""

BLUE, VERMILLION = "#0072B2", "#D55E00"  # Okabe and Ito: told apart by everybody


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="files of conversations and questions")
    parser.add_argument("--limit", type=int, help="only the first N conversations of each")
    parser.add_argument("--keep", type=Path, help="folder for the memories, for the next run")
    parser.add_argument("--write", type=Path, help="write the calibration to this file")
    parser.add_argument("--figure", type=Path, help="draw risk against coverage, and reliability, to this file")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    options = parser.parse_args(arguments)
    console = Console()
    with Progress(console=console) as progress:
        found = [gather(path, options.limit, options.keep, progress) for path in options.data]
        cases = [case for each in found for case in balanced(each)]
        made = fit(cases)
        rows = held_out(cases, progress)
    figures = {"held out": summaries(rows), "other file": across(cases)}
    show(made, figures, console)
    if options.figure:
        draw(rows, options.figure)
    if options.write:
        made.save(options.write)
    if options.json:
        write_report(options.json, {"benchmark": "calibrate", **figures})


def gather(path: Path, limit: int | None, keep: Path | None, progress: Progress) -> list[Case]:
    """The cases of a file; the group of a case is "file/conversation/kind"."""
    name, conversations = load_conversations(path, limit)
    task = progress.add_task(f"{name}: memorize", total=sum(len(each.turns) for each in conversations))
    with memories(name, conversations, keep, lambda turns: progress.advance(task, turns)) as bank:
        asking = progress.add_task(f"{name}: ask", total=len(conversations))
        cases: list[Case] = []
        for conversation in conversations:
            with bank.tenant(conversation.id) as memory:
                cases += ask(f"{name}/{conversation.id}", conversation, conversations, memory)
            progress.advance(asking)
    return cases


def ask(
    group: str, conversation: Conversation, conversations: Sequence[Conversation], memory: TitansMemory
) -> Iterator[Case]:
    """The cases of a conversation."""
    yield from memory.cases([(question.text, question.evidence) for question in conversation.questions], group=group)
    chosen = random.Random(conversation.id).sample(others(conversation, conversations), FOREIGN)  # noqa: S311
    for case in memory.cases([(query, ()) for query in chosen], group=group):
        yield replace(case, weight=FOREIGN_WEIGHT, asked=False)


def others(conversation: Conversation, conversations: Sequence[Conversation]) -> list[str]:
    """What is asked of the other conversations."""
    return [question.text for each in conversations if each.id != conversation.id for question in each.questions]


def balanced(cases: Sequence[Case]) -> list[Case]:
    """A file's cases, each counting less the more there are."""
    share = sum(case.weight for case in cases) ** 0.5
    return [replace(case, weight=case.weight / share) for case in cases]


def fit(cases: Sequence[Case]) -> Calibration:
    """A calibration of all cases; scikit-learn's ridge is against a mean weight of 1."""
    mean = sum(case.weight for case in cases) / len(cases)
    scaled = [replace(case, weight=case.weight / mean) for case in cases]
    return fit_calibration(scaled, reader=load_reader().fingerprint, ranking=Weights.fitted().fingerprint)


def file_of(case: Case) -> str:
    """The file's name."""
    return case.group.split("/")[0]


@dataclass(frozen=True, slots=True)
class Row:
    """A case as a calibration labels it that was made without its conversation.

    Attributes:
        case: the case.
        said: (3,), the probabilities first, among and stored.
        high: whether the label is `high`, for each promise.
        none: whether it is `none`.
    """

    case: Case
    said: NDArray[np.float64]
    high: dict[str, bool]
    none: bool


def held_out(cases: Sequence[Case], progress: Progress) -> list[Row]:
    """Every case, labelled by a calibration made without its conversation."""
    rows = []
    for group in progress.track(sorted({case.group for case in cases}), description="held out"):
        made = fit([case for case in cases if case.group != group])
        rows += [judged(made, case) for case in cases if case.group == group]
    return rows


def judged(made: Calibration, case: Case) -> Row:
    """What a calibration says of a case."""
    said = np.array([made.probability(model, case.features) for model in (made.first, made.among, made.stored)])
    high = {key: test is not None and said[0] >= test["value"] for key, test in made.high.items()}
    return Row(case, said, high, none=made.none is not None and 1 - said[2] >= made.none["value"])


def summaries(rows: Sequence[Row]) -> dict[str, Any]:
    """The figures of each file, and of all together."""
    names = sorted({file_of(row.case) for row in rows})
    each = {name: summary([row for row in rows if file_of(row.case) == name]) for name in names}
    return {**each, "all": summary(rows)}


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Figures of labelled cases."""
    asked = [row for row in rows if row.case.asked]
    answerable, others = ([row for row in asked if row.case.stored is stored] for stored in (True, False))
    foreign = [row for row in rows if not row.case.asked]
    first, among = (np.array([getattr(row.case, name) for row in asked]) for name in ("first", "among"))
    said = np.array([row.said for row in asked])
    figures: dict[str, Any] = {
        "asked": len(asked),
        "AUROC first": roc_auc_score(first, said[:, 0]),
        "AUROC among": roc_auc_score(among, said[:, 1]),
        "Brier": brier_score_loss(first, said[:, 0]),
        "ECE": expected_error(first, said[:, 0]),
        "AURC": area(first, said[:, 0]),
        "AURC of cosine": area(first, np.array([row.case.features["cosine"] for row in asked])),
    }
    for share in (0.9, 0.8):
        figures[f"coverage at {share}"] = coverage(first, said[:, 0], share)
        figures[f"coverage of three at {share}"] = coverage(among, said[:, 1], share)
    for promise in map(str, PROMISES):
        high = [row for row in asked if row.high[promise]]
        figures[f"high {promise}"] = {
            "coverage": mean(row.high[promise] for row in answerable),
            "precision": mean(row.case.first for row in high),
            "false high": mean(row.high[promise] for row in others),
        }
    none = [row for row in rows if row.none]
    figures["none"] = {
        "said": len(none),
        "of these stored": mean(row.case.stored for row in none),
        "of answerable": mean(row.none for row in answerable),
        "of unanswerable": mean(row.none for row in others),
        "of hidden or foreign": mean(row.none for row in foreign),
    }
    return figures


def mean(values: Iterable[bool]) -> float | None:
    """The share that is true; None of nothing."""
    counted = list(values)
    return float(np.mean(counted)) if counted else None


def risks(right: NDArray[np.bool_], said: NDArray[np.float64]) -> NDArray[np.float64]:
    """The risk at every coverage: the share of wrong ones among the so many that are said to be safest."""
    wrong = ~right[np.argsort(-said, kind="stable")]
    return np.cumsum(wrong) / np.arange(1, len(wrong) + 1)


def area(right: NDArray[np.bool_], said: NDArray[np.float64]) -> float:
    """Area under the risk–coverage curve."""
    return float(risks(right, said).mean())


def coverage(right: NDArray[np.bool_], said: NDArray[np.float64], share: float) -> float:
    """The largest part of the questions, safest first, of which this share is right: seen afterwards, no promise."""
    kept = np.flatnonzero(risks(right, said) <= 1 - share)
    return float(kept[-1] + 1) / len(right) if len(kept) else 0.0


def draw(rows: Sequence[Row], path: Path) -> None:
    """Risk against coverage, and how often those are right that are said to be right so often."""
    asked = [row for row in rows if row.case.asked]
    right = np.array([row.case.first for row in asked])
    said = np.array([row.said[0] for row in asked])
    cosine = np.array([row.case.features["cosine"] for row in asked])
    figure, (left, reliable) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    share = np.arange(1, len(asked) + 1) / len(asked)
    left.plot(share, risks(right, said), color=BLUE, label="calibrated probability")
    left.plot(share, risks(right, cosine), "--", color=VERMILLION, label="cosine alone")
    left.axhline(1 - right.mean(), color="grey", linewidth=0.8)
    left.set(xlabel="share of the questions that are answered", ylabel="share of these that is wrong", ylim=(0, 1))
    left.legend(frameon=False)
    parts = np.array_split(np.argsort(said, kind="stable"), 10)
    reliable.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    reliable.plot([said[part].mean() for part in parts], [right[part].mean() for part in parts], "o-", color=BLUE)
    reliable.set(xlabel="probability that is said (tenths of the questions)", ylabel="share that is right")
    reliable.set(xlim=(0, 1), ylim=(0, 1))
    figure.savefig(path, dpi=120)


def expected_error(right: NDArray[np.bool_], said: NDArray[np.float64], bins: int = 10) -> float:
    """Expected calibration error over bins of equal mass."""
    parts = np.array_split(np.argsort(said, kind="stable"), bins)
    return float(
        sum(len(part) * abs(right[part].mean() - said[part].mean()) for part in parts if len(part)) / len(said)
    )


def across(cases: Sequence[Case]) -> dict[str, float]:
    """AUROC of `first` on each file, by a fit on the others."""
    names = Counter(file_of(case) for case in cases)
    figures = {}
    for name in names if len(names) > 1 else []:
        made = fit([case for case in cases if file_of(case) != name])
        tested = [case for case in cases if file_of(case) == name and case.asked]
        said = [made.probability(made.first, case.features) for case in tested]
        figures[name] = roc_auc_score([case.first for case in tested], said)
    return figures


def show(made: Calibration, figures: dict[str, Any], console: Console) -> None:
    """Print what was made and how well it does."""
    table = Table("probability", "bias", *made.mean, title="log odds for one standard deviation of each feature")
    for name in ("first", "among", "stored"):
        model = getattr(made, name)
        table.add_row(name, f"{model.bias:.2f}", *(f"{weight:+.2f}" for weight in model.weights.values()))
    console.print(table)
    for promise, test in made.high.items():
        console.print(f"high, promise {promise}:", test)
    console.print("none:", made.none)
    console.print(figures)


if __name__ == "__main__":
    main()
