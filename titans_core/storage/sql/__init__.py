"""The log in SQL: what SQLite and PostgreSQL have in common."""

from titans_core.storage.sql.log import SqlLog

__all__ = ["SqlLog"]
