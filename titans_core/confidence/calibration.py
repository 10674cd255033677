"""Calibrations: from the features of a ranking to probabilities, and from probabilities to labels with a promise."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from titans_core.errors import CalibrationError
from titans_core.types import Confidence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

VERSION = 4

PROMISES = (0.95, 0.9, 0.8)
"""Shares of correct recalls that a calibration may promise for `high`."""

HIDDEN = 0.04
"""The promise of `none`: at most this share of the queries whose answer is stored get it, for it hides the answer."""


def check_promise(promise: float) -> None:
    """Check that a calibration can promise this of `high`.

    Raises:
        CalibrationError: There is no such promise.
    """
    if promise not in PROMISES:
        raise CalibrationError(f"`high` can promise {', '.join(map(str, PROMISES))}, not {promise!r}.")


@dataclass(frozen=True, slots=True)
class Case:
    """One query whose answer is known; calibrations are fitted to cases and tested on them.

    Attributes:
        features: The features of the ranking, by name.
        first: Whether the first recall answers the query.
        top3: Whether one of the first three recalls answers it.
        stored: Whether any stored turn answers it.
        group: The group of the case, such as its conversation. A group is never split between fit and test.
        weight: The weight of the case in the fit, at least 0.
        asked: Whether the query was asked of this memory as it is, with no turn hidden. The thresholds of `high` are
            tested on these cases only.
        tested: Whether thresholds are tested on the case; otherwise it is used for the fit only.
    """

    features: Mapping[str, float]
    first: bool
    top3: bool
    stored: bool
    group: str = ""
    weight: float = 1.0
    asked: bool = True
    tested: bool = True


@dataclass(frozen=True, slots=True)
class Logistic:
    """p = σ(b + wᵀz + sᵀQ s), with z_i = (x_i − mean_i) / scale_i, each x_i within its span, and s_i = tanh(z_i).

    The products express what no feature expresses alone: a narrow lead means something else among good matches than
    among bad ones. Of z itself they would outweigh everything where many features are far from their means: a short
    fact that matches its question in every respect would be less probable than a worse match.

    Attributes:
        bias: b.
        weights: w, by the names of the features.
        products: Q, symmetric; rows and columns are in the order of the weights.
    """

    bias: float
    weights: Mapping[str, float]
    products: list[list[float]]

    def parts(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """The part of the log odds that each feature adds, (n,): its weight, and half of its products with others."""
        bounded = np.tanh(z)
        added: NDArray[np.float64] = z * np.array(list(self.weights.values())) + bounded * (
            np.array(self.products) @ bounded
        )
        return added


class Probabilities(NamedTuple):
    """The probabilities of a calibration, each in [0, 1].

    Attributes:
        first: That the first recall answers the query.
        top3: That one of the first three recalls answers it.
        stored: That any stored turn answers it.
    """

    first: float
    top3: float
    stored: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Three probabilities and the thresholds of the labels.

    One ships with the package for the default reader; `TitansMemory.calibrate` makes one for other readers.

    Attributes:
        reader: Fingerprint of the reader that the calibration was made with.
        ranking: Fingerprint of the ranking and its features that the calibration was made with.
        span: For each feature the 1 % and the 99 % quantile of the cases; values outside are clipped to them.
        mean: The mean of each feature.
        scale: The standard deviation of each feature.
        first: The model of the probability that the first recall answers.
        top3: The model of the probability that one of the first three recalls answers.
        stored: The model of the probability that any stored turn answers.
        high: For each promise, such as "0.9", the threshold of `first` that keeps it and its test; None if no
            threshold keeps it.
        none: The threshold of 1 − `stored` that keeps the promise of `none`, and its test: the queries whose answer is
            stored, and those of them that get `none`. None if no threshold keeps it.
        report: How the calibration was made, and how good it is on cases that it was not fitted to.
    """

    reader: str
    ranking: str
    span: Mapping[str, list[float]]
    mean: Mapping[str, float]
    scale: Mapping[str, float]
    first: Logistic
    top3: Logistic
    stored: Logistic
    high: Mapping[str, Mapping[str, float] | None]
    none: Mapping[str, float] | None
    report: Mapping[str, Any]

    def fits(self, reader: str, ranking: str) -> bool:
        """Whether the calibration was made with this reader and this ranking."""
        return (self.reader, self.ranking) == (reader, ranking)

    def probabilities(self, features: Mapping[str, float]) -> Probabilities:
        """The probabilities for the features of a ranking."""
        z = self._standardised(features)
        first, top3, stored = (
            _sigmoid(model.bias + float(model.parts(z).sum())) for model in (self.first, self.top3, self.stored)
        )
        # The models are fitted separately, but one of three recalls is at least as likely to answer as the first.
        return Probabilities(first, max(first, top3), stored)

    def label(self, found: Probabilities, promise: float) -> Confidence:
        """The label of a recall with these probabilities.

        Args:
            found: The probabilities, see `probabilities`.
            promise: The promise of `high`, one of `PROMISES`.
        """
        high, none = self.high.get(str(promise)), self.none
        if high is not None and found.first >= high["value"]:
            return Confidence.HIGH
        return Confidence.NONE if none is not None and 1 - found.stored >= none["value"] else Confidence.LOW

    def contributions(self, model: Logistic, features: Mapping[str, float]) -> dict[str, float]:
        """The part of a model's log odds that each feature adds, by name; see `Logistic.parts`."""
        return dict(zip(self.mean, model.parts(self._standardised(features)).tolist(), strict=True))

    def _standardised(self, features: Mapping[str, float]) -> NDArray[np.float64]:
        """The features as z of `Logistic`, (n,)."""
        within = (min(max(features[name], low), high) for name, (low, high) in self.span.items())
        shifted = np.array(list(within)) - np.array(list(self.mean.values()))
        standardised: NDArray[np.float64] = shifted / np.array(list(self.scale.values()))
        return standardised

    def dump(self) -> str:
        """The calibration as JSON, with one line for each field."""
        named = {"version": VERSION, **asdict(self)}
        lines = (f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in named.items())
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Make a calibration from JSON.

        Raises:
            CalibrationError: The text is no calibration, or its numbers do not fit together.
        """
        try:
            found = json.loads(text)
            if found.pop("version") != VERSION:
                raise CalibrationError("This calibration has another version; make it again with `calibrate`.")
            models = [Logistic(**found.pop(name)) for name in ("first", "top3", "stored")]
            made = cls(first=models[0], top3=models[1], stored=models[2], **found)
            numbers = [*made.mean.values(), *made.scale.values(), *chain.from_iterable(made.span.values())]
            for model in models:
                numbers += [model.bias, *model.weights.values(), *chain.from_iterable(model.products)]
                # The order counts too, because the products have no names.
                sound = list(model.weights) == list(made.mean) == list(made.scale) == list(made.span)
                square = [len(row) for row in model.products] == [len(model.weights)] * len(model.weights)
                if not sound or not square or not all(math.isfinite(number) for number in numbers):
                    raise CalibrationError("This calibration's numbers do not fit together; make it again.")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if isinstance(error, CalibrationError):
                raise
            raise CalibrationError(f"This is no calibration: {error}. Make one with `calibrate`.") from error
        return made

    def save(self, path: str | Path) -> None:
        """Write the calibration to a file, for `load`."""
        Path(path).write_text(self.dump(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a calibration from a file.

        Raises:
            CalibrationError: The file is no calibration, or its numbers do not fit together.
            OSError: The file cannot be read.
        """
        return cls.parse(Path(path).read_text(encoding="utf-8"))

    @classmethod
    @cache
    def shipped(cls) -> Self:
        """The calibration that ships with the package; it was made with the default reader and without a verifier."""
        return cls.parse(files("titans_core.confidence").joinpath("calibration.json").read_text(encoding="utf-8"))


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-max(min(logit, 500.0), -500.0)))
