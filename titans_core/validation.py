"""Checks of everything that enters a memory; invalid values are refused before anything is written."""

from __future__ import annotations

import json
import unicodedata
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from titans_core._utils.local_zone import LOCAL, with_zone
from titans_core.errors import (
    EmptyTurnError,
    InvalidQueryError,
    InvalidTenantError,
    InvalidTurnError,
    TitansError,
)

if TYPE_CHECKING:
    from titans_core.types import Turn

__all__ = [
    "MAX_METADATA_CHARS",
    "MAX_METADATA_DEPTH",
    "MAX_NAME_CHARS",
    "MAX_TEXT_CHARS",
    "validate_count",
    "validate_now",
    "validate_query",
    "validate_tenant",
    "validate_text",
    "validate_turn",
]

MAX_TEXT_CHARS = 1_000_000
"""The most characters of a turn. A spoken turn has some hundreds, a book has a million. A turn is read and learned in
one piece, which takes minutes for a million characters."""

MAX_NAME_CHARS = 500
"""The most characters of a speaker, session, source, id or tenant. They take at most 2,000 bytes, which fit into an
index of any database (PostgreSQL's limit is 2,704)."""

MAX_METADATA_CHARS = 20_000_000
"""The most characters of a turn's metadata as JSON. Whole chat messages are kept there, also with base64 pictures."""

MAX_METADATA_DEPTH = 100
"""The most levels of dicts and lists in metadata. SQLite reads 1,000; Python's json reads fewer in a deep call."""


def validate_text(text: object) -> str:
    """Check the text of a turn, and return it.

    Args:
        text: The text.

    Raises:
        InvalidTurnError: The text is not a string, not valid Unicode, or too long.
        EmptyTurnError: The text has only white space.
    """
    if not isinstance(text, str):
        raise InvalidTurnError(f"A turn's text must be a string, not {type(text).__name__}.")
    if len(text) > MAX_TEXT_CHARS:
        raise InvalidTurnError(
            f"A turn has at most {MAX_TEXT_CHARS:,} characters, this one {len(text):,}. Split a document, at its "
            "paragraphs for example, and memorize the parts as turns of one session."
        )
    if not text.strip():
        raise EmptyTurnError("A turn needs text; this one is empty. Leave it out.")
    return _unicode(text, "text")


def validate_turn(turn: Turn) -> Turn:
    """Check a turn, and return it with id, time and zone filled in, all values in Python's own types.

    Args:
        turn: The turn.

    Raises:
        TurnError: The turn cannot be stored exactly; the message names the field.
    """
    names = {name: _name(getattr(turn, name), name) for name in ("speaker", "session", "source", "id")}
    names["id"] = names["id"] or str(uuid.uuid4())
    return replace(turn, text=validate_text(turn.text), at=_time(turn.at), metadata=_metadata(turn.metadata), **names)


def validate_query(query: object) -> str:
    """Check a query, and return it in composed form (NFC).

    Args:
        query: The query.

    Raises:
        InvalidQueryError: The query is not a string, empty, or not valid Unicode.
    """
    if not isinstance(query, str) or not query.strip():
        raise InvalidQueryError("A query needs text; this one is empty.")
    # Composed and decomposed letters look the same, but not every reader reads them as the same.
    return unicodedata.normalize("NFC", _unicode(query, "query", InvalidQueryError))


def validate_count(count: object, name: str) -> int:
    """Check a number of things to return, and return it.

    Args:
        count: The number.
        name: The name of the argument, for the message.

    Raises:
        InvalidQueryError: It is no whole number of at least 1.
    """
    if not isinstance(count, int) or count < 1:
        raise InvalidQueryError(f"`{name}` must be a whole number of at least 1, not {count!r}.")
    return count


def validate_now(now: object, timezone: object) -> datetime:
    """Check when a query is asked, and return it in the user's zone.

    Args:
        now: A datetime, which is the machine's local time if it has no zone; None for this moment.
        timezone: The user's zone, as an IANA name or a tzinfo; None for the zone of `now`, or else the machine's.

    Raises:
        InvalidQueryError: `now` is no datetime or outside of the calendar, or there is no such zone.
    """
    if now is not None and not isinstance(now, datetime):
        raise InvalidQueryError(f"`now` must be a datetime or None, not {type(now).__name__}.")
    moment = datetime.now(LOCAL) if now is None else with_zone(now)
    try:
        return moment if timezone is None else moment.astimezone(_zone(timezone))
    except OverflowError as error:
        raise InvalidQueryError(f"`now` lies in the years 1 to 9999 in the user's zone; {now} does not.") from error


def validate_tenant(tenant: object) -> str:
    """Check a tenant's name, and return it. Names are compared exactly, never as patterns.

    Args:
        tenant: The name.

    Raises:
        InvalidTenantError: The name is missing, empty, too long, or not text.
    """
    if not isinstance(tenant, str) or not tenant.strip():
        raise InvalidTenantError(f"A memory belongs to one tenant (a user, say): give its name, not {tenant!r:.80}.")
    if len(tenant) > MAX_NAME_CHARS:
        raise InvalidTenantError(
            f"A tenant's name has at most {MAX_NAME_CHARS} characters, this one {len(tenant):,}; hash it."
        )
    return _unicode(tenant, "tenant", InvalidTenantError)


def _name(value: object, name: str) -> str | None:
    """Check a speaker, session, source or id, and return it."""
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise InvalidTurnError(f"A turn's {name} must be a non-empty string or None, not {value!r:.80}.")
    if len(value) > MAX_NAME_CHARS:
        raise InvalidTurnError(
            f"A turn's {name} has at most {MAX_NAME_CHARS} characters, this one {len(value):,}; shorten it."
        )
    return _unicode(value, name)


def _time(at: object) -> datetime:
    """The time in UTC; the current time for None. A time without a zone is the machine's local time."""
    if at is None:
        return datetime.now(UTC)
    if not isinstance(at, datetime):
        raise InvalidTurnError(f"A turn's time `at` must be a datetime, not {type(at).__name__}.")
    try:
        return with_zone(at).astimezone(UTC)
    except OverflowError as error:
        raise InvalidTurnError(f"A turn's time `at` lies in the years 1 to 9999 in UTC; {at} does not.") from error


def _zone(timezone: object) -> tzinfo:
    if isinstance(timezone, tzinfo):
        return timezone
    if not isinstance(timezone, str):
        raise InvalidQueryError(f"`timezone` must be a name, a tzinfo or None, not {type(timezone).__name__}.")
    try:
        return ZoneInfo(timezone)
    except (KeyError, ValueError, OSError) as error:  # an OSError: a folder of zones, such as "America"
        raise InvalidQueryError(
            f"There is no time zone {timezone!r:.80}. Write its IANA name, such as 'Europe/Berlin' or 'Asia/Tokyo'. "
            "If the name is right, this system has no zone data: `pip install tzdata` brings them."
        ) from error


def _metadata(metadata: object) -> dict[str, Any]:
    """The metadata as they are read back from JSON."""
    if not isinstance(metadata, Mapping):
        raise InvalidTurnError(f"A turn's metadata must be a dict, not {type(metadata).__name__}.")
    plain = _plain(metadata)
    try:
        stored = json.dumps(plain, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidTurnError(f"A turn's metadata must be a dict of JSON values: {error}") from error
    if len(stored) > MAX_METADATA_CHARS:
        raise InvalidTurnError(
            f"A turn's metadata have at most {MAX_METADATA_CHARS:,} characters as JSON, these {len(stored):,}; store "
            "them elsewhere and keep their address."
        )
    read: dict[str, Any] = json.loads(_unicode(stored, "metadata"))
    return read


def _plain(value: object, depth: int = 0) -> object:
    """The value in dicts and lists; tuples become lists. Keys must be text, because json turns numbers into text."""
    if depth > MAX_METADATA_DEPTH:
        raise InvalidTurnError(
            f"A turn's metadata have at most {MAX_METADATA_DEPTH} levels of dicts and lists; flatten them."
        )
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise InvalidTurnError(
                    f"A key in a turn's metadata must be text, not {type(key).__name__}: {key!r:.80}."
                )
        return {key: _plain(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, depth + 1) for inner in value]
    return value


def _unicode(text: str, name: str, refusal: type[TitansError] = InvalidTurnError) -> str:
    """The text as a plain `str`, not as an enum or another subclass."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise refusal(
            f"The {name} holds a lone surrogate at character {error.start}, which is no valid Unicode. "
            "Decode the source with errors='replace'."
        ) from error
    return str.__str__(text)
