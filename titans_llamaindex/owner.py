"""Whose memory a retriever, a block or a tool uses."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from titans_core.integration import resolve_memory

if TYPE_CHECKING:
    from titans_core import TitansMemory
    from titans_core.integration import MemorySource


MISSING = "A MemoryBank has many users: pass user_id=…."
"""What is said if nobody is named."""


@dataclass(frozen=True)
class Owner:
    """Whose memory is used, settled before its first use.

    Attributes:
        source: a bank for many users, or the open memory of one.
        user: the user's id; a bank needs it.

    Raises:
        InvalidTenantError: the user is missing, or another than the memory's.
    """

    source: MemorySource
    user: str | None

    def __post_init__(self) -> None:
        # A bank's user is opened by the first call, which can leave the event loop; all else is known already.
        if self.user is None or isinstance(self.source.tenant, str):
            self.memory()

    def memory(self) -> TitansMemory:
        """The user's memory. Opens it if it must; use `amemory` on an event loop.

        Raises:
            InvalidTenantError: the user's id is no usable text.
            StorageError: the memory cannot be opened.
        """
        return resolve_memory(self.source, self.user, missing=MISSING)

    async def amemory(self) -> TitansMemory:
        """`memory` off the event loop."""
        return await asyncio.to_thread(self.memory)
