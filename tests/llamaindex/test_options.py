"""The options of TitansChatMemory, its users, and failures of the memory."""

import logging

import pytest
from llama_index.core.base.llms.types import ChatMessage, MessageRole

from titans_core import TitansMemory
from titans_core.errors import ClosedMemoryError, InvalidTenantError
from titans_llamaindex import TitansChatMemory

FACT = "The secret code is X-8-DELTA-9."
QUESTION = "What is the secret code?"


def user(text):
    return ChatMessage(text, role=MessageRole.USER)


def given(chat, question=QUESTION):
    """Return the whole text that a model would receive."""
    return "\n".join(message.content or "" for message in chat.get(question))


def test_a_bank_needs_a_user_and_serves_no_other(bank):
    bank.tenant("alice").memorize(FACT, speaker="user")
    assert FACT in given(TitansChatMemory.from_defaults(memory=bank, user_id="alice"))
    assert FACT not in given(TitansChatMemory.from_defaults(memory=bank, user_id="bruno"))
    with pytest.raises(InvalidTenantError, match="pass user_id"):
        TitansChatMemory.from_defaults(memory=bank)
    with pytest.raises(InvalidTenantError, match="memory of 'alice'"):
        TitansChatMemory.from_defaults(memory=bank.tenant("alice"), user_id="bruno")
    assert TitansChatMemory(memory=bank.tenant("alice"), user_id="alice").memory is bank.tenant("alice")


async def test_a_memory_that_fails_is_told_and_the_conversation_goes_on(memory, caplog):
    chat = TitansChatMemory.from_defaults(memory=memory)
    memory.close()
    messages = [user(FACT), user(QUESTION)]
    with caplog.at_level(logging.WARNING, logger="titans_llamaindex"):
        chat.put(messages[0])
        await chat.aput(messages[1])
        assert chat.get() == await chat.aget() == chat.get_all() == messages
        chat.set(messages)
        await chat.aset(messages)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 8
    assert "could not memorize" in caplog.text
    assert "could not recall" in caplog.text
    assert FACT not in caplog.text


async def test_errors_are_raised_if_they_are_asked_for(memory):
    chat = TitansChatMemory.from_defaults(memory=memory, raise_errors=True)
    memory.close()
    for call in (lambda: chat.put(user(FACT)), lambda: chat.get(QUESTION), lambda: chat.set([user(FACT)])):
        with pytest.raises(ClosedMemoryError):
            call()
    for work in (chat.aput(user(FACT)), chat.aget(QUESTION), chat.aset([user(FACT)])):
        with pytest.raises(ClosedMemoryError):
            await work
    assert chat.get_all() == []


def test_what_cannot_be_memorized_stays_in_the_conversation(memory):
    chat = TitansChatMemory.from_defaults(memory=memory)
    chat.put(user("\ud800"))
    assert chat.get_all() == [user("\ud800")]
    assert memory.turns() == []


def test_min_confidence_high_leaves_out_what_may_be_irrelevant(reader):
    with TitansMemory.open(":memory:", tenant="alice", reader=reader, strategy="fixed_threshold") as memory:
        memory.memorize("My dog is called Biscuit.", speaker="user")
        question = "Which pet food do I need?"
        assert "Biscuit" in given(TitansChatMemory.from_defaults(memory=memory), question)
        assert "Biscuit" not in given(TitansChatMemory.from_defaults(memory=memory, min_confidence="high"), question)


def test_recalls_have_a_limit_and_a_template_of_their_own(memory):
    memory.memorize_many([f"The secret code of door {n} is X-{n}." for n in range(4)])
    options = {"token_limit": 3000, "template": "* {text}"}
    short = TitansChatMemory.from_defaults(memory=memory, recall_token_limit=60, **options)
    long = TitansChatMemory.from_defaults(memory=memory, recall_token_limit=300, **options)
    blocks = [given(chat, "What are the secret codes of the doors?") for chat in (short, long)]
    assert 0 < blocks[0].count("* The secret code") < blocks[1].count("* The secret code") == 4
    assert len(short.tokenizer_fn(blocks[0].partition("</memory>")[0])) <= 60
    with pytest.raises(KeyError, match="speeker"):
        TitansChatMemory.from_defaults(memory=memory, template="{speeker}")


@pytest.mark.parametrize(
    ("roles", "expected"),
    [(["user"], ["user"]), (["assistant", "tool"], ["assistant", "tool"]), ([], [])],
)
def test_roles_say_whose_messages_are_memorized(memory, roles, expected):
    chat = TitansChatMemory.from_defaults(memory=memory, roles=roles)
    said = {"user": "Rain?", "assistant": "Let me look.", "tool": "Rain in Rome.", "system": "Be brief."}
    chat.put_messages([ChatMessage(text, role=role) for role, text in said.items()])
    assert [turn.speaker for turn in memory.turns()] == expected
    assert len(chat.get_all()) == 4


async def test_erasing_deletes_all_that_the_user_said_from_the_disk(bank, tmp_path):
    for erase in ("erase", "aerase"):
        others = TitansChatMemory.from_defaults(memory=bank, user_id="bruno")
        others.put(user("Bruno has two cats."))
        TitansChatMemory.from_defaults(memory=bank, user_id="alice", session_id="monday").put(user(FACT))
        chat = TitansChatMemory.from_defaults(memory=bank, user_id="alice", session_id="tuesday")
        chat.put(user("I like green tea."))
        assert (chat.erase() if erase == "erase" else await chat.aerase()) == 2
        assert chat.get_all() == []
        assert bank.tenants() == ["bruno"]
        assert not any(b"DELTA" in file.read_bytes() for file in tmp_path.iterdir())


def test_a_retriever_over_the_same_memory(memory):
    memory.memorize(FACT)
    [node] = TitansChatMemory.from_defaults(memory=memory).as_retriever(k=1).retrieve(QUESTION)
    assert node.text == FACT
