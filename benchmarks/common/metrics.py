"""How good a ranking is, how honest a label is, how long a call takes: pure functions over plain values.

A ranking is a sequence of turn ids, best first, without repeats; evidence is a non-empty set of turn ids.
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

DEPTH = 20  # how many turns every method is asked for; nothing is measured below
EVERYTHING = 10_000  # more recalls than there are candidates
LABELS = tuple(label.value for label in Confidence)


def recall_at(ranking: Sequence[str], evidence: Collection[str], k: int) -> float:
    """The share of the evidence among the first k, in [0, 1]."""
    return len(set(ranking[:k]) & set(evidence)) / len(evidence)


def hit_at(ranking: Sequence[str], evidence: Collection[str], k: int) -> float:
    """1 if any evidence is among the first k, else 0."""
    return float(any(turn in evidence for turn in ranking[:k]))


def reciprocal_rank(ranking: Sequence[str], evidence: Collection[str]) -> float:
    """1 / rank of the first evidence, counted from 1; 0 if there is none in the ranking."""
    return next((1 / rank for rank, turn in enumerate(ranking, 1) if turn in evidence), 0.0)


def ndcg_at(ranking: Sequence[str], evidence: Collection[str], k: int) -> float:
    """The discounted gain of the first k over that of the best order, in [0, 1]; every evidence gains 1."""
    gain = sum(1 / math.log2(rank + 1) for rank, turn in enumerate(ranking[:k], 1) if turn in evidence)
    return gain / sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(evidence)) + 1))


def score_ranking(ranking: Sequence[str], evidence: Collection[str]) -> dict[str, float]:
    """Every ranking metric of one question, by the name under which it is reported."""
    return {
        **{f"R@{k}": recall_at(ranking, evidence, k) for k in (1, 5, 10, 20)},
        **{f"hit@{k}": hit_at(ranking, evidence, k) for k in (1, 5)},
        "MRR": reciprocal_rank(ranking[:DEPTH], evidence),
        "nDCG@10": ndcg_at(ranking, evidence, 10),
    }


def average_by_category(scored: Iterable[tuple[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """The mean of every metric for each category and, as the last, "overall".

    Args:
        scored: the category and the metrics of each question.

    Returns:
        Category to metric to mean over its questions, and their number as "questions"; empty without any.
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
    """What the confidence labels are worth.

    Args:
        answerable: for each question that has evidence its label, and whether the first recall is evidence.
        unanswerable: the label of each question that has no answer.

    Returns:
        For "answerable" the count of each label and its precision (the share whose first recall is evidence;
        None where the label was never given); for "unanswerable" the counts; and "false_high", the share of
        the unanswerable questions that were called high (None where there are none).
    """
    report: dict[str, dict[str, float | None]] = {}
    for label in LABELS:
        right = [first_is_evidence for given, first_is_evidence in answerable if given == label]
        report[label] = {"count": len(right), "precision": fmean(right) if right else None}
    refused = {label: list(unanswerable).count(label) for label in LABELS}
    return {
        "answerable": report,
        "unanswerable": refused,
        "false_high": refused["high"] / len(unanswerable) if unanswerable else None,
    }


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """The median and the 95th percentile, by linear interpolation, in the unit of the values."""
    p50, p95 = np.percentile(values, [50, 95])
    return {"p50": float(p50), "p95": float(p95), "count": len(values)}
