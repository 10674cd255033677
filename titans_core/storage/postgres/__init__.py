"""The log on a PostgreSQL server, for several machines. It needs the extra `postgres`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from titans_core._utils.lazy import lazy_names

if TYPE_CHECKING:
    from titans_core.storage.postgres.log import PostgresLog, stored_tenants

__all__ = ["PostgresLog", "stored_tenants"]

_HOMES = dict.fromkeys(__all__, "titans_core.storage.postgres.log")
_EXTRAS = dict.fromkeys(("psycopg", "psycopg_pool", "pgvector"), "postgres")
__getattr__ = lazy_names(__name__, _HOMES, extras=_EXTRAS)
