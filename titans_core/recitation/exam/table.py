"""Tables of the outcomes of `total_recall`, as rows of text."""

from __future__ import annotations

import math
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from titans_core.recitation.exam.run import Outcome

COLUMNS = ("facts", "who", "continued", "addressed", "recited", "spoken", "answered", "s/fact", "MB")

GATE_COLUMNS = ("facts", "questions", "AUROC", "false openings")


def rows(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """Make one row for each contestant and number of facts.

    Args:
        outcomes: The outcomes. Several outcomes for one row, such as those of several seeds, are averaged.

    Returns:
        The rows of a table with `COLUMNS`.
    """
    return [
        (
            str(group[0].facts),
            group[0].name,
            _mean(group, lambda outcome: outcome.continued, ".3f"),
            _mean(group, lambda outcome: outcome.addressed, ".3f"),
            _mean(group, lambda outcome: outcome.recited, ".3f"),
            _mean(group, lambda outcome: outcome.spoken, ".3f"),
            _mean(group, lambda outcome: outcome.answered, ".3f"),
            _mean(group, lambda outcome: outcome.seconds, ".2f"),
            _mean(group, lambda outcome: outcome.nbytes and outcome.nbytes / 1e6, ".1f"),
        )
        for group in _group(outcomes)
    ]


def gate_rows(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """Make one row for each number of facts and kind of question: how well the gate separates known questions from it.

    Args:
        outcomes: The outcomes. Several outcomes for one row are averaged.

    Returns:
        The rows of a table with `GATE_COLUMNS`.
    """
    return [
        (
            str(group[0].facts),
            kind,
            f"{fmean(outcome.separated[kind] for outcome in group):.3f}",
            f"{fmean(outcome.opened[kind] for outcome in group):.3f}",
        )
        for group in _group(outcomes)
        for kind in group[0].separated
    ]


def loss_curve(losses: Sequence[float], *, points: int = 12) -> str:
    """Write the losses of a training in one line.

    Args:
        losses: Loss of each step, in nats per token.
        points: Most numbers in the line, at least 1. Each number is the mean of a part of the losses; all parts are
            equally long, except the last.
    """
    length = max(1, math.ceil(len(losses) / points))
    return " ".join(f"{fmean(losses[start : start + length]):.2f}" for start in range(0, len(losses), length))


def _group(outcomes: Sequence[Outcome]) -> list[list[Outcome]]:
    """Put outcomes of the same contestant and number of facts together."""
    groups: dict[tuple[int, str], list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault((outcome.facts, outcome.name), []).append(outcome)
    return list(groups.values())


def _mean(outcomes: Sequence[Outcome], figure: Callable[[Outcome], float | None], form: str) -> str:
    """The mean of a figure in a format, or a dash if no outcome has the figure."""
    values = [value for outcome in outcomes if (value := figure(outcome)) is not None]
    return format(fmean(values), form) if values else "–"
