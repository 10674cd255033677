"""A causal language model as a LangChain chat model."""

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
from titans_langchain.chat_template import CALL, CALLS, SOME_TOOL, begun_call, prompt_of, tool_call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.language_models.base import LangSmithParams
    from langchain_core.outputs import ChatResult
    from langchain_core.runnables import Runnable
    from langchain_core.tools import BaseTool

    from titans_core.readers import CausalLM

    # What the thread that writes hands to who reads; None comes last.
    _Item = ChatGenerationChunk | BaseException | None
else:
    CausalLM = Any  # the real class would load torch with this module


class ChatTitansLM(BaseChatModel):
    """A causal language model in this process, as a chat model: no server, no key.

    Messages are put in the form that the model was trained on, by its tokenizer's chat template: the texts of
    system, human, AI and tool messages, and the tool calls; images and other parts are left out. All chat models
    over one `CausalLM` take turns: a generation waits until the one before it is complete, or nobody reads on.

    An answer's `usage_metadata` counts its tokens. Its `response_metadata` has `finish_reason`, "stop" or "length" (the
    model had more to say), and `model_name`.

    Usage:

    ```python
    chat = ChatTitansLM.from_pretrained(max_new_tokens=64)
    chat.invoke("What is the capital of France?").text
    for chunk in chat.stream("Tell me a story.", stop=["The end"]):
        print(chunk.text, end="")
    ```

    Attributes:
        lm: the loaded model; `CausalLM(model, tokenizer)` over a model that the caller has loaded.
        max_new_tokens: at most so many tokens in an answer, at least 1.
        temperature: 0 for the likeliest answer, always the same; higher is more random.

    Raises:
        ModelNotFoundError: by `invoke` and its kin, if the tokenizer has no chat template.
        InvalidQueryError: likewise, if a message is of another kind.
    """

    lm: CausalLM = Field(exclude=True, repr=False)
    max_new_tokens: int = Field(default=256, ge=1)
    temperature: float = Field(default=0.0, ge=0)

    @classmethod
    def from_pretrained(cls, name: str | None = None, **fields: Any) -> ChatTitansLM:
        """Make a chat model over a language model that the whole process shares; see `load_causal_lm`.

        Args:
            name: a folder, or a name that is looked up in installed wheels and then on the Hub; None takes a small
                model (135M), good for trying things out.
            **fields: the other attributes.

        Raises:
            ModelNotFoundError: neither path, wheel nor Hub has it.
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
        """Let the model call tools. A call that is no valid JSON becomes one of the answer's `invalid_tool_calls`.

        Args:
            tools: anything that LangChain takes for a tool.
            tool_choice: a tool's name, or "any": the answer begins with a call. None or "auto": the model decides.
            **kwargs: bound as they are.

        Returns:
            This model with the tools, for `invoke` and its kin.

        Raises:
            NotImplementedError: if the chat template knows no tools, or not as `<tool_call>{…}</tool_call>`.
            InvalidQueryError: if there is no such tool to choose.
        """
        if CALL not in prompt_of(self.lm, [HumanMessage("")], [SOME_TOOL]):
            raise NotImplementedError(
                f"The chat template of {self.lm.name!r} does not tell the model to call tools in the form "
                f"{CALL}{{…}}</tool_call>. Use one that was trained to: Qwen2.5-Instruct, Qwen3, SmolLM3 or Hermes, "
                f"for example."
            )
        known = [convert_to_openai_tool(tool) for tool in tools]
        names = [tool["function"]["name"] for tool in known]
        if tool_choice not in {None, "auto", "any", *names}:
            raise InvalidQueryError(f"tool_choice must be 'auto', 'any' or one of {names}, not {tool_choice!r}.")
        return self.bind(tools=known, tool_choice=tool_choice, **kwargs)

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
            while chunk := _received(chunks.get()):
                if run_manager:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk
        finally:
            writer.wanted = False

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
            with suppress(RuntimeError):  # the loop was closed, and nobody reads any more
                loop.call_soon_threadsafe(chunks.put_nowait, item)

        writer = _Writer(self, put, messages, stop, **kwargs)
        writer.start()
        try:
            while chunk := _received(await chunks.get()):
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk
        finally:
            writer.wanted = False

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
    """Writes one answer in a thread of its own, and hands it over chunk by chunk."""

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
        self._chat, self._put, self._messages, self._stop_at = chat, put, messages, stop or []
        self._tools, self._tool_choice = tools, tool_choice
        self._calls = ""
        self.wanted = True

    @override
    def run(self) -> None:
        try:
            self._write()
            self._hand_over(None)
        except BaseException as error:
            self._hand_over(error)

    def _write(self) -> None:
        lm = self._chat.lm
        prompt = prompt_of(lm, self._messages, self._tools)
        begun = begun_call(self._tool_choice)
        self._take(begun)
        written = lm.generate(
            prompt + begun,
            max_new_tokens=self._chat.max_new_tokens,
            temperature=self._chat.temperature,
            stop=self._stop_at,
            on_text=self._take,
        )
        last = AIMessageChunk(
            content=CALLS.sub("", self._calls).strip(),
            tool_call_chunks=[tool_call(index, match) for index, match in enumerate(CALLS.finditer(self._calls))],
            usage_metadata={
                "input_tokens": written.input_tokens,
                "output_tokens": written.output_tokens,
                "total_tokens": written.input_tokens + written.output_tokens,
            },
            response_metadata={"finish_reason": written.finish_reason, "model_name": lm.name},
            chunk_position="last",
        )
        self._hand_over(ChatGenerationChunk(message=last))

    def _take(self, text: str) -> bool:
        # From the first call on, all text waits for the end. A call's beginning is one word, and comes whole.
        text = self._calls + text
        first = text.find(CALL) if self._tools else -1
        shown, self._calls = (text, "") if first < 0 else (text[:first], text[first:])
        if shown:
            self._hand_over(ChatGenerationChunk(message=AIMessageChunk(content=shown)))
        return self.wanted

    def _hand_over(self, item: _Item) -> None:
        if self.wanted:
            self._put(item)


def _received(item: _Item) -> ChatGenerationChunk | None:
    if isinstance(item, BaseException):
        raise item
    return item
