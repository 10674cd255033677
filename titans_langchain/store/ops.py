"""What a store is asked to do: checked before any of it is done, with labels that may hold dots."""

from __future__ import annotations

import operator
import re
from abc import ABC
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, cast

from langgraph.store.base import (
    NOT_PROVIDED,
    BaseStore,
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    NotProvided,
    PutOp,
    SearchOp,
)
from typing_extensions import override

from titans_core.errors import InvalidQueryError, InvalidTurnError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langgraph.store.base import Item, NamespacePath, Op, SearchItem

_ORDERINGS = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}
_OPERATORS = ("$eq", "$ne", *_ORDERINGS)
_SURROGATE = re.compile("[\ud800-\udfff]")  # alone they are no valid Unicode


class OpStore(BaseStore, ABC):
    """The methods of a store, each of them one op of `batch` or `abatch`.

    `BaseStore` has the same, but refuses labels with dots, and with them e-mail addresses. Here `batch` is what checks
    the labels, so that no way around it exists.
    """

    @override
    def get(self, namespace: tuple[str, ...], key: str, *, refresh_ttl: bool | None = None) -> Item | None:
        return cast("Item | None", self.batch([GetOp(namespace, str(key), self._refreshes(refresh_ttl))])[0])

    @override
    async def aget(self, namespace: tuple[str, ...], key: str, *, refresh_ttl: bool | None = None) -> Item | None:
        return cast("Item | None", (await self.abatch([GetOp(namespace, str(key), self._refreshes(refresh_ttl))]))[0])

    @override
    def search(
        self,
        namespace_prefix: tuple[str, ...],
        /,
        *,
        query: str | None = None,
        filter: dict[str, Any] | None = None,
        limit: int = 10,
        offset: int = 0,
        refresh_ttl: bool | None = None,
    ) -> list[SearchItem]:
        op = SearchOp(namespace_prefix, filter, limit, offset, query, self._refreshes(refresh_ttl))
        return cast("list[SearchItem]", self.batch([op])[0])

    @override
    async def asearch(
        self,
        namespace_prefix: tuple[str, ...],
        /,
        *,
        query: str | None = None,
        filter: dict[str, Any] | None = None,
        limit: int = 10,
        offset: int = 0,
        refresh_ttl: bool | None = None,
    ) -> list[SearchItem]:
        op = SearchOp(namespace_prefix, filter, limit, offset, query, self._refreshes(refresh_ttl))
        return cast("list[SearchItem]", (await self.abatch([op]))[0])

    @override
    def put(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: Mapping[str, Any],
        index: Literal[False] | list[str] | None = None,
        *,
        ttl: float | NotProvided | None = NOT_PROVIDED,
    ) -> None:
        self.batch([PutOp(namespace, str(key), cast("dict[str, Any]", value), index, self._lives(ttl))])

    @override
    async def aput(
        self,
        namespace: tuple[str, ...],
        key: str,
        value: Mapping[str, Any],
        index: Literal[False] | list[str] | None = None,
        *,
        ttl: float | NotProvided | None = NOT_PROVIDED,
    ) -> None:
        await self.abatch([PutOp(namespace, str(key), cast("dict[str, Any]", value), index, self._lives(ttl))])

    @override
    def delete(self, namespace: tuple[str, ...], key: str) -> None:
        self.batch([PutOp(namespace, str(key), None)])

    @override
    async def adelete(self, namespace: tuple[str, ...], key: str) -> None:
        await self.abatch([PutOp(namespace, str(key), None)])

    @override
    def list_namespaces(
        self,
        *,
        prefix: NamespacePath | None = None,
        suffix: NamespacePath | None = None,
        max_depth: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[tuple[str, ...]]:
        op = ListNamespacesOp(_conditions(prefix, suffix), max_depth, limit, offset)
        return cast("list[tuple[str, ...]]", self.batch([op])[0])

    @override
    async def alist_namespaces(
        self,
        *,
        prefix: NamespacePath | None = None,
        suffix: NamespacePath | None = None,
        max_depth: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[tuple[str, ...]]:
        op = ListNamespacesOp(_conditions(prefix, suffix), max_depth, limit, offset)
        return cast("list[tuple[str, ...]]", (await self.abatch([op]))[0])

    def _refreshes(self, asked: bool | None) -> bool:
        return (self.ttl_config or {}).get("refresh_on_read", True) if asked is None else asked

    def _lives(self, asked: float | NotProvided | None) -> float | None:
        return (self.ttl_config or {}).get("default_ttl") if isinstance(asked, NotProvided) else asked


def checked(op: Op) -> Op:
    """The op, if it can be done.

    Raises:
        InvalidNamespaceError: a label is empty, no text or holds NUL; or an item's namespace is empty or LangGraph's.
        InvalidTurnError: a key is no text.
        InvalidQueryError: a filter, a match condition or a limit makes no sense.
    """
    if isinstance(op, GetOp | PutOp):
        if not isinstance(op.key, str) or _SURROGATE.search(op.key):
            raise InvalidTurnError(f"A key is valid Unicode text, not {op.key!r}.")
        return op._replace(namespace=_address(op.namespace))
    if isinstance(op, SearchOp):
        _check_filter(list((op.filter or {}).values()))
        _check_page(op.limit, op.offset)
        return op._replace(namespace_prefix=_labels(op.namespace_prefix))
    if isinstance(op, ListNamespacesOp):
        _check_page(op.limit, op.offset)
        for condition in op.match_conditions or ():
            _labels(condition.path)
            if condition.match_type not in ("prefix", "suffix"):
                raise InvalidQueryError(
                    f"Namespaces are matched by 'prefix' or 'suffix', not {condition.match_type!r}."
                )
        return op
    raise InvalidQueryError(f"A store knows GetOp, SearchOp, PutOp and ListNamespacesOp, not {type(op).__name__}.")


def passes(value: Mapping[str, Any], filter: Mapping[str, Any]) -> bool:  # noqa: A002 - as the op calls it
    """Whether an item's value meets each condition of a filter.

    A mapping without operators is met by one that has its keys and meets their conditions, a list by one that is as
    long and meets each; anything else by what equals it. Numbers, also as text, are ordered as numbers, other texts as
    texts, and what cannot be ordered meets no ordering.

    Args:
        value: of the item.
        filter: conditions by key, checked; a key that is missing counts as None.
    """
    return all(_meets(value.get(key), condition) for key, condition in filter.items())


def lies(namespace: tuple[str, ...], condition: MatchCondition) -> bool:
    """Whether a namespace begins or ends as a match condition says, label by label."""
    count = len(condition.path)
    if count > len(namespace):
        return False
    part = namespace[:count] if condition.match_type == "prefix" else namespace[len(namespace) - count :]
    return all(wanted in ("*", label) for wanted, label in zip(condition.path, part, strict=True))


def _conditions(prefix: NamespacePath | None, suffix: NamespacePath | None) -> tuple[MatchCondition, ...]:
    wanted: Iterable[tuple[Literal["prefix", "suffix"], NamespacePath | None]] = (
        ("prefix", prefix),
        ("suffix", suffix),
    )
    return tuple(MatchCondition(kind, path) for kind, path in wanted if path)


def _address(namespace: Any) -> tuple[str, ...]:
    labels = _labels(namespace)
    if not labels:
        raise InvalidNamespaceError("An item's namespace has at least one label, such as ('memories', 'alice').")
    if labels[0] == "langgraph":
        raise InvalidNamespaceError(f"Namespaces below 'langgraph' are LangGraph's own; choose another than {labels}.")
    return labels


def _labels(namespace: Any) -> tuple[str, ...]:
    if not isinstance(namespace, tuple | list):
        raise InvalidNamespaceError(f"A namespace is a tuple of labels, such as ('memories',), not {namespace!r}.")
    for label in namespace:
        if not isinstance(label, str) or not label or "\0" in label or _SURROGATE.search(label):
            raise InvalidNamespaceError(f"A namespace's labels are non-empty texts without NUL; {label!r} is none.")
    return tuple(namespace)


def _check_page(limit: int, offset: int) -> None:
    if limit < 0 or offset < 0:
        raise InvalidQueryError(f"`limit` and `offset` are at least 0, not {limit} and {offset}.")


def _check_filter(condition: Any) -> None:
    parts = condition
    if isinstance(condition, Mapping):
        if _operators(condition) and (unknown := set(condition) - set(_OPERATORS)):
            raise InvalidQueryError(f"A filter's operators are {', '.join(_OPERATORS)}, not {', '.join(unknown)}.")
        parts = list(condition.values())
    if isinstance(parts, list | tuple):
        for part in parts:
            _check_filter(part)


def _operators(condition: Mapping[str, Any]) -> bool:
    return any(key.startswith("$") for key in condition)


def _meets(value: Any, condition: Any) -> bool:
    if isinstance(condition, Mapping):
        if _operators(condition):
            return all(_holds(value, name, bound) for name, bound in condition.items())
        return isinstance(value, dict) and passes(value, condition)
    if isinstance(condition, list | tuple):
        return isinstance(value, list) and len(value) == len(condition) and all(map(_meets, value, condition))
    return bool(value == condition)


def _holds(value: Any, name: str, bound: Any) -> bool:
    if name == "$eq":
        return bool(value == bound)
    if name == "$ne":
        return bool(value != bound)
    try:
        return bool(_ORDERINGS[name](float(value), float(bound)))
    except (TypeError, ValueError, OverflowError):
        return isinstance(value, str) and isinstance(bound, str) and bool(_ORDERINGS[name](value, bound))
