"""Many users in one process, in one event loop or in threads: no turn is lost, and no turn reaches another user."""

import asyncio
import random
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from llama_index.core.llms import ChatMessage

from support.recorded import RecordedReader
from titans_core import MemoryBank, TitansMemory
from titans_llamaindex import TitansChatMemory

THREADS = 8
COUNTS = [(12, 10), pytest.param((50, 20), marks=pytest.mark.slow)]
SUBJECTS = ["locker", "suitcase", "bicycle lock", "safe", "front door"]


def message(user, turn):
    """Return a turn of a user. All users have the same things with different codes, so each turn is relevant to all."""
    thing = SUBJECTS[turn // 2 % len(SUBJECTS)]
    if turn % 2:
        return f"What is the code of my {thing}?"
    return f"The code of my {thing} is U{user:02}-{turn:02}."


@pytest.fixture(params=COUNTS, ids=str)
def counts(request):
    """Number of users, and number of turns per user."""
    return request.param


@pytest.fixture
def recorded(reader, counts):
    users, turns = counts
    texts = dict.fromkeys(message(user, turn) for user in range(users) for turn in range(turns))
    # Each text is read as a turn and as a query. One batch is faster.
    return RecordedReader(reader, [(prefix, text) for text in texts for prefix in ("user: ", "")])


@pytest.fixture
def bank(recorded, tmp_path):
    with MemoryBank(tmp_path / "memory.db", reader=recorded) as bank:
        yield bank


def chat(bank, user):
    """Build a conversation for one turn of a user, so that all earlier turns must be recalled."""
    return TitansChatMemory.from_defaults(bank, user_id=f"user {user}", session_id="monday", raise_errors=True)


def check(bank, shown, counts):
    """Check that every user has all turns, received the turn with the answer, and received no turn of another user."""
    answered, (users, turns) = 0, counts
    for user in range(users):
        stored = bank.tenant(f"user {user}").turns()
        assert [turn.text for turn in stored] == [message(user, turn) for turn in range(turns)]
        for turn in range(1, turns, 2):
            text = "".join(given.content for given in shown[user, turn])
            assert set(re.findall(r"U(\d+)-", text)) <= {f"{user:02}"}
            answered += f"The code of my {SUBJECTS[turn // 2 % len(SUBJECTS)]} is U{user:02}" in text
    assert answered > 0.9 * len(shown)


async def test_many_users_in_one_event_loop_lose_nothing_and_see_nothing_of_each_other(bank, counts):
    users, turns = counts
    draw = random.Random(0)  # noqa: S311 - not for secrets
    shown = {}

    async def talk(user):
        for turn in range(turns):
            conversation, text = chat(bank, user), message(user, turn)
            if text.endswith("?"):
                shown[user, turn] = await conversation.aget(text)
            await asyncio.sleep(0.02 * draw.random())
            await conversation.aput(ChatMessage(text, role="user"))

    await asyncio.gather(*(talk(user) for user in range(users)))
    check(bank, shown, counts)


def test_many_users_in_eight_threads_lose_nothing_and_see_nothing_of_each_other(bank, counts):
    users, turns = counts
    shown = {}

    def talk(user):
        for turn in range(turns):
            conversation, text = chat(bank, user), message(user, turn)
            if text.endswith("?"):
                shown[user, turn] = conversation.get(text)
            conversation.put(ChatMessage(text, role="user"))

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(talk, range(users)))  # raises the error of a thread
    check(bank, shown, counts)


@pytest.mark.parametrize(("puts", "role"), [(16, "user"), pytest.param(500, "assistant", marks=pytest.mark.slow)])
def test_eight_threads_that_put_into_one_conversation_lose_nothing(reader, tmp_path, puts, role):
    said = [[f"Note {n} of thread {thread}." for n in range(puts)] for thread in range(THREADS)]
    prefixes = {"user": ("user: ", ""), "assistant": ("assistant: ",)}[role]  # a message of the user is a query too
    recorded = RecordedReader(reader, [(prefix, text) for texts in said for text in texts for prefix in prefixes])
    with TitansMemory.open(tmp_path / "memory.db", tenant="alice", reader=recorded) as memory:
        conversation = TitansChatMemory(memory=memory, raise_errors=True)

        def talk(texts):
            for text in texts:
                conversation.put(ChatMessage(text, role=role))

        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(talk, said))
        expected = sorted(text for texts in said for text in texts)
        turns = [turn.text for turn in memory.turns()]
        assert sorted(turns) == expected
        assert sorted(message.content for message in conversation.get_all()) == expected
        for texts in said:  # the turns of a thread keep their order
            own = set(texts)
            assert [text for text in turns if text in own] == texts
