"""Whose memory a call is about, and which conversation: read from the run's config, context and server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from titans_core.errors import InvalidTenantError
from titans_core.integration import resolve_memory

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

    from titans_core import TitansMemory
    from titans_core.integration import MemorySource

NAMESPACES = "langgraph:store/"
"""What the tenants of a `TitansStore` begin with; no user may be named so."""

_MISSING = 'The run names no user: pass config={"configurable": {"user_id": …}}, or a context with a user_id.'


@dataclass(frozen=True)
class Caller:
    """Who is served, and in which conversation.

    Attributes:
        user: the user's id, or None if the run names none.
        thread: the id of the thread, or None.
    """

    user: str | None
    thread: str | None

    @classmethod
    def of(cls, config: RunnableConfig | None, runtime: Any = None) -> Self:
        """Read the caller from a run.

        The user is named by `config["configurable"]["user_id"]`, by `user_id` of the run's context (a dataclass or a
        mapping), or by the identity that a LangGraph server has authenticated. Those that are there must agree: what
        a client writes into the config cannot overrule the server.

        Args:
            config: the run's config.
            runtime: LangGraph's `Runtime` or `ToolRuntime`, if there is one.

        Raises:
            InvalidTenantError: two of them name different users, or one is not a text that may name a user.
        """
        configurable = (config or {}).get("configurable") or {}
        named = {
            "config['configurable']['user_id']": configurable.get("user_id"),
            "the context's user_id": _field(getattr(runtime, "context", None), "user_id"),
            "the server's user": _field(configurable.get("langgraph_auth_user"), "identity"),
        }
        named = {place: user for place, user in named.items() if user is not None}
        for place, user in named.items():
            if not isinstance(user, str) or not user.strip() or user.startswith(NAMESPACES):
                raise InvalidTenantError(f"{place} must be a user's id as text, not {user!r}.")
        if len(set(named.values())) > 1:
            told = ", ".join(f"{place} says {user!r}" for place, user in named.items())
            raise InvalidTenantError(f"The run names more than one user: {told}. Nobody's memory is opened.")
        thread = configurable.get("thread_id")
        return cls(next(iter(named.values()), None), None if thread is None else str(thread))

    def memory(self, source: MemorySource) -> TitansMemory:
        """The memory of this user. Opens it if it must; use `amemory` on an event loop.

        Args:
            source: a bank, of which the user's memory is taken; or the memory of one user, which no other gets.

        Raises:
            InvalidTenantError: the user is missing, or another than the memory's.
            StorageError: the memory cannot be opened.
        """
        return resolve_memory(source, self.user, missing=_MISSING)

    async def amemory(self, source: MemorySource) -> TitansMemory:
        """`memory` off the event loop."""
        return await asyncio.to_thread(self.memory, source)


NOBODY = Caller(None, None)
"""The caller of a run that names none."""


def _field(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
