"""Memories: one tenant's, and a bank of many tenants'."""

from titans_core.memory.bank import MemoryBank
from titans_core.memory.memory import TitansMemory

__all__ = ["MemoryBank", "TitansMemory"]
