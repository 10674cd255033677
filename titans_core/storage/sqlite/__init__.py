"""The log in a SQLite file, for any number of processes on one machine."""

from titans_core.storage.sqlite.database import IN_MEMORY
from titans_core.storage.sqlite.log import SqliteLog, stored_tenants

__all__ = ["IN_MEMORY", "SqliteLog", "stored_tenants"]
