"""Makes calibrations from cases; scikit-learn fits the models."""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from titans_core.confidence.calibration import HIDDEN, PROMISES, Calibration, Logistic
from titans_core.confidence.thresholds import fewest_cases, find_miss_threshold, find_threshold
from titans_core.errors import CalibrationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from titans_core.confidence.calibration import Case

DELTA = 0.05
"""δ: the promises of both labels hold together with a probability of 1 − δ; each label gets half of it."""

STRENGTH = 0.1
"""Inverse of the ridge on standardised features (scikit-learn's C)."""

PRODUCTS = 0.15
"""The scale of a standardised product of two features against that of a feature, before the ridge: there are a dozen
times as many products. At .25, AUROC within a file gained up to .004 over .1, and across files it lost up to .025."""

PARTS = 9
"""Parts that the groups are split into; each part is held out once."""

CALIBRATION_FOLDS = 5
"""Groups that the cases of one memory are split into; the fit leaves out one group at a time."""

DIGITS = 6
"""Decimals of a saved coefficient."""

_MODELS = ("first", "top3", "stored")


def fit_calibration(cases: Sequence[Case], *, reader: str, ranking: str, clustered: bool = True) -> Calibration:
    """Fit the three probabilities, and test the thresholds with probabilities from fits without the case's group.

    Args:
        cases: Cases of several groups.
        reader: Fingerprint of the reader.
        ranking: Fingerprint of the ranking and its features.
        clustered: Whether the cases of one group depend on each other, as those of a conversation do.

    Raises:
        CalibrationError: All cases have one group, or the same outcome.
    """
    part = {group: place % PARTS for place, group in enumerate(sorted({case.group for case in cases}))}
    if len(part) < 2:
        raise CalibrationError("A calibration needs cases of at least two groups (conversations).")
    whole = _fit(cases, reader, ranking)
    held_out = np.zeros((len(cases), len(_MODELS)))
    for left_out in set(part.values()):
        made = _fit([case for case in cases if part[case.group] != left_out], reader, ranking)
        rows = [row for row, case in enumerate(cases) if part[case.group] == left_out]
        held_out[rows] = [made.probabilities(cases[row].features) for row in rows]
    return with_thresholds(whole, cases, held_out, clustered=clustered)


def recalibrate(calibration: Calibration, cases: Sequence[Case]) -> Calibration:
    """Keep a calibration's probabilities, and test its thresholds on other cases: the user's own questions.

    Args:
        calibration: The calibration.
        cases: The cases of the user's questions.

    Raises:
        CalibrationError: There are too few cases for any promise; the message says how many are needed.
    """
    asked = sum(case.asked for case in cases)
    needed = fewest_cases(1 - min(PROMISES), DELTA / 2)
    if asked < needed:
        raise CalibrationError(
            f"{asked} questions cannot show that a label keeps a promise: it takes {needed} under one label, so some "
            f"hundreds in all."
        )
    return with_thresholds(calibration, cases, np.array([calibration.probabilities(case.features) for case in cases]))


def refit_calibration(known: Calibration, cases: Sequence[Case], *, reader: str, ranking: str) -> Calibration:
    """A calibration for the user's own questions: of a known one if it fits the reader, otherwise a new one.

    Args:
        known: A calibration. If it fits, its probabilities stay and only the thresholds are tested anew.
        cases: The cases of the user's questions.
        reader: Fingerprint of the reader.
        ranking: Fingerprint of the ranking and its features.

    Raises:
        CalibrationError: There are too few cases, or all are alike.
    """
    if known.fits(reader, ranking):
        return recalibrate(known, cases)
    folds = [replace(case, group=str(row % CALIBRATION_FOLDS)) for row, case in enumerate(cases)]
    return fit_calibration(folds, reader=reader, ranking=ranking, clustered=False)


def with_thresholds(
    calibration: Calibration, cases: Sequence[Case], probabilities: NDArray[np.float64], *, clustered: bool = True
) -> Calibration:
    """Set the thresholds by test.

    Args:
        calibration: The calibration without thresholds.
        cases: The n cases.
        probabilities: (n, 3), first, top3 and stored for each case, from a fit without the case.
        clustered: Whether the cases of one group depend on each other, as those of a conversation do.
    """
    tested = np.array([case.tested for case in cases])
    probabilities, cases = probabilities[tested], [case for case in cases if case.tested]
    asked = np.array([case.asked for case in cases])
    wrong = ~np.array([case.first for case in cases])
    stored = np.array([case.stored for case in cases])
    names = [case.group if clustered else str(row) for row, case in enumerate(cases)]
    groups = np.unique(names, return_inverse=True)[1][asked]
    high: dict[str, Mapping[str, float] | None] = {}
    for promise in PROMISES:
        found = find_threshold(probabilities[asked, 0], wrong[asked], alpha=1 - promise, delta=DELTA / 2, groups=groups)
        high[str(promise)] = asdict(found) if found else None
    absent = find_miss_threshold(
        1 - probabilities[asked, 2], stored[asked], alpha=HIDDEN, delta=DELTA / 2, groups=groups
    )
    report: dict[str, Any] = {
        **calibration.report,
        "delta": DELTA,
        "asked": int(asked.sum()),
        "asked without an answer": int((asked & ~stored).sum()),
        "cases": len(cases),
        "cases without an answer": int((~stored).sum()),
    }
    return replace(calibration, high=high, none=asdict(absent) if absent else None, report=report)


def _fit(cases: Sequence[Case], reader: str, ranking: str) -> Calibration:
    names = list(cases[0].features)
    table = np.array([[case.features[name] for name in names] for case in cases])
    least, most = np.quantile(table, [0.01, 0.99], axis=0)
    table = table.clip(least, most)
    mean, scale = table.mean(axis=0), _spread(table)
    table = (table - mean) / scale
    bounded = np.tanh(table)
    products = np.stack([bounded[:, one] * bounded[:, other] for one, other in _pairs(names)], axis=1)
    centre, share = products.mean(axis=0), PRODUCTS / _spread(products)
    table = np.hstack([table, (products - centre) * share])
    weights = np.array([case.weight for case in cases])
    models = {}
    for model in _MODELS:
        target = np.array([getattr(case, model) for case in cases])
        if target.all() or not target.any():
            raise CalibrationError(f"Every case has the same outcome ({model}), so there is nothing to fit.")
        found = LogisticRegression(C=STRENGTH, max_iter=1000).fit(table, target, sample_weight=weights)
        linear, squared = np.split(found.coef_[0], [len(names)])
        models[model] = _logistic(names, float(found.intercept_[0]), linear, squared * share, centre)
    return Calibration(
        reader=reader,
        ranking=ranking,
        span={name: [float(low), float(high)] for name, low, high in zip(names, least, most, strict=True)},
        mean=dict(zip(names, mean.tolist(), strict=True)),
        scale=dict(zip(names, scale.tolist(), strict=True)),
        first=models["first"],
        top3=models["top3"],
        stored=models["stored"],
        high={},
        none=None,
        report={},
    )


def _pairs(names: Sequence[str]) -> list[tuple[int, int]]:
    """The pairs of features whose products are used: every feature with itself and with each later one."""
    return list(combinations_with_replacement(range(len(names)), 2))


def _logistic(
    names: Sequence[str],
    bias: float,
    linear: NDArray[np.float64],
    squared: NDArray[np.float64],
    centre: NDArray[np.float64],
) -> Logistic:
    """The model from the coefficients of the features and of the centred products."""
    products = np.zeros((len(names), len(names)))
    for (one, other), weight in zip(_pairs(names), squared, strict=True):
        products[one, other] += weight / 2
        products[other, one] += weight / 2
    return Logistic(
        bias=round(float(bias - squared @ centre), DIGITS),
        weights=dict(zip(names, linear.round(DIGITS).tolist(), strict=True)),
        products=products.round(DIGITS).tolist(),
    )


def _spread(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviations of the columns; 1 for a constant column, so that dividing by it keeps 0."""
    spread: NDArray[np.float64] = table.std(axis=0)
    spread[spread < 1e-9] = 1
    return spread
