"""What may enter the log; everything else is refused before anything is written."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from titans_core.errors import (
    EmptyTurnError,
    InvalidQueryError,
    InvalidTenantError,
    InvalidTurnError,
    TitansError,
)

if TYPE_CHECKING:
    from titans_core.types import Turn


def checked_text(text: object) -> str:
    """The text, if a turn may have it.

    Raises:
        InvalidTurnError: not a string, or not valid Unicode.
        EmptyTurnError: nothing but white space.
    """
    if not isinstance(text, str):
        raise InvalidTurnError(f"A turn's text must be a string, not {type(text).__name__}.")
    if not text.strip():
        raise EmptyTurnError("A turn needs text; this one is empty. Leave it out.")
    return _unicode(text, "text")


def checked_turn(turn: Turn) -> Turn:
    """The turn with id, zone and time filled in.

    Raises:
        TurnError: it cannot be stored exactly; the message names the field.
    """
    checked_text(turn.text)
    for name in ("speaker", "session", "id"):
        value = getattr(turn, name)
        if value is None:
            continue
        if not isinstance(value, str) or not value:
            raise InvalidTurnError(f"A turn's {name} must be a non-empty string or None, not {value!r}.")
        _unicode(value, name)
    at = turn.at or datetime.now(UTC)
    if not isinstance(at, datetime):
        raise InvalidTurnError(f"A turn's time `at` must be a datetime, not {type(at).__name__}.")
    try:
        metadata = json.loads(
            _unicode(json.dumps(dict(turn.metadata), ensure_ascii=False, allow_nan=False), "metadata")
        )
    except (TypeError, ValueError) as error:
        raise InvalidTurnError(f"A turn's metadata must be a dict of JSON values: {error}") from error
    at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    return replace(turn, at=at, metadata=metadata, id=turn.id or str(uuid.uuid4()))


def checked_query(query: object) -> str:
    """The query, if it can be answered.

    Raises:
        InvalidQueryError: not a string, empty, or not valid Unicode.
    """
    if not isinstance(query, str) or not query.strip():
        raise InvalidQueryError("A query needs text; this one is empty.")
    return _unicode(query, "query", InvalidQueryError)


def checked_tenant(tenant: object) -> str:
    """The tenant's name: compared exactly, never as a pattern.

    Raises:
        InvalidTenantError: missing, empty or not text.
    """
    if not isinstance(tenant, str) or not tenant.strip():
        raise InvalidTenantError(f"A memory belongs to one tenant (a user, say): give its name, not {tenant!r}.")
    return _unicode(tenant, "tenant", InvalidTenantError)


def _unicode(text: str, name: str, refusal: type[TitansError] = InvalidTurnError) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise refusal(
            f"The {name} holds a lone surrogate at character {error.start}, which is no valid Unicode. "
            "Decode the source with errors='replace'."
        ) from error
    return text
