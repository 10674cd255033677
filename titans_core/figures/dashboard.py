"""The whole pipeline of a memory in one picture."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from titans_core.figures.panels import TURNS, draw_gate, draw_surprise, require_words, turn_range
from titans_core.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    YELLOW,
    add_legend,
    drawable_text,
    label_axes,
    new_figure,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from titans_core.figures.history import History
    from titans_core.types import Recall, Recollection

_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, YELLOW, GREY)
_HATCHES = ("", "//", "..")
_SPEAKERS = 4
_RECALLS = 5


def dashboard(history: History, recollection: Recollection | None = None) -> Figure:
    """Draw the input, its surprise, the gate's decisions, the weights, and the recall for one query.

    Args:
        history: The history to show.
        recollection: Result of a recall; None leaves the panel of the recall empty.

    Returns:
        The figure, with five panels.

    Raises:
        InvalidQueryError: No turn of the history has tokens.
    """
    require_words(history)
    learned, left_out = int((history.learned == 1).sum()), int((history.learned == 0).sum())
    partly = len(history) - learned - left_out
    figure = new_figure(
        13,
        11.5,
        f"{history.tokens.sum():,} tokens in {len(history)} turns: {learned} learned"
        f"{f', {partly} partly' if partly else ''}, {left_out} not; the memory is {history.fullness[-1]:.0%} full",
        "The reader converts each turn into token keys (1). The memory compares the keys with what it has learned (2), "
        "leaves out passages that are less surprising than usual (3), and learns the rest (4). Recall ranks turns by "
        f"the sum of several scores (5). {turn_range(history)}",
    )
    # The recall has a subfigure of its own, so that its long labels take no space from the panels above.
    rows = figure.add_gridspec(2, 1, height_ratios=[2, 1])
    panels = figure.add_subfigure(rows[0]).subplots(2, 2)
    draw_input(panels[0, 0], history)
    draw_surprise(panels[0, 1], history, "2  Surprise")
    draw_gate(panels[1, 0], history, "3  Gate")
    draw_weights(panels[1, 1], history)
    draw_recall(figure.add_subfigure(rows[1]).subplots(), recollection)
    return figure


def draw_input(axes: Axes, history: History) -> None:
    """Draw the length of each turn in the colour of its speaker.

    Args:
        axes: Axes to draw on.
        history: The history to show.
    """
    counts = Counter(history.speakers)
    named = [name for name, _ in counts.most_common(_SPEAKERS)]
    groups: list[tuple[str, Sequence[str | None]]] = [(drawable_text(name or "no name", 18), [name]) for name in named]
    if len(counts) > _SPEAKERS:
        groups.append(("others", [name for name in counts if name not in named]))
    for (label, names), colour in zip(groups, (BLUE, ORANGE, GREEN, PURPLE, GREY), strict=False):
        chosen = np.array([speaker in names for speaker in history.speakers])
        axes.plot(history.numbers[chosen], history.tokens[chosen], ".", color=colour, markersize=4, label=label)
    _scale_from_zero(axes, history.tokens)
    label_axes(axes, title="1  Input", x=TURNS, y="length (tokens)")
    add_legend(axes, columns=5)


def draw_weights(axes: Axes, history: History) -> None:
    """Draw how full the memory is, and the norm of its weights.

    Args:
        axes: Axes to draw on.
        history: The history to show.
    """
    axes.plot(history.numbers, 100 * history.fullness, color=BLUE, linewidth=2, label="fullness (left)")
    label_axes(axes, title="4  Weights", x=TURNS, y="directions learned (%)")
    _scale_from_zero(axes, 100 * history.fullness)
    norm_axes = axes.twinx()
    norm_axes.plot(history.numbers, history.norm, color=BLACK, linewidth=2, linestyle="--", label="norm (right)")
    _scale_from_zero(norm_axes, history.norm)
    norm_axes.margins(x=0.01)
    norm_axes.set_ylabel("‖W‖ (Frobenius norm)", fontsize=10, color=INK)
    norm_axes.tick_params(labelsize=9, colors=INK)
    norm_axes.spines["top"].set_visible(False)
    add_legend(axes, handles=[*axes.get_lines(), *norm_axes.get_lines()])


def draw_recall(axes: Axes, recollection: Recollection | None) -> None:
    """Draw the parts of the scores of the best recalls.

    Args:
        axes: Axes to draw on.
        recollection: Result of a recall; None writes only that nothing was recalled.
    """
    recalls = recollection.recalls[:_RECALLS] if recollection is not None else ()
    if recollection is None or not recalls:
        label_axes(axes, title="5  Recall", x="score", y="", whole_numbers=False)
        axes.set_yticks([])
        axes.text(0.5, 0.5, "Nothing was recalled.", transform=axes.transAxes, ha="center", fontsize=11, color=INK)
        return
    rows = np.arange(len(recalls))
    ends = {1: np.zeros(len(recalls)), -1: np.zeros(len(recalls))}
    for place, name in enumerate(recalls[0].why):
        widths = np.array([recall.why[name] for recall in recalls])
        if not widths.any():
            continue  # `place` goes on counting, so that each part has the same colour in every picture
        starts = np.where(widths < 0, ends[-1], ends[1])
        axes.barh(
            rows,
            widths,
            left=starts,
            height=0.62,
            color=_COLOURS[place % len(_COLOURS)],
            hatch=_HATCHES[place // len(_COLOURS) % len(_HATCHES)],
            edgecolor="white",
            linewidth=0.6,
            label=name,
        )
        ends[1] += np.maximum(widths, 0)
        ends[-1] += np.minimum(widths, 0)
    scores = [recall.score for recall in recalls]
    axes.plot(scores, rows, "D", color=BLACK, markeredgecolor="white", markersize=8, label="score (their sum)")
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.use_sticky_edges = False
    title = f"5  Recall of “{drawable_text(recollection.query, 90)}”, confidence: {recollection.confidence}"
    label_axes(
        axes,
        title=title,
        x="score (standard deviations of the candidates)",
        y="best recalls",
        whole_numbers=False,
    )
    axes.grid(visible=False, axis="y")
    axes.set_yticks(rows, [_label(recall) for recall in recalls])
    axes.invert_yaxis()
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9, frameon=False, labelcolor=INK)


def _scale_from_zero(axes: Axes, values: NDArray[np.number]) -> None:
    """Make the vertical axis start at 0 and contain all values."""
    axes.set_ylim(0, 1.08 * float(values.max()) or 1)


def _label(recall: Recall) -> str:
    text = f"{recall.turn.speaker}: {recall.text}" if recall.turn.speaker else recall.text
    return drawable_text(text, 44, lines=2)
