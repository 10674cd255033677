"""Many users in one event loop: no user sees what another user said."""

import asyncio
import random
import re

import pytest
from langchain.agents import create_agent

from support.recorded import RecordedReader
from support.scripted import ScriptedModel
from titans_core import MemoryBank
from titans_langchain import TitansMemoryMiddleware

COUNTS = [(12, 10), pytest.param(50, 20, marks=pytest.mark.slow)]
SUBJECTS = ["locker", "suitcase", "bicycle lock", "safe", "front door"]

PREFIXES = ["", "user: "]  # the reader reads a question without the speaker, a turn with the speaker


def message(user, turn):
    thing = SUBJECTS[turn // 2 % len(SUBJECTS)]
    if turn % 2:
        return f"User {user} asks: what is the code of my {thing}?"
    return f"The code of my {thing} is U{user:02}-{turn:02}."


@pytest.mark.parametrize(("users", "turns"), COUNTS)
async def test_many_users_with_many_turns_each_never_see_another_users_turn(reader, tmp_path, users, turns):
    """All users have the same things with different codes: each turn is relevant to every user's questions."""
    draw = random.Random(0)  # noqa: S311  # not for secrets
    model = ScriptedModel()
    said = [(prefix, message(user, turn)) for user in range(users) for turn in range(turns) for prefix in PREFIXES]
    recorded = RecordedReader(reader, said)  # all texts in one batch, which is faster
    with MemoryBank(tmp_path / "memory.db", reader=recorded) as bank:
        middleware = TitansMemoryMiddleware(bank, roles=("user",), max_tokens=None, timeout=60)
        agent = create_agent(model, middleware=[middleware])

        async def talk(user):
            for turn in range(turns):
                await agent.ainvoke({"messages": message(user, turn)}, {"configurable": {"user_id": f"user {user}"}})
                await asyncio.sleep(0.02 * draw.random())

        await asyncio.gather(*(talk(user) for user in range(users)))
        assert len(model.requests) == users * turns
        answered = 0
        for request in model.requests:
            if not (asked := re.match(r"User (\d+) asks: what is the code of my (.*)\?", request[-1].text)):
                continue
            shown = "".join(message.text for message in request[:-1])
            codes = set(re.findall(r"U(\d+)-", shown))
            assert codes <= {f"{int(asked[1]):02}"}, (asked[0], shown)
            answered += bool(re.search(rf"my {asked[2]} is U{int(asked[1]):02}", shown))
        assert answered > 0.9 * users * turns / 2
        for user in range(users):
            stored = bank.tenant(f"user {user}").turns()
            assert len(stored) == turns
            assert all(f"U{user:02}-" in turn.text or f"User {user} asks" in turn.text for turn in stored)
