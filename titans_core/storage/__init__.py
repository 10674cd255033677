"""The durable log of turns. Weights and indexes can be rebuilt from it."""

from titans_core.storage.codec import decode_keys, encode_keys, unpack_codes
from titans_core.storage.filters import FilterArguments, Filters
from titans_core.storage.log import TurnLog
from titans_core.storage.records import Head, PassageRecord, Snapshot, TurnRecord
from titans_core.storage.sqlite import IN_MEMORY, SqliteLog
from titans_core.storage.url import is_postgres, lasting_url, open_log, stored_tenants

__all__ = [
    "IN_MEMORY",
    "FilterArguments",
    "Filters",
    "Head",
    "PassageRecord",
    "Snapshot",
    "SqliteLog",
    "TurnLog",
    "TurnRecord",
    "decode_keys",
    "encode_keys",
    "is_postgres",
    "lasting_url",
    "open_log",
    "stored_tenants",
    "unpack_codes",
]
