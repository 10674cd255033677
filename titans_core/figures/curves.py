"""One picture for each aspect of a history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import LogNorm

from titans_core.figures.panels import (
    TURNS,
    describe_change,
    draw_gate,
    draw_surprise,
    first_and_last_median,
    quantile,
    require_words,
    running_median,
    turn_range,
)
from titans_core.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    INK,
    ORANGE,
    SKY,
    VERMILLION,
    add_legend,
    label_axes,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from titans_core.figures.history import FirstOrder, History


def surprise_over_time(history: History) -> Figure:
    """Draw how surprising each turn was, and what the surprise gate decided.

    Args:
        history: The history to show.

    Returns:
        The figure, with one panel for surprise and one for the gate.

    Raises:
        InvalidQueryError: No turn of the history has tokens.
    """
    require_words(history)
    left_out = int(((history.learned == 0) & (history.tokens > 0) & ~history.repeated).sum())
    gate = f"the gate leaves out {left_out} of {len(history)} turns" if history.gate else "there is no gate"
    figure = new_figure(
        10,
        7.5,
        f"Surprise {describe_change(*first_and_last_median(history.surprise))}; {gate}",
        "Surprise is the share of a token's key that the memory had not learned before the turn. The gate compares "
        "the surprise of each passage with the usual surprise of recent tokens; a passage below the gate changes no "
        "weights. The numbers in the title are medians of the first and the last tenth of the turns. "
        f"{turn_range(history)}",
    )
    above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 2]})
    draw_surprise(above, history, "Surprise of each turn")
    above.set_xlabel("")
    draw_gate(below, history, "The gate")
    return figure


def update_heat_map(history: History) -> Figure:
    """Draw how much each turn changed each part of the weights, for a memory with momentum.

    Args:
        history: The history to show.

    Returns:
        The figure, with one panel for all weights and one for the bands of rows.

    Raises:
        InvalidQueryError: No turn of the history has tokens.
    """
    require_words(history)
    first_order = history.first_order
    total = np.sqrt((first_order.updates**2).sum(1))
    figure = new_figure(
        10,
        7.5,
        _bands_title(first_order),
        f"{_replay_note(history)} The picture shows the norm of the change that each turn made, forgetting included. "
        "The rows of each layer are divided into bands of equal size. The title counts the bands that hold 90% of a "
        "turn's squared change in the layer; its numbers are medians of the first and the last tenth of the turns.",
    )
    above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [1, 3]})
    above.plot(history.numbers, total, ".", color=SKY, markersize=4, label="turn")
    above.plot(history.numbers, running_median(total), color=BLUE, linewidth=2, label="running median")
    above.set_yscale("log")
    label_axes(above, title="All weights", x="", y="‖ΔW‖")
    add_legend(above)
    bands = first_order.updates.shape[1]
    image = below.imshow(
        np.ma.masked_less_equal(first_order.updates.T, 0),
        aspect="auto",
        origin="lower",
        interpolation="nearest",
        cmap="cividis",
        norm=LogNorm(),
        extent=(history.numbers[0] - 0.5, history.numbers[-1] + 0.5, 0, bands),
    )
    label_axes(below, title="Each band of rows", x=TURNS, y="band of rows, by layer")
    below.grid(visible=False)
    layers = first_order.layers
    edges = np.linspace(0, bands, layers + 1)
    below.set_yticks((edges[:-1] + edges[1:]) / 2, [f"layer {layer + 1}" for layer in range(layers)], rotation=90)
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
    """Draw past surprise (momentum) beside momentary surprise, and the norms of weights and momentum.

    Args:
        history: The history to show.

    Returns:
        The figure, with panels for surprise, for the norms, and for past against momentary surprise.

    Raises:
        InvalidQueryError: No turn of the history has tokens.
    """
    require_words(history)
    first_order = history.first_order
    figure = new_figure(
        12,
        7.5,
        _correlation_title(first_order.past, first_order.surprise),
        f"{_replay_note(history)} Momentary surprise is the error before the turn is learned, divided by the error of "
        "an empty memory. It stays high, because each turn is a new value to learn. Past surprise is the momentum "
        "after the turn, divided by the momentum that identical new tokens would leave in a linear memory.",
    )
    grid = figure.add_gridspec(2, 2, width_ratios=[3, 2])
    above = figure.add_subplot(grid[0, 0])
    below = figure.add_subplot(grid[1, 0], sharex=above)
    for label, values, colour in (("momentary", first_order.surprise, BLUE), ("past", first_order.past, ORANGE)):
        above.plot(history.numbers, values, ".", color=colour, markersize=3, alpha=0.5)
        above.plot(history.numbers, running_median(values), color=colour, linewidth=2, label=label)
    above.set_yscale("log")
    label_axes(above, title="Surprise", x="", y="surprise (log scale)")
    add_legend(above)
    below.plot(history.numbers, first_order.weights, color=BLACK, linewidth=2, label="weights")
    below.plot(history.numbers, first_order.momentum, color=GREEN, linewidth=1.2, label="momentum")
    below.set_yscale("log")
    label_axes(below, title="Norms after the turn", x=TURNS, y="Frobenius norm (log scale)")
    add_legend(below)
    axes = figure.add_subplot(grid[:, 1])
    points = axes.scatter(first_order.past, first_order.surprise, c=history.numbers, cmap="cividis", s=14, linewidths=0)
    limit = 1.5 * quantile(first_order.past, 0.98)
    beyond = int((first_order.past > limit).sum())
    label_axes(axes, title="One dot for each turn", x="past surprise", y="momentary surprise", whole_numbers=False)
    if beyond:
        largest = np.nanmax(first_order.past)
        axes.set_xlim(0, limit)
        axes.set_xlabel(f"past surprise ({beyond} beyond {limit:.2g} not shown, up to {largest:.2g})")
    bar = figure.colorbar(points, ax=axes, pad=0.01, aspect=30)
    bar.set_label(TURNS, fontsize=10, color=INK)
    bar.ax.tick_params(which="both", labelsize=9, colors=INK)
    return figure


def effect_of_forgetting(history: History) -> Figure:
    """Draw how much of each turn's answer remains, by the turn's age, without and with decay.

    Args:
        history: The history to show.

    Returns:
        The figure.

    Raises:
        InvalidQueryError: No turn of the history has tokens.
    """
    require_words(history)
    forgetting = history.forgetting
    percent = f"{100 * forgetting.forget:.3g}%"
    figure = new_figure(
        10,
        6.5,
        f"An answer is halved after {_half_life(forgetting.ages, forgetting.kept)} if everything is kept, "
        f"after {_half_life(forgetting.ages, forgetting.decayed)} if each write forgets {percent}",
        "At the end, the memory is asked with each turn's own keys. The picture shows the strength of the answer in "
        "the direction of the turn, divided by its strength right after the turn was written. An answer weakens even "
        "without forgetting, because later turns share its directions. Strength is not recall: recall compares "
        f"answers, and all of them weaken. Dots are turns, lines are running medians. {turn_range(history)}",
    )
    axes = figure.subplots()
    for label, values, colour in (
        ("everything kept", forgetting.kept, BLUE),
        (f"{percent} forgotten at each write", forgetting.decayed, VERMILLION),
    ):
        axes.plot(forgetting.ages, values, ".", color=colour, markersize=4, alpha=0.35)
        axes.plot(forgetting.ages, running_median(values), color=colour, linewidth=2.2, label=label)
    axes.plot(
        forgetting.ages,
        (1 - forgetting.forget) ** forgetting.writes,
        color=BLACK,
        linewidth=1.2,
        linestyle="--",
        label=f"{1 - forgetting.forget:g} to the power of the number of later writes",
    )
    axes.axhline(0, color=INK, linewidth=0.8)
    label_axes(axes, x="age (number of later turns)", y="answer at the end ÷ answer when written")
    add_legend(axes)
    return figure


def _replay_note(history: History) -> str:
    return f"A memory with momentum is replayed beside the log; it starts empty at turn {history.numbers[0]:,}."


def _bands_title(first_order: FirstOrder) -> str:
    """Say how many bands hold most of a turn's change, for the layer in which this number changed most."""
    bands = first_order.updates.shape[1] // first_order.layers
    layers = np.split(first_order.updates, first_order.layers, axis=1)
    findings = []
    for number, layer in enumerate(layers, 1):
        squares = np.sort(layer**2, axis=1)[:, ::-1]
        needed = (np.cumsum(squares, axis=1) < 0.9 * squares.sum(1, keepdims=True)).sum(1) + 1.0
        before, after = first_and_last_median(np.where(squares.any(1), needed, np.nan))
        findings.append((abs(before - after), number, before, after))
    change, number, before, after = max(findings)
    if change >= 1:
        return f"A turn updates {before:.0f} of {bands} bands of layer {number} at first, and {after:.0f} at the end"
    return f"A turn updates {after:.0f} of {bands} bands of a layer, from the first turn to the last"


def _correlation_title(past: NDArray[np.float64], momentary: NDArray[np.float64]) -> str:
    """Say how past and momentary surprise are correlated, by their ranks."""
    known = np.isfinite(past) & np.isfinite(momentary)
    if known.sum() < 3:
        return "Too few turns to compare past and momentary surprise"
    past_ranks, momentary_ranks = (
        np.argsort(np.argsort(values[known])).astype(np.float64) for values in (past, momentary)
    )
    correlation = float(np.corrcoef(past_ranks, momentary_ranks)[0, 1])
    if abs(correlation) < 0.2:
        words = "Past surprise says little about momentary surprise"
    elif correlation > 0:
        words = "Past and momentary surprise rise together"
    else:
        words = "Where past surprise is high, momentary surprise is low"
    return f"{words} (rank correlation {correlation:+.2f})".replace("-", "−")


def _half_life(ages: NDArray[np.int64], shares: NDArray[np.float64]) -> str:
    """Say at which age half of an answer is lost."""
    order = np.argsort(ages)
    medians = running_median(shares[order])
    below = np.flatnonzero(medians < 0.5)
    if len(below):
        return f"{ages[order][below[0]]} turns"
    return f"more than {ages[order][np.isfinite(medians)].max()} turns"
