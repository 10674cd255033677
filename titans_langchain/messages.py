"""LangChain messages as turns, and back.

A turn's text is what the message says. The rest of the message (its kind, tool calls, images, ids) stays
beside it as JSON, in the turn's metadata under `MESSAGE_KEY`. What is said is not repeated there, so
that nothing is left of it once the turn is updated.
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
_KINDS: dict[str | None, type[BaseMessage]] = {
    None: HumanMessage,
    "user": HumanMessage,
    "human": HumanMessage,
    "assistant": AIMessage,
    "ai": AIMessage,
    "system": SystemMessage,
}


def to_turn(message: BaseMessage, session: str | None) -> Turn:
    """Translate a message into a turn that holds all of it.

    The text parts of a message make up the turn's text, one after the other on lines of their own. A
    message that says nothing (tool calls, an image) gets a short description as its text:
    `Called weather({"city": "Rome"})`. The speaker is "user", "assistant", "system", "tool" or "function",
    the role of a `ChatMessage`, or the name of a `HumanMessage` that has one.

    Args:
        message: any LangChain message. Values that JSON does not hold come back as JSON's nearest, or
            as their text.
        session: the conversation that it belongs to, or None.

    Returns:
        The turn, with the message's id.
    """
    rest = jsonable(message.model_dump(exclude={"content"}, exclude_defaults=True))
    kept: dict[str, Any] = {"type": message.type, "data": rest}
    texts, frame = _take_apart(message.content)
    text = "\n".join(texts)
    if not text.strip():
        text = _description(message)
        kept |= {"content": jsonable(message.content), "described_as": text}
    elif isinstance(message.content, list):
        kept["frame"] = jsonable(frame)
    return Turn(text, speaker=_speaker(message), session=session, metadata={MESSAGE_KEY: kept}, id=message.id or None)


def to_message(turn: Turn) -> BaseMessage:
    """Translate a turn into the message that it was; a turn that was none becomes one by its speaker.

    If the turn's text was updated since, the message says the new text: as plain text, or as one text
    part before the parts that are no text.

    Args:
        turn: a turn of any origin.

    Returns:
        The message. One that was never a message takes the turn's id, and an unfamiliar speaker becomes
        the name of a `HumanMessage`.
    """
    kept = turn.metadata.get(MESSAGE_KEY)
    if kept is None:
        kind = _KINDS.get(turn.speaker)
        return kind(turn.text, id=turn.id) if kind else HumanMessage(turn.text, id=turn.id, name=turn.speaker)
    content: str | list[Any] = turn.text
    if turn.text == kept.get("described_as"):
        content = kept["content"]
    elif "frame" in kept:
        content = _put_together(turn.text, kept["frame"])
    return messages_from_dict([{"type": kept["type"], "data": {**kept["data"], "content": content}}])[0]


def _speaker(message: BaseMessage) -> str:
    if isinstance(message, HumanMessage) and message.name:
        return message.name
    # A ChatMessage names its role itself; a chunk that was streamed has the role of its message.
    role = getattr(message, "role", None) or message.type.removesuffix("MessageChunk").lower()
    return _SPEAKERS.get(role, role)


def _description(message: BaseMessage) -> str:
    """Describe a message that says nothing; a turn needs a text."""
    calls = [*getattr(message, "tool_calls", ()), *getattr(message, "invalid_tool_calls", ())]
    if calls:
        return "\n".join(f"Called {call['name']}({_arguments(call['args'])})" for call in calls)
    parts = [part for part in message.content if isinstance(part, dict)]
    return " ".join(f"[{part.get('type', 'part')}]" for part in parts) or "[no text]"


def _arguments(args: Any) -> str:
    # The arguments of an invalid call are the string that could not be parsed.
    return args if isinstance(args, str) else json.dumps(jsonable(args), ensure_ascii=False)


def _take_apart(content: str | list[str | dict[str, Any]]) -> tuple[list[str], list[Any]]:
    """Separate a content's texts from its frame, which keeps of each text only the number of lines."""
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


def _put_together(text: str, frame: list[Any]) -> list[Any]:
    """Undo `_take_apart`; a text of another number of lines was updated, and comes back in one part."""
    lines = text.split("\n")
    counts = [count for part in frame if isinstance(count := _text_of(part), int)]
    if len(lines) != sum(counts):
        return [text, *(part for part in frame if not isinstance(_text_of(part), int))]
    rest = iter(lines)
    parts: list[Any] = []
    for part in frame:
        count = _text_of(part)
        if isinstance(count, int):
            said = "\n".join(islice(rest, count))
            parts.append(said if isinstance(part, int) else {**part, "text": said})
        else:
            parts.append(part)
    return parts


def _text_of(part: Any) -> Any:
    """Give what a text part holds in the place of its text, or None for a part that is no text."""
    if isinstance(part, dict):
        return part.get("text") if part.get("type") == "text" else None
    return part


def jsonable(value: Any) -> Any:
    """A value as JSON holds it: mappings, lists, texts, numbers, None; what JSON does not know becomes its text."""
    return json.loads(to_json(value, bytes_mode="base64", inf_nan_mode="strings", fallback=str))
