"""The durable log of turns: the truth that everything else is rebuilt from."""

from titans_core.episodes.codec import decode_keys, encode_keys, unpack_codes
from titans_core.episodes.filters import FilterArguments, Filters
from titans_core.episodes.log import EpisodeLog
from titans_core.episodes.opening import IN_MEMORY, SqliteLog, is_postgres, lasting_url, open_log, stored_tenants
from titans_core.episodes.records import Head, PassageRecord, Snapshot, TurnRecord
from titans_core.episodes.validation import checked_query, checked_tenant, checked_text, checked_turn

__all__ = [
    "IN_MEMORY",
    "EpisodeLog",
    "FilterArguments",
    "Filters",
    "Head",
    "PassageRecord",
    "Snapshot",
    "SqliteLog",
    "TurnRecord",
    "checked_query",
    "checked_tenant",
    "checked_text",
    "checked_turn",
    "decode_keys",
    "encode_keys",
    "is_postgres",
    "lasting_url",
    "open_log",
    "stored_tenants",
    "unpack_codes",
]
