"""Speech acts in English: whether a text tells something, or only asks, declines or makes small talk."""

from __future__ import annotations

import re

# A sentence and its end marks. Each character is matched once, also in a long sentence.
_SENTENCE = re.compile(r"[^.!?。！？؟\n]+([.!?。！？؟]*)")


def question_share(text: str) -> float:
    """The share of a text's characters that is in questions, in [0, 1]. A turn that only asks answers nothing."""
    asked = (len(found[0]) for found in _SENTENCE.finditer(text) if set(found[1]) & {"?", "？", "؟"})
    return sum(asked) / max(len(text), 1)
