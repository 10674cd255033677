"""What the form of a text says about its use as an answer.

The words are English; a text in another language is ranked without them.
"""

from __future__ import annotations

import re

# A sentence and what ends it. Every character is looked at once, however long a sentence is.
_SENTENCE = re.compile(r"[^.!?。！？؟\n]+([.!?。！？؟]*)")

_WANTS_TIME = re.compile(r"\b(when|how long|(?:what|which) (?:date|year|month|day|time))\b", re.IGNORECASE)

_TELLS_TIME = re.compile(
    r"\b(yesterday|today|tonight|tomorrow|last|next|ago|week(?:end)?s?|months?|years?|days?|hours?|minutes?|morning"
    r"|monday|tuesday|wednesday|thursday|friday|saturday|sunday|january|february|march|april|may|june|july|august"
    r"|september|october|november|december|recently|earlier|since|\d{4})\b",
    re.IGNORECASE,
)


def asking(text: str) -> float:
    """The share of a text, in characters, that is questions: in [0, 1]. A turn that only asks answers nothing."""
    asked = (len(found[0]) for found in _SENTENCE.finditer(text) if set(found[1]) & {"?", "？", "؟"})
    return sum(asked) / max(len(text), 1)


def wants_time(query: str) -> bool:
    """Whether a query asks for a time: "When did…", "How long…", "Which year…"."""
    return _WANTS_TIME.search(query) is not None


def tells_time(text: str) -> bool:
    """Whether a text speaks of a time: "yesterday", "two weeks ago", "in 2022"."""
    return _TELLS_TIME.search(text) is not None
