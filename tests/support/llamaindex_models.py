"""Models for tests of LlamaIndex's engines and agents: one that follows a script, one that runs here."""

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
"""A chat template as those of Mistral's, Google's and Meta's models: it refuses what they refuse."""


def rendered(messages):
    """The prompt that the strict template makes of chat messages."""
    conversation = [
        {"role": said.role.value, "content": said.content or "", "calls": bool(tool_calls(said))} for said in messages
    ]
    [[prompt], _] = render_jinja_template([conversation], chat_template=STRICT)
    return prompt.strip()


def tool_calls(message):
    return [block for block in message.blocks if isinstance(block, ToolCallBlock)]


def call(name, **arguments):
    """A message that calls a tool."""
    block = ToolCallBlock(tool_call_id=f"call-{name}", tool_name=name, tool_kwargs=arguments)
    return ChatMessage(role="assistant", blocks=[block])


class ScriptedLLM(MockFunctionCallingLLM):
    """Answers what a function makes of the messages, a text or a message; keeps the prompts it was given."""

    _prompts: list[str] = PrivateAttr(default_factory=list)

    def __init__(self, answer=lambda messages: "I see."):
        def generate(messages, **kwargs):
            self._prompts.append(rendered(messages))
            said = answer(messages)
            return said if isinstance(said, ChatMessage) else ChatMessage(said, role="assistant")

        super().__init__(response_generator=generate, is_chat_model=True)

    @property
    def prompts(self):
        """What the model was given, oldest first."""
        return self._prompts


def local_llm(language_model):
    """The small language model of the fixture behind LlamaIndex's interface; loads nothing a second time."""
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
    """In its synchronous calls LlamaIndex begins an event loop where the thread has none, and never closes it."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield loop
    finally:
        asyncio.set_event_loop(None)
        loop.close()
