"""A memory around any LangChain runnable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    convert_to_messages,
    message_chunk_to_message,
)
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda, RunnablePassthrough

from titans_core.errors import InvalidQueryError
from titans_core.integration import log_failures
from titans_langchain import events
from titans_langchain.conversation import aremember, question, remember, said, with_block
from titans_langchain.identity import Caller

if TYPE_CHECKING:
    from collections.abc import Sequence

    from titans_core.integration import MemorySource


def with_memory(
    chain: Runnable[Any, Any],
    memory: MemorySource,
    *,
    input_key: str | None = None,
    output_key: str | None = None,
    memory_key: str = "memory",
    k: int = 5,
    max_tokens: int | None = None,
) -> Runnable[Any, Any]:
    """Give a chain a long-term memory: it recalls for what the user says, and memorizes that and the answer.

    The recalls are a labelled block, "" if nothing relevant is known. Where it goes depends on the input:

    * a dict gets it under `memory_key`, for the prompt's field of that name;
    * a text gets it in front, with a blank line between;
    * a list of messages, or a prompt's value, gets it in the first system message.

    Streams stay streams; the answer is memorized once all of it is there. If the chain fails, or the stream is left
    early, nothing is memorized.

    The config names the user by `config["configurable"]["user_id"]`, and the session by `thread_id` or `session_id`
    there. A missing user is an error before the chain runs. Any other failure of the memory is logged as a warning of
    the logger "titans_langchain", and the chain answers without it.

    Usage:

    ```python
    prompt = ChatPromptTemplate.from_messages([("system", "{memory}"), ("human", "{question}")])
    chain = with_memory(prompt | model, MemoryBank("memory.db"))
    chain.invoke({"question": "Where did I park?"}, {"configurable": {"user_id": "alice", "session_id": "monday"}})
    ```

    Args:
        chain: what answers, from a dict, a text or messages, with a text, a message or a dict.
        memory: a bank for many users, or the open memory of one. Stays the caller's to close.
        input_key: of a dict, for what the user says: a text, a message, or messages of which it is the last human
            one. None for the only key that holds such a thing.
        output_key: of a dict that the chain answers with, for the answer.
        memory_key: of a dict, for the block.
        k: recalls at most, >= 1.
        max_tokens: what the block may take, in tokens of the memory's reader, >= 1; None for no limit.

    Raises:
        InvalidTenantError: by the chain, if the config names no user, or another than the memory's.
        InvalidQueryError: by the chain, if it is not clear what of the input the user says, or `k` or `max_tokens` is
            out of range.
    """

    def limits(messages: Sequence[BaseMessage]) -> dict[str, Any]:
        return {"k": k, "max_tokens": max_tokens, "except_texts": said(messages)}

    def given(value: Any, messages: list[BaseMessage], block: str) -> Runnable[Any, Any]:
        # Under a name, as a step of the trace.
        return RunnableLambda(lambda _: _with(value, messages, block, memory_key), name="with_block")

    def enter(value: Any, config: RunnableConfig) -> Runnable[Any, Any]:
        messages, caller, block = _messages_of(value, input_key, memory_key), Caller.of(config), ""
        asked = question(messages)
        with log_failures("recall", InvalidQueryError, logger=events.LOGGER):
            mine = caller.memory(memory)
            if asked:
                block = events.recall(mine, asked.text, config, **limits(messages)).as_text()

        def leave(output: Any) -> None:
            with log_failures("memorize", logger=events.LOGGER):
                remember(caller.memory(memory), _told(asked, output, output_key), _session(caller, config), config)

        return given(value, messages, block) | chain | RunnablePassthrough(leave)

    async def aenter(value: Any, config: RunnableConfig) -> Runnable[Any, Any]:
        messages, caller, block = _messages_of(value, input_key, memory_key), Caller.of(config), ""
        asked = question(messages)
        with log_failures("recall", InvalidQueryError, logger=events.LOGGER):
            mine = await caller.amemory(memory)
            if asked:
                block = (await events.arecall(mine, asked.text, config, **limits(messages))).as_text()

        async def leave(output: Any) -> None:
            with log_failures("memorize", logger=events.LOGGER):
                mine, told = await caller.amemory(memory), _told(asked, output, output_key)
                await aremember(mine, told, _session(caller, config), config)

        return given(value, messages, block) | chain | RunnablePassthrough(afunc=leave)

    return RunnableLambda(enter, aenter, name="with_memory")


def _messages_of(value: Any, key: str | None, memory_key: str) -> list[BaseMessage]:
    """An input as messages, of which the last human one is what the user says."""
    if isinstance(value, PromptValue):
        return value.to_messages()
    if isinstance(value, dict):
        key = _only_key(value, memory_key) if key is None else key
        if key not in value:
            raise InvalidQueryError(f"The input has no key {key!r} (`input_key`), only {list(value)}.")
        value = [value[key]] if isinstance(value[key], BaseMessage) else value[key]
    if isinstance(value, str):
        return [HumanMessage(value)]
    if isinstance(value, list):
        return convert_to_messages(value)
    raise InvalidQueryError(f"The user's words are a text, messages or a dict with them, not a {type(value).__name__}.")


def _only_key(value: dict[str, Any], memory_key: str) -> str:
    keys = [key for key in value if key != memory_key and _may_be_words(value[key])]
    if len(keys) != 1:
        raise InvalidQueryError(f"Say by `input_key` which of {list(value)} is what the user says.")
    return keys[0]


def _may_be_words(value: Any) -> bool:
    return isinstance(value, str | BaseMessage) or (
        isinstance(value, list) and all(isinstance(message, BaseMessage) for message in value)
    )


def _with(value: Any, messages: list[BaseMessage], block: str, memory_key: str) -> Any:
    """The input with the block in it."""
    if isinstance(value, dict):
        return {**value, memory_key: block}
    if not block:
        return value
    if isinstance(value, str):
        return f"{block}\n\n{value}"
    first, *rest = messages
    return (
        [with_block(first, block), *rest] if isinstance(first, SystemMessage) else [with_block(None, block), *messages]
    )


def _told(asked: HumanMessage | None, output: Any, key: str | None) -> list[BaseMessage]:
    """What the user said and what the chain answered, as far as they say something."""
    answer = output if key is None else output[key]
    if isinstance(answer, str):
        answer = AIMessage(answer)
    if not isinstance(answer, BaseMessage):
        raise InvalidQueryError(f"The answer is a {type(answer).__name__}; name its text or message by `output_key`.")
    messages = [asked, message_chunk_to_message(answer)]
    return [message for message in messages if message is not None and message.text.strip()]


def _session(caller: Caller, config: RunnableConfig) -> str | None:
    return caller.thread or str(config.get("configurable", {}).get("session_id") or "") or None
