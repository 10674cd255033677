"""Which turns a call is about."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypedDict

from titans_core.errors import InvalidQueryError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class FilterArguments(TypedDict, total=False):
    """The fields of `Filters`, for methods that take them as keywords."""

    speaker: str | None
    since: datetime | None
    until: datetime | None
    session: str | None
    where: Mapping[str, Any] | None
    ids: Collection[str] | None
    except_texts: Collection[str] | None


@dataclass(frozen=True, slots=True)
class Filters:
    """Conditions that a turn must meet, all of them; None is no condition.

    Attributes:
        speaker: said by exactly this one.
        since: said at this time or later.
        until: said before this time.
        session: of exactly this session.
        where: the metadata hold each of these keys with this value (str, int, float, bool or None).
        ids: the id is one of these.
        except_texts: the text is none of these, which the caller has already.
    """

    speaker: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    session: str | None = None
    where: Mapping[str, Any] | None = None
    ids: Collection[str] | None = None
    except_texts: Collection[str] | None = None

    def __bool__(self) -> bool:
        parts = (self.speaker, self.since, self.until, self.session, self.where, self.ids, self.except_texts)
        return any(part is not None for part in parts)

    def sql(self) -> tuple[str, list[Any]]:
        """The conditions as SQL over the table `turns`, each after an AND, and their parameters.

        Raises:
            InvalidQueryError: a condition has the wrong type.
        """
        sql: list[str] = []
        values: list[Any] = []
        for column in ("speaker", "session"):
            if (wanted := getattr(self, column)) is not None:
                if not isinstance(wanted, str):
                    raise InvalidQueryError(f"`{column}` must be text, not {type(wanted).__name__}.")
                sql.append(f"AND {column} = ?")
                values.append(wanted)
        for name, comparison in (("since", ">="), ("until", "<")):
            if (time := getattr(self, name)) is not None:
                sql.append(f"AND at {comparison} ?")
                values.append(timestamp(time, name))
        for key, value in (self.where or {}).items():
            if not isinstance(value, str | int | float | None):
                raise InvalidQueryError(f"`where` compares single values; {key!r} is a {type(value).__name__}.")
            # The key is a parameter too: no text of the caller's becomes SQL or a JSON path.
            sql.append("AND EXISTS (SELECT 1 FROM json_each(metadata) WHERE key = ? AND value IS ?)")
            values += [key, value]
        for name, column, negation in (("ids", "id", ""), ("except_texts", "text", "NOT ")):
            if (texts := getattr(self, name)) is not None:
                condition, parameters = _among(column, texts, name)
                sql.append(f"AND {negation}{condition}")
                values += parameters
        return " ".join(sql), values


def _among(column: str, texts: Collection[str], name: str) -> tuple[str, list[str]]:
    """SQL for a column that holds one of these texts, and its parameters."""
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise InvalidQueryError(f"`{name}` must be a collection of texts, not {texts!r}.")
    # SQLite's JSON functions end a text at NUL, and there is a limit to the number of parameters.
    cut = [text for text in texts if "\0" in text]
    whole = json.dumps([text for text in texts if "\0" not in text])
    sql = f"({column} IN (SELECT value FROM json_each(?)){f' OR {column} = ?' * len(cut)})"  # noqa: S608 - our own texts
    return sql, [whole, *cut]


def timestamp(time: datetime, name: str) -> float:
    """Seconds since 1970; a time without a zone is UTC."""
    if not isinstance(time, datetime):
        raise InvalidQueryError(f"`{name}` must be a datetime, not {type(time).__name__}.")
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
