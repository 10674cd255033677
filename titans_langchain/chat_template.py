"""Prompts and tool calls in the form that a language model was trained on."""

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

CALL_TAG = "<tool_call>"
# The closing tag is missing if the model runs out of tokens within a call.
CALL_PATTERN = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)

EXAMPLE_TOOL = {"type": "function", "function": {"name": "some", "description": "", "parameters": {}}}
"""A tool that shows whether a chat template knows tools."""


def prompt_of(lm: CausalLM, messages: list[BaseMessage], tools: list[dict[str, Any]] | None) -> str:
    """Return the prompt for the answer to a conversation, in the form of the tokenizer's chat template.

    The text of a message cannot begin another message: see `CausalLM.escape_special_tokens`.

    Args:
        lm: Model that will answer.
        messages: System, human, AI and tool messages, or `ChatMessage`s, which have a role of their own.
        tools: Tools that the model may call, in OpenAI's form; None for no tools.

    Raises:
        ModelNotFoundError: The tokenizer has no chat template.
        InvalidQueryError: A message is of another type.
    """
    if not lm.tokenizer.chat_template:
        raise ModelNotFoundError(
            f"The tokenizer of {lm.name!r} has no chat template, so the model cannot chat. Use a model that was "
            f"trained to chat; its name often ends in Instruct or Chat."
        )
    entries: list[Any] = [_entry(message) for message in messages]
    for entry in entries:
        entry["content"] = lm.escape_special_tokens(entry["content"])
    template_tools: list[Any] | None = tools
    return str(
        lm.tokenizer.apply_chat_template(entries, tools=template_tools, add_generation_prompt=True, tokenize=False)
    )


def _entry(message: BaseMessage) -> dict[str, Any]:
    """Convert a message to the form of chat templates: OpenAI's form, but with arguments as a dict, not a string."""
    roles = [role for message_type, role in _ROLES.items() if isinstance(message, message_type)]
    if isinstance(message, ChatMessage):
        roles = [message.role]
    if not roles:
        raise InvalidQueryError(
            f"A chat template cannot take a message of type {message.type!r}; use system, human, AI and tool messages, "
            f"or a ChatMessage."
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


def forced_prefix(tool_choice: str | None) -> str:
    """Return the beginning of an answer that must be a tool call; "" if the model decides."""
    if tool_choice in {None, "auto"}:
        return ""
    if tool_choice == "any":
        return f'{CALL_TAG}\n{{"name": "'
    return f'{CALL_TAG}\n{{"name": "{tool_choice}", "arguments": '


def tool_call(index: int, match: re.Match[str]) -> ToolCallChunk:
    """Convert the text between the tags to a tool call. An unreadable text becomes a call without a name.

    Args:
        index: Number of the call in the answer, from 0.
        match: Match of `CALL_PATTERN`.
    """
    call_id = f"call_{uuid4().hex}"
    with suppress(json.JSONDecodeError):
        match json.loads(match[1]):
            case {"name": str(name), "arguments": dict(arguments)}:
                return tool_call_chunk(name=name, args=json.dumps(arguments), id=call_id, index=index)
    # With its tags: without them, LangChain would complete half a JSON object to a call that the model did not make.
    return tool_call_chunk(name=None, args=match[0], id=call_id, index=index)
