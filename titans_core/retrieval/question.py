"""What is asked: everything about a query that does not depend on the memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from titans_core.confidence import MOST_UNREAD
from titans_core.retrieval.english import (
    Period,
    Tense,
    asks_what_was_asked,
    is_small_talk,
    periods_in,
    subject_of,
    tense_of,
    wants_name,
    wants_number,
    wants_time,
)
from titans_core.retrieval.understanding import unread_share

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from titans_core.types import Reading


@dataclass(frozen=True, slots=True)
class Question:
    """A query, and what its words say.

    Attributes:
        text: The query, or of a long one the part that is searched for.
        reading: The reading of the text.
        zone: The user's zone.
        tense: The time of the state that it asks for.
        periods: The periods that it names.
        wants_time: Whether it asks for a time.
        wants_number: Whether it asks for a number.
        wants_name: Whether it asks for a person or a place.
        small_talk: Whether it only greets, thanks, agrees, …
        about_asking: Whether it is about earlier questions.
        subject: What it wants to know everything about; None if it asks for something.
        unread: The share of the text that the reader does not know, in [0, 1].
    """

    text: str
    reading: Reading
    zone: tzinfo | None
    tense: Tense
    periods: tuple[Period, ...]
    wants_time: bool
    wants_number: bool
    wants_name: bool
    small_talk: bool
    about_asking: bool
    subject: str | None
    unread: float

    @property
    def readable(self) -> bool:
        """Whether the reader knows enough of it."""
        return self.unread <= MOST_UNREAD

    @classmethod
    def of(cls, text: str, reading: Reading, *, now: datetime, first: int) -> Self:
        """Read a query.

        Args:
            text: The query, or the part of it that is searched for.
            reading: The reading of the text.
            now: When it is asked, in the user's zone.
            first: The earliest year in the memory.
        """
        return cls(
            text=text,
            reading=reading,
            zone=now.tzinfo,
            tense=tense_of(text),
            periods=tuple(periods_in(text, now=now, first=first)),
            wants_time=wants_time(text),
            wants_number=wants_number(text),
            wants_name=wants_name(text),
            small_talk=is_small_talk(text),
            about_asking=asks_what_was_asked(text),
            subject=subject_of(text),
            unread=unread_share(text, reading),
        )
