"""A bank of memories as a LangGraph store."""

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
from titans_langchain.identity import NAMESPACES
from titans_langchain.store.items import (
    Found,
    Shelf,
    expiry,
    has_expired,
    id_of,
    item_of,
    namespace_of,
    tenant_of,
    turn_of,
)
from titans_langchain.store.ops import OpStore, checked, lies

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from langgraph.store.base import Item, Op, Result, SearchItem, TTLConfig

    from titans_core import MemoryBank, TitansMemory, Turn

SWEEP_MINUTES = 5.0
"""Between two sweeps, unless the configuration says otherwise."""

_LOG = logging.getLogger(__name__)


class TitansStore(OpStore):
    """LangGraph's long-term memory: values by namespace and key, exactly; and those that answer a query.

    Each namespace is a tenant of the bank, with a memory of its own: no text and no weights of one user's namespace
    can show in another's. What is put is on disk when the call returns, and found by the next search.

    A search with a query gives `ScoredItem`s, best first. From a namespace in which nothing relevant is known it gives
    nothing, rather than the nearest of what is there. Labels of a namespace may hold dots, as in an e-mail address.

    An item lives for `ttl` minutes from its last put, and from its last get or search unless `refresh_ttl` or the
    configuration says no. After that it is never returned, whatever `omit_expired` says; `sweep_ttl` deletes it from
    the disk, and `list_namespaces` lists its namespace until then.

    Several threads and tasks may use one store at once. Give a bank one store: two may get in each other's way when
    they put the same key.

    What it costs on one core, with the default reader and values of 20 words: a new item takes 50 ms, in a batch 20 ms
    each. To put the same text again takes one write. Another text, a deletion and a sweep relearn their namespace,
    about two milliseconds for each item in it. A search opens every namespace under its prefix and reads its items,
    20 ms for a thousand; a query takes 40 ms or more in each, so give the user's whole namespace.

    Usage:

    ```python
    bank = MemoryBank("memory.db")
    store = TitansStore(bank)
    store.put(("memories", "alice@example.org"), "tea", {"text": "Alice prefers green tea."})
    store.search(("memories", "alice@example.org"), query="What does Alice like to drink?")
    agent = create_agent(model, tools, store=store)
    ```

    Args:
        bank: of all namespaces. The store does not close it.
        fields: the paths in a value that a query may find, as in LangGraph's `IndexConfig`; "$" is the whole value.
            `put(index=…)` names others for one item.
        ttl: LangGraph's configuration of the time to live: `default_ttl` and `sweep_interval_minutes` in minutes,
            `refresh_on_read`. None for items that live for ever.
        abstain: whether a namespace in which nothing relevant is known gives nothing. If not, a search with a query
            fills up to `limit`, as LangGraph's own stores do: first what the query comes nearest to, under the label
            "none", then the other items, without a score.

    Attributes:
        bank: of all namespaces.
        fields: the paths in a value that a query may find.
        ttl_config: the configuration of the time to live.
        abstain: whether a namespace in which nothing relevant is known gives nothing.

    Raises:
        InvalidNamespaceError: by any method, if a label is empty, no string or holds NUL, or if the namespace of an
            item is empty or begins with "langgraph".
        TitansError: by any method: `InvalidTurnError` for a value that JSON does not hold, `InvalidQueryError` for an
            unknown operator of a filter, and whatever else the memory raises. What is refused changes nothing, also
            not the rest of its batch.
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
        self.bank = bank
        self.fields = tuple(fields)
        self.ttl_config = ttl
        self.abstain = abstain
        self._writing = Lock()
        self._known: set[str] = set()  # tenants that held something once
        self._sweeper: tuple[threading.Thread, threading.Event] | None = None

    @override
    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Do several things at once.

        Args:
            ops: in any order. What reads sees the state before what writes; of two puts of one key the last counts.

        Returns:
            The results, in the order of the ops; None for a put.

        Raises:
            InvalidNamespaceError: a label cannot be; then nothing was done.
            TurnError: a value cannot be stored; then nothing was done.
        """
        asked = [checked(op) for op in ops]
        wanted = self._wanted(op for op in asked if isinstance(op, PutOp))
        results = [self._answer(op) for op in asked]
        for tenant, turns in wanted.items():
            with self._writing:
                self._write(tenant, turns)
        return results

    @override
    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """`batch`, off the event loop."""
        return await asyncio.to_thread(self.batch, list(ops))

    def sweep_ttl(self) -> int:
        """Delete the items that have expired.

        Returns:
            How many.
        """
        swept = 0
        for tenant in self.bank.tenants(prefix=NAMESPACES):
            with self._writing:
                memory, now = self.bank.tenant(tenant), _now()
                expired = [turn.id or "" for turn in memory.turns() if has_expired(turn, now)]
                swept += memory.forget(ids=expired) if expired else 0
        return swept

    def start_ttl_sweeper(self) -> None:
        """Call `sweep_ttl` every `sweep_interval_minutes` in a thread, until `stop_ttl_sweeper`; once is enough.

        Stop it before the bank is closed. A sweep that fails is logged, and tried again at the next one.
        """
        with self._writing:
            if self._sweeper is None:
                minutes = (self.ttl_config or {}).get("sweep_interval_minutes") or SWEEP_MINUTES
                stop = threading.Event()
                thread = threading.Thread(target=self._sweep_every, args=(minutes * 60, stop), daemon=True)
                self._sweeper = thread, stop
                thread.start()

    def stop_ttl_sweeper(self) -> None:
        """End the sweeper's thread, if there is one, and wait for it."""
        with self._writing:
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
                _LOG.warning("Expired items could not be deleted.", exc_info=True)

    # ── reading ──

    def _answer(self, op: Op) -> Result:
        if isinstance(op, GetOp):
            return self._get(op)
        if isinstance(op, SearchOp):
            return self._search(op)
        if isinstance(op, ListNamespacesOp):
            return self._list(op)
        return None

    def _get(self, op: GetOp) -> Item | None:
        memory = self._opened(tenant_of(op.namespace))
        turn = None if memory is None else _live(memory, id_of(op.key))
        if memory is None or turn is None:
            return None
        if op.refresh_ttl:
            self._refresh(memory, turn)
        return item_of(turn, op.namespace)

    def _search(self, op: SearchOp) -> list[SearchItem]:
        shelves = self._shelves(op)
        if (op.query or "").strip():
            found = self._found(op, shelves)
        else:
            found = [Found(shelf, turn) for shelf in shelves for turn in shelf.turns]
        page = found[op.offset : op.offset + op.limit]
        if op.refresh_ttl:
            for one in page:
                self._refresh(one.shelf.memory, one.turn)
        return [one.item() for one in page]

    def _list(self, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        namespaces = map(namespace_of, self.bank.tenants(prefix=NAMESPACES))
        conditions = op.match_conditions or ()
        listed = {
            namespace[: op.max_depth] for namespace in namespaces if all(lies(namespace, one) for one in conditions)
        }
        return sorted(listed)[op.offset : op.offset + op.limit]

    def _opened(self, tenant: str) -> TitansMemory | None:
        """The memory of a namespace that holds, or held, something: reading must not begin one."""
        if tenant not in self._known and tenant not in self.bank.tenants(prefix=tenant):
            return None
        self._known.add(tenant)
        return self.bank.tenant(tenant)

    def _shelves(self, op: SearchOp) -> list[Shelf]:
        """The namespaces under a prefix, in the order in which they began, with their items that pass the filter."""
        tenants = self.bank.tenants(prefix=tenant_of(op.namespace_prefix))
        shelves = [Shelf.of(self.bank.tenant(tenant)) for tenant in tenants]
        return [shelf.only(op.filter or {}, _now()) for shelf in sorted(shelves, key=Shelf.began)]

    def _found(self, op: SearchOp, shelves: list[Shelf]) -> list[Found]:
        """What answers the query, best first; then, if the store does not abstain, the rest."""
        count = op.offset + op.limit
        found = [one for shelf in shelves for one in shelf.recall(op.query or "", count, abstain=self.abstain)]
        found.sort(key=lambda one: -(one.score or 0.0))
        if not self.abstain:
            known = {(one.shelf.namespace, one.turn.id) for one in found}
            rest = (Found(shelf, turn) for shelf in shelves for turn in shelf.turns)
            found += [one for one in rest if (one.shelf.namespace, one.turn.id) not in known]
        return found

    # ── writing ──

    def _wanted(self, ops: Iterable[PutOp]) -> dict[str, dict[str, Turn | None]]:
        """What each tenant is to hold under each id; None for nothing."""
        now = _now()
        wanted: dict[str, dict[str, Turn | None]] = {}
        for op in ops:
            turn = None if op.value is None else turn_of(op, self.fields, now)
            wanted.setdefault(tenant_of(op.namespace), {})[id_of(op.key)] = turn
        return wanted

    def _write(self, tenant: str, wanted: Mapping[str, Turn | None]) -> None:
        memory, now = self._opened(tenant), _now()
        stored = {} if memory is None else {turn.id or "": turn for turn in memory.turns(ids=list(wanted))}
        # What has expired is no longer there: what is put in its place is new.
        gone = [key for key, turn in stored.items() if wanted[key] is None or has_expired(turn, now)]
        if memory is not None and gone:
            memory.forget(ids=gone)
        new = []
        for key, turn in wanted.items():
            if turn is not None and memory is not None and key in stored and key not in gone:
                memory.update(key, turn.text, metadata=turn.metadata)
            elif turn is not None:
                new.append(turn)
        if new:
            self._known.add(tenant)
            self.bank.tenant(tenant).memorize_many(new)

    def _refresh(self, memory: TitansMemory, turn: Turn) -> None:
        """Let the item that a turn holds live on from now."""
        if turn.metadata["ttl"] is None:
            return
        with self._writing:
            now_stored = _live(memory, turn.id or "")  # another thread may have put a new value, or deleted it
            if now_stored is not None and now_stored.metadata["ttl"] is not None:
                expires_at = expiry(now_stored.metadata["ttl"], _now())
                memory.update(turn.id or "", metadata={**now_stored.metadata, "expires_at": expires_at})


def _live(memory: TitansMemory, id: str) -> Turn | None:  # noqa: A002 - as the turn calls it
    """The turn that holds an item, if it is there and has not expired."""
    try:
        turn = memory.get(id)
    except UnknownTurnError:
        return None
    return None if has_expired(turn, _now()) else turn


def _now() -> datetime:
    return datetime.now(UTC)
