"""Makes the calibration that ships with the package, and says what its labels are worth on conversations held out.

    python -m benchmarks.fit.calibration --data one.json other.json [--cache FOLDER] [--write FILE] [--figure FILE]
        [--json figures.json]

What it is made of is in trials.py. A question that is asked as it is counts 1 in the fit, the others less, and every
file the square root of what it holds, so that the smaller one is heard. The figures are cross-validated: the
probabilities of a conversation come from a fit without it, its thresholds from the other conversations alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sklearn.metrics import brier_score_loss, roc_auc_score

from benchmarks.common.environment import write_report
from benchmarks.common.memories import data_arguments
from benchmarks.common.trials import gather, told, weighed
from titans_core import Confidence
from titans_core.confidence import PROMISES
from titans_core.confidence.fitting import fit_calibration
from titans_core.readers import load_reader
from titans_core.retrieval import ranking_fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from benchmarks.common.trials import Trial
    from titans_core.confidence import Calibration, Case, Probabilities

BLUE, VERMILLION = "#0072B2", "#D55E00"  # Okabe and Ito: told apart by everybody


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = data_arguments(__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="write the calibration to this file")
    parser.add_argument("--figure", type=Path, help="draw risk against coverage, and reliability, to this file")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    options = parser.parse_args(arguments)
    console = Console()
    with Progress(console=console) as progress:
        found = [gather(path, options.limit, options.cache, progress) for path in options.data]
        found.append(list(told()))
        trials = [trial for each in found for trial in balanced(each)]
        made = fit(trials)
        rows = held_out(trials, progress)
    figures = {"held out": summaries(rows), "other file": across(trials)}
    show(made, figures, console)
    if options.figure:
        draw(rows, options.figure)
    if options.write:
        made.save(options.write)
    if options.json:
        write_report(options.json, {"benchmark": "calibrate", **figures})


def balanced(trials: Sequence[Trial]) -> list[Trial]:
    """A file's trials, each counting less the more there are."""
    share = sum(trial.case.weight for trial in trials) ** -0.5
    return [replace(trial, case=weighed(trial.case, share)) for trial in trials]


def fit(trials: Sequence[Trial]) -> Calibration:
    """A calibration of all trials; scikit-learn's ridge is against a mean weight of 1."""
    share = len(trials) / sum(trial.case.weight for trial in trials)
    cases = [weighed(trial.case, share) for trial in trials]
    return fit_calibration(cases, reader=load_reader().fingerprint, ranking=ranking_fingerprint())


@dataclass(frozen=True, slots=True)
class Row:
    """A trial as a calibration labels it that was made without its conversation.

    Attributes:
        trial: the trial.
        said: what it says.
        high: whether the label is `high`, for each promise.
        none: whether it is `none`.
    """

    trial: Trial
    said: Probabilities
    high: dict[str, bool]
    none: bool

    @property
    def case(self) -> Case:
        """The trial's."""
        return self.trial.case


def held_out(trials: Sequence[Trial], progress: Progress) -> list[Row]:
    """Every trial of a conversation, labelled by a calibration made without it."""
    rows = []
    groups = sorted({trial.case.group for trial in trials if trial.kind != "told"})
    for group in progress.track(groups, description="held out"):
        made = fit([trial for trial in trials if trial.case.group != group])
        rows += [judged(made, trial) for trial in trials if trial.case.group == group]
    return rows


def judged(made: Calibration, trial: Trial) -> Row:
    """What a calibration says of a trial."""
    said = made.probabilities(trial.case.features)
    labels = {promise: made.label(said, promise) for promise in PROMISES}
    high = {str(promise): label is Confidence.HIGH for promise, label in labels.items()}
    return Row(trial, said, high, none=Confidence.NONE in labels.values())


def summaries(rows: Sequence[Row]) -> dict[str, Any]:
    """The figures of each file, and of the young memories of both."""
    parts: dict[str, list[Row]] = {}
    for row in rows:
        name = f"{row.trial.turns} turns" if row.trial.turns else row.trial.file
        parts.setdefault(name, []).append(row)
    return {**{name: summary(part) for name, part in parts.items()}, "all": summary(rows)}


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Figures of labelled cases."""
    asked = [row for row in rows if row.case.asked]
    answerable, others = ([row for row in asked if row.case.stored is stored] for stored in (True, False))
    hidden, foreign = ([row for row in rows if row.trial.kind == kind] for kind in ("hidden", "foreign"))
    first, top3 = (np.array([getattr(row.case, name) for row in asked]) for name in ("first", "top3"))
    said = np.array([row.said for row in asked])
    figures: dict[str, Any] = {
        "asked": len(asked),
        "AUROC first": roc_auc_score(first, said[:, 0]),
        "AUROC among": roc_auc_score(top3, said[:, 1]),
        "Brier": brier_score_loss(first, said[:, 0]),
        "ECE": expected_error(first, said[:, 0]),
        "AURC": area(first, said[:, 0]),
        "AURC of cosine": area(first, np.array([row.case.features["cosine"] for row in asked])),
    }
    stored = np.array([row.case.stored for row in asked])
    for share in (0.9, 0.8):
        figures[f"at {share}"] = coverage(first, said[:, 0], stored, share)
        figures[f"three at {share}"] = coverage(top3, said[:, 1], stored, share)
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
        "of hidden": mean(row.none for row in hidden),
        "of foreign": mean(row.none for row in foreign),
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


def coverage(
    right: NDArray[np.bool_], said: NDArray[np.float64], stored: NDArray[np.bool_], share: float
) -> dict[str, float | None]:
    """The most questions, safest first, of which this share is right: seen afterwards, no promise."""
    kept = np.flatnonzero(risks(right, said) <= 1 - share)
    chosen = np.zeros(len(right), bool)
    chosen[np.argsort(-said, kind="stable")[: kept[-1] + 1 if len(kept) else 0]] = True
    return {"of answerable": mean(chosen[stored]), "of unanswerable": mean(chosen[~stored])}


def draw(rows: Sequence[Row], path: Path) -> None:
    """Risk against coverage, and how often those are right that are said to be right so often."""
    asked = [row for row in rows if row.case.asked and not row.trial.turns]
    right = np.array([row.case.first for row in asked])
    said = np.array([row.said.first for row in asked])
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


def across(trials: Sequence[Trial]) -> dict[str, float]:
    """AUROC of `first` on each file, by a fit on the others."""
    names = {trial.file for trial in trials if trial.kind != "told"}
    figures = {}
    for name in names if len(names) > 1 else ():
        made = fit([trial for trial in trials if trial.file != name])
        tested = [trial.case for trial in trials if trial.file == name and trial.case.asked and not trial.turns]
        said = [made.probabilities(case.features).first for case in tested]
        figures[name] = roc_auc_score([case.first for case in tested], said)
    return figures


def show(made: Calibration, figures: dict[str, Any], console: Console) -> None:
    """Print what was made and how well it does."""
    table = Table("probability", "bias", *made.mean, title="log odds for one standard deviation of each feature")
    for name in ("first", "top3", "stored"):
        model = getattr(made, name)
        table.add_row(name, f"{model.bias:.2f}", *(f"{weight:+.2f}" for weight in model.weights.values()))
    console.print(table)
    for promise, test in made.high.items():
        console.print(f"high, promise {promise}:", test)
    console.print("none:", made.none)
    console.print(figures)


if __name__ == "__main__":
    main()
