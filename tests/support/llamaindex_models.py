"""Models for tests of LlamaIndex's engines and agents: one follows a script, the other is a small local model."""

import asyncio
from contextlib import contextmanager

from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.llms import ChatMessage
from llama_index.core.llms.mock import MockFunctionCallingLLM
from llama_index.llms.huggingface import HuggingFaceLLM
from transformers.utils.chat_template_utils import render_jinja_template

STRICT = """
{%- set turn = namespace(of='user', calls=false) -%}
{%- for message in messages -%}
  {%- if message.role == 'system' -%}
    {%- if not loop.first -%}{{ raise_exception('Only the first message may be a system message') }}{%- endif -%}
  {%- elif message.role == 'tool' -%}
    {%- if not turn.calls -%}{{ raise_exception('A tool result must follow its call') }}{%- endif -%}
  {%- elif message.role != turn.of -%}{{ raise_exception('Roles must alternate user/assistant/user/assistant') }}
  {%- else -%}
    {%- set turn.calls = message.calls -%}
    {%- set turn.of = 'user' if message.role == 'assistant' and not turn.calls else 'assistant' -%}
  {%- endif -%}
<|{{ message.role }}|>
{{ message.content }}
{% endfor -%}
"""
"""A chat template that refuses the same messages as the templates of Mistral's, Google's and Meta's models."""


def rendered(messages):
    """Return the prompt that the strict template makes from chat messages."""
    conversation = [
        {"role": message.role.value, "content": message.content or "", "calls": bool(tool_calls(message))}
        for message in messages
    ]
    [[prompt], _] = render_jinja_template([conversation], chat_template=STRICT)
    return prompt.strip()


def tool_calls(message):
    """Return the tool calls of a message."""
    return [block for block in message.blocks if isinstance(block, ToolCallBlock)]


def call(name, **arguments):
    """Return a message that calls a tool."""
    block = ToolCallBlock(tool_call_id=f"call-{name}", tool_name=name, tool_kwargs=arguments)
    return ChatMessage(role="assistant", blocks=[block])


class ScriptedLLM(MockFunctionCallingLLM):
    """Answers with what a function returns for the messages: a text or a message. Keeps all prompts."""

    _prompts: list[str] = PrivateAttr(default_factory=list)

    def __init__(self, answer=lambda messages: "I see."):
        def generate(messages, **kwargs):
            self._prompts.append(rendered(messages))
            reply = answer(messages)
            return reply if isinstance(reply, ChatMessage) else ChatMessage(reply, role="assistant")

        super().__init__(response_generator=generate, is_chat_model=True)

    @property
    def prompts(self):
        """All prompts of the model, oldest first."""
        return self._prompts


def local_llm(language_model):
    """Wrap the small language model of the fixture for LlamaIndex, without loading it a second time."""
    return HuggingFaceLLM(
        model=language_model.model,
        tokenizer=language_model.tokenizer,
        context_window=2048,
        max_new_tokens=24,
        is_chat_model=True,
        generate_kwargs={"do_sample": False},
    )


@contextmanager
def own_loop():
    """Give the thread an event loop, and close it after the block.

    In a thread without an event loop, synchronous calls of LlamaIndex create one and never close it.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield loop
    finally:
        asyncio.set_event_loop(None)
        loop.close()
