"""Selects from a conversation what to recall for and what to memorize."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING, Literal, TypeAlias

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from titans_core.errors import UnknownTurnError
from titans_langchain import events
from titans_langchain.messages import to_turn

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import RunnableConfig

    from titans_core import TitansMemory, Turn

Role: TypeAlias = Literal["user", "assistant", "tool"]

ROLES: tuple[Role, ...] = ("user", "assistant")
"""Roles whose messages are memorized by default."""

_MESSAGE_TYPES: dict[Role, type[BaseMessage]] = {"user": HumanMessage, "assistant": AIMessage, "tool": ToolMessage}


def last_question(messages: Sequence[BaseMessage]) -> HumanMessage | None:
    """Return the last message of the user that has text, or None."""
    human = (message for message in reversed(messages) if isinstance(message, HumanMessage))
    return next((message for message in human if message.text.strip() and not _is_inserted(message)), None)


def begins_conversation(messages: Sequence[BaseMessage], question: BaseMessage) -> bool:
    """Return whether no answer stands before a message of the conversation."""
    before = takewhile(lambda message: message is not question, messages)
    return not any(isinstance(message, AIMessage) for message in before)


def texts_of(messages: Sequence[BaseMessage]) -> list[str]:
    """Return the texts of messages. The model sees them anyway, so they need not be recalled."""
    return [message.text for message in messages if message.text]


def messages_of_run(messages: Sequence[BaseMessage], roles: Collection[Role] = ROLES) -> list[BaseMessage]:
    """Return the messages since the last answer before the user's last message.

    These are the messages of one run of an agent, and those that the user sent in earlier runs that ended without an
    answer. The rest of the conversation was memorized by earlier runs. It must not be memorized again: in an
    application that sends the whole conversation with each call, its messages have new ids.

    Args:
        messages: Conversation, oldest first.
        roles: Roles whose messages are returned. Messages without text are left out.
    """
    types = tuple(_MESSAGE_TYPES[role] for role in roles)
    last = max((place for place, message in enumerate(messages) if isinstance(message, HumanMessage)), default=0)
    answers = (place for place in range(last) if isinstance(messages[place], AIMessage | ToolMessage))
    start = max(answers, default=-1) + 1
    return [
        message
        for message in messages[start:]
        if isinstance(message, types) and message.text.strip() and not _is_inserted(message)
    ]


def append_block(system: SystemMessage | None, block: str) -> SystemMessage:
    """Return a system message with a block after its content; a new system message if there is none."""
    if system is None:
        return SystemMessage(block)
    if isinstance(system.content, str):
        return system.model_copy(update={"content": f"{system.content}\n\n{block}"})
    return system.model_copy(update={"content": [*system.content, {"type": "text", "text": block}]})


def memorize_messages(
    memory: TitansMemory, messages: Sequence[BaseMessage], session: str | None, config: RunnableConfig | None
) -> None:
    """Memorize the messages that are new to the memory, and update the messages that were edited.

    Args:
        memory: Memory of the user.
        messages: Messages of the session, oldest first.
        session: Id of the session, or None.
        config: Config of the run, for the event.
    """
    turns = _update_edited(memory, messages, session)
    if turns:
        events.memorize(memory, turns, config)


async def amemorize_messages(
    memory: TitansMemory, messages: Sequence[BaseMessage], session: str | None, config: RunnableConfig | None
) -> None:
    """Like `memorize_messages`, without blocking the event loop."""
    turns = await asyncio.to_thread(_update_edited, memory, messages, session)
    if turns:
        await events.amemorize(memory, turns, config)


def to_turns(memory: TitansMemory, messages: Sequence[BaseMessage], session: str | None) -> list[Turn]:
    """Convert messages to turns. Each turn's id is free, or belongs to the same message of the same session.

    The id of a message becomes the id of its turn, so that a message is memorized only once, even if it is passed
    several times. If the id belongs to another session of the tenant (a copied transcript), the turn's id becomes
    `<session>/<message id>`.
    """
    return [turn for turn, _ in _pair_with_stored(memory, messages, session)]


def _update_edited(memory: TitansMemory, messages: Sequence[BaseMessage], session: str | None) -> list[Turn]:
    """Update the stored turns whose text has changed, and return the turns that are not stored yet."""
    pairs = _pair_with_stored(memory, messages, session)
    for turn, stored in pairs:
        if stored is not None and stored.text != turn.text:
            memory.update(stored.id or "", turn.text, metadata=turn.metadata)
    return [turn for turn, stored in pairs if stored is None]


def _pair_with_stored(
    memory: TitansMemory, messages: Sequence[BaseMessage], session: str | None
) -> list[tuple[Turn, Turn | None]]:
    """Convert messages to turns, each with the turn that is stored under its id, or None."""
    pairs = []
    for message in messages:
        turn = to_turn(message, session)
        stored = _find(memory, turn.id)
        if stored is not None and stored.session != session:
            turn = replace(turn, id=f"{session}/{turn.id}")
            stored = _find(memory, turn.id)
        pairs.append((turn, stored))
    return pairs


def _find(memory: TitansMemory, turn_id: str | None) -> Turn | None:
    if turn_id is None:
        return None
    try:
        return memory.get(turn_id)
    except UnknownTurnError:
        return None


def _is_inserted(message: BaseMessage) -> bool:
    """Whether another middleware wrote this message. A summary, for example, has the type of a user's message."""
    return "lc_source" in message.additional_kwargs
