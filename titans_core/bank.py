"""Many tenants in one process: one reader, one file, a memory for each."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from titans_core.episodes import IN_MEMORY, stored_tenants
from titans_core.memory import TitansMemory
from titans_core.reading import make_reader

if TYPE_CHECKING:
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
    ) -> None:
        """Arguments as for `TitansMemory.open`; the file is opened with the first tenant."""
        self._url = url
        self._reader = make_reader(reader)
        self._strategy = strategy
        self._keep = keep
        self._memories: dict[str, TitansMemory] = {}
        self._lock = threading.Lock()

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
        with self._lock:
            memory = self._memories.get(name)
            if memory is None or memory.closed:
                memory = TitansMemory.open(
                    self._url, tenant=name, reader=self._reader, strategy=self._strategy, keep=self._keep
                )
                self._memories[name] = memory
            return memory

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
            for memory in self._memories.values():
                memory.close()
            self._memories.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
