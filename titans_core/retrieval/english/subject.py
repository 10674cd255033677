"""What an English query is about as a whole: everything known of somebody, earlier questions, or a time alone."""

from __future__ import annotations

import re

from titans_core.retrieval.english.values import content_words

_FLAGS = re.IGNORECASE

_EVERYTHING = re.compile(
    r"\W*(?:(?:so|and|ok(?:ay)?|hi|hey|hello|please)\b[\s,]*)*"
    r"(?:(?:what(?: all| else)?|how much|anything|everything)\s+(?:(?:do|did|can|could|have)\s+)?you\s+"
    r"(?:(?:already|still|actually|really)\s+)?(?:know|remember|recall|tell me|learn(?:ed|t)?|got|have)\b"
    r"[^?]*?\b(?:about|on|of)"
    r"|(?:can you |could you |please )?(?:tell|remind) me (?:something |everything |all |more |what you know )?about"
    r"|what do (?:i|we) know about|what have i (?:told|said to) you about"
    r"|(?:summari[sz]e|describe|list) (?:everything |all |what )?(?:you know |you remember )?(?:about)?)"
    r"\s+(?P<subject>[^?.!]+?)(?:\s+(?:so far|please|again|now|already))*\s*[?.!]*\s*",
    _FLAGS,
)
_MYSELF = re.compile(
    r"\W*(?:who am i|what have i (?:told|said to) you(?: so far| about myself)?|do you (?:know|remember) me"
    r"|what do you (?:know|remember)(?: so far)?)\W*",
    _FLAGS,
)
_ASKED = re.compile(
    r"\b(?:did|have|had) (?:i|we) (?:already |ever |just |also )?(?:ask|asked)\b"
    r"|(?<!\bwas )(?<!\bwere )\b(?:i|we) asked\b"  # "was I asked" is about somebody else's question
    r"|\bmy (?:last |previous |earlier |first |other )?questions?\b|\bquestions? (?:did|have) (?:i|we)\b",
    _FLAGS,
)
_SAID = re.compile(
    r"\b(?:say|said|saying|tell|told|telling|talk(?:ed|ing)?|mention(?:ed)?|discuss(?:ed|ing)?|wr[io]te|written"
    r"|chat(?:ted)?|conversations?|ask(?:ed)?|speak|spoke|spoken)\b",
    _FLAGS,
)
# Words with which one asks for whatever there is.
_WHATEVER_WORDS = (
    "say said saying tell told telling talk talked talking mention mentioned discuss discussed discussing write wrote "
    "written chat chatted conversation conversations ask asked speak spoke happen happened happening happens go going "
    "goes went done doing thing things anything something everything all stuff events news any know remember recall "
    "remind please summarize summarise summary list show give us let lets see get us been day days week weeks month "
    "months year years today recently lately time during between last past period plans life"
)
_WHATEVER = frozenset(_WHATEVER_WORDS.split())


def subject_of(query: str) -> str | None:
    """The subject of a query that asks for everything known of it: "me", "my sister"; None for other queries."""
    if _MYSELF.fullmatch(query):
        return "me"
    found = _EVERYTHING.fullmatch(" ".join(query.split()))  # runs of white space would take quartic time
    return found["subject"].strip() if found else None


def asks_what_was_asked(query: str) -> bool:
    """Whether a query is about earlier questions: "What did I ask you about Rome?"."""
    return _ASKED.search(query) is not None


def asks_what_was_said(query: str) -> bool:
    """Whether a query is about what somebody said, and not about what happened."""
    return _SAID.search(query) is not None


def asks_for_anything(query: str) -> bool:
    """Whether a query names nothing to look for: "What did I say?", "What happened?".

    Args:
        query: The query without its times and without the names of speakers.
    """
    return content_words(query) <= _WHATEVER
