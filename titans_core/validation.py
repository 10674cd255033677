"""Checks of everything that enters a memory; invalid values are refused before anything is written."""

from __future__ import annotations

import json
import unicodedata
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

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
    "MAX_QUERY_CHARS",
    "MAX_TEXT_CHARS",
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

MAX_QUERY_CHARS = 10_000
"""The most characters of a query that are used. The reader takes 512 tokens; more text would only cost time."""


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
    """Check a query, and return it in composed form (NFC), cut after `MAX_QUERY_CHARS`.

    Args:
        query: The query.

    Raises:
        InvalidQueryError: The query is not a string, empty, or not valid Unicode.
    """
    if not isinstance(query, str) or not query.strip():
        raise InvalidQueryError("A query needs text; this one is empty.")
    if len(query) > MAX_QUERY_CHARS:
        query = query.strip()[:MAX_QUERY_CHARS]
    # Composed and decomposed letters look the same, but not every reader reads them as the same.
    return unicodedata.normalize("NFC", _unicode(query, "query", InvalidQueryError))


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
    """The time in UTC; the current time for None."""
    if at is None:
        return datetime.now(UTC)
    if not isinstance(at, datetime):
        raise InvalidTurnError(f"A turn's time `at` must be a datetime, not {type(at).__name__}.")
    try:
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except OverflowError as error:
        raise InvalidTurnError(f"A turn's time `at` lies in the years 1 to 9999 in UTC; {at} does not.") from error


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
