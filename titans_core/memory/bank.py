"""Many tenants in one process: one storage, one reader, a memory for each tenant."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from titans_core._utils.closeable import Closeable
from titans_core._utils.locks import Lock
from titans_core.errors import InvalidSpecError
from titans_core.memory.memory import TitansMemory
from titans_core.readers import make_reader
from titans_core.storage import IN_MEMORY, stored_tenants
from titans_core.validation import validate_tenant

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta
    from pathlib import Path

    from titans_core.confidence import Strategy
    from titans_core.readers import Reader
    from titans_core.verification import Verifier


class MemoryBank(Closeable):
    """Opens the memories of many tenants in one storage; they share one reader.

    Example:
        ```python
        bank = MemoryBank("memory.db")
        bank.tenant("alice").memorize("I prefer tea.", speaker="user")
        ```
    """

    def __init__(
        self,
        url: str | Path,
        *,
        reader: Reader | str | None = None,
        strategy: Strategy | str | None = None,
        verify: Verifier | bool = False,
        retention: float = 1.0,
        max_per_source: int | None = 1000,
        max_age: timedelta | None = None,
        max_open: int = 64,
    ) -> None:
        """Load the reader; the storage is opened with the first tenant.

        All arguments but `max_open` are those of `TitansMemory.open`.

        Args:
            url: The path of a file, ":memory:", or "postgresql://…".
            reader: A reader, or a model's name or path; None for the default.
            strategy: The strategy that labels recalls; None for the default.
            verify: Whether a verifier reads the best recalls together with the query; or a verifier of your own.
            retention: The share of what the weights know that they keep for each passage, in (0, 1].
            max_per_source: The most turns that one source may write within an hour; None for no limit.
            max_age: The age from which on turns are forgotten; None keeps all turns.
            max_open: The most memories that keep their weights and a connection at the same time, at least 1. When
                there are more, those that were asked for longest ago are suspended (see `TitansMemory.suspend`). In
                ":memory:" none is suspended.

        Raises:
            InvalidSpecError: `max_open` is below 1.
        """
        if max_open < 1:
            raise InvalidSpecError(f"`max_open` is at least 1; got {max_open}.")
        self._url = url
        self._reader = make_reader(reader)
        self._open: Callable[..., TitansMemory] = partial(
            TitansMemory.open,
            url,
            reader=self._reader,
            strategy=strategy,
            verify=verify,
            retention=retention,
            max_per_source=max_per_source,
            max_age=max_age,
        )
        self._max_open = max_open
        # A suspended memory stays here as long as somebody holds it: a tenant's memory is always the same object.
        self._memories: WeakValueDictionary[str, TitansMemory] = WeakValueDictionary()
        self._recent: dict[str, TitansMemory] = {}  # most recently used last
        self._opening = [Lock() for _ in range(64)]
        self._lock = Lock()

    @property
    def reader(self) -> str:
        """Fingerprint of the model that reads the turns; the quantization comes first."""
        return self._reader.fingerprint

    def tenant(self, name: str) -> TitansMemory:
        """The tenant's memory: always the same object, until it is closed.

        Raises:
            InvalidTenantError: The name is missing or no usable text.
            StorageError: The storage cannot be used; the subclass says why.
        """
        validate_tenant(name)
        # Two threads that ask for one tenant get the same object; threads that ask for others hardly ever wait.
        with self._opening[hash(name) % len(self._opening)]:
            memory = self._memories.get(name)
            if memory is None or memory.closed:
                memory = self._open(tenant=name)
            self._mark_used(name, memory)
        return memory

    def forget_tenant(self, name: str) -> int:
        """Forget all that a tenant has said, and the name.

        Returns:
            The number of turns that were forgotten.

        Raises:
            InvalidTenantError: The name is missing or no usable text.
            StorageError: The storage cannot be used; the subclass says why.
        """
        forgotten = self.tenant(name).forget_tenant()
        with self._lock:
            self._recent.pop(name, None)
        return forgotten

    def tenants(self, *, prefix: str = "") -> list[str]:
        """The names of the tenants that have a turn stored, in order.

        Args:
            prefix: Only names that begin with this text, compared exactly.

        Raises:
            StorageError: The storage cannot be used; the subclass says why.
        """
        with self._lock:
            opened = list(self._memories.values())
        if str(self._url) == IN_MEMORY:  # every memory is a database of its own
            named = {memory.tenant for memory in opened if not memory.closed and memory.stats().turns}
        else:
            named = set(stored_tenants(self._url))
        return sorted(name for name in named if name.startswith(prefix))

    def close(self) -> None:
        """Close every memory that was opened here."""
        with self._lock:
            for memory in list(self._memories.values()):
                memory.close()
            self._recent.clear()

    def _mark_used(self, name: str, memory: TitansMemory) -> None:
        """Note that the memory was asked for, and suspend the one that was not asked for longest."""
        with self._lock:
            self._memories[name] = memory
            self._recent.pop(name, None)
            self._recent[name] = memory
            oldest = None
            if len(self._recent) > self._max_open and str(self._url) != IN_MEMORY:
                oldest = self._recent.pop(next(iter(self._recent)))
        if oldest is not None:
            oldest.suspend()
