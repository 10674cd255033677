"""The durable log of turns: the truth that everything else is rebuilt from."""

from titans_core.episodes.codec import decode_keys, encode_keys, unpack_codes
from titans_core.episodes.database import IN_MEMORY
from titans_core.episodes.filters import FilterArguments, Filters
from titans_core.episodes.log import EpisodeLog, stored_tenants
from titans_core.episodes.records import PassageRecord, Snapshot, TurnRecord
from titans_core.episodes.validation import checked_query, checked_tenant, checked_text, checked_turn

__all__ = [
    "IN_MEMORY",
    "EpisodeLog",
    "FilterArguments",
    "Filters",
    "PassageRecord",
    "Snapshot",
    "TurnRecord",
    "checked_query",
    "checked_tenant",
    "checked_text",
    "checked_turn",
    "decode_keys",
    "encode_keys",
    "stored_tenants",
    "unpack_codes",
]
