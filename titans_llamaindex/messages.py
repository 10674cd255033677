"""Translates chat messages to turns, recalls to chat messages, a history to what fits into a prompt."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock, ToolCallBlock

from titans_core import Confidence, Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from titans_core import Recall

_ASSISTANTS = frozenset({MessageRole.ASSISTANT, MessageRole.CHATBOT, MessageRole.MODEL})
_ANSWERS = _ASSISTANTS | {MessageRole.TOOL, MessageRole.FUNCTION}
_HEADINGS = {
    Confidence.HIGH: "From earlier conversations; the first is relevant, the others perhaps not:",
    Confidence.LOW: "From earlier conversations; perhaps not relevant, do not rely on it:",
}
# Chat engines format the history as a template, in which doubling a brace does not help; and no stored turn
# may close the block that quotes it. A space after the bracket undoes both and stays readable.
_SPECIAL = re.compile(r"\{(?=[\w.]+\})|<(?=/?memory\b)")


def turn_of(message: ChatMessage, session: str) -> Turn | None:
    """The turn to memorize, or None: only what the user or the assistant says in words is memorized."""
    text = message.content
    if not text or not text.strip():
        return None
    if message.role == MessageRole.USER:
        return Turn(text, speaker="user", session=session)
    return Turn(text, speaker="assistant", session=session) if message.role in _ASSISTANTS else None


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


def quote(recalls: Sequence[Recall], confidence: Confidence, fits: Callable[[str], bool]) -> str:
    """The recalls as one labelled block of text, safe in a template.

    Args:
        recalls: best first.
        confidence: the label of the best, high or low.
        fits: whether a block is short enough; recalls are left out from the end until it is.

    Returns:
        The block, or "" if not even the best recall fits.
    """
    lines = [_line(recall) for recall in recalls]
    for n in range(len(lines), 0, -1):
        head = f'<memory confidence="{confidence}">\n{_HEADINGS[confidence]}'
        block = "\n".join([head, *lines[:n], "</memory>"])
        if fits(block):
            return block
    return ""


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


def _line(recall: Recall) -> str:
    turn = recall.turn
    day = turn.at.date().isoformat() if turn.at else ""
    source = ", ".join(part for part in (turn.speaker, day) if part)
    line = f"- {source}: {recall.passage}" if source else f"- {recall.passage}"
    return _SPECIAL.sub(r"\g<0> ", line).replace("\n", "\n  ")
