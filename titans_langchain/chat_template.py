"""Messages and tool calls in the form that a language model was trained on."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.tool import tool_call_chunk

from titans_core.errors import InvalidQueryError, ModelNotFoundError

if TYPE_CHECKING:
    from langchain_core.messages.tool import ToolCallChunk

    from titans_core.readers import CausalLM

_ROLES = {HumanMessage: "user", AIMessage: "assistant", SystemMessage: "system", ToolMessage: "tool"}

CALL = "<tool_call>"
# The model may run out of tokens within a call.
CALLS = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)

SOME_TOOL = {"type": "function", "function": {"name": "some", "description": "", "parameters": {}}}


def prompt_of(lm: CausalLM, messages: list[BaseMessage], tools: list[dict[str, Any]] | None) -> str:
    """Messages as the prompt for the answer to them, by the tokenizer's chat template.

    What a message says cannot begin another one: see `CausalLM.escape_special_tokens`.

    Args:
        lm: the model that will answer.
        messages: system, human, AI and tool messages, or `ChatMessage`s with a role of their own.
        tools: that the model may call, in OpenAI's form; None for none.

    Raises:
        ModelNotFoundError: the tokenizer has no chat template.
        InvalidQueryError: a message is of another kind.
    """
    if not lm.tokenizer.chat_template:
        raise ModelNotFoundError(
            f"The tokenizer of {lm.name!r} has no chat template, so the model cannot chat; use one that was trained "
            f"to, whose name often ends in Instruct or Chat."
        )
    entries: list[Any] = [_entry(message) for message in messages]
    for entry in entries:
        entry["content"] = lm.escape_special_tokens(entry["content"])
    known: list[Any] | None = tools
    return str(lm.tokenizer.apply_chat_template(entries, tools=known, add_generation_prompt=True, tokenize=False))


def _entry(message: BaseMessage) -> dict[str, Any]:
    """A message as chat templates take it: nearly OpenAI's form, but arguments are an object and no string."""
    roles = [role for kind, role in _ROLES.items() if isinstance(message, kind)]
    if isinstance(message, ChatMessage):
        roles = [message.role]
    if not roles:
        raise InvalidQueryError(
            f"A message of type {message.type!r} cannot be given to a chat template; use system, human, AI and tool "
            f"messages, or a ChatMessage."
        )
    entry: dict[str, Any] = {"role": roles[0], "content": str(message.text)}
    if isinstance(message, AIMessage) and message.tool_calls:
        entry["tool_calls"] = [
            {"type": "function", "id": call["id"], "function": {"name": call["name"], "arguments": call["args"]}}
            for call in message.tool_calls
        ]
    if isinstance(message, ToolMessage):
        entry["tool_call_id"] = message.tool_call_id
        if message.name:
            entry["name"] = message.name
    return entry


def begun_call(tool_choice: str | None) -> str:
    """How an answer begins that has to be a call."""
    if tool_choice in {None, "auto"}:
        return ""
    return f'{CALL}\n{{"name": "' if tool_choice == "any" else f'{CALL}\n{{"name": "{tool_choice}", "arguments": '


def tool_call(index: int, match: re.Match[str]) -> ToolCallChunk:
    """What the model wrote between the tags, as a tool call; one without a name if it is none.

    Args:
        index: of the call in the answer.
        match: of `CALLS`.
    """
    identity = f"call_{uuid4().hex}"
    with suppress(json.JSONDecodeError):
        match json.loads(match[1]):
            case {"name": str(name), "arguments": dict(arguments)}:
                return tool_call_chunk(name=name, args=json.dumps(arguments), id=identity, index=index)
    # With its tags: LangChain would complete half a JSON object to a call that nobody made.
    return tool_call_chunk(name=None, args=match[0], id=identity, index=index)
