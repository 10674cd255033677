"""With `timezone`, days are those of the user: in the blocks, and in what a question asks for."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from langchain.agents import create_agent

from support.scripted import ScriptedModel
from titans_core import TitansMemory
from titans_core.errors import InvalidQueryError
from titans_langchain import TitansMemoryMiddleware

TELL = "My dog is called Biscuit."
LATE = datetime(2026, 3, 2, 23, 30, tzinfo=UTC)


@pytest.fixture
def memory(reader):
    with TitansMemory.open(":memory:", tenant="alice", reader=reader, strategy="fixed_threshold") as memory:
        yield memory


async def ask(memory, question, how, **options):
    model = ScriptedModel()
    agent = create_agent(model, middleware=[TitansMemoryMiddleware(memory, roles=(), **options)])
    if how == "sync":
        agent.invoke({"messages": question})
    else:
        await agent.ainvoke({"messages": question})
    return model.systems[0]


@pytest.mark.parametrize("how", ["sync", "async"])
@pytest.mark.parametrize(("zone", "day"), [("Asia/Tokyo", "2026-03-03"), ("America/New_York", "2026-03-02")])
async def test_the_blocks_show_the_users_days(memory, zone, day, how):
    memory.memorize(TELL, speaker="user", at=LATE)
    system = await ask(memory, "What is my dog called?", how, timezone=zone, profile_tokens=200)
    assert system.count(f"user, {day}: {TELL}") == 2  # in the profile and in the recalls


def yesterday(zone):
    """Return the beginning and the end of yesterday in a zone."""
    midnight = datetime.now(ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - timedelta(days=1), midnight


@pytest.mark.parametrize("how", ["sync", "async"])
async def test_yesterday_is_the_users_yesterday(memory, how):
    here, there = "Pacific/Kiritimati", "Pacific/Pago_Pago"  # 25 hours apart
    (start, end), (other_start, other_end) = yesterday(here), yesterday(there)
    moments = (start + timedelta(minutes=20), end - timedelta(minutes=20))
    only_here = next(moment for moment in moments if not other_start <= moment < other_end)
    memory.memorize("I bought a red kite.", speaker="user", at=only_here)
    question = "What did I say yesterday?"
    assert "red kite" in await ask(memory, question, how, timezone=here, inject_when="high")
    assert "red kite" not in await ask(memory, question, how, timezone=there, inject_when="high")


def test_an_unknown_zone_is_refused_at_once(memory):
    with pytest.raises(InvalidQueryError, match="Atlantis"):
        TitansMemoryMiddleware(memory, timezone="Atlantis/Poseidonis")
