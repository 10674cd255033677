"""Whose memory a call is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from titans_core.errors import InvalidTenantError

if TYPE_CHECKING:
    from titans_core.bank import MemoryBank
    from titans_core.memory import TitansMemory

    Source: TypeAlias = TitansMemory | MemoryBank
else:
    Source = Any  # pydantic reads the adapters' fields; the real classes would load torch


def memory_of(source: Source, user: str | None, *, missing: str) -> TitansMemory:
    """The memory of a user. Opens it if it must.

    Args:
        source: a bank, of which the user's memory is taken; or the memory of one user, which no other gets.
        user: the user's id, or None if the call names none.
        missing: what to say if a bank is asked for nobody's memory.

    Raises:
        InvalidTenantError: the user is missing, or another than the memory's.
        StorageError: the memory cannot be opened.
    """
    if isinstance(source.tenant, str):
        if user not in (None, source.tenant):
            raise InvalidTenantError(
                f"This is the memory of {source.tenant!r}, not of {user!r}; for several users give a MemoryBank."
            )
        return source
    if user is None:
        raise InvalidTenantError(missing)
    return source.tenant(user)
