"""The memory that a retriever, a block or a tool works for."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from titans_core.integration import resolve_memory

if TYPE_CHECKING:
    from titans_core import TitansMemory
    from titans_core.integration import MemorySource

_NO_USER = "A MemoryBank has many users: pass user_id=…."


@dataclass(frozen=True)
class Owner:
    """The user whose memory is used. A missing or wrong user is refused when the object is made.

    Attributes:
        source: Bank for many users, or the open memory of one user.
        user: Id of the user; required with a bank.

    Raises:
        InvalidTenantError: The user is missing, or the memory belongs to another user.
    """

    source: MemorySource
    user: str | None

    def __post_init__(self) -> None:
        # The first call opens the memory of a bank's user, because a call can leave the event loop. Everything else
        # can be checked now.
        if self.user is None or isinstance(self.source.tenant, str):
            self.memory()

    def memory(self) -> TitansMemory:
        """Return the user's memory. May open a file; on an event loop use `amemory`.

        Raises:
            InvalidTenantError: The user's id is not a usable text.
            StorageError: The memory cannot be opened.
        """
        return resolve_memory(self.source, self.user, missing=_NO_USER)

    async def amemory(self) -> TitansMemory:
        """Like `memory`, without blocking the event loop."""
        return await asyncio.to_thread(self.memory)
