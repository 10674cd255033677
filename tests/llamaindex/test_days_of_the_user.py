"""With `timezone`, days are those of the user: in the blocks, and in what a question asks for."""

import asyncio
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from llama_index.core.llms import ChatMessage

from titans_core import TitansMemory
from titans_core.errors import InvalidQueryError
from titans_llamaindex import TitansChatMemory, TitansMemoryBlock

TELL = "My dog is called Biscuit."
LATE = datetime(2026, 3, 2, 23, 30, tzinfo=UTC)


@pytest.fixture
def memory(reader):
    with TitansMemory.open(":memory:", tenant="alice", reader=reader, strategy="fixed_threshold") as memory:
        yield memory


def sync_chat(memory, question, **options):
    return "".join(message.content for message in TitansChatMemory(memory=memory, **options).get(question))


def async_chat(memory, question, **options):
    messages = asyncio.run(TitansChatMemory(memory=memory, **options).aget(question))
    return "".join(message.content for message in messages)


def block(memory, question, **options):
    return asyncio.run(TitansMemoryBlock(memory, **options).aget([ChatMessage(question, role="user")]))


ways = pytest.mark.parametrize("ask", [sync_chat, async_chat, block])


@ways
@pytest.mark.parametrize(("zone", "day"), [("Asia/Tokyo", "2026-03-03"), ("America/New_York", "2026-03-02")])
def test_the_blocks_show_the_users_days(memory, ask, zone, day):
    memory.memorize(TELL, speaker="user", at=LATE)
    given = ask(memory, "What is my dog called?", timezone=zone, profile_tokens=200)
    assert given.count(f"user, {day}: {TELL}") == 2  # in the profile and in the recalls


def yesterday(zone):
    """Return the beginning and the end of yesterday in a zone."""
    midnight = datetime.now(ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=1), midnight


@ways
def test_yesterday_is_the_users_yesterday(memory, ask):
    here, there = "Pacific/Kiritimati", "Pacific/Pago_Pago"  # 25 hours apart
    (start, end), (other_start, other_end) = yesterday(here), yesterday(there)
    moments = (start + timedelta(minutes=20), end - timedelta(minutes=20))
    only_here = next(moment for moment in moments if not other_start <= moment < other_end)
    memory.memorize("I bought a red kite.", speaker="user", at=only_here)
    question = "What did I say yesterday?"
    assert "red kite" in ask(memory, question, timezone=here, min_confidence="high")
    assert "red kite" not in ask(memory, question, timezone=there, min_confidence="high")


@pytest.mark.parametrize("kind", [TitansChatMemory, TitansMemoryBlock])
def test_an_unknown_zone_is_refused_at_once(memory, kind):
    with pytest.raises(InvalidQueryError, match="Atlantis"):
        kind(memory=memory, timezone="Atlantis/Poseidonis")
