"""What of a conversation a memory is asked for, and what of it is memorized."""

from __future__ import annotations

import asyncio
from dataclasses import replace
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
"""Whose messages are memorized unless something else is asked for."""

_KINDS: dict[Role, type[BaseMessage]] = {"user": HumanMessage, "assistant": AIMessage, "tool": ToolMessage}


def question(messages: Sequence[BaseMessage]) -> HumanMessage | None:
    """The last message of the user that says something, or None."""
    asked = (message for message in reversed(messages) if isinstance(message, HumanMessage))
    return next((message for message in asked if message.text.strip() and not _inserted(message)), None)


def said(messages: Sequence[BaseMessage]) -> list[str]:
    """The texts of messages: what a model is given anyway need not be recalled."""
    return [message.text for message in messages if message.text]


def latest(messages: Sequence[BaseMessage], roles: Collection[Role] = ROLES) -> list[BaseMessage]:
    """What was said since the last answer before the user's last message, by these roles.

    That is one run of an agent, and what the user said in runs before it that ended without an answer. The rest of
    the conversation was memorized when it was said; in an application that sends it anew with each call, its
    messages have new ids, so that it must not be memorized again.

    Args:
        messages: the conversation, oldest first.
        roles: whose messages to take; of them those that say something.
    """
    kinds = tuple(_KINDS[role] for role in roles)
    last = max((place for place, message in enumerate(messages) if isinstance(message, HumanMessage)), default=0)
    answers = (place for place in range(last) if isinstance(messages[place], AIMessage | ToolMessage))
    start = max(answers, default=-1) + 1
    return [
        message
        for message in messages[start:]
        if isinstance(message, kinds) and message.text.strip() and not _inserted(message)
    ]


def with_block(system: SystemMessage | None, block: str) -> SystemMessage:
    """A system message with a block after what it says."""
    if system is None:
        return SystemMessage(block)
    if isinstance(system.content, str):
        return system.model_copy(update={"content": f"{system.content}\n\n{block}"})
    return system.model_copy(update={"content": [*system.content, {"type": "text", "text": block}]})


def remember(
    memory: TitansMemory, messages: Sequence[BaseMessage], session: str | None, config: RunnableConfig | None
) -> None:
    """Memorize messages that are not memorized yet, and update those that were edited since."""
    turns = _unlearned(memory, messages, session)
    if turns:
        events.memorize(memory, turns, config)


async def aremember(
    memory: TitansMemory, messages: Sequence[BaseMessage], session: str | None, config: RunnableConfig | None
) -> None:
    """`remember` off the event loop."""
    turns = await asyncio.to_thread(lambda: _unlearned(memory, messages, session))
    if turns:
        await events.amemorize(memory, turns, config)


def turns_of(memory: TitansMemory, messages: Sequence[BaseMessage], session: str | None) -> list[Turn]:
    """Messages as turns whose ids are free, or stand for the same message of the same session.

    A message's id is its turn's id, so that a message is memorized once however often it is given. If another
    session of the tenant has the id already (a copied transcript), the turn's id is `<session>/<message id>`.
    """
    return [turn for turn, _ in _placed(memory, messages, session)]


def _unlearned(memory: TitansMemory, messages: Sequence[BaseMessage], session: str | None) -> list[Turn]:
    """The turns that are new; those that are stored with another text are updated."""
    placed = _placed(memory, messages, session)
    for turn, stored in placed:
        if stored is not None and stored.text != turn.text:
            memory.update(stored.id or "", turn.text, metadata=turn.metadata)
    return [turn for turn, stored in placed if stored is None]


def _placed(
    memory: TitansMemory, messages: Sequence[BaseMessage], session: str | None
) -> list[tuple[Turn, Turn | None]]:
    """Messages as turns, each with what is stored under its id."""
    placed = []
    for message in messages:
        turn = to_turn(message, session)
        stored = _stored(memory, turn)
        if stored is not None and stored.session != session:
            turn = replace(turn, id=f"{session}/{turn.id}")
            stored = _stored(memory, turn)
        placed.append((turn, stored))
    return placed


def _stored(memory: TitansMemory, turn: Turn) -> Turn | None:
    if turn.id is None:
        return None
    try:
        return memory.get(turn.id)
    except UnknownTurnError:
        return None


def _inserted(message: BaseMessage) -> bool:
    """Whether another middleware wrote this message, such as a summary, that looks like the user's."""
    return "lc_source" in message.additional_kwargs
