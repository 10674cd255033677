"""The operations of a store, with checks that are made before any operation is carried out. Labels may contain dots."""

from __future__ import annotations

import operator
import re
from abc import ABC
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

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
from typing_extensions import TypedDict, Unpack, override

from titans_core.errors import InvalidQueryError, InvalidTurnError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langgraph.store.base import Item, NamespacePath, Op, SearchItem

_Namespace: TypeAlias = tuple[str, ...]
_Value: TypeAlias = Mapping[str, Any]
_Index: TypeAlias = Literal[False] | list[str] | None
_Ttl: TypeAlias = float | NotProvided | None

_ORDERINGS = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}
_OPERATORS = ("$eq", "$ne", *_ORDERINGS)
_SURROGATE = re.compile("[\ud800-\udfff]")  # a lone surrogate is not valid Unicode


class SearchOptions(TypedDict, total=False):
    """Keyword arguments of `search` and `asearch`.

    Attributes:
        query: Text to search for; None or blank for all items.
        filter: Conditions on the items' values.
        limit: Maximum number of items, >= 0; 10 by default.
        offset: Number of items to skip, >= 0; 0 by default.
        refresh_ttl: Whether the items found live on from now; None for the store's configuration.
    """

    query: str | None
    filter: dict[str, Any] | None
    limit: int
    offset: int
    refresh_ttl: bool | None


class ListOptions(TypedDict, total=False):
    """Keyword arguments of `list_namespaces` and `alist_namespaces`.

    Attributes:
        prefix: Labels that a namespace begins with; "*" stands for any label.
        suffix: Labels that a namespace ends with; "*" stands for any label.
        max_depth: Number of labels after which namespaces are cut, or None.
        limit: Maximum number of namespaces, >= 0; 100 by default.
        offset: Number of namespaces to skip, >= 0; 0 by default.
    """

    prefix: NamespacePath | None
    suffix: NamespacePath | None
    max_depth: int | None
    limit: int
    offset: int


class OpStore(BaseStore, ABC):
    """The methods of a store; each method passes one operation to `batch` or `abatch`.

    The methods of `BaseStore` do the same, but they refuse labels with dots, such as e-mail addresses. Here `batch`
    checks the labels, so that no method can skip the check.
    """

    @override
    def get(self, namespace: _Namespace, key: str, *, refresh_ttl: bool | None = None) -> Item | None:
        return cast("Item | None", self.batch([self._get_op(namespace, key, refresh_ttl)])[0])

    @override
    async def aget(self, namespace: _Namespace, key: str, *, refresh_ttl: bool | None = None) -> Item | None:
        return cast("Item | None", (await self.abatch([self._get_op(namespace, key, refresh_ttl)]))[0])

    @override
    def search(self, namespace_prefix: _Namespace, /, **options: Unpack[SearchOptions]) -> list[SearchItem]:
        return cast("list[SearchItem]", self.batch([self._search_op(namespace_prefix, **options)])[0])

    @override
    async def asearch(self, namespace_prefix: _Namespace, /, **options: Unpack[SearchOptions]) -> list[SearchItem]:
        return cast("list[SearchItem]", (await self.abatch([self._search_op(namespace_prefix, **options)]))[0])

    @override
    def put(
        self, namespace: _Namespace, key: str, value: _Value, index: _Index = None, *, ttl: _Ttl = NOT_PROVIDED
    ) -> None:
        self.batch([self._put_op(namespace, key, value, index, ttl)])

    @override
    async def aput(
        self, namespace: _Namespace, key: str, value: _Value, index: _Index = None, *, ttl: _Ttl = NOT_PROVIDED
    ) -> None:
        await self.abatch([self._put_op(namespace, key, value, index, ttl)])

    @override
    def delete(self, namespace: _Namespace, key: str) -> None:
        self.batch([PutOp(namespace, str(key), None)])

    @override
    async def adelete(self, namespace: _Namespace, key: str) -> None:
        await self.abatch([PutOp(namespace, str(key), None)])

    @override
    def list_namespaces(self, **options: Unpack[ListOptions]) -> list[_Namespace]:
        return cast("list[_Namespace]", self.batch([_list_op(**options)])[0])

    @override
    async def alist_namespaces(self, **options: Unpack[ListOptions]) -> list[_Namespace]:
        return cast("list[_Namespace]", (await self.abatch([_list_op(**options)]))[0])

    def _get_op(self, namespace: _Namespace, key: str, refresh_ttl: bool | None) -> GetOp:
        return GetOp(namespace, str(key), self._refresh_or_default(refresh_ttl))

    def _search_op(
        self,
        namespace_prefix: _Namespace,
        *,
        query: str | None = None,
        filter: dict[str, Any] | None = None,  # noqa: A002  # LangGraph's name
        limit: int = 10,
        offset: int = 0,
        refresh_ttl: bool | None = None,
    ) -> SearchOp:
        return SearchOp(namespace_prefix, filter, limit, offset, query, self._refresh_or_default(refresh_ttl))

    def _put_op(self, namespace: _Namespace, key: str, value: _Value, index: _Index, ttl: _Ttl) -> PutOp:
        return PutOp(namespace, str(key), cast("dict[str, Any]", value), index, self._ttl_or_default(ttl))

    def _refresh_or_default(self, refresh_ttl: bool | None) -> bool:
        return (self.ttl_config or {}).get("refresh_on_read", True) if refresh_ttl is None else refresh_ttl

    def _ttl_or_default(self, ttl: _Ttl) -> float | None:
        return (self.ttl_config or {}).get("default_ttl") if isinstance(ttl, NotProvided) else ttl


def check_op(op: Op) -> Op:
    """Check an operation, and return it with its namespace as a tuple.

    Raises:
        InvalidNamespaceError: A label is empty, not a text, or contains NUL; or the namespace of an item is empty or
            begins with "langgraph".
        InvalidTurnError: A key is not a text.
        InvalidQueryError: A filter, a match condition or a limit is invalid.
    """
    if isinstance(op, GetOp | PutOp):
        if not isinstance(op.key, str) or _SURROGATE.search(op.key):
            raise InvalidTurnError(f"A key must be valid Unicode text, not {op.key!r}.")
        return op._replace(namespace=_check_item_namespace(op.namespace))
    if isinstance(op, SearchOp):
        _check_filter(list((op.filter or {}).values()))
        _check_page(op.limit, op.offset)
        return op._replace(namespace_prefix=_check_labels(op.namespace_prefix))
    if isinstance(op, ListNamespacesOp):
        _check_page(op.limit, op.offset)
        for condition in op.match_conditions or ():
            _check_labels(condition.path)
            if condition.match_type not in ("prefix", "suffix"):
                raise InvalidQueryError(
                    f"A match condition must be of type 'prefix' or 'suffix', not {condition.match_type!r}."
                )
        return op
    raise InvalidQueryError(
        f"An operation must be a GetOp, SearchOp, PutOp or ListNamespacesOp, not {type(op).__name__}."
    )


def matches_filter(value: Mapping[str, Any], filter: Mapping[str, Any]) -> bool:  # noqa: A002  # LangGraph's name
    """Whether an item's value meets every condition of a filter.

    A condition that is a mapping without operators matches a mapping that has its keys and meets their conditions. A
    list matches a list of the same length whose elements meet its conditions. Any other condition matches an equal
    value. Numbers, and texts that are numbers, are ordered as numbers; other texts are ordered as texts. A value that
    cannot be ordered matches no ordering.

    Args:
        value: Value of the item.
        filter: Conditions by key, as `check_op` accepts them. A missing key counts as None.
    """
    return all(_meets(value.get(key), condition) for key, condition in filter.items())


def matches_condition(namespace: tuple[str, ...], condition: MatchCondition) -> bool:
    """Whether a namespace begins or ends with the labels of a match condition; "*" matches any label."""
    count = len(condition.path)
    if count > len(namespace):
        return False
    part = namespace[:count] if condition.match_type == "prefix" else namespace[len(namespace) - count :]
    return all(wanted in ("*", label) for wanted, label in zip(condition.path, part, strict=True))


def _list_op(
    *,
    prefix: NamespacePath | None = None,
    suffix: NamespacePath | None = None,
    max_depth: int | None = None,
    limit: int = 100,
    offset: int = 0,
) -> ListNamespacesOp:
    paths: Iterable[tuple[Literal["prefix", "suffix"], NamespacePath | None]] = (
        ("prefix", prefix),
        ("suffix", suffix),
    )
    conditions = tuple(MatchCondition(kind, path) for kind, path in paths if path)
    return ListNamespacesOp(conditions, max_depth, limit, offset)


def _check_item_namespace(namespace: Any) -> tuple[str, ...]:
    labels = _check_labels(namespace)
    if not labels:
        raise InvalidNamespaceError("An item's namespace needs at least one label, such as ('memories', 'alice').")
    if labels[0] == "langgraph":
        raise InvalidNamespaceError(f"Namespaces below 'langgraph' belong to LangGraph; do not use {labels}.")
    return labels


def _check_labels(namespace: Any) -> tuple[str, ...]:
    if not isinstance(namespace, tuple | list):
        raise InvalidNamespaceError(f"A namespace must be a tuple of labels, such as ('memories',), not {namespace!r}.")
    for label in namespace:
        if not isinstance(label, str) or not label or "\0" in label or _SURROGATE.search(label):
            raise InvalidNamespaceError(f"A label must be a non-empty text without NUL, not {label!r}.")
    return tuple(namespace)


def _check_page(limit: int, offset: int) -> None:
    if limit < 0 or offset < 0:
        raise InvalidQueryError(f"`limit` and `offset` must be at least 0, not {limit} and {offset}.")


def _check_filter(condition: Any) -> None:
    parts = condition
    if isinstance(condition, Mapping):
        if _has_operators(condition) and (unknown := set(condition) - set(_OPERATORS)):
            raise InvalidQueryError(f"A filter's operators are {', '.join(_OPERATORS)}, not {', '.join(unknown)}.")
        parts = list(condition.values())
    if isinstance(parts, list | tuple):
        for part in parts:
            _check_filter(part)


def _has_operators(condition: Mapping[str, Any]) -> bool:
    return any(key.startswith("$") for key in condition)


def _meets(value: Any, condition: Any) -> bool:
    if isinstance(condition, Mapping):
        if _has_operators(condition):
            return all(_compare(value, name, bound) for name, bound in condition.items())
        return isinstance(value, dict) and matches_filter(value, condition)
    if isinstance(condition, list | tuple):
        return isinstance(value, list) and len(value) == len(condition) and all(map(_meets, value, condition))
    return bool(value == condition)


def _compare(value: Any, name: str, bound: Any) -> bool:
    if name == "$eq":
        return bool(value == bound)
    if name == "$ne":
        return bool(value != bound)
    try:
        return bool(_ORDERINGS[name](float(value), float(bound)))
    except (TypeError, ValueError, OverflowError):
        return isinstance(value, str) and isinstance(bound, str) and bool(_ORDERINGS[name](value, bound))
