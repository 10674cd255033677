"""Translates chat messages to turns, recalls to chat messages, a history to what fits into a prompt."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock, ToolCallBlock

from titans_core import Turn
from titans_core.types import RECALL_TEMPLATE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from titans_core import Recollection

ROLES = ("user", "assistant")
"""Whose messages are memorized unless something else is asked for."""

_ASSISTANTS = frozenset({MessageRole.ASSISTANT, MessageRole.CHATBOT, MessageRole.MODEL})
_ANSWERS = _ASSISTANTS | {MessageRole.TOOL, MessageRole.FUNCTION}


# What a ReAct agent puts as its answer: its reasoning, and what it then says.
_REASONED = re.compile(r"\AThought:.*^Answer:(.*)\Z", re.DOTALL | re.MULTILINE)


def said_in(message: ChatMessage) -> str:
    """What a message says in words; of a ReAct agent's answer what it says after its reasoning."""
    text = message.content or ""
    reasoned = _REASONED.match(text) if message.role in _ASSISTANTS else None
    return reasoned[1].strip() if reasoned else text


def turn_of(message: ChatMessage, session: str | None, roles: Collection[str] = ROLES) -> Turn | None:
    """The turn to memorize, or None: only what is said in words, by these roles, is memorized."""
    text, role = said_in(message), _role(message)
    return Turn(text, speaker=role, session=session) if role in roles and text.strip() else None


def _role(message: ChatMessage) -> str:
    if message.role in _ASSISTANTS:
        return "assistant"
    return "tool" if message.role in _ANSWERS else str(message.role.value)


def unseen(turns: Iterable[Turn], stored: Iterable[Turn]) -> list[Turn]:
    """Those turns that are not stored yet; one said n times is new as often as it is stored less than that."""
    seen = Counter((turn.speaker, turn.text) for turn in stored)
    new = []
    for turn in turns:
        said = (turn.speaker, turn.text)
        seen[said] -= 1
        if seen[said] < 0:
            new.append(turn)
    return new


def window(messages: Sequence[ChatMessage], limit: int, count: Callable[[ChatMessage], int]) -> list[ChatMessage]:
    """The newest messages that fit, the oldest dropped first.

    What is left after dropping never begins with an answer or a tool's result, so that a tool call and its
    result stay together. It holds at least the last message of another kind and all that follows it, even
    if that is too long: then the model can say so.

    Args:
        messages: the conversation, oldest first.
        limit: tokens that the messages may have together.
        count: the tokens of one message.
    """
    start = tokens = 0
    for index in reversed(range(len(messages))):
        tokens += count(messages[index])
        if tokens > limit and start:
            return list(messages[start:])
        if messages[index].role not in _ANSWERS:
            start = index
    return list(messages)


def words(message: ChatMessage) -> str:
    """What of a message costs tokens: its text and its tool calls."""
    calls = (block for block in message.blocks if isinstance(block, ToolCallBlock))
    return " ".join([message.content or "", *(f"{call.tool_name} {call.tool_kwargs}" for call in calls)])


def quote(found: Recollection, fits: Callable[[str], bool], template: str = RECALL_TEMPLATE) -> str:
    """The recalls as one labelled block of text, safe in a template.

    Args:
        found: recalls under a label.
        fits: whether a block is short enough; recalls are left out from the end until it is.
        template: for one recall, see `Recollection.as_text`.

    Returns:
        The block, or "" if not even the best recall fits.
    """
    blocks = (replace(found, recalls=found.recalls[:n]).as_text(template) for n in range(len(found), 0, -1))
    return next((block for block in blocks if fits(block)), "")


def insert(messages: list[ChatMessage], block: str, *, asks_next: bool) -> list[ChatMessage]:
    """Put a block of recalls where a strict chat template accepts it.

    Such templates take one system message, which the engine may add itself, and then user and assistant by
    turns. So the block goes into the user message with the question. The context engines add the question
    only after they have asked for the history; an earlier question would be the wrong place, so for them
    the block becomes an exchange of its own at the end.

    Args:
        messages: the history; changed in place.
        block: what `quote` made.
        asks_next: the caller names a question that is not in the history if that ends with an answer.
    """
    question = next((said for said in reversed(messages) if said.role == MessageRole.USER), None)
    if question is None or (asks_next and _is_answer(messages[-1])):
        messages.append(ChatMessage(block, role=MessageRole.USER))
        messages.append(ChatMessage("I will keep that in mind.", role=MessageRole.ASSISTANT))
    else:
        question.blocks = [TextBlock(text=block), *question.blocks]
    return messages


def _is_answer(message: ChatMessage) -> bool:
    calls = any(isinstance(block, ToolCallBlock) for block in message.blocks)
    return message.role in _ASSISTANTS and not calls and not message.additional_kwargs.get("tool_calls")
