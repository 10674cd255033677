"""The panels that more than one picture shows, and what their titles count."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from titans_core.errors import InvalidQueryError
from titans_core.figures.style import BLUE, GREEN, PURPLE, SKY, VERMILLION, add_legend, dress

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from titans_core.figures.history import History

TURNS = "turn (number in the memory)"


def draw_surprise(axes: Axes, history: History, title: str = "") -> None:
    """Momentary surprise: of each turn, its running median, and the middle 80 % of the tokens."""
    ends = np.cumsum(history.tokens)
    tokens = [history.token_surprise[end - count : end] for end, count in zip(ends, history.tokens, strict=True)]
    low, high = (np.array([quantile(turn, share) for turn in tokens]) for share in (0.1, 0.9))
    axes.fill_between(history.numbers, low, high, color=SKY, alpha=0.3, linewidth=0, label="80% of its tokens")
    axes.plot(history.numbers, history.surprise, ".", color=SKY, markersize=4, label="turn")
    axes.plot(history.numbers, running_median(history.surprise), color=BLUE, linewidth=2, label="running median")
    axes.set_ylim(0, 1.03)
    dress(axes, title=title, x=TURNS, y="surprise\n(share not yet learned)")
    add_legend(axes)


def draw_gate(axes: Axes, history: History, title: str = "") -> None:
    """Relative surprise, and what the gate made of it."""
    words = history.tokens > 0
    groups = [
        ("learned", history.learned == 1, ".", BLUE),
        ("in part", (history.learned > 0) & (history.learned < 1), "^", GREEN),
        ("left out", words & (history.learned == 0) & ~history.repeated, "x", VERMILLION),
        ("said before", words & history.repeated, "s", PURPLE),
    ]
    for label, chosen, marker, colour in groups:
        if chosen.any():
            relative = np.where(chosen, history.relative, np.nan)
            axes.plot(history.numbers, relative, marker, color=colour, markersize=4, label=f"{label} ({chosen.sum()})")
    if history.gate > 0:
        axes.axhline(history.gate, color=VERMILLION, linewidth=1.2, linestyle="--")
        title += f" at {history.gate:g}"
    dress(axes, title=title, x=TURNS, y="relative surprise\n(1 is as usual)")
    add_legend(axes)


def shown(history: History) -> str:
    """Which turns a picture shows, in words."""
    first, last = history.numbers[[0, -1]]
    return f"Shown: turns {first:,} to {last:,}."


def checked(history: History) -> History:
    """The history, if there is something to draw.

    Raises:
        InvalidQueryError: no turn of it has any tokens.
    """
    if not history.tokens.any():
        raise InvalidQueryError("This history holds no turn with words: memorize something first, then replay again.")
    return history


def begin_and_end(values: NDArray[np.float64]) -> tuple[float, float]:
    """Medians of the first and of the last tenth of the values that are numbers; NaN without any."""
    known = values[np.isfinite(values)]
    tenth = math.ceil(len(known) / 10)
    return quantile(known[:tenth], 0.5), quantile(known[len(known) - tenth :], 0.5)


def change(before: float, after: float, digits: int = 2) -> str:
    """How a number moved, in words: it falls, rises or stays."""
    first, second = f"{before:.{digits}f}", f"{after:.{digits}f}"
    if first == second:
        return f"stays at {first}"
    return f"{'falls' if after < before else 'rises'} from {first} to {second}"


def running_median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The median of each value and as many before as after it, 25 at most; NaN is left out, and NaN at the ends."""
    reach = min(12, len(values) // 10)
    medians = np.full(len(values), math.nan)
    for place in range(reach, len(values) - reach):
        medians[place] = quantile(values[place - reach : place + reach + 1], 0.5)
    return medians


def quantile(values: NDArray[np.float64], share: float) -> float:
    """Of the values that are numbers; NaN without any."""
    known = values[np.isfinite(values)]
    return float(np.quantile(known, share)) if len(known) else math.nan
