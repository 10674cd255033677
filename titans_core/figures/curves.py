"""One picture for each side of a history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import LogNorm

from titans_core.figures.panels import (
    TURNS,
    begin_and_end,
    change,
    checked,
    draw_gate,
    draw_surprise,
    quantile,
    running_median,
    shown,
)
from titans_core.figures.style import BLACK, BLUE, GREEN, INK, ORANGE, SKY, VERMILLION, add_legend, dress, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from titans_core.figures.history import FirstOrder, History


def surprise_over_time(history: History) -> Figure:
    """How surprising each turn was, and what the surprise gate made of it."""
    history = checked(history)
    shut = int(((history.learned == 0) & (history.tokens > 0) & ~history.repeated).sum())
    gate = f"the gate leaves out {shut} of {len(history)} turns" if history.gate else "there is no gate"
    figure = new_figure(
        10,
        7.5,
        f"Surprise {change(*begin_and_end(history.surprise))}; {gate}",
        "Surprise is the share of a token's key that the memory had not learned when the turn came. The gate compares "
        "it with what was usual of late, passage by passage; what is below moves no weights. The numbers in the title "
        f"are medians of the first and the last tenth of the turns. {shown(history)}",
    )
    above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 2]})
    draw_surprise(above, history, "Surprise of each turn")
    above.set_xlabel("")
    draw_gate(below, history, "The gate")
    return figure


def update_heat_map(history: History) -> Figure:
    """How far each turn moved which part of the weights of a memory with momentum."""
    history = checked(history)
    moved = history.first_order
    total = np.sqrt((moved.updates**2).sum(1))
    figure = new_figure(
        10,
        7.5,
        _gathered(moved),
        f"{_begins(history)} Norms of the change that a turn made, forgetting included; the rows of each layer are cut "
        "into bands of equal size. The title counts the bands that it takes for 90% of a turn's change in the layer, "
        "squared; medians of the first and the last tenth of the turns.",
    )
    above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [1, 3]})
    above.plot(history.numbers, total, ".", color=SKY, markersize=4, label="turn")
    above.plot(history.numbers, running_median(total), color=BLUE, linewidth=2, label="running median")
    above.set_yscale("log")
    dress(above, title="All weights", x="", y="‖ΔW‖")
    add_legend(above)
    bands = moved.updates.shape[1]
    image = below.imshow(
        np.ma.masked_less_equal(moved.updates.T, 0),
        aspect="auto",
        origin="lower",
        interpolation="nearest",
        cmap="cividis",
        norm=LogNorm(),
        extent=(history.numbers[0] - 0.5, history.numbers[-1] + 0.5, 0, bands),
    )
    dress(below, title="Each band of rows", x=TURNS, y="band of rows, by layer")
    below.grid(visible=False)
    edges = np.linspace(0, bands, moved.layers + 1)
    below.set_yticks((edges[:-1] + edges[1:]) / 2, [f"layer {layer + 1}" for layer in range(moved.layers)], rotation=90)
    below.tick_params(axis="y", length=0)
    for label in below.get_yticklabels():
        label.set_verticalalignment("center")
    for edge in edges[1:-1]:
        below.axhline(edge, color="white", linewidth=1.5)
    bar = figure.colorbar(image, ax=below, pad=0.01, aspect=30)
    bar.set_label("‖ΔW‖ of the band (log scale)", fontsize=10, color=INK)
    bar.ax.tick_params(which="both", labelsize=9, colors=INK)
    return figure


def momentum_against_surprise(history: History) -> Figure:
    """Past surprise (momentum) beside momentary surprise, and the norms of weights and momentum."""
    history = checked(history)
    seen = history.first_order
    figure = new_figure(
        12,
        7.5,
        _related(seen.past, seen.surprise),
        f"{_begins(history)} Momentary surprise: the error before the turn is learned, against that "
        "of an empty memory; it stays high, for each turn is a new value to learn. Past surprise: the momentum after "
        "it, in units of what new tokens, all alike, would leave in a linear memory.",
    )
    grid = figure.add_gridspec(2, 2, width_ratios=[3, 2])
    above = figure.add_subplot(grid[0, 0])
    below = figure.add_subplot(grid[1, 0], sharex=above)
    for label, values, colour in (("momentary", seen.surprise, BLUE), ("past", seen.past, ORANGE)):
        above.plot(history.numbers, values, ".", color=colour, markersize=3, alpha=0.5)
        above.plot(history.numbers, running_median(values), color=colour, linewidth=2, label=label)
    above.set_yscale("log")
    dress(above, title="Surprise", x="", y="surprise (log scale)")
    add_legend(above)
    below.plot(history.numbers, seen.weights, color=BLACK, linewidth=2, label="weights")
    below.plot(history.numbers, seen.momentum, color=GREEN, linewidth=1.2, label="momentum")
    below.set_yscale("log")
    dress(below, title="Norms after the turn", x=TURNS, y="Frobenius norm (log scale)")
    add_legend(below)
    axes = figure.add_subplot(grid[:, 1])
    points = axes.scatter(seen.past, seen.surprise, c=history.numbers, cmap="cividis", s=14, linewidths=0)
    limit = 1.5 * quantile(seen.past, 0.98)
    beyond = int((seen.past > limit).sum())
    dress(axes, title="One dot a turn", x="past surprise", y="momentary surprise", whole=False)
    if beyond:
        axes.set_xlim(0, limit)
        axes.set_xlabel(f"past surprise ({beyond} beyond {limit:.2g} not shown, up to {np.nanmax(seen.past):.2g})")
    bar = figure.colorbar(points, ax=axes, pad=0.01, aspect=30)
    bar.set_label(TURNS, fontsize=10, color=INK)
    bar.ax.tick_params(which="both", labelsize=9, colors=INK)
    return figure


def effect_of_forgetting(history: History) -> Figure:
    """What is left of each turn's answer by its age, with everything kept and with decay."""
    history = checked(history)
    left = history.forgetting
    percent = f"{100 * left.forget:.3g}%"
    figure = new_figure(
        10,
        6.5,
        f"Half an answer is left after {_half(left.ages, left.kept)} with everything kept, "
        f"after {_half(left.ages, left.decayed)} forgetting {percent} a write",
        "A turn's own keys are asked at the end: the answer's strength in the direction of the turn, against right "
        "after it was written. An answer weakens also where nothing is forgotten, because later turns share its "
        "directions. Strength is not recall: that compares answers, and all of them weaken. Dots are turns, lines "
        f"running medians. {shown(history)}",
    )
    axes = figure.subplots()
    for label, values, colour in (
        ("everything kept", left.kept, BLUE),
        (f"{percent} forgotten a write", left.decayed, VERMILLION),
    ):
        axes.plot(left.ages, values, ".", color=colour, markersize=4, alpha=0.35)
        axes.plot(left.ages, running_median(values), color=colour, linewidth=2.2, label=label)
    axes.plot(
        left.ages,
        (1 - left.forget) ** left.writes,
        color=BLACK,
        linewidth=1.2,
        linestyle="--",
        label=f"{1 - left.forget:g} to the power of the writes since",
    )
    axes.axhline(0, color=INK, linewidth=0.8)
    dress(axes, x="age (turns learned since)", y="answer at the end ÷ answer when written")
    add_legend(axes)
    return figure


def _begins(history: History) -> str:
    return f"A memory with momentum is replayed beside the log; it begins empty at turn {history.numbers[0]:,}."


def _gathered(moved: FirstOrder) -> str:
    """The finding: in how many bands most of a turn's change is, in the layer where this has changed most."""
    bands = moved.updates.shape[1] // moved.layers
    layers = np.split(moved.updates, moved.layers, axis=1)
    findings = []
    for number, layer in enumerate(layers, 1):
        squares = np.sort(layer**2, axis=1)[:, ::-1]
        needed = (np.cumsum(squares, axis=1) < 0.9 * squares.sum(1, keepdims=True)).sum(1) + 1.0
        before, after = begin_and_end(np.where(squares.any(1), needed, np.nan))
        findings.append((abs(before - after), number, before, after))
    change, number, before, after = max(findings)
    if change >= 1:
        return (
            f"A turn's updates fall on {before:.0f} of {bands} bands of layer {number} at first, "
            f"on {after:.0f} in the end"
        )
    return f"A turn's updates fall on {after:.0f} of {bands} bands of a layer, from first to last"


def _related(past: NDArray[np.float64], momentary: NDArray[np.float64]) -> str:
    """The finding: how the ranks of the two go together."""
    known = np.isfinite(past) & np.isfinite(momentary)
    if known.sum() < 3:
        return "Too few turns to tell how past and momentary surprise go together"
    first, second = (np.argsort(np.argsort(values[known])).astype(np.float64) for values in (past, momentary))
    related = float(np.corrcoef(first, second)[0, 1])
    if abs(related) < 0.2:
        words = "Past surprise tells little of momentary surprise"
    elif related > 0:
        words = "Past and momentary surprise rise together"
    else:
        words = "Where past surprise is high, momentary surprise is low"
    return f"{words} (rank correlation {related:+.2f})".replace("-", "−")


def _half(ages: NDArray[np.int64], left: NDArray[np.float64]) -> str:
    """The finding: the age at which half of the answer is gone."""
    order = np.argsort(ages)
    medians = running_median(left[order])
    below = np.flatnonzero(medians < 0.5)
    if len(below):
        return f"{ages[order][below[0]]} turns"
    return f"more than {ages[order][np.isfinite(medians)].max()} turns"
