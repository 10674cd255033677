"""The user and the conversation of a call, read from the run's config, context and server."""

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

STORE_PREFIX = "langgraph:store/"
"""Prefix of the tenants of a `TitansStore`; no user's id may begin with it."""

_NO_USER = 'The run names no user: pass config={"configurable": {"user_id": …}}, or a context with a user_id.'


@dataclass(frozen=True)
class Caller:
    """The user of a run and the conversation.

    Attributes:
        user: Id of the user, or None if the run names no user.
        thread: Id of the thread, or None.
    """

    user: str | None
    thread: str | None

    @classmethod
    def of(cls, config: RunnableConfig | None, runtime: Any = None) -> Self:
        """Read the caller from a run.

        Three places can name the user: `config["configurable"]["user_id"]`, the `user_id` of the run's context (a
        dataclass or a mapping), and the identity that a LangGraph server has authenticated. All places that name a
        user must agree, so that what a client writes into the config cannot overrule the server.

        Args:
            config: Config of the run.
            runtime: LangGraph's `Runtime` or `ToolRuntime`, or None.

        Raises:
            InvalidTenantError: Two places name different users, or a user's id is not a usable text.
        """
        configurable = (config or {}).get("configurable") or {}
        named = {
            "config['configurable']['user_id']": configurable.get("user_id"),
            "the context's user_id": _field(getattr(runtime, "context", None), "user_id"),
            "the server's user": _field(configurable.get("langgraph_auth_user"), "identity"),
        }
        users = {place: user for place, user in named.items() if user is not None}
        for place, user in users.items():
            if not isinstance(user, str) or not user.strip() or user.startswith(STORE_PREFIX):
                raise InvalidTenantError(f"{place} must be a user's id as text, not {user!r}.")
        if len(set(users.values())) > 1:
            places = ", ".join(f"{place} is {user!r}" for place, user in users.items())
            raise InvalidTenantError(f"The run names more than one user: {places}. No memory was opened.")
        thread = configurable.get("thread_id")
        return cls(next(iter(users.values()), None), None if thread is None else str(thread))

    def memory(self, source: MemorySource) -> TitansMemory:
        """Return the memory of this user. May open a file; on an event loop use `amemory`.

        Args:
            source: Bank with the user's memory, or the memory of one user, which no other user can use.

        Raises:
            InvalidTenantError: The user is missing, or the memory belongs to another user.
            StorageError: The memory cannot be opened.
        """
        return resolve_memory(source, self.user, missing=_NO_USER)

    async def amemory(self, source: MemorySource) -> TitansMemory:
        """Like `memory`, without blocking the event loop."""
        return await asyncio.to_thread(self.memory, source)


ANONYMOUS = Caller(None, None)
"""The caller of a run that names no user and no thread."""


def _field(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
