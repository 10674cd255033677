"""The code that the SQLite log and the PostgreSQL log share."""

from titans_core.storage.sql.log import SqlLog

__all__ = ["SqlLog"]
