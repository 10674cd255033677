"""Items of a store as turns of a memory, and back.

A namespace is a tenant, an item one of its turns: the key is the turn's id, the value stands in its metadata, and what
a query may find of it is its text.
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
from titans_langchain.identity import NAMESPACES
from titans_langchain.store.ops import passes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langgraph.store.base import PutOp

    from titans_core import TitansMemory

_ESCAPED = "\\"
# A turn's id is never empty, and SQLite's JSON functions cut a text at NUL.
_NO_ID = re.compile(r"\A\Z|\A\\|\0")


class ScoredItem(SearchItem):
    """An item that a search has found, with a label that says how far to trust it.

    Attributes:
        score: in [0, 1], how probably it answers the query, where the reader is calibrated; None without a query.
        confidence: "high" (trust it), "low" (show it, do not assert it), or "none" (nothing relevant is known; only
            of a store that does not abstain). The label of a namespace is its best item's; below it nothing is more
            than "low". None without a query.
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
    """The tenant that holds a namespace; its beginning is that of every namespace above."""
    return NAMESPACES + "".join(json.dumps(label, ensure_ascii=False) + "/" for label in namespace)


def namespace_of(tenant: str) -> tuple[str, ...]:
    """The namespace that a tenant holds."""
    decode, place, labels = json.JSONDecoder().raw_decode, len(NAMESPACES), []
    while place < len(tenant):
        label, end = decode(tenant, place)
        labels.append(label)
        place = end + 1  # after the slash
    return tuple(labels)


def id_of(key: str) -> str:
    """The id of the turn that holds an item: its key, escaped if no turn may have it as its id."""
    return _ESCAPED + json.dumps(key) if _NO_ID.search(key) else key


def key_of(turn: Turn) -> str:
    """The key of the item that a turn holds."""
    id = turn.id or ""  # noqa: A001 - as the turn calls it
    return json.loads(id.removeprefix(_ESCAPED)) if id.startswith(_ESCAPED) else id


def turn_of(op: PutOp, fields: Sequence[str], now: datetime) -> Turn:
    """The turn that holds an item put now.

    Args:
        op: puts the item; its value is not None.
        fields: the paths of what a query may find, unless the op names others.
        now: the time.

    Raises:
        InvalidTurnError: the value is no mapping of JSON values, or the time to live no positive number.
    """
    if not isinstance(op.value, Mapping):
        raise InvalidTurnError(f"A value is a mapping, such as {{'text': …}}, not {type(op.value).__name__}.")
    turn = validate_turn(Turn(_key_text(op.key), at=now, metadata={"value": dict(op.value)}, id=id_of(op.key)))
    value = turn.metadata["value"]  # as JSON gives it back
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
    """The time at which an item that is used now expires, in ISO 8601.

    Raises:
        InvalidTurnError: `ttl` is no positive number of minutes, or one beyond the calendar.
    """
    try:
        if ttl > 0:
            return (now + timedelta(minutes=ttl)).isoformat()
    except (TypeError, ValueError, OverflowError):
        pass
    raise InvalidTurnError(f"`ttl` is a positive number of minutes, or None to keep the item; not {ttl!r}.")


def has_expired(turn: Turn, now: datetime) -> bool:
    """Whether the time of the item that a turn holds is over."""
    expires_at = turn.metadata["expires_at"]
    return expires_at is not None and datetime.fromisoformat(expires_at) <= now


def item_of(turn: Turn, namespace: tuple[str, ...]) -> Item:
    """The item that a turn holds."""
    return Item(**_parts(turn, namespace))


class Shelf(NamedTuple):
    """A namespace and items in it.

    Attributes:
        namespace: the labels.
        memory: holds all its items.
        turns: that hold the items, in the order in which they were put.
    """

    namespace: tuple[str, ...]
    memory: TitansMemory
    turns: list[Turn]

    @classmethod
    def of(cls, memory: TitansMemory) -> Self:
        """A namespace and all its items."""
        return cls(namespace_of(memory.tenant), memory, memory.turns())

    def began(self) -> float:
        """The time of the first item, in seconds since 1970."""
        return min((turn.at.timestamp() for turn in self.turns if turn.at), default=0.0)

    def only(self, filter: Mapping[str, Any], now: datetime) -> Self:  # noqa: A002 - as the op calls it
        """The items that live now and pass a filter."""
        turns = [turn for turn in self.turns if not has_expired(turn, now) and passes(turn.metadata["value"], filter)]
        return self._replace(turns=turns)

    def recall(self, query: str, count: int, *, abstain: bool) -> list[Found]:
        """At most so many of the items, best first; none if nothing relevant is known and the store abstains."""
        ids = [turn.id or "" for turn in self.turns if turn.metadata["indexed"]]
        if not ids or not count:
            return []
        found = self.memory.recall(query, k=count, ids=ids)
        label = found.confidence
        if abstain and label is Confidence.NONE:
            return []
        below = Confidence.LOW if label is Confidence.HIGH else label  # what is promised, is promised of the best
        return [
            Found(self, recall.turn, score, (below if place else label).value)
            for place, (recall, score) in enumerate(zip(found, found.relevance, strict=True))
        ]


class Found(NamedTuple):
    """An item that a search has found, see `ScoredItem`."""

    shelf: Shelf
    turn: Turn
    score: float | None = None
    confidence: str | None = None

    def item(self) -> ScoredItem:
        """The item."""
        parts = _parts(self.turn, self.shelf.namespace)
        return ScoredItem(**parts, score=self.score, confidence=self.confidence)


def _parts(turn: Turn, namespace: tuple[str, ...]) -> dict[str, Any]:
    return {
        "namespace": namespace,
        "key": key_of(turn),
        "value": turn.metadata["value"],
        "created_at": turn.at,
        "updated_at": datetime.fromisoformat(turn.metadata["updated_at"]),
    }


def _key_text(key: str) -> str:
    """The text of an item that no query finds; a turn needs one."""
    return key if key.strip() else repr(key)


def _texts(value: dict[str, Any], path: str) -> list[str]:
    """The texts at a path. The whole value is told in words: a reader makes little of braces and quotes."""
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
