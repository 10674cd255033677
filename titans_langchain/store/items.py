"""Conversion of a store's items to turns and back.

Each namespace is a tenant, and each item is one turn of this tenant. The key is the turn's id, the value is in the
turn's metadata, and the text that a query can find is the turn's text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from langgraph.store.base import Item, SearchItem, get_text_at_path
from typing_extensions import override

from titans_core import Confidence, Turn
from titans_core.errors import InvalidTurnError
from titans_core.integration import validate_turn
from titans_langchain.identity import STORE_PREFIX
from titans_langchain.store.ops import matches_filter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langgraph.store.base import PutOp

    from titans_core import TitansMemory

_ESCAPE = "\\"
# A turn's id is never empty, and SQLite's JSON functions cut a text at NUL.
_NEEDS_ESCAPE = re.compile(r"\A\Z|\A\\|\0")


class ScoredItem(SearchItem):
    """An item that a search returned, with a label that says how far to trust it.

    Attributes:
        score: Probability in [0, 1] that the item answers the query, if the reader is calibrated; None without a query.
        confidence: "high" (trust it), "low" (show it, do not assert it), or "none" (nothing relevant is known; only
            from a store that does not abstain). None without a query. The best item of a namespace has the label of
            the namespace; no other item has a label above "low".
    """

    __slots__ = ("confidence",)

    def __init__(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: dict[str, Any],
        created_at: datetime,
        updated_at: datetime,
        score: float | None = None,
        confidence: str | None = None,
    ) -> None:
        super().__init__(namespace, key, value, created_at, updated_at, score)
        self.confidence = confidence

    @override
    def dict(self) -> dict[str, Any]:
        return super().dict() | {"confidence": self.confidence}


def tenant_of(namespace: tuple[str, ...]) -> str:
    """Return the tenant of a namespace. It begins with the tenant of every namespace above it."""
    return STORE_PREFIX + "".join(json.dumps(label, ensure_ascii=False) + "/" for label in namespace)


def namespace_of(tenant: str) -> tuple[str, ...]:
    """Return the namespace of a tenant."""
    decode, place, labels = json.JSONDecoder().raw_decode, len(STORE_PREFIX), []
    while place < len(tenant):
        label, end = decode(tenant, place)
        labels.append(label)
        place = end + 1  # after the slash
    return tuple(labels)


def id_of(key: str) -> str:
    """Return the id of an item's turn: the key, escaped if a turn cannot have it as its id."""
    return _ESCAPE + json.dumps(key) if _NEEDS_ESCAPE.search(key) else key


def key_of(turn: Turn) -> str:
    """Return the key of the item in a turn."""
    turn_id = turn.id or ""
    return str(json.loads(turn_id.removeprefix(_ESCAPE))) if turn_id.startswith(_ESCAPE) else turn_id


def turn_of(op: PutOp, fields: Sequence[str], now: datetime) -> Turn:
    """Return the turn for an item that is put now.

    Args:
        op: Operation that puts the item; its value is not None.
        fields: Paths in the value that a query can find, unless the operation names other paths.
        now: Current time.

    Raises:
        InvalidTurnError: The value is not a mapping of JSON values, or the time to live is not a positive number.
    """
    if not isinstance(op.value, Mapping):
        raise InvalidTurnError(f"A value must be a mapping, such as {{'text': …}}, not {type(op.value).__name__}.")
    turn = validate_turn(Turn(_key_as_text(op.key), at=now, metadata={"value": dict(op.value)}, id=id_of(op.key)))
    value = turn.metadata["value"]  # as JSON values
    paths = fields if op.index is None else op.index or ()
    text = "\n".join(text for path in paths for text in _texts(value, path) if text.strip())
    metadata = {
        "value": value,
        "indexed": bool(text),
        "updated_at": now.isoformat(),
        "ttl": op.ttl,
        "expires_at": None if op.ttl is None else expiry(op.ttl, now),
    }
    return replace(turn, text=text or turn.text, metadata=metadata)


def expiry(ttl: float, now: datetime) -> str:
    """Return the time at which an item that is used now expires, in ISO 8601.

    Args:
        ttl: Time to live in minutes, > 0.
        now: Current time.

    Raises:
        InvalidTurnError: `ttl` is not a positive number, or the time is beyond the calendar.
    """
    try:
        if ttl > 0:
            return (now + timedelta(minutes=ttl)).isoformat()
    except (TypeError, ValueError, OverflowError):
        pass
    raise InvalidTurnError(f"`ttl` must be a positive number of minutes, or None to keep the item; not {ttl!r}.")


def has_expired(turn: Turn, now: datetime) -> bool:
    """Whether the item in a turn has expired."""
    expires_at = turn.metadata["expires_at"]
    return expires_at is not None and datetime.fromisoformat(expires_at) <= now


def item_of(turn: Turn, namespace: tuple[str, ...]) -> Item:
    """Return the item in a turn."""
    return Item(**_item_fields(turn, namespace))


class NamespaceItems(NamedTuple):
    """A namespace with some of its items.

    Attributes:
        namespace: Labels of the namespace.
        memory: Memory that holds all items of the namespace.
        turns: Turns with the items, in the order in which the items were put.
    """

    namespace: tuple[str, ...]
    memory: TitansMemory
    turns: list[Turn]

    @classmethod
    def read(cls, memory: TitansMemory) -> Self:
        """Return a namespace with all its items."""
        return cls(namespace_of(memory.tenant), memory, memory.turns())

    def first_time(self) -> float:
        """Return the creation time of the first item, in seconds since 1970."""
        return min((turn.at.timestamp() for turn in self.turns if turn.at), default=0.0)

    def select(self, filter: Mapping[str, Any], now: datetime) -> Self:  # noqa: A002  # LangGraph's name
        """Return the namespace with the items that match a filter and have not expired."""
        turns = [
            turn for turn in self.turns if not has_expired(turn, now) and matches_filter(turn.metadata["value"], filter)
        ]
        return self._replace(turns=turns)

    def recall(self, query: str, count: int, *, abstain: bool) -> list[FoundItem]:
        """Return the items that answer a query, best first.

        Args:
            query: Query; not blank.
            count: Maximum number of items, >= 0.
            abstain: Whether to return nothing under the label `none`.
        """
        ids = [turn.id or "" for turn in self.turns if turn.metadata["indexed"]]
        if not ids or not count:
            return []
        found = self.memory.recall(query, k=count, ids=ids)
        label = found.confidence
        if abstain and label is Confidence.NONE:
            return []
        # The promise of the label "high" holds for the best item only.
        other_label = Confidence.LOW if label is Confidence.HIGH else label
        return [
            FoundItem(self, recall.turn, score, (other_label if place else label).value)
            for place, (recall, score) in enumerate(zip(found, found.relevance, strict=True))
        ]


class FoundItem(NamedTuple):
    """An item that a search found.

    Attributes:
        source: Namespace of the item.
        turn: Turn with the item.
        score: As in `ScoredItem`.
        confidence: As in `ScoredItem`.
    """

    source: NamespaceItems
    turn: Turn
    score: float | None = None
    confidence: str | None = None

    @property
    def address(self) -> tuple[tuple[str, ...], str | None]:
        """Namespace and turn id, which together are unique in the store."""
        return self.source.namespace, self.turn.id

    def item(self) -> ScoredItem:
        """Return the item as the search returns it."""
        fields = _item_fields(self.turn, self.source.namespace)
        return ScoredItem(**fields, score=self.score, confidence=self.confidence)


def _item_fields(turn: Turn, namespace: tuple[str, ...]) -> dict[str, Any]:
    return {
        "namespace": namespace,
        "key": key_of(turn),
        "value": turn.metadata["value"],
        "created_at": turn.at,
        "updated_at": datetime.fromisoformat(turn.metadata["updated_at"]),
    }


def _key_as_text(key: str) -> str:
    """Return a text for the turn of an item that no query can find, because a turn needs a text."""
    return key if key.strip() else repr(key)


def _texts(value: dict[str, Any], path: str) -> list[str]:
    """Return the texts at a path. The whole value, "$", becomes words: a reader cannot use braces and quotes."""
    if path != "$":
        return get_text_at_path(value, path)
    leaves = list(_leaves(value, ""))
    if len(leaves) == 1 and isinstance(leaves[0][1], str):
        return [leaves[0][1]]
    return [f"{where}: {leaf}" for where, leaf in leaves]


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _leaves(part, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(part, path)
    elif value is not None and str(value).strip():
        yield path, value
