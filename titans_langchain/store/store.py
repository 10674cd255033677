"""A LangGraph store over a bank of memories."""

from __future__ import annotations

import asyncio
import logging
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from langgraph.store.base import GetOp, ListNamespacesOp, PutOp, SearchOp
from typing_extensions import override

from titans_core.errors import TitansError, UnknownTurnError
from titans_core.integration import Lock
from titans_langchain.identity import STORE_PREFIX
from titans_langchain.store.items import (
    FoundItem,
    NamespaceItems,
    expiry,
    has_expired,
    id_of,
    item_of,
    namespace_of,
    tenant_of,
    turn_of,
)
from titans_langchain.store.ops import OpStore, check_op, matches_condition

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from langgraph.store.base import Item, Op, Result, SearchItem, TTLConfig

    from titans_core import MemoryBank, TitansMemory, Turn

SWEEP_MINUTES = 5.0
"""Default of `sweep_interval_minutes`."""

_LOG = logging.getLogger(__name__)


class TitansStore(OpStore):
    """A LangGraph store: finds values exactly by namespace and key, and by a query.

    Each namespace is a tenant of the bank, with a memory of its own. No text and no weights of one user's namespace can
    show in another user's namespace. When `put` returns, the item is on disk, and the next search finds it.

    A search with a query returns `ScoredItem`s, best first. If a namespace holds nothing relevant, the search returns
    nothing from it, instead of its nearest items. The labels of a namespace may contain dots, as in an e-mail address.

    An item lives for `ttl` minutes from its last `put`. A `get` or a search that finds it starts this time again,
    unless `refresh_ttl` or the configuration says no. After that time the item is never returned, whatever
    `omit_expired` says. `sweep_ttl` deletes it from the disk; until then, `list_namespaces` lists its namespace.

    Several threads and tasks may use one store at the same time. Use one store for each bank: two stores that put the
    same key can disturb each other.

    Costs on one core, with the default reader and values of 20 words: a new item takes 50 ms, or 20 ms in a batch.
    Putting the same text again takes one write. Another text, a deletion and a sweep relearn their namespace, which
    takes about 2 ms for each item in it. A search opens every namespace under its prefix and reads the items, 20 ms
    for 1,000 items; a query takes 40 ms or more in each namespace, so pass the full namespace of the user.

    Every method raises the errors of the memory, `InvalidNamespaceError` if a label is empty, not a string or contains
    NUL, or if an item's namespace is empty or begins with "langgraph", `InvalidTurnError` for a value that JSON cannot
    hold, and `InvalidQueryError` for an unknown operator of a filter. An operation that is refused changes nothing,
    and neither does the rest of its batch.

    Attributes:
        bank: Bank with all namespaces.
        fields: Paths in a value that a query can find.
        ttl_config: Configuration of the time to live.
        abstain: Whether a search with a query returns nothing from a namespace that holds nothing relevant.

    Example:
        ```python
        bank = MemoryBank("memory.db")
        store = TitansStore(bank)
        store.put(("memories", "alice@example.org"), "tea", {"text": "Alice prefers green tea."})
        store.search(("memories", "alice@example.org"), query="What does Alice like to drink?")
        agent = create_agent(model, tools, store=store)
        ```
    """

    supports_ttl = True

    def __init__(
        self,
        bank: MemoryBank,
        *,
        fields: Sequence[str] = ("$",),
        ttl: TTLConfig | None = None,
        abstain: bool = True,
    ) -> None:
        """Make a store over a bank.

        Args:
            bank: Bank with all namespaces. The store does not close it.
            fields: Paths in a value that a query can find, as in LangGraph's `IndexConfig`; "$" is the whole value.
                `put(index=…)` names other paths for one item.
            ttl: LangGraph's configuration of the time to live: `default_ttl` and `sweep_interval_minutes` in minutes,
                and `refresh_on_read`. None for items that never expire.
            abstain: Whether a search with a query returns nothing from a namespace that holds nothing relevant. False
                fills the result up to `limit`, as LangGraph's own stores do: first with the nearest items under the
                label "none", then with the other items, without a score.
        """
        self.bank = bank
        self.fields = tuple(fields)
        self.ttl_config = ttl
        self.abstain = abstain
        self._write_lock = Lock()
        self._known_tenants: set[str] = set()  # tenants that hold an item, or held one
        self._sweeper: tuple[threading.Thread, threading.Event] | None = None

    @override
    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Carry out several operations.

        Args:
            ops: Operations in any order. All reads see the state before the writes. If a key is put twice, the last
                put counts.

        Returns:
            The results, in the order of the operations; None for a put.

        Raises:
            InvalidNamespaceError: A label is invalid. Nothing was changed.
            TurnError: A value cannot be stored. Nothing was changed.
        """
        ops = [check_op(op) for op in ops]
        writes = self._plan_writes(op for op in ops if isinstance(op, PutOp))
        results = [self._read(op) for op in ops]
        for tenant, turns in writes.items():
            with self._write_lock:
                self._write(tenant, turns)
        return results

    @override
    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Like `batch`, without blocking the event loop."""
        return await asyncio.to_thread(self.batch, list(ops))

    def sweep_ttl(self) -> int:
        """Delete the items that have expired.

        Returns:
            Number of deleted items.
        """
        deleted = 0
        for tenant in self.bank.tenants(prefix=STORE_PREFIX):
            with self._write_lock:
                memory, now = self.bank.tenant(tenant), _now()
                expired = [turn.id or "" for turn in memory.turns() if has_expired(turn, now)]
                deleted += memory.forget(ids=expired) if expired else 0
        return deleted

    def start_ttl_sweeper(self) -> None:
        """Start a thread that calls `sweep_ttl` every `sweep_interval_minutes`, unless it runs already.

        Call `stop_ttl_sweeper` before the bank is closed. A sweep that fails is logged; the next sweep tries again.
        """
        with self._write_lock:
            if self._sweeper is None:
                minutes = (self.ttl_config or {}).get("sweep_interval_minutes") or SWEEP_MINUTES
                stop = threading.Event()
                thread = threading.Thread(target=self._sweep_every, args=(minutes * 60, stop), daemon=True)
                self._sweeper = thread, stop
                thread.start()

    def stop_ttl_sweeper(self) -> None:
        """Stop the thread of `start_ttl_sweeper`, if it runs, and wait for its end."""
        with self._write_lock:
            sweeper, self._sweeper = self._sweeper, None
        if sweeper is not None:
            thread, stop = sweeper
            stop.set()
            thread.join()

    def _sweep_every(self, seconds: float, stop: threading.Event) -> None:
        while not stop.wait(seconds):
            try:
                self.sweep_ttl()
            except TitansError:
                _LOG.warning("Expired items could not be deleted; the next sweep tries again.", exc_info=True)

    # ── reading ──

    def _read(self, op: Op) -> Result:
        if isinstance(op, GetOp):
            return self._get(op)
        if isinstance(op, SearchOp):
            return self._search(op)
        if isinstance(op, ListNamespacesOp):
            return self._list(op)
        return None

    def _get(self, op: GetOp) -> Item | None:
        memory = self._existing_memory(tenant_of(op.namespace))
        turn = None if memory is None else _find_live(memory, id_of(op.key))
        if memory is None or turn is None:
            return None
        if op.refresh_ttl:
            self._refresh(memory, turn)
        return item_of(turn, op.namespace)

    def _search(self, op: SearchOp) -> list[SearchItem]:
        namespaces = self._namespaces(op)
        found = self._rank(op, namespaces) if (op.query or "").strip() else _all_items(namespaces)
        page = found[op.offset : op.offset + op.limit]
        if op.refresh_ttl:
            for item in page:
                self._refresh(item.source.memory, item.turn)
        return [item.item() for item in page]

    def _list(self, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        conditions = op.match_conditions or ()
        namespaces = {
            namespace[: op.max_depth]
            for namespace in map(namespace_of, self.bank.tenants(prefix=STORE_PREFIX))
            if all(matches_condition(namespace, condition) for condition in conditions)
        }
        return sorted(namespaces)[op.offset : op.offset + op.limit]

    def _existing_memory(self, tenant: str) -> TitansMemory | None:
        """Return the memory of a namespace that holds an item or held one, else None: reading creates no memory."""
        if tenant not in self._known_tenants and tenant not in self.bank.tenants(prefix=tenant):
            return None
        self._known_tenants.add(tenant)
        return self.bank.tenant(tenant)

    def _namespaces(self, op: SearchOp) -> list[NamespaceItems]:
        """Return the namespaces under the prefix, oldest first, with the items that match the filter."""
        tenants = self.bank.tenants(prefix=tenant_of(op.namespace_prefix))
        namespaces = [NamespaceItems.read(self.bank.tenant(tenant)) for tenant in tenants]
        namespaces.sort(key=NamespaceItems.first_time)
        return [namespace.select(op.filter or {}, _now()) for namespace in namespaces]

    def _rank(self, op: SearchOp, namespaces: list[NamespaceItems]) -> list[FoundItem]:
        """Return the items that answer the query, best first; then the other items, if the store does not abstain."""
        query, count = op.query or "", op.offset + op.limit
        found = [item for namespace in namespaces for item in namespace.recall(query, count, abstain=self.abstain)]
        found.sort(key=lambda item: -(item.score or 0.0))
        if not self.abstain:
            addresses = {item.address for item in found}
            found += [item for item in _all_items(namespaces) if item.address not in addresses]
        return found

    # ── writing ──

    def _plan_writes(self, ops: Iterable[PutOp]) -> dict[str, dict[str, Turn | None]]:
        """Return the turns to write, by tenant and turn id; None for an item to delete."""
        now = _now()
        writes: dict[str, dict[str, Turn | None]] = {}
        for op in ops:
            turn = None if op.value is None else turn_of(op, self.fields, now)
            writes.setdefault(tenant_of(op.namespace), {})[id_of(op.key)] = turn
        return writes

    def _write(self, tenant: str, turns: Mapping[str, Turn | None]) -> None:
        memory, now = self._existing_memory(tenant), _now()
        stored = {} if memory is None else {turn.id or "": turn for turn in memory.turns(ids=list(turns))}
        # An expired item counts as missing, so that an item put in its place is new.
        deleted = [turn_id for turn_id, turn in stored.items() if turns[turn_id] is None or has_expired(turn, now)]
        if memory is not None and deleted:
            memory.forget(ids=deleted)
        new = []
        for turn_id, turn in turns.items():
            if turn is not None and memory is not None and turn_id in stored and turn_id not in deleted:
                memory.update(turn_id, turn.text, metadata=turn.metadata)
            elif turn is not None:
                new.append(turn)
        if new:
            self._known_tenants.add(tenant)
            self.bank.tenant(tenant).memorize_many(new)

    def _refresh(self, memory: TitansMemory, turn: Turn) -> None:
        """Start the time to live of the item in a turn again."""
        if turn.metadata["ttl"] is None:
            return
        with self._write_lock:
            current = _find_live(memory, turn.id or "")  # another thread may have put a new value or deleted the item
            if current is not None and current.metadata["ttl"] is not None:
                expires_at = expiry(current.metadata["ttl"], _now())
                memory.update(turn.id or "", metadata={**current.metadata, "expires_at": expires_at})


def _all_items(namespaces: list[NamespaceItems]) -> list[FoundItem]:
    return [FoundItem(namespace, turn) for namespace in namespaces for turn in namespace.turns]


def _find_live(memory: TitansMemory, turn_id: str) -> Turn | None:
    """Return the turn of an item, or None if the item is missing or has expired."""
    try:
        turn = memory.get(turn_id)
    except UnknownTurnError:
        return None
    return None if has_expired(turn, _now()) else turn


def _now() -> datetime:
    return datetime.now(UTC)
