"""Conversion of messages to turns and of recalls to text, and the part of a history that fits into a prompt."""

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

DEFAULT_ROLES = ("user", "assistant")
"""Roles whose messages are memorized by default."""

_ASSISTANT_ROLES = frozenset({MessageRole.ASSISTANT, MessageRole.CHATBOT, MessageRole.MODEL})
_TOOL_ROLES = frozenset({MessageRole.TOOL, MessageRole.FUNCTION})
_RESPONSE_ROLES = _ASSISTANT_ROLES | _TOOL_ROLES

# The final message of a ReAct agent: its reasoning, then its answer.
_REACT_ANSWER = re.compile(r"\AThought:.*^Answer:(.*)\Z", re.DOTALL | re.MULTILINE)


def text_of(message: ChatMessage) -> str:
    """Return the text of a message. If a ReAct agent wrote it, the text is the answer without the reasoning."""
    text = message.content or ""
    answer = _REACT_ANSWER.match(text) if message.role in _ASSISTANT_ROLES else None
    return answer[1].strip() if answer else text


def to_turn(message: ChatMessage, session: str | None, roles: Collection[str] = DEFAULT_ROLES) -> Turn | None:
    """Convert a message to a turn.

    Args:
        message: Message to convert.
        session: Id of the session, or None.
        roles: Roles to convert, of "user", "assistant" and "tool".

    Returns:
        The turn, or None if the message has no text or another role.
    """
    text, role = text_of(message), _role_of(message)
    return Turn(text, speaker=role, session=session) if role in roles and text.strip() else None


def _role_of(message: ChatMessage) -> str:
    if message.role in _ASSISTANT_ROLES:
        return "assistant"
    return "tool" if message.role in _TOOL_ROLES else str(message.role.value)


def drop_stored(turns: Iterable[Turn], stored: Iterable[Turn]) -> list[Turn]:
    """Return the turns that are not stored yet.

    Args:
        turns: Turns of a conversation, oldest first.
        stored: Stored turns of the session. A turn that is said three times and stored once is returned twice.
    """
    stored_counts = Counter((turn.speaker, turn.text) for turn in stored)
    new_turns = []
    for turn in turns:
        key = (turn.speaker, turn.text)
        stored_counts[key] -= 1
        if stored_counts[key] < 0:
            new_turns.append(turn)
    return new_turns


def trim_history(messages: Sequence[ChatMessage], limit: int, count: Callable[[ChatMessage], int]) -> list[ChatMessage]:
    """Return the newest messages that fit into a limit.

    A trimmed history never begins with an answer or with a tool's result, so that a tool call and its result stay
    together. It holds at least the last message of another role and all messages after it, even if they exceed the
    limit: then the model can report the excess.

    Args:
        messages: The conversation, oldest first.
        limit: Maximum number of tokens of all returned messages together.
        count: Returns the number of tokens of one message.
    """
    start = tokens = 0
    for index in reversed(range(len(messages))):
        tokens += count(messages[index])
        if tokens > limit and start:
            return list(messages[start:])
        if messages[index].role not in _RESPONSE_ROLES:
            start = index
    return list(messages)


def counted_text(message: ChatMessage) -> str:
    """Return the text whose tokens a message costs: its content and its tool calls."""
    calls = (block for block in message.blocks if isinstance(block, ToolCallBlock))
    return " ".join([message.content or "", *(f"{call.tool_name} {call.tool_kwargs}" for call in calls)])


def format_recalls(found: Recollection, fits: Callable[[str], bool], template: str = RECALL_TEMPLATE) -> str:
    """Format recalls as one labelled block of text that is safe in a prompt template.

    Args:
        found: Result of the recall.
        fits: Returns whether a block is short enough. The last recalls are left out until the block fits.
        template: Template for one recall, see `Recollection.as_text`.

    Returns:
        The block, or "" if not even the best recall fits.
    """
    blocks = (replace(found, recalls=found.recalls[:n]).as_text(template) for n in range(len(found), 0, -1))
    return next((block for block in blocks if fits(block)), "")


def insert_block(messages: list[ChatMessage], block: str, *, question_follows: bool) -> list[ChatMessage]:
    """Insert a block of recalls where a strict chat template accepts it.

    Strict templates accept one system message, which the engine may add itself, and after it user and assistant
    messages in alternation. Therefore the block goes into the user message with the question. The context engines add
    the question only after they have read the history. For them, the last user message in the history is an earlier
    question, so the block becomes an exchange of its own at the end.

    Args:
        messages: The history; changed in place.
        block: Result of `format_recalls`.
        question_follows: Whether the caller adds the question later, if the history ends with an answer.

    Returns:
        The list that was passed.
    """
    place = _place_of_question(messages, question_follows=question_follows)
    if place == len(messages):
        messages.append(ChatMessage(block, role=MessageRole.USER))
        messages.append(ChatMessage("I will keep that in mind.", role=MessageRole.ASSISTANT))
    else:
        question = messages[place]
        question.blocks = [TextBlock(text=block), *question.blocks]
    return messages


def begins_conversation(messages: Sequence[ChatMessage], *, question_follows: bool) -> bool:
    """Return whether no answer stands before the question.

    Args:
        messages: The whole history.
        question_follows: Whether the caller adds the question later, if the history ends with an answer.
    """
    place = _place_of_question(messages, question_follows=question_follows)
    return not any(message.role in _ASSISTANT_ROLES for message in messages[:place])


def _place_of_question(messages: Sequence[ChatMessage], *, question_follows: bool) -> int:
    """Return the index of the last user message, or the end of the history if the question is not in it yet."""
    end = len(messages)
    if question_follows and messages and _is_answer(messages[-1]):
        return end
    return next((place for place in reversed(range(end)) if messages[place].role == MessageRole.USER), end)


def _is_answer(message: ChatMessage) -> bool:
    has_call_block = any(isinstance(block, ToolCallBlock) for block in message.blocks)
    has_calls = has_call_block or bool(message.additional_kwargs.get("tool_calls"))
    return message.role in _ASSISTANT_ROLES and not has_calls
