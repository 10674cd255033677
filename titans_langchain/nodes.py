"""Nodes of a LangGraph graph: one recalls before the model, one memorizes after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langgraph.runtime import get_runtime

from titans_langchain import events
from titans_langchain.conversation import (
    ROLES,
    Role,
    amemorize_messages,
    last_question,
    memorize_messages,
    messages_of_run,
    texts_of,
)
from titans_langchain.identity import Caller

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from langchain_core.messages import BaseMessage

    from titans_core.integration import MemorySource


def recall_node(
    memory: MemorySource, *, k: int = 5, key: str = "memory", max_tokens: int | None = None
) -> Runnable[Any, dict[str, str]]:
    """Make a node that recalls for the user's last message.

    The node writes the recalls to a key of the state as a labelled block, or "" if the memory holds nothing relevant.
    It leaves out texts that are already in `messages`, and does not change `messages`. The state's schema needs the
    key; declare it as `Annotated[str, UntrackedValue]` to keep the block out of checkpoints.

    The user is `config["configurable"]["user_id"]`, the `user_id` of the context, or the user of the LangGraph
    server. If the memory fails, the graph stops.

    Example:
        ```python
        class State(MessagesState):
            memory: str

        graph = StateGraph(State).add_node("recall", recall_node(bank)).add_node("memorize", memorize_node(bank))
        ```

    Args:
        memory: Bank for many users, or the open memory of one user. The caller closes it.
        k: Maximum number of recalls, >= 1.
        key: Key of the state for the block.
        max_tokens: Maximum length of the block in tokens of the memory's reader, >= 1; None for no limit.

    Raises:
        InvalidTenantError: From the node: the run names no user, or a user whom the memory does not belong to.
        TitansError: From the node: any error of `TitansMemory.recall`.
    """

    def limits(messages: Sequence[BaseMessage]) -> dict[str, Any]:
        return {"k": k, "max_tokens": max_tokens, "context": "reply", "except_texts": texts_of(messages)}

    def recall(state: Any, config: RunnableConfig) -> dict[str, str]:
        messages, user_memory = _messages(state), _caller(config).memory(memory)
        if (question := last_question(messages)) is None:
            return {key: ""}
        return {key: events.recall(user_memory, question.text, config, **limits(messages)).as_text()}

    async def arecall(state: Any, config: RunnableConfig) -> dict[str, str]:
        messages, user_memory = _messages(state), await _caller(config).amemory(memory)
        if (question := last_question(messages)) is None:
            return {key: ""}
        return {key: (await events.arecall(user_memory, question.text, config, **limits(messages))).as_text()}

    return RunnableLambda(recall, arecall, name="recall")


def memorize_node(memory: MemorySource, *, roles: Collection[Role] = ROLES) -> Runnable[Any, dict[str, Any]]:
    """Make a node that memorizes the messages since the last answer before the user's last message.

    The thread is the session. Each message is memorized under its id, which `add_messages` sets. If the node runs
    twice, because of a retry or a resumed interrupt, it memorizes nothing twice. The node does not change the state.
    It finds the user and handles failures as in `recall_node`.

    Args:
        memory: Bank for many users, or the open memory of one user. The caller closes it.
        roles: Roles whose messages are memorized: "user", "assistant", "tool".

    Raises:
        InvalidTenantError: From the node: the run names no user, or a user whom the memory does not belong to.
        TitansError: From the node: any error of `TitansMemory.memorize_many`.
    """

    def memorize(state: Any, config: RunnableConfig) -> dict[str, Any]:
        caller, messages = _caller(config), messages_of_run(_messages(state), roles)
        memorize_messages(caller.memory(memory), messages, caller.thread, config)
        return {}

    async def amemorize(state: Any, config: RunnableConfig) -> dict[str, Any]:
        caller, messages = _caller(config), messages_of_run(_messages(state), roles)
        await amemorize_messages(await caller.amemory(memory), messages, caller.thread, config)
        return {}

    return RunnableLambda(memorize, amemorize, name="memorize")


def _caller(config: RunnableConfig) -> Caller:
    return Caller.of(config, get_runtime())


def _messages(state: Any) -> Sequence[BaseMessage]:
    messages: Sequence[BaseMessage] = state["messages"] if isinstance(state, Mapping) else state.messages
    return messages
