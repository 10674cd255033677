"""Metrics of rankings, confidence labels and durations: pure functions over plain values.

A ranking is a sequence of turn ids, best first, without repeats. The evidence is a non-empty set of turn ids.
"""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from titans_core import Confidence

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

DEPTH = 20
"""The number of turns that every method returns. Lower ranks are not measured."""

EVERYTHING = 10_000
"""A number of recalls that is larger than the number of candidates."""

LABELS = tuple(label.value for label in Confidence)
"""The names of the confidence labels."""


def recall_at(ranking: Sequence[str], evidence: Collection[str], k: int) -> float:
    """Return the share of the evidence that is among the first k turns, in [0, 1]."""
    return len(set(ranking[:k]) & set(evidence)) / len(evidence)


def hit_at(ranking: Sequence[str], evidence: Collection[str], k: int) -> float:
    """Return 1 if any evidence is among the first k turns, else 0."""
    return float(any(turn in evidence for turn in ranking[:k]))


def reciprocal_rank(ranking: Sequence[str], evidence: Collection[str]) -> float:
    """Return 1 / rank of the first evidence. Ranks start at 1. Without evidence in the ranking, return 0."""
    return next((1 / rank for rank, turn in enumerate(ranking, 1) if turn in evidence), 0.0)


def ndcg_at(ranking: Sequence[str], evidence: Collection[str], k: int) -> float:
    """Return the discounted gain of the first k turns over that of the best order, in [0, 1]; evidence gains 1."""
    gain = sum(1 / math.log2(rank + 1) for rank, turn in enumerate(ranking[:k], 1) if turn in evidence)
    return gain / sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(evidence)) + 1))


def score_ranking(ranking: Sequence[str], evidence: Collection[str]) -> dict[str, float]:
    """Return every ranking metric of one question, by its name in the report."""
    return {
        **{f"R@{k}": recall_at(ranking, evidence, k) for k in (1, 5, 10, 20)},
        **{f"hit@{k}": hit_at(ranking, evidence, k) for k in (1, 5)},
        "MRR": reciprocal_rank(ranking[:DEPTH], evidence),
        "nDCG@10": ndcg_at(ranking, evidence, 10),
    }


def average_by_category(scored: Iterable[tuple[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """Average every metric over the questions of each category, and over all questions.

    Args:
        scored: The category and the metrics of each question.

    Returns:
        For each category, the mean of each metric, and the number of questions as "questions". The last category is
        "overall". Empty if there are no questions.
    """
    groups: defaultdict[str, list[Mapping[str, float]]] = defaultdict(list)
    everything: list[Mapping[str, float]] = []
    for category, metrics in scored:
        groups[category].append(metrics)
        everything.append(metrics)
    named = [*sorted(groups.items()), ("overall", everything)] if everything else []
    return {
        name: {"questions": len(rows), **{metric: fmean(row[metric] for row in rows) for metric in rows[0]}}
        for name, rows in named
    }


def judge_labels(answerable: Sequence[tuple[str, bool]], unanswerable: Sequence[str]) -> dict[str, object]:
    """Measure how far the confidence labels can be trusted.

    Args:
        answerable: For each question that has evidence, its label, and whether its first recall is evidence.
        unanswerable: The label of each question that has no answer.

    Returns:
        "answerable": for each label, its count and its precision. The precision is the share of these questions whose
        first recall is evidence; it is None if no question has the label.
        "unanswerable": the count of each label.
        "false_high": the share of the unanswerable questions with the label `high`; None if there is no such question.
    """
    by_label: dict[str, dict[str, float | None]] = {}
    for label in LABELS:
        right = [first_is_evidence for its_label, first_is_evidence in answerable if its_label == label]
        by_label[label] = {"count": len(right), "precision": fmean(right) if right else None}
    counts = {label: list(unanswerable).count(label) for label in LABELS}
    return {
        "answerable": by_label,
        "unanswerable": counts,
        "false_high": counts["high"] / len(unanswerable) if unanswerable else None,
    }


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return the median, the 95th percentile (both by linear interpolation) and the count of the values."""
    p50, p95 = np.percentile(values, [50, 95])
    return {"p50": float(p50), "p95": float(p95), "count": len(values)}
