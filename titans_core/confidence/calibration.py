"""From the features of a ranking to probabilities, and from these to labels with a promise."""

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

VERSION = 3

PROMISES = (0.95, 0.9, 0.8)
"""Shares of the `high` recalls that are right, as a calibration may promise them."""

HIDDEN = 0.1
"""What `none` promises: at most this share of such queries had an answer stored."""


def check_promise(promise: float) -> None:
    """Check that a calibration can promise this of `high`.

    Raises:
        CalibrationError: There is no such promise.
    """
    if promise not in PROMISES:
        raise CalibrationError(f"`high` can promise {', '.join(map(str, PROMISES))}, not {promise!r}.")


@dataclass(frozen=True, slots=True)
class Case:
    """One query whose answer is known, as calibrations are fitted and tested on it.

    Attributes:
        features: the ranking's, by name.
        first: whether the first recall answers.
        top3: whether one of the first three does.
        stored: whether any turn does.
        group: what belongs together (a conversation): fitted and tested on as a whole.
        weight: what the case counts in the fit; 0 keeps it out.
        asked: whether somebody asked this of this memory as it is; thresholds for `high` are tested on these.
        tested: whether thresholds are tested on it; else it only helps to fit.
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
    """p = σ(b + wᵀz + zᵀQ z), with z_i = (x_i − mean_i) / scale_i and each x_i within its span.

    The products say what no feature says alone: a narrow lead among good matches is another thing than among bad ones.

    Attributes:
        bias: b.
        weights: w, by the names of the features.
        products: Q, symmetric; rows and columns in the order of the weights.
    """

    bias: float
    weights: Mapping[str, float]
    products: list[list[float]]

    def parts(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """What each feature adds to the log odds, (n,): its own weight's part, and half of its products with others."""
        added: NDArray[np.float64] = z * (np.array(list(self.weights.values())) + np.array(self.products) @ z)
        return added


class Probabilities(NamedTuple):
    """What a calibration says of a recall, each in [0, 1].

    Attributes:
        first: that the first recall answers.
        top3: that one of the first three does.
        stored: that anything stored does.
    """

    first: float
    top3: float
    stored: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What labels rest on. Ships with the package for the default reader; see `TitansMemory.calibrate` for others.

    Attributes:
        reader: fingerprint of the reader that it was made with.
        ranking: fingerprint of the ranking's weights, likewise.
        span: of each feature, by name, the least and the most that was seen but for one case in a hundred on either
            side; what lies beyond counts as the end.
        mean: of each feature.
        scale: standard deviation of each.
        first: to the probability that the first recall answers.
        top3: to the probability that one of the first three does.
        stored: to the probability that anything stored does.
        high: for each promise ("0.9") the threshold of `first` that keeps it, with its test; None if none does.
        none: the threshold of 1 − `stored` that keeps the promise of `none`, likewise.
        report: how it was made, and how well it does on cases that it was not fitted to.
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
        """Whether it was made with this reader and these weights of the ranking."""
        return (self.reader, self.ranking) == (reader, ranking)

    def probabilities(self, features: Mapping[str, float]) -> Probabilities:
        """What the three models say."""
        z = self._standardised(features)
        first, top3, stored = (
            _sigmoid(model.bias + float(model.parts(z).sum())) for model in (self.first, self.top3, self.stored)
        )
        # One of three is at least as likely as the first of them, whatever two separate fits say.
        return Probabilities(first, max(first, top3), stored)

    def label(self, found: Probabilities, promise: float) -> Confidence:
        """The label of a recall with these probabilities.

        Args:
            found: see `probabilities`.
            promise: of `high`, one of `PROMISES`.
        """
        high, none = self.high.get(str(promise)), self.none
        if high is not None and found.first >= high["value"]:
            return Confidence.HIGH
        return Confidence.NONE if none is not None and 1 - found.stored >= none["value"] else Confidence.LOW

    def contributions(self, model: Logistic, features: Mapping[str, float]) -> dict[str, float]:
        """What each feature adds to the log odds of a model, by name; see `Logistic.parts`."""
        return dict(zip(self.mean, model.parts(self._standardised(features)).tolist(), strict=True))

    def _standardised(self, features: Mapping[str, float]) -> NDArray[np.float64]:
        """The features as a `Logistic` takes them: z, (n,)."""
        within = (min(max(features[name], low), high) for name, (low, high) in self.span.items())
        shifted = np.array(list(within)) - np.array(list(self.mean.values()))
        standardised: NDArray[np.float64] = shifted / np.array(list(self.scale.values()))
        return standardised

    def dump(self) -> str:
        """As JSON, a line for each field."""
        named = {"version": VERSION, **asdict(self)}
        lines = (f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in named.items())
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """From JSON.

        Raises:
            CalibrationError: it is no calibration, or not a sound one.
        """
        try:
            found = json.loads(text)
            if found.pop("version") != VERSION:
                raise CalibrationError("This calibration is of another version; make it again with `calibrate`.")
            models = [Logistic(**found.pop(name)) for name in ("first", "top3", "stored")]
            made = cls(first=models[0], top3=models[1], stored=models[2], **found)
            numbers = [*made.mean.values(), *made.scale.values(), *chain.from_iterable(made.span.values())]
            for model in models:
                numbers += [model.bias, *model.weights.values(), *chain.from_iterable(model.products)]
                # In one order too: the products have no names of their own.
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
        """Write it to a file, for `load`."""
        Path(path).write_text(self.dump(), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read it from a file.

        Raises:
            CalibrationError: it is no calibration, or not a sound one.
            OSError: the file cannot be read.
        """
        return cls.parse(Path(path).read_text(encoding="utf-8"))

    @classmethod
    @cache
    def shipped(cls) -> Self:
        """The one that ships with the package, made with the default reader."""
        return cls.parse(files("titans_core.confidence").joinpath("calibration.json").read_text(encoding="utf-8"))


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-max(min(logit, 500.0), -500.0)))
