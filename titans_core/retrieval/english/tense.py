"""Tense in English: whether a query asks for today's state or an earlier one, and whether a text tells a change."""

from __future__ import annotations

import re
from enum import StrEnum

_FLAGS = re.IGNORECASE


class Tense(StrEnum):
    """The time of the state that a query asks for.

    Attributes:
        NOW: The query says that it asks for the latest state: "Where do I live now?", "in the end".
        PRESENT: It is in the present tense: "Where do I live?".
        PAST: It is in the past tense: "Where did we eat?".
        BEFORE: It asks for a state that may have changed since: "Where did I live before?", "my old number".
    """

    NOW = "now"
    PRESENT = "present"
    PAST = "past"
    BEFORE = "before"


_BEFORE = re.compile(
    r"\b(before|previous(?:ly)?|used to|former(?:ly)?|first(?! name)|original(?:ly)?|old(?!er)|initial(?:ly)?"
    r"|at the start|earlier|c[ao]me from|last year|back then|prior|by mistake|meant to be)\b",
    _FLAGS,
)
_HOW_OLD = re.compile(r"\bhow old\b|\byears? old\b", _FLAGS)
_NOW = re.compile(
    r"\b(now|nowadays|current(?:ly)?|these days|at the moment|at present|latest|most recent(?:ly)?|still|today"
    r"|in the end|final(?:ly)?|eventually|any ?more|so far|actually|really|up to date|right now)\b",
    _FLAGS,
)
_PAST = re.compile(r"\b(did|was|were|had|happened|went|said|told|came|got|ended)\b", _FLAGS)

# "No, not Tuesday", "sorry, I meant", "scrap that": the speaker takes something back.
_CORRECTS = re.compile(
    r"(?:^|[.!?,;:—-]\s*)(?:no|nope|not|argh|sorry|wait|scrap|actually|oops|correction|i mean|never mind|forget)\b"
    r"|\bi meant?\b|\bnot (?:the )?\S+[,.]|\b(?:wrong|mistake|misread|correct(?:ed|ion))\b",
    _FLAGS,
)
# "We moved", "it's 13 now", "no longer": something is not as it was.
_CHANGES = re.compile(
    r"\b(?:now|new|newer|chang(?:e|es|ed|ing)|mov(?:e|es|ed|ing)|switch(?:ed|ing)?|instead|any ?more|no longer"
    r"|from now on|since|again|pushed|shift(?:ed)?|upgraded?|dropp(?:ed|ing)|quit|resigned|replac(?:ed|es)|renamed"
    r"|already|up to|down to|back to|cancell?ed|bought|got|took over|left|sold|gone|dead|finished|became"
    r"|extend(?:ed)?|postponed|put (?:my|the|our|it)|raised|lowered|doubled|turned|meanwhile|in the end|final(?:ly)?"
    r"|updated?)\b",
    _FLAGS,
)


def tense_of(query: str) -> Tense:
    """The time of the state that a query asks for."""
    if _BEFORE.search(_HOW_OLD.sub(" ", query)):
        return Tense.BEFORE
    if _NOW.search(query):
        return Tense.NOW
    return Tense.PAST if _PAST.search(query) else Tense.PRESENT


def corrects(text: str) -> bool:
    """Whether a text takes something back: "No, 13 of them", "Sorry, I meant Tuesday"."""
    return _CORRECTS.search(text) is not None


def tells_change(text: str) -> bool:
    """Whether a text tells that something changed: "We moved to Bonn", "It's 13 now"."""
    return _CHANGES.search(text) is not None
