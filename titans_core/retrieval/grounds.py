"""Why a recall has its label, in words that a person understands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from titans_core.types import local_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import tzinfo

    from titans_core.types import Recall

SURE = 1.5
"""The log odds from which on a verifier is sure: a probability of .82."""

_ASKED_FOR = (("timely", "time"), ("number", "number"), ("name", "name"))


def grounds_of(
    features: Mapping[str, float], best: Recall, *, wants_time: bool, contradicted: bool, zone: tzinfo | None
) -> Iterator[str]:
    """Say what is known about the first recall, in parts of one sentence whose subject is "it".

    Args:
        features: The features of the ranking.
        best: The first recall.
        wants_time: Whether the query asks for a time.
        contradicted: Whether another turn answers with another value, and nothing tells which of them is right.
        zone: The user's zone, for the day; None for the machine's.

    Yields:
        The parts, the most important one first.
    """
    if "verified" in features:
        yield _as_read(features["verified"])
    else:
        yield f"holds {features['said']:.0%} of the question's words"
    yield from _as_asked(features, wants_time=wants_time)
    if features["other speaker"]:
        yield "is not said by the one whom the question names"
    said = [f"by {best.turn.speaker}"] if best.turn.speaker else []
    if best.at:
        said.append(f"on {local_time(best.at, zone).date()}")
    if said:
        yield f"was said {' '.join(said)}"
    yield _standing(features, best, contradicted=contradicted)


def _as_asked(features: Mapping[str, float], *, wants_time: bool) -> Iterator[str]:
    for feature, what in _ASKED_FOR:
        if features[feature] > 0:
            yield f"states a {what}, as asked"
        elif features[feature] < 0 or (feature == "timely" and wants_time):
            yield f"states no {what}, which is asked for"


def _standing(features: Mapping[str, float], best: Recall, *, contradicted: bool) -> str:
    if contradicted:
        return "is contradicted by another turn of the same day"
    if best.superseded_by is not None:
        return "was replaced by a later turn"
    return "replaces what was said before" if features["current"] else "is replaced by nothing newer"


def _as_read(log_odds: float) -> str:
    if log_odds >= SURE:
        return "answers the question, read together with it"
    if log_odds <= -SURE:
        return "is about something else, read together with the question"
    return "may answer the question, read together with it"
