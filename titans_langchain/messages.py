"""Conversion of LangChain messages to turns and back.

A turn's text is the text of the message. The rest of the message (its type, tool calls, images, ids) is kept as JSON in
the turn's metadata, under `MESSAGE_KEY`. The metadata does not repeat the text, so that after an update of the turn
nothing is left of the old text.
"""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, messages_from_dict
from pydantic_core import to_json

from titans_core import Turn

MESSAGE_KEY = "langchain_message"

_SPEAKERS = {"human": "user", "ai": "assistant"}
_MESSAGE_TYPES: dict[str | None, type[BaseMessage]] = {
    None: HumanMessage,
    "user": HumanMessage,
    "human": HumanMessage,
    "assistant": AIMessage,
    "ai": AIMessage,
    "system": SystemMessage,
}


def to_turn(message: BaseMessage, session: str | None) -> Turn:
    """Convert a message to a turn that holds all of it.

    The turn's text is the message's text parts, each on lines of its own. A message without text (tool calls, an image)
    gets a short description as its text: `Called weather({"city": "Rome"})`. The speaker is "user", "assistant",
    "system", "tool" or "function", the role of a `ChatMessage`, or the name of a `HumanMessage` that has a name.

    Args:
        message: LangChain message of any type. Values that JSON cannot hold are stored as the nearest JSON value, or
            as their text.
        session: Id of the session of the message, or None.

    Returns:
        The turn, with the message's id.
    """
    data = to_json_values(message.model_dump(exclude={"content"}, exclude_defaults=True))
    saved: dict[str, Any] = {"type": message.type, "data": data}
    texts, frame = _split_content(message.content)
    text = "\n".join(texts)
    if not text.strip():
        text = _describe(message)
        saved |= {"content": to_json_values(message.content), "described_as": text}
    elif isinstance(message.content, list):
        saved["frame"] = to_json_values(frame)
    return Turn(text, speaker=_speaker(message), session=session, metadata={MESSAGE_KEY: saved}, id=message.id or None)


def to_message(turn: Turn) -> BaseMessage:
    """Convert a turn back to its message. For a turn that was never a message, the speaker decides the type.

    If the turn's text was updated, the message has the new text: as plain text, or as one text part in front of the
    parts that are not text.

    Args:
        turn: Turn of any origin.

    Returns:
        The message. For a turn that was never a message, it has the turn's id, and an unknown speaker becomes the
        name of a `HumanMessage`.
    """
    saved = turn.metadata.get(MESSAGE_KEY)
    if saved is None:
        message_type = _MESSAGE_TYPES.get(turn.speaker)
        if message_type is None:
            return HumanMessage(turn.text, id=turn.id, name=turn.speaker)
        return message_type(turn.text, id=turn.id)
    content: str | list[Any] = turn.text
    if turn.text == saved.get("described_as"):
        content = saved["content"]
    elif "frame" in saved:
        content = _join_content(turn.text, saved["frame"])
    return messages_from_dict([{"type": saved["type"], "data": {**saved["data"], "content": content}}])[0]


def to_json_values(value: Any) -> Any:
    """Convert a value to JSON values: dicts, lists, texts, numbers, None. Other values become their text."""
    return json.loads(to_json(value, bytes_mode="base64", inf_nan_mode="strings", fallback=str))


def _speaker(message: BaseMessage) -> str:
    if isinstance(message, HumanMessage) and message.name:
        return message.name
    # A ChatMessage has a role. A streamed chunk has the same role as its message.
    role = getattr(message, "role", None) or message.type.removesuffix("MessageChunk").lower()
    return _SPEAKERS.get(role, role)


def _describe(message: BaseMessage) -> str:
    """Describe a message without text, because a turn needs a text."""
    calls = [*getattr(message, "tool_calls", ()), *getattr(message, "invalid_tool_calls", ())]
    if calls:
        return "\n".join(f"Called {call['name']}({_arguments(call['args'])})" for call in calls)
    parts = [part for part in message.content if isinstance(part, dict)]
    return " ".join(f"[{part.get('type', 'part')}]" for part in parts) or "[no text]"


def _arguments(args: Any) -> str:
    # The arguments of an invalid call are the string that could not be parsed.
    return args if isinstance(args, str) else json.dumps(to_json_values(args), ensure_ascii=False)


def _split_content(content: str | list[str | dict[str, Any]]) -> tuple[list[str], list[Any]]:
    """Split a content into its texts and its frame. The frame holds the number of lines in place of each text."""
    texts: list[str] = []
    frame: list[Any] = []
    for part in [content] if isinstance(content, str) else content:
        text = _text_of(part)
        if isinstance(text, str):
            texts.append(text)
            lines = text.count("\n") + 1
            frame.append(lines if isinstance(part, str) else {**part, "text": lines})
        else:
            frame.append(part)
    return texts, frame


def _join_content(text: str, frame: list[Any]) -> list[Any]:
    """Undo `_split_content`. A text with another number of lines was updated, and becomes one part."""
    lines = text.split("\n")
    counts = [count for part in frame if isinstance(count := _text_of(part), int)]
    if len(lines) != sum(counts):
        return [text, *(part for part in frame if not isinstance(_text_of(part), int))]
    remaining = iter(lines)
    parts: list[Any] = []
    for part in frame:
        count = _text_of(part)
        if isinstance(count, int):
            part_text = "\n".join(islice(remaining, count))
            parts.append(part_text if isinstance(part, int) else {**part, "text": part_text})
        else:
            parts.append(part)
    return parts


def _text_of(part: Any) -> Any:
    """Return the text of a text part (or the number of lines in its place), and None for a part that is not text."""
    if isinstance(part, dict):
        return part.get("text") if part.get("type") == "text" else None
    return part
