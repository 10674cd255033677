"""The whole pipeline of a memory in one picture."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from titans_core.figures.panels import TURNS, checked, draw_gate, draw_surprise, shown
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
    dress,
    new_figure,
    plain,
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
    """Input, surprise, the gate's decisions, the weights, and what one query brings back.

    Args:
        history: the memory's.
        recollection: what it answered to a query; None leaves that panel empty.
    """
    history = checked(history)
    whole, nothing = int((history.learned == 1).sum()), int((history.learned == 0).sum())
    part = len(history) - whole - nothing
    figure = new_figure(
        13,
        11.5,
        f"{history.tokens.sum():,} tokens in {len(history)} turns, {whole} learned"
        f"{f' and {part} in part' if part else ''}, {nothing} not: the memory is {history.fullness[-1]:.0%} full",
        "Turns are read into token keys (1); the memory compares them with what it has learned (2), leaves out what is "
        "less surprising than usual (3), learns the rest (4), and finds turns again by the sum of several scores (5). "
        f"{shown(history)}",
    )
    # Apart, so that the long labels of the recalls take no room from the panels above.
    rows = figure.add_gridspec(2, 1, height_ratios=[2, 1])
    panels = figure.add_subfigure(rows[0]).subplots(2, 2)
    draw_input(panels[0, 0], history)
    draw_surprise(panels[0, 1], history, "2  Surprise")
    draw_gate(panels[1, 0], history, "3  Gate")
    draw_weights(panels[1, 1], history)
    draw_recall(figure.add_subfigure(rows[1]).subplots(), recollection)
    return figure


def draw_input(axes: Axes, history: History) -> None:
    """The length of each turn, and who said it."""
    counts = Counter(history.speakers)
    named = [name for name, _ in counts.most_common(_SPEAKERS)]
    groups: list[tuple[str, Sequence[str | None]]] = [(plain(name or "no name", 18), [name]) for name in named]
    if len(counts) > _SPEAKERS:
        groups.append(("others", [name for name in counts if name not in named]))
    for (label, names), colour in zip(groups, (BLUE, ORANGE, GREEN, PURPLE, GREY), strict=False):
        said = np.array([speaker in names for speaker in history.speakers])
        axes.plot(history.numbers[said], history.tokens[said], ".", color=colour, markersize=4, label=label)
    _begin_at_zero(axes, history.tokens)
    dress(axes, title="1  Input", x=TURNS, y="length (tokens)")
    add_legend(axes, columns=5)


def draw_weights(axes: Axes, history: History) -> None:
    """How full the memory is, and how large its weights."""
    axes.plot(history.numbers, 100 * history.fullness, color=BLUE, linewidth=2, label="fullness (left)")
    dress(axes, title="4  Weights", x=TURNS, y="directions learned (%)")
    _begin_at_zero(axes, 100 * history.fullness)
    beside = axes.twinx()
    beside.plot(history.numbers, history.norm, color=BLACK, linewidth=2, linestyle="--", label="norm (right)")
    _begin_at_zero(beside, history.norm)
    beside.margins(x=0.01)
    beside.set_ylabel("‖W‖ (Frobenius norm)", fontsize=10, color=INK)
    beside.tick_params(labelsize=9, colors=INK)
    beside.spines["top"].set_visible(False)
    add_legend(axes, handles=[*axes.get_lines(), *beside.get_lines()])


def draw_recall(axes: Axes, recollection: Recollection | None) -> None:
    """The parts of the scores of the first recalls."""
    recalls = recollection.recalls[:_RECALLS] if recollection is not None else ()
    if recollection is None or not recalls:
        dress(axes, title="5  Recall", x="score", y="", whole=False)
        axes.set_yticks([])
        axes.text(0.5, 0.5, "Nothing was recalled.", transform=axes.transAxes, ha="center", fontsize=11, color=INK)
        return
    rows = np.arange(len(recalls))
    ends = {1: np.zeros(len(recalls)), -1: np.zeros(len(recalls))}
    for place, name in enumerate(recalls[0].why):
        widths = np.array([recall.why[name] for recall in recalls])
        if not widths.any():
            continue  # but its colour stays its own
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
    asked = f"5  Recall of “{plain(recollection.query, 90)}”, labelled {recollection.confidence}"
    dress(axes, title=asked, x="score (standard deviations of the candidates)", y="first recalls", whole=False)
    axes.grid(visible=False, axis="y")
    axes.set_yticks(rows, [_label(recall) for recall in recalls])
    axes.invert_yaxis()
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9, frameon=False, labelcolor=INK)


def _begin_at_zero(axes: Axes, values: NDArray[np.number]) -> None:
    """Make the vertical axis show all of these, and 0."""
    axes.set_ylim(0, 1.08 * float(values.max()) or 1)


def _label(recall: Recall) -> str:
    said = f"{recall.turn.speaker}: {recall.text}" if recall.turn.speaker else recall.text
    return plain(said, 44, lines=2)
