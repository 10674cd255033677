"""Outcomes of total recall as rows that people read."""

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
    """One row for each contestant and number of facts: means over what was given for it, such as several seeds."""
    return [
        (
            str(same[0].facts),
            same[0].name,
            _mean(same, lambda one: one.continued, ".3f"),
            _mean(same, lambda one: one.addressed, ".3f"),
            _mean(same, lambda one: one.recited, ".3f"),
            _mean(same, lambda one: one.spoken, ".3f"),
            _mean(same, lambda one: one.answered, ".3f"),
            _mean(same, lambda one: one.seconds, ".2f"),
            _mean(same, lambda one: one.nbytes and one.nbytes / 1e6, ".1f"),
        )
        for same in _alike(outcomes)
    ]


def gate_rows(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    """How well the gate tells known questions from others, by kind: means again."""
    return [
        (
            str(same[0].facts),
            kind,
            f"{fmean(one.separated[kind] for one in same):.3f}",
            f"{fmean(one.opened[kind] for one in same):.3f}",
        )
        for same in _alike(outcomes)
        for kind in same[0].separated
    ]


def loss_curve(losses: Sequence[float], *, points: int = 12) -> str:
    """A training's losses in a line: the means of so many equal stretches, in nats per token."""
    stretch = max(1, math.ceil(len(losses) / points))
    return " ".join(f"{fmean(losses[start : start + stretch]):.2f}" for start in range(0, len(losses), stretch))


def _alike(outcomes: Sequence[Outcome]) -> list[list[Outcome]]:
    groups: dict[tuple[int, str], list[Outcome]] = {}
    for one in outcomes:
        groups.setdefault((one.facts, one.name), []).append(one)
    return list(groups.values())


def _mean(outcomes: Sequence[Outcome], what: Callable[[Outcome], float | None], form: str) -> str:
    """The mean of a figure, or a dash where there is none."""
    figures = [figure for one in outcomes if (figure := what(one)) is not None]
    return format(fmean(figures), form) if figures else "–"
