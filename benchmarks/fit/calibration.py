"""Fits the calibration that ships with the package, and measures its labels on held-out conversations.

    python -m benchmarks.fit.calibration [--data one.json other.json] [--cache FOLDER] [--write FILE] [--figure FILE]
        [--json figures.json] [--folds FOLDER]

With `--folds`, the calibration is for recalls that a verifier reads. The shipped verifier was trained on the everyday
conversations, so the trials of each file of them are made with a verifier that was trained without this file.

The trials are described in `benchmarks/common/trials.py`. A question that is asked as it is has weight 1 in the fit;
other trials have smaller weights. The sources are the shipped everyday conversations together, each given file, the
synthetic facts, and the plain facts. Each source has the square root of its total weight, so that a small one also has
an influence. The figures are cross-validated: the probabilities and the thresholds for a conversation come from fits
to the other conversations.
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

from benchmarks.common.conversations import EVERYDAY
from benchmarks.common.environment import write_report
from benchmarks.common.memories import make_parser
from benchmarks.common.trials import collect_trials, plain_trials, scale_weight, synthetic_trials
from titans_core import Confidence
from titans_core.confidence import PROMISES
from titans_core.confidence.fitting import fit_calibration
from titans_core.readers import load_reader
from titans_core.retrieval import ranking_fingerprint
from titans_core.verification import ReaderVerifier, make_verifier
from titans_core.verification.adapter import Adapter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from benchmarks.common.trials import Trial
    from titans_core.confidence import Calibration, Case, Probabilities
    from titans_core.verification import Verifier

PARTS = 6
"""Parts that the conversations are split into; each part is held out once, with all questions of its conversations."""

BLUE, VERMILLION = "#0072B2", "#D55E00"  # Okabe and Ito: colours that colour-blind readers can distinguish


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = make_parser(__doc__.splitlines()[0], data=())
    parser.add_argument("--write", type=Path, help="write the calibration to this file")
    parser.add_argument("--folds", type=Path, help="folder with the verifiers of `benchmarks.fit.verifier --folds`")
    parser.add_argument("--figure", type=Path, help="draw risk against coverage, and reliability, to this file")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    options = parser.parse_args(arguments)
    console = Console()
    with Progress(console=console) as progress:
        shipped = make_verifier(verify=options.folds is not None, reader=load_reader())
        sources = [
            [
                trial
                for path in paths
                for trial in collect_trials(
                    path, options.limit, options.cache, progress, held_out_verifier(path, options.folds) or shipped
                )
            ]
            for paths in (EVERYDAY, *([path] for path in options.data))
        ]
        sources += [list(synthetic_trials(shipped)), list(plain_trials(shipped))]
        trials = [trial for source in sources for trial in balance(source)]
        fingerprint = ranking_fingerprint(shipped.fingerprint if shipped else None)
        calibration = fit(trials, fingerprint)
        rows = cross_validate(trials, progress)
    figures = {"held out": summarize_parts(rows), "other file": auroc_on_other_files(trials)}
    show(calibration, figures, console)
    if options.figure:
        draw(rows, options.figure)
    if options.write:
        calibration.save(options.write)
    if options.json:
        write_report(options.json, {"benchmark": "calibrate", **figures})


def held_out_verifier(path: Path, folds: Path | None) -> Verifier | None:
    """Load the verifier that was trained without a file of everyday conversations; None for other files."""
    if folds is None or path not in EVERYDAY:
        return None
    return ReaderVerifier(Adapter.load(folds / f"{path.stem}.safetensors"), load_reader())


def balance(trials: Sequence[Trial]) -> list[Trial]:
    """Divide the weights of a source's trials by the square root of their sum."""
    factor = sum(trial.case.weight for trial in trials) ** -0.5
    return [replace(trial, case=scale_weight(trial.case, factor)) for trial in trials]


def fit(trials: Sequence[Trial], ranking: str = "") -> Calibration:
    """Fit a calibration to all trials; `ranking` is the fingerprint of the ranking that made them.

    The mean weight becomes 1, because the strength of scikit-learn's ridge is relative to the weights.
    """
    factor = len(trials) / sum(trial.case.weight for trial in trials)
    cases = [scale_weight(trial.case, factor) for trial in trials]
    return fit_calibration(cases, reader=load_reader().fingerprint, ranking=ranking)


@dataclass(frozen=True, slots=True)
class LabelledTrial:
    """A trial, labelled by a calibration that was fitted without the trial's conversation.

    Attributes:
        trial: The trial.
        probabilities: The calibration's probabilities.
        high: For each promise, whether the label is `high`.
        none: Whether the label is `none`.
    """

    trial: Trial
    probabilities: Probabilities
    high: dict[str, bool]
    none: bool

    @property
    def case(self) -> Case:
        """The case of the trial."""
        return self.trial.case


def cross_validate(trials: Sequence[Trial], progress: Progress) -> list[LabelledTrial]:
    """Label every trial of every conversation by a calibration that was fitted without the conversation."""
    rows = []
    groups = sorted({trial.case.group for trial in trials if trial.kind != "synthetic"})
    for part in progress.track(range(PARTS), description="held out"):
        left_out = set(groups[part::PARTS])
        calibration = fit([trial for trial in trials if trial.case.group not in left_out])
        rows += [label_trial(calibration, trial) for trial in trials if trial.case.group in left_out]
    return rows


def label_trial(calibration: Calibration, trial: Trial) -> LabelledTrial:
    """Label a trial by a calibration."""
    probabilities = calibration.probabilities(trial.case.features)
    labels = {promise: calibration.label(probabilities, promise) for promise in PROMISES}
    high = {str(promise): label is Confidence.HIGH for promise, label in labels.items()}
    return LabelledTrial(trial, probabilities, high, none=Confidence.NONE in labels.values())


def summarize_parts(rows: Sequence[LabelledTrial]) -> dict[str, Any]:
    """Compute the figures of each file, of the young memories of each size, and of all trials."""
    parts: dict[str, list[LabelledTrial]] = {}
    for row in rows:
        name = f"{row.trial.turns} turns" if row.trial.turns else row.trial.file
        parts.setdefault(name, []).append(row)
        if name in {path.stem for path in EVERYDAY}:
            parts.setdefault("everyday", []).append(row)
    return {**{name: summarize(part) for name, part in parts.items()}, "all": summarize(rows)}


def summarize(rows: Sequence[LabelledTrial]) -> dict[str, Any]:
    """Compute the figures of labelled trials."""
    asked = [row for row in rows if row.case.asked]
    answerable, others = ([row for row in asked if row.case.stored is stored] for stored in (True, False))
    hidden, foreign = ([row for row in rows if row.trial.kind == kind] for kind in ("hidden", "foreign"))
    first, top3 = (np.array([getattr(row.case, name) for row in asked]) for name in ("first", "top3"))
    probabilities = np.array([row.probabilities for row in asked])
    stored = np.array([row.case.stored for row in asked])
    figures: dict[str, Any] = {
        "asked": len(asked),
        "AUROC first": roc_auc_score(first, probabilities[:, 0]),
        "AUROC among": roc_auc_score(top3, probabilities[:, 1]),
        "AUROC stored": roc_auc_score(stored, probabilities[:, 2]) if len(set(stored.tolist())) > 1 else None,
        "Brier": brier_score_loss(first, probabilities[:, 0]),
        "ECE": expected_calibration_error(first, probabilities[:, 0]),
        "AURC": area_under_risk(first, probabilities[:, 0]),
        "AURC of cosine": area_under_risk(first, np.array([row.case.features["cosine"] for row in asked])),
    }
    for share in (0.9, 0.8):
        figures[f"at {share}"] = coverage_at(first, probabilities[:, 0], stored, share)
        figures[f"three at {share}"] = coverage_at(top3, probabilities[:, 1], stored, share)
    for promise in map(str, PROMISES):
        high = [row for row in asked if row.high[promise]]
        figures[f"high {promise}"] = {
            "coverage": true_share(row.high[promise] for row in answerable),
            "precision": true_share(row.case.first for row in high),
            "false high": true_share(row.high[promise] for row in others),
        }
    none = [row for row in rows if row.none]
    figures["none"] = {
        "said": len(none),
        "of these stored": true_share(row.case.stored for row in none),
        "of answerable": true_share(row.none for row in answerable),
        "of unanswerable": true_share(row.none for row in others),
        "of hidden": true_share(row.none for row in hidden),
        "of foreign": true_share(row.none for row in foreign),
    }
    return figures


def true_share(values: Iterable[bool]) -> float | None:
    """Return the share of the values that is true; None if there are no values."""
    booleans = list(values)
    return float(np.mean(booleans)) if booleans else None


def risk_curve(right: NDArray[np.bool_], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the risk at every coverage: the share of wrong answers among the n most probable ones, for n = 1, 2, ….

    Args:
        right: (c,), whether each answer is right.
        scores: (c,), the probability of each answer, or another score; a higher score is safer.

    Returns:
        (c,), in [0, 1].
    """
    wrong = ~right[np.argsort(-scores, kind="stable")]
    return np.cumsum(wrong) / np.arange(1, len(wrong) + 1)


def area_under_risk(right: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Compute the area under the risk–coverage curve; for the arguments see `risk_curve`."""
    return float(risk_curve(right, scores).mean())


def coverage_at(
    right: NDArray[np.bool_], scores: NDArray[np.float64], stored: NDArray[np.bool_], share: float
) -> dict[str, float | None]:
    """Measure the coverage of the largest set of most probable answers in which a certain share is right.

    The size of the set depends on the right answers, so this figure measures the ranking and is not a promise.

    Args:
        right: (c,), whether each answer is right.
        scores: (c,), the probability of each answer.
        stored: (c,), whether each question has a stored answer.
        share: The share of the set that must be right, in [0, 1].

    Returns:
        The share of the answerable questions that is in the set, and the share of the unanswerable ones.
    """
    sizes = np.flatnonzero(risk_curve(right, scores) <= 1 - share)
    chosen = np.zeros(len(right), bool)
    chosen[np.argsort(-scores, kind="stable")[: sizes[-1] + 1 if len(sizes) else 0]] = True
    return {"of answerable": true_share(chosen[stored]), "of unanswerable": true_share(chosen[~stored])}


def draw(rows: Sequence[LabelledTrial], path: Path) -> None:
    """Draw risk against coverage, and the observed share of right answers against the calibrated probability."""
    asked = [row for row in rows if row.case.asked and not row.trial.turns]
    right = np.array([row.case.first for row in asked])
    probabilities = np.array([row.probabilities.first for row in asked])
    cosine = np.array([row.case.features["cosine"] for row in asked])
    figure, (risk_axes, reliability_axes) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    share = np.arange(1, len(asked) + 1) / len(asked)
    risk_axes.plot(share, risk_curve(right, probabilities), color=BLUE, label="calibrated probability")
    risk_axes.plot(share, risk_curve(right, cosine), "--", color=VERMILLION, label="cosine alone")
    risk_axes.axhline(1 - right.mean(), color="grey", linewidth=0.8)
    risk_axes.set(xlabel="share of the questions that is answered", ylabel="share of wrong answers", ylim=(0, 1))
    risk_axes.legend(frameon=False)
    parts = np.array_split(np.argsort(probabilities, kind="stable"), 10)
    reliability_axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    reliability_axes.plot(
        [probabilities[part].mean() for part in parts], [right[part].mean() for part in parts], "o-", color=BLUE
    )
    reliability_axes.set(xlabel="calibrated probability (tenths of the questions)", ylabel="share of right answers")
    reliability_axes.set(xlim=(0, 1), ylim=(0, 1))
    figure.savefig(path, dpi=120)


def expected_calibration_error(right: NDArray[np.bool_], probabilities: NDArray[np.float64], bins: int = 10) -> float:
    """Compute the expected calibration error over bins with equal numbers of answers."""
    parts = np.array_split(np.argsort(probabilities, kind="stable"), bins)
    return float(
        sum(len(part) * abs(right[part].mean() - probabilities[part].mean()) for part in parts if len(part))
        / len(probabilities)
    )


def auroc_on_other_files(trials: Sequence[Trial]) -> dict[str, float]:
    """Compute the AUROC of `first` on each file with a calibration that was fitted to the other files."""
    names = {trial.file for trial in trials if trial.kind != "synthetic"}
    figures = {}
    for name in names if len(names) > 1 else ():
        calibration = fit([trial for trial in trials if trial.file != name])
        tested = [trial.case for trial in trials if trial.file == name and trial.case.asked and not trial.turns]
        probabilities = [calibration.probabilities(case.features).first for case in tested]
        figures[name] = roc_auc_score([case.first for case in tested], probabilities)
    return figures


def show(calibration: Calibration, figures: dict[str, Any], console: Console) -> None:
    """Print the calibration and its figures."""
    table = Table("probability", "bias", *calibration.mean, title="log odds for one standard deviation of each feature")
    for name in ("first", "top3", "stored"):
        model = getattr(calibration, name)
        table.add_row(name, f"{model.bias:.2f}", *(f"{weight:+.2f}" for weight in model.weights.values()))
    console.print(table)
    for promise, test in calibration.high.items():
        console.print(f"high, promise {promise}:", test)
    console.print("none:", calibration.none)
    console.print(figures)


if __name__ == "__main__":
    main()
