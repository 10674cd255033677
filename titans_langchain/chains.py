"""A wrapper that gives any LangChain runnable a long-term memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

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
from titans_langchain.conversation import (
    amemorize_messages,
    append_block,
    last_question,
    memorize_messages,
    texts_of,
)
from titans_langchain.identity import Caller

if TYPE_CHECKING:
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
    """Give a chain a long-term memory: recall for the user's message, then memorize the message and the answer.

    The recalls are a labelled block, "" if the memory holds nothing relevant. The type of the input decides where the
    block goes:

    * in a dict, under `memory_key`, for the field of that name in the prompt;
    * in a text, in front of it, followed by a blank line;
    * in a list of messages or a prompt value, in the first system message.

    Streams stay streams; the answer is memorized when it is complete. If the chain fails, or the stream is closed
    early, nothing is memorized.

    The user is `config["configurable"]["user_id"]`, and the session is `thread_id` or `session_id` in the same dict. A
    missing user is an error before the chain runs. Any other failure of the memory is logged as a warning by the
    logger "titans_langchain", and the chain answers without the memory.

    Example:
        ```python
        prompt = ChatPromptTemplate.from_messages([("system", "{memory}"), ("human", "{question}")])
        chain = with_memory(prompt | model, MemoryBank("memory.db"))
        config = {"configurable": {"user_id": "alice", "session_id": "monday"}}
        chain.invoke({"question": "Where did I park?"}, config)
        ```

    Args:
        chain: Runnable that takes a dict, a text or messages, and returns a text, a message or a dict.
        memory: Bank for many users, or the open memory of one user. The caller closes it.
        input_key: Key of a dict input that holds what the user says: a text, a message, or messages whose last human
            message counts. None if the input has only one key with such a value.
        output_key: Key of the answer, if the chain returns a dict.
        memory_key: Key of a dict input for the block.
        k: Maximum number of recalls, >= 1.
        max_tokens: Maximum length of the block in tokens of the memory's reader, >= 1; None for no limit.

    Raises:
        InvalidTenantError: From the chain: the config names no user, or a user whom the memory does not belong to.
        InvalidQueryError: From the chain: it is unclear which part of the input the user says, or `k` or `max_tokens`
            is out of range.
    """

    def read(value: Any, config: RunnableConfig) -> _Call:
        messages = _messages_of(value, input_key, memory_key)
        return _Call(value, messages, last_question(messages), Caller.of(config))

    def limits(call: _Call) -> dict[str, Any]:
        return {"k": k, "max_tokens": max_tokens, "context": "reply", "except_texts": texts_of(call.messages)}

    def insert(call: _Call, block: str) -> Runnable[Any, Any]:
        # A runnable with a name, so that a trace shows the step.
        return RunnableLambda(lambda _: _insert_block(call.value, call.messages, block, memory_key), name="with_block")

    # LangChain looks for `chain` in these two functions to learn what can be configured.
    def enter(value: Any, config: RunnableConfig) -> Runnable[Any, Any]:
        call, block = read(value, config), ""
        with log_failures("recall", InvalidQueryError, logger=events.LOGGER):
            user_memory = call.caller.memory(memory)
            if call.question:
                block = events.recall(user_memory, call.question.text, config, **limits(call)).as_text()

        def leave(output: Any) -> None:
            with log_failures("memorize", logger=events.LOGGER):
                messages, session = call.with_answer(output, output_key), call.session(config)
                memorize_messages(call.caller.memory(memory), messages, session, config)

        return insert(call, block) | chain | RunnablePassthrough(leave)

    async def aenter(value: Any, config: RunnableConfig) -> Runnable[Any, Any]:
        call, block = read(value, config), ""
        with log_failures("recall", InvalidQueryError, logger=events.LOGGER):
            user_memory = await call.caller.amemory(memory)
            if call.question:
                block = (await events.arecall(user_memory, call.question.text, config, **limits(call))).as_text()

        async def leave(output: Any) -> None:
            with log_failures("memorize", logger=events.LOGGER):
                messages, session = call.with_answer(output, output_key), call.session(config)
                await amemorize_messages(await call.caller.amemory(memory), messages, session, config)

        return insert(call, block) | chain | RunnablePassthrough(afunc=leave)

    return RunnableLambda(enter, aenter, name="with_memory")


class _Call(NamedTuple):
    """One call of a chain.

    Attributes:
        value: Input of the chain.
        messages: The input as messages.
        question: The message of the user, or None if the input has no text of the user.
        caller: User and thread.
    """

    value: Any
    messages: list[BaseMessage]
    question: HumanMessage | None
    caller: Caller

    def with_answer(self, output: Any, key: str | None) -> list[BaseMessage]:
        """Return the user's message and the chain's answer; a message without text is left out."""
        answer = output if key is None else output[key]
        if isinstance(answer, str):
            answer = AIMessage(answer)
        if not isinstance(answer, BaseMessage):
            raise InvalidQueryError(
                f"The answer is a {type(answer).__name__}, not a text or a message. If the chain returns a dict, pass "
                f"the key of the answer as `output_key`."
            )
        messages = [self.question, message_chunk_to_message(answer)]
        return [message for message in messages if message is not None and message.text.strip()]

    def session(self, config: RunnableConfig) -> str | None:
        """Return the id of the thread, or else the `session_id` of the config."""
        return self.caller.thread or str(config.get("configurable", {}).get("session_id") or "") or None


def _messages_of(value: Any, key: str | None, memory_key: str) -> list[BaseMessage]:
    """Convert a chain's input to messages; the last human message is what the user says."""
    if isinstance(value, PromptValue):
        return value.to_messages()
    if isinstance(value, dict):
        key = _only_key(value, memory_key) if key is None else key
        if key not in value:
            raise InvalidQueryError(f"The input has no key {key!r} (`input_key`); its keys are {list(value)}.")
        value = [value[key]] if isinstance(value[key], BaseMessage) else value[key]
    if isinstance(value, str):
        return [HumanMessage(value)]
    if isinstance(value, list):
        return convert_to_messages(value)
    raise InvalidQueryError(
        f"The input must be a text, messages, or a dict that holds a text or messages, not a {type(value).__name__}."
    )


def _only_key(value: dict[str, Any], memory_key: str) -> str:
    keys = [key for key in value if key != memory_key and _is_text_or_messages(value[key])]
    if len(keys) != 1:
        raise InvalidQueryError(f"It is unclear what the user says: set `input_key` to one of {list(value)}.")
    return keys[0]


def _is_text_or_messages(value: Any) -> bool:
    return isinstance(value, str | BaseMessage) or (
        isinstance(value, list) and all(isinstance(message, BaseMessage) for message in value)
    )


def _insert_block(value: Any, messages: list[BaseMessage], block: str, memory_key: str) -> Any:
    """Return the input with the block in it."""
    if isinstance(value, dict):
        return {**value, memory_key: block}
    if not block:
        return value
    if isinstance(value, str):
        return f"{block}\n\n{value}"
    first, *rest = messages
    if isinstance(first, SystemMessage):
        return [append_block(first, block), *rest]
    return [append_block(None, block), *messages]
