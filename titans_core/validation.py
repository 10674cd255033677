"""What may enter the log; everything else is refused before anything is written."""

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

MAX_TEXT_CHARS = 1_000_000
"""The most characters of a turn. What somebody says has some hundreds, a book has a million; and a turn is read and
learned in one piece, which takes minutes for so many."""

MAX_NAME_CHARS = 500
"""The most characters of a speaker, session, source, id or tenant: at most 2,000 bytes, which an index of any
database takes (PostgreSQL's ends at 2,704)."""

MAX_METADATA_CHARS = 20_000_000
"""The most characters of a turn's metadata as JSON: chat messages are kept there whole, pictures in base64 too."""

MAX_METADATA_DEPTH = 100
"""The most levels of dicts and lists in metadata. SQLite reads 1,000, and Python's json fewer in a deep call."""

MAX_QUERY_CHARS = 10_000
"""Characters of a query that are looked at. The reader takes 512 tokens; the rest would only cost time."""


def validate_text(text: object) -> str:
    """The text, if a turn may have it.

    Raises:
        InvalidTurnError: not a string, not valid Unicode, or too long.
        EmptyTurnError: nothing but white space.
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
    """The turn with id, zone and time filled in, all of it in Python's own types.

    Raises:
        TurnError: it cannot be stored exactly; the message names the field.
    """
    names = {name: _name(getattr(turn, name), name) for name in ("speaker", "session", "source", "id")}
    names["id"] = names["id"] or str(uuid.uuid4())
    return replace(turn, text=validate_text(turn.text), at=_time(turn.at), metadata=_metadata(turn.metadata), **names)


def validate_query(query: object) -> str:
    """The query in composed form (NFC); of a query longer than `MAX_QUERY_CHARS` only the beginning.

    Raises:
        InvalidQueryError: not a string, empty, or not valid Unicode.
    """
    if not isinstance(query, str) or not query.strip():
        raise InvalidQueryError("A query needs text; this one is empty.")
    if len(query) > MAX_QUERY_CHARS:
        query = query.strip()[:MAX_QUERY_CHARS]
    # Composed and decomposed letters look alike, and not every reader takes them for the same.
    return unicodedata.normalize("NFC", _unicode(query, "query", InvalidQueryError))


def validate_tenant(tenant: object) -> str:
    """The tenant's name: compared exactly, never as a pattern.

    Raises:
        InvalidTenantError: missing, empty, too long, or not text.
    """
    if not isinstance(tenant, str) or not tenant.strip():
        raise InvalidTenantError(f"A memory belongs to one tenant (a user, say): give its name, not {tenant!r:.80}.")
    if len(tenant) > MAX_NAME_CHARS:
        raise InvalidTenantError(
            f"A tenant's name has at most {MAX_NAME_CHARS} characters, this one {len(tenant):,}; hash it."
        )
    return _unicode(tenant, "tenant", InvalidTenantError)


def _name(value: object, name: str) -> str | None:
    """A speaker, session, source or id."""
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
    """The time in UTC; now for None."""
    if at is None:
        return datetime.now(UTC)
    if not isinstance(at, datetime):
        raise InvalidTurnError(f"A turn's time `at` must be a datetime, not {type(at).__name__}.")
    try:
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except OverflowError as error:
        raise InvalidTurnError(f"A turn's time `at` lies in the years 1 to 9999 in UTC; {at} does not.") from error


def _metadata(metadata: object) -> dict[str, Any]:
    """The metadata as they will be read back."""
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
    """The value in dicts and lists, a tuple as a list; json alone would turn a key that is a number into text."""
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
    """The text as a plain str, not as an enum or another kind of it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise refusal(
            f"The {name} holds a lone surrogate at character {error.start}, which is no valid Unicode. "
            "Decode the source with errors='replace'."
        ) from error
    return str.__str__(text)
