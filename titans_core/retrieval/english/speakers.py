"""Speakers in English: which speakers a query names, by name or by pronoun."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from unicodedata import normalize

if TYPE_CHECKING:
    from collections.abc import Iterable

_WORD = re.compile(r"[^\W\d_]+")

# In a chat with an assistant no speaker is named "user" in a query: "I" means the user, and "you" the assistant.
_ROLES = {
    "user": {"i", "me", "my", "mine", "myself"},
    "human": {"i", "me", "my", "mine", "myself"},
    "assistant": {"you", "your", "yours", "yourself"},
    "ai": {"you", "your", "yours", "yourself"},
}

_MYSELF = {"me", "myself", "i"}

# "Can you remind me how…" addresses the assistant. It is neither about the assistant nor about the user.
_ADDRESS = re.compile(
    r"\b(?:can|could|would|will) you\b|\b(?:remind|tell|show|give|help|teach|walk|let|explain to|list for) me\b",
    re.IGNORECASE,
)


def named_speakers(query: str, speakers: Iterable[str]) -> list[str]:
    """The speakers that a query names: by a part of their name, or by a pronoun for their role.

    "What did Alice say?" names "Alice" and "Alice Munro"; "What is my plan?" names "user". "you" names the
    assistant only where the question has no "I", and "can you tell me" names nobody.
    """
    query = normalize("NFC", query)
    words = {word.lower() for word in _WORD.findall(query)}
    asked = {word.lower() for word in _WORD.findall(_ADDRESS.sub(" ", query))}
    by_name = [
        speaker
        for speaker in speakers
        if speaker.lower() not in _ROLES and words & {part.lower() for part in _WORD.findall(normalize("NFC", speaker))}
    ]
    first_person = bool(asked & _ROLES["user"])
    by_role = [
        speaker
        for speaker in speakers
        if (pronouns := _ROLES.get(speaker.lower())) and asked & pronouns and ("i" in pronouns or not first_person)
    ]
    return by_name + by_role


def speakers_meant(subject: str, speakers: Iterable[str]) -> list[str]:
    """The speakers that a subject is, and not only holds: "me" is the user, "my sister" is not.

    Args:
        subject: The subject of a query, see `subject_of`.
        speakers: The speakers of the memory.
    """
    words = {word.lower() for word in _WORD.findall(normalize("NFC", subject))}
    found = named_speakers(subject, speakers)
    if words <= _MYSELF:
        return found
    return [name for name in found if words <= {part.lower() for part in _WORD.findall(normalize("NFC", name))}]
