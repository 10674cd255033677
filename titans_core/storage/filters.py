"""Filters: conditions that a turn must meet."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypedDict

from titans_core._utils.local_zone import with_zone
from titans_core.errors import InvalidQueryError

if TYPE_CHECKING:
    from collections.abc import Mapping


class FilterArguments(TypedDict, total=False):
    """The fields of `Filters` as keyword arguments of a method."""

    speaker: str | None
    since: datetime | None
    until: datetime | None
    session: str | None
    source: str | None
    where: Mapping[str, Any] | None
    ids: Collection[str] | None
    except_texts: Collection[str] | None


@dataclass(frozen=True, slots=True)
class Filters:
    """Conditions on a turn, which must meet all of them. A field that is None is no condition.

    Attributes:
        speaker: The turn was said by exactly this speaker.
        since: The turn was said at this time or later. A time without a zone is the machine's local time.
        until: The turn was said before this time; likewise.
        session: The turn belongs to exactly this session.
        source: The turn comes from exactly this source.
        where: The turn's metadata have each of these keys with this value (str, int, float, bool or None).
        ids: The turn's id is in this collection.
        except_texts: The turn's text is not in this collection.

    Raises:
        InvalidQueryError: A condition has the wrong type, or contains invalid Unicode.
    """

    speaker: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    session: str | None = None
    source: str | None = None
    where: Mapping[str, Any] | None = None
    ids: Collection[str] | None = None
    except_texts: Collection[str] | None = None

    def __post_init__(self) -> None:
        for name in ("speaker", "session", "source"):
            if (wanted := getattr(self, name)) is not None:
                _check_text(wanted, name)
        for name in ("since", "until"):
            if (time := getattr(self, name)) is not None and not isinstance(time, datetime):
                raise InvalidQueryError(f"`{name}` must be a datetime, not {type(time).__name__}.")
        for key, value in (self.where or {}).items():
            _check_text(key, "where")
            _check_value(key, value)
        for name in ("ids", "except_texts"):
            if (texts := getattr(self, name)) is not None:
                _check_texts(texts, name)

    def __bool__(self) -> bool:
        return any(getattr(self, name) is not None for name in self.__slots__)


def microseconds(time: datetime) -> int:
    """Convert a time into exact microseconds since 1970, UTC. A time without a zone is the machine's local time."""
    since = with_zone(time) - datetime.fromtimestamp(0, UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _check_value(key: str, value: object) -> None:
    if isinstance(value, str):
        _check_text(value, "where")
    elif not isinstance(value, int | float | None):
        raise InvalidQueryError(f"`where` compares single values; {key!r} is a {type(value).__name__}.")
    elif value is not None and not -(2**63) <= value < 2**63:
        raise InvalidQueryError(f"`where` compares finite numbers of 64 bits; {key!r} is {value!r}.")


def _check_texts(texts: object, name: str) -> None:
    if isinstance(texts, str) or not isinstance(texts, Collection) or not all(isinstance(text, str) for text in texts):
        raise InvalidQueryError(f"`{name}` must be a collection of texts, not {texts!r}.")
    for text in texts:
        _check_text(text, name)


def _check_text(text: object, name: str) -> None:
    if not isinstance(text, str):
        raise InvalidQueryError(f"`{name}` must be text, not {type(text).__name__}.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidQueryError(f"`{name}` holds a lone surrogate, which is no valid Unicode.") from error
