"""Panels that several pictures share, and the numbers in the pictures' titles."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from titans_core.errors import InvalidQueryError
from titans_core.figures.style import BLUE, GREEN, PURPLE, SKY, VERMILLION, add_legend, label_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from titans_core.figures.history import History

TURNS = "turn (number in the memory)"


def draw_surprise(axes: Axes, history: History, title: str = "") -> None:
    """Draw the momentary surprise of each turn, its running median, and the middle 80 % of the tokens.

    Args:
        axes: Axes to draw on.
        history: The history to show; it must have a turn with tokens.
        title: Title of the panel.
    """
    ends = np.cumsum(history.tokens)
    tokens = [history.token_surprise[end - count : end] for end, count in zip(ends, history.tokens, strict=True)]
    low, high = (np.array([quantile(turn, share) for turn in tokens]) for share in (0.1, 0.9))
    axes.fill_between(history.numbers, low, high, color=SKY, alpha=0.3, linewidth=0, label="80% of its tokens")
    axes.plot(history.numbers, history.surprise, ".", color=SKY, markersize=4, label="turn")
    axes.plot(history.numbers, running_median(history.surprise), color=BLUE, linewidth=2, label="running median")
    axes.set_ylim(0, 1.03)
    label_axes(axes, title=title, x=TURNS, y="surprise\n(share not yet learned)")
    add_legend(axes)


def draw_gate(axes: Axes, history: History, title: str = "") -> None:
    """Draw the relative surprise of each turn, and what the surprise gate decided.

    Args:
        axes: Axes to draw on.
        history: The history to show; it must have a turn with tokens.
        title: Title of the panel; the gate's threshold is added to it.
    """
    has_words = history.tokens > 0
    groups = [
        ("learned", history.learned == 1, ".", BLUE),
        ("partly learned", (history.learned > 0) & (history.learned < 1), "^", GREEN),
        ("left out", has_words & (history.learned == 0) & ~history.repeated, "x", VERMILLION),
        ("repeated", has_words & history.repeated, "s", PURPLE),
    ]
    for label, chosen, marker, colour in groups:
        if chosen.any():
            relative = np.where(chosen, history.relative, np.nan)
            axes.plot(history.numbers, relative, marker, color=colour, markersize=4, label=f"{label} ({chosen.sum()})")
    if history.gate > 0:
        axes.axhline(history.gate, color=VERMILLION, linewidth=1.2, linestyle="--")
        title += f" at {history.gate:g}"
    label_axes(axes, title=title, x=TURNS, y="relative surprise\n(1 is as usual)")
    add_legend(axes)


def turn_range(history: History) -> str:
    """Return a sentence that says which turns a picture shows."""
    first, last = history.numbers[[0, -1]]
    return f"Shown: turns {first:,} to {last:,}."


def require_words(history: History) -> None:
    """Check that a history has something to draw.

    Raises:
        InvalidQueryError: No turn of the history has tokens.
    """
    if not history.tokens.any():
        raise InvalidQueryError("This history has no turn with words; memorize a turn with words, then replay again.")


def first_and_last_median(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the medians of the first and of the last tenth of values; NaN is ignored, and returned without values."""
    known = values[np.isfinite(values)]
    tenth = math.ceil(len(known) / 10)
    return quantile(known[:tenth], 0.5), quantile(known[len(known) - tenth :], 0.5)


def describe_change(before: float, after: float, digits: int = 2) -> str:
    """Say in words how a number changed: it falls, rises or stays.

    Args:
        before: Number at the start.
        after: Number at the end.
        digits: Digits after the decimal point.
    """
    first, second = f"{before:.{digits}f}", f"{after:.{digits}f}"
    if first == second:
        return f"stays at {first}"
    return f"{'falls' if after < before else 'rises'} from {first} to {second}"


def running_median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the median of a window around each value.

    The window has the value itself and equally many values before and after it, 25 in all at most. NaN values are
    ignored. Where the window would leave the array, at both ends, the result is NaN.
    """
    reach = min(12, len(values) // 10)
    medians = np.full(len(values), math.nan)
    for place in range(reach, len(values) - reach):
        medians[place] = quantile(values[place - reach : place + reach + 1], 0.5)
    return medians


def quantile(values: NDArray[np.float64], share: float) -> float:
    """Return the quantile of the values that are not NaN; NaN without values.

    Args:
        values: The values, (n,).
        share: Share of the values below the quantile, in [0, 1].
    """
    known = values[np.isfinite(values)]
    return float(np.quantile(known, share)) if len(known) else math.nan
