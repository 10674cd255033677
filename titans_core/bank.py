"""Many tenants in one process: one reader, one file, a memory for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self
from weakref import WeakValueDictionary

from titans_core.episodes import IN_MEMORY, checked_tenant, stored_tenants
from titans_core.errors import InvalidSpecError
from titans_core.locks import Lock
from titans_core.memory import TitansMemory
from titans_core.reading import make_reader

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path
    from types import TracebackType

    from titans_core.confidence import Strategy
    from titans_core.reading import Reader


class MemoryBank:
    """Opens the memories of many tenants in one storage, with one reader between them.

    Example:
        bank = MemoryBank("memory.db")
        bank.tenant("alice").memorize("I prefer tea.", speaker="user")
    """

    def __init__(
        self,
        url: str | Path,
        *,
        reader: Reader | str | None = None,
        strategy: Strategy | str | None = None,
        keep: float = 1.0,
        per_source: int | None = 1000,
        max_age: timedelta | None = None,
        awake: int = 64,
    ) -> None:
        """Arguments as for `TitansMemory.open`; the file is opened with the first tenant.

        Args:
            url: as there.
            reader: as there.
            strategy: as there.
            keep: as there.
            per_source: as there.
            max_age: as there.
            awake: how many memories keep their weights and a connection at the same time, at least 1. The others sleep
                (see `TitansMemory.rest`): those that were asked for longest ago. In ":memory:" all stay awake.

        Raises:
            InvalidSpecError: `awake` is out of range.
        """
        if awake < 1:
            raise InvalidSpecError(f"`awake` is 1 at least; got {awake}.")
        self._url = url
        self._reader = make_reader(reader)
        self._strategy = strategy
        self._keep = keep
        self._per_source = per_source
        self._max_age = max_age
        self._awake = awake
        # A memory that sleeps is kept as long as somebody holds it: it is always the same object.
        self._memories: WeakValueDictionary[str, TitansMemory] = WeakValueDictionary()
        self._latest: dict[str, TitansMemory] = {}  # the one that was asked for last is the last
        self._opening = [Lock() for _ in range(64)]
        self._lock = Lock()

    @property
    def reader(self) -> str:
        """Fingerprint of the model that reads the turns, quantization first."""
        return self._reader.fingerprint

    def tenant(self, name: str) -> TitansMemory:
        """The tenant's memory: always the same object, until it is closed.

        Raises:
            InvalidTenantError: the name is missing or no usable text.
            StorageError: the file cannot be used; the subclass says why.
        """
        checked_tenant(name)
        # Two threads that ask for one tenant get the same object; the others need not wait, or hardly ever.
        with self._opening[hash(name) % len(self._opening)]:
            memory = self._memories.get(name)
            if memory is None or memory.closed:
                memory = TitansMemory.open(
                    self._url,
                    tenant=name,
                    reader=self._reader,
                    strategy=self._strategy,
                    keep=self._keep,
                    per_source=self._per_source,
                    max_age=self._max_age,
                )
            self._ask_for(name, memory)
        return memory

    def forget_tenant(self, name: str) -> int:
        """Forget all that a tenant has said, the name too.

        Returns:
            How many turns were forgotten.

        Raises:
            InvalidTenantError: the name is missing or no usable text.
            StorageError: the file cannot be used; the subclass says why.
        """
        forgotten = self.tenant(name).forget_tenant()
        with self._lock:
            self._latest.pop(name, None)
        return forgotten

    def tenants(self, *, prefix: str = "") -> list[str]:
        """The names of those who have a turn stored, in order.

        Args:
            prefix: only names that begin with this, compared exactly.

        Raises:
            StorageError: the file cannot be used; the subclass says why.
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
            self._latest.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask_for(self, name: str, memory: TitansMemory) -> None:
        """Remember the memory as the one asked for last, and put to sleep the one that was not for longest."""
        with self._lock:
            self._memories[name] = memory
            self._latest.pop(name, None)
            self._latest[name] = memory
            tired = None
            if len(self._latest) > self._awake and str(self._url) != IN_MEMORY:
                tired = self._latest.pop(next(iter(self._latest)))
        if tired is not None:
            tired.rest()
