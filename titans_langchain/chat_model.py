"""A LangChain chat model over a causal language model."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import agenerate_from_stream, generate_from_stream
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
)
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field
from typing_extensions import override

from titans_core.errors import InvalidQueryError
from titans_langchain.chat_template import CALL_PATTERN, CALL_TAG, EXAMPLE_TOOL, forced_prefix, prompt_of, tool_call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.language_models.base import LangSmithParams
    from langchain_core.outputs import ChatResult
    from langchain_core.runnables import Runnable
    from langchain_core.tools import BaseTool

    from titans_core.readers import CausalLM

    # The writing thread sends chunks, then None; or an error.
    _Item = ChatGenerationChunk | BaseException | None
else:
    CausalLM = Any  # the real class would load torch with this module


class ChatTitansLM(BaseChatModel):
    """A causal language model in this process as a chat model; it needs no server and no key.

    The tokenizer's chat template puts the messages into the form that the model was trained on: the texts of system,
    human, AI and tool messages, and the tool calls. Images and other parts are left out. All chat models over one
    `CausalLM` take turns: a generation waits until the previous generation is complete, or until its stream is closed.

    An answer's `usage_metadata` counts its tokens. Its `response_metadata` has `model_name` and `finish_reason`:
    "stop", or "length" if the answer was cut.

    Every method that generates raises `ModelNotFoundError` if the tokenizer has no chat template, and
    `InvalidQueryError` if a message is of another type.

    Attributes:
        lm: Loaded model; `CausalLM(model, tokenizer)` for a model that the caller has loaded.
        max_new_tokens: Maximum number of tokens in an answer, >= 1.
        temperature: Temperature of the sampling, >= 0. 0 always returns the likeliest answer; a higher value is more
            random.

    Example:
        ```python
        chat = ChatTitansLM.from_pretrained(max_new_tokens=64)
        chat.invoke("What is the capital of France?").text
        for chunk in chat.stream("Tell me a story.", stop=["The end"]):
            print(chunk.text, end="")
        ```
    """

    lm: CausalLM = Field(exclude=True, repr=False)
    max_new_tokens: int = Field(default=256, ge=1)
    temperature: float = Field(default=0.0, ge=0)

    @classmethod
    def from_pretrained(cls, name: str | None = None, **fields: Any) -> ChatTitansLM:
        """Make a chat model over a language model that the whole process shares, see `load_causal_lm`.

        Args:
            name: Path of a folder, or a name that is looked up in installed wheels and then on the Hub. None uses a
                small model (135M parameters) for first experiments.
            **fields: Other attributes of the chat model.

        Raises:
            ModelNotFoundError: The model is not found as a path, in a wheel or on the Hub.
        """
        from titans_core.readers import load_causal_lm

        return cls(lm=load_causal_lm() if name is None else load_causal_lm(name), **fields)

    @override
    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Let the model call tools. A call that is not valid JSON goes to the answer's `invalid_tool_calls`.

        Args:
            tools: Tools in any form that LangChain accepts.
            tool_choice: Name of a tool that the answer must call, or "any" for an answer that must be a call. None or
                "auto" lets the model decide.
            **kwargs: Other arguments to bind.

        Returns:
            A runnable: this model with the tools.

        Raises:
            NotImplementedError: The chat template has no tools, or not in the form `<tool_call>{…}</tool_call>`.
            InvalidQueryError: `tool_choice` is not the name of a tool.
        """
        if CALL_TAG not in prompt_of(self.lm, [HumanMessage("")], [EXAMPLE_TOOL]):
            raise NotImplementedError(
                f"The chat template of {self.lm.name!r} does not tell the model to call tools in the form "
                f"{CALL_TAG}{{…}}</tool_call>. Use a model that was trained to do so, for example Qwen2.5-Instruct, "
                f"Qwen3, SmolLM3 or Hermes."
            )
        openai_tools = [convert_to_openai_tool(tool) for tool in tools]
        names = [tool["function"]["name"] for tool in openai_tools]
        if tool_choice not in {None, "auto", "any", *names}:
            raise InvalidQueryError(f"`tool_choice` must be 'auto', 'any' or one of {names}, not {tool_choice!r}.")
        return self.bind(tools=openai_tools, tool_choice=tool_choice, **kwargs)

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, **kwargs))

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await agenerate_from_stream(self._astream(messages, stop, **kwargs))

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        chunks: SimpleQueue[_Item] = SimpleQueue()
        writer = _Writer(self, chunks.put, messages, stop, **kwargs)
        writer.start()
        try:
            while chunk := _chunk_or_raise(chunks.get()):
                if run_manager:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk
        finally:
            writer.has_reader = False

    @override
    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        loop = asyncio.get_running_loop()
        chunks: asyncio.Queue[_Item] = asyncio.Queue()

        def put(item: _Item) -> None:
            with suppress(RuntimeError):  # the loop is closed, so that nothing reads the queue
                loop.call_soon_threadsafe(chunks.put_nowait, item)

        writer = _Writer(self, put, messages, stop, **kwargs)
        writer.start()
        try:
            while chunk := _chunk_or_raise(await chunks.get()):
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk
        finally:
            writer.has_reader = False

    @property
    @override
    def _llm_type(self) -> str:
        return "titans"

    @property
    @override
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.lm.name, "max_new_tokens": self.max_new_tokens, "temperature": self.temperature}

    @override
    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop, **{"model": self.lm.name, **kwargs})
        params["ls_provider"] = "titans"
        params["ls_max_tokens"] = self.max_new_tokens
        return params


class _Writer(threading.Thread):
    """Generates one answer in a thread of its own and sends it chunk by chunk."""

    def __init__(
        self,
        chat: ChatTitansLM,
        put: Callable[[_Item], None],
        messages: list[BaseMessage],
        stop: list[str] | None,
        *,
        tools: list[dict[str, Any]] | None = None,
        tool_choice: str | None = None,
        **_: Any,
    ) -> None:
        super().__init__(name="ChatTitansLM")
        self._chat, self._put, self._messages, self._stop_texts = chat, put, messages, stop or []
        self._tools, self._tool_choice = tools, tool_choice
        self._calls = ""
        self.has_reader = True

    @override
    def run(self) -> None:
        try:
            self._write()
            self._send(None)
        except BaseException as error:
            self._send(error)

    def _write(self) -> None:
        lm = self._chat.lm
        prompt = prompt_of(lm, self._messages, self._tools)
        prefix = forced_prefix(self._tool_choice)
        self._add_text(prefix)
        generated = lm.generate(
            prompt + prefix,
            max_new_tokens=self._chat.max_new_tokens,
            temperature=self._chat.temperature,
            stop=self._stop_texts,
            on_text=self._add_text,
        )
        last = AIMessageChunk(
            content=CALL_PATTERN.sub("", self._calls).strip(),
            tool_call_chunks=[
                tool_call(index, match) for index, match in enumerate(CALL_PATTERN.finditer(self._calls))
            ],
            usage_metadata={
                "input_tokens": generated.input_tokens,
                "output_tokens": generated.output_tokens,
                "total_tokens": generated.input_tokens + generated.output_tokens,
            },
            response_metadata={"finish_reason": generated.finish_reason, "model_name": lm.name},
            chunk_position="last",
        )
        self._send(ChatGenerationChunk(message=last))

    def _add_text(self, text: str) -> bool:
        # From the first call on, all text is kept for the last chunk. The opening tag is one word and arrives whole.
        text = self._calls + text
        first = text.find(CALL_TAG) if self._tools else -1
        visible, self._calls = (text, "") if first < 0 else (text[:first], text[first:])
        if visible:
            self._send(ChatGenerationChunk(message=AIMessageChunk(content=visible)))
        return self.has_reader

    def _send(self, item: _Item) -> None:
        if self.has_reader:
            self._put(item)


def _chunk_or_raise(item: _Item) -> ChatGenerationChunk | None:
    if isinstance(item, BaseException):
        raise item
    return item
