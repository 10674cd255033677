"""A memory as nodes of a LangGraph graph: one recalls before the model, one memorizes after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langgraph.runtime import get_runtime

from titans_langchain import events
from titans_langchain.conversation import ROLES, Role, aremember, latest, question, remember, said
from titans_langchain.identity import Caller

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from langchain_core.messages import BaseMessage

    from titans_core.integration import MemorySource


def recall_node(
    memory: MemorySource, *, k: int = 5, key: str = "memory", max_tokens: int | None = None
) -> Runnable[Any, dict[str, str]]:
    """Make a node that recalls for the user's last message, what the messages do not hold themselves.

    It writes the recalls as a labelled block to a key of its own, "" if nothing relevant is known; `messages` stay as
    they are. The state's schema needs the key; declared as `Annotated[str, UntrackedValue]` it is in no checkpoint.

    The user is named by `config["configurable"]["user_id"]`, by the context's `user_id`, or by the LangGraph server. A
    memory that fails stops the graph.

    Usage:

    ```python
    class State(MessagesState):
        memory: str

    graph = StateGraph(State).add_node("recall", recall_node(bank)).add_node("memorize", memorize_node(bank))
    ```

    Args:
        memory: a bank for many users, or the open memory of one. Stays the caller's to close.
        k: recalls at most, >= 1.
        key: of the state, for the block.
        max_tokens: what the block may take, in tokens of the memory's reader, >= 1; None for no limit.

    Raises:
        InvalidTenantError: by the node, if the run names no user, or another than the memory's.
        TitansError: by the node, whatever the memory's `recall` raises.
    """

    def limits(messages: Sequence[BaseMessage]) -> dict[str, Any]:
        return {"k": k, "max_tokens": max_tokens, "except_texts": said(messages)}

    def recall(state: Any, config: RunnableConfig) -> dict[str, str]:
        messages, mine = _messages(state), _caller(config).memory(memory)
        if (asked := question(messages)) is None:
            return {key: ""}
        return {key: events.recall(mine, asked.text, config, **limits(messages)).as_text()}

    async def arecall(state: Any, config: RunnableConfig) -> dict[str, str]:
        messages, mine = _messages(state), await _caller(config).amemory(memory)
        if (asked := question(messages)) is None:
            return {key: ""}
        return {key: (await events.arecall(mine, asked.text, config, **limits(messages))).as_text()}

    return RunnableLambda(recall, arecall, name="recall")


def memorize_node(memory: MemorySource, *, roles: Collection[Role] = ROLES) -> Runnable[Any, dict[str, Any]]:
    """Make a node that memorizes what was said since the last answer before the user's last message.

    The thread is the session. A message is memorized under its id, which `add_messages` gives it: if the node runs
    twice, by a retry or a resumed interrupt, nothing is memorized twice. The state stays as it is. Users and failures
    as in `recall_node`.

    Args:
        memory: a bank for many users, or the open memory of one. Stays the caller's to close.
        roles: whose messages are memorized, of "user", "assistant" and "tool".

    Raises:
        InvalidTenantError: by the node, if the run names no user, or another than the memory's.
        TitansError: by the node, whatever the memory's `memorize_many` raises.
    """

    def memorize(state: Any, config: RunnableConfig) -> dict[str, Any]:
        caller = _caller(config)
        remember(caller.memory(memory), latest(_messages(state), roles), caller.thread, config)
        return {}

    async def amemorize(state: Any, config: RunnableConfig) -> dict[str, Any]:
        caller = _caller(config)
        await aremember(await caller.amemory(memory), latest(_messages(state), roles), caller.thread, config)
        return {}

    return RunnableLambda(memorize, amemorize, name="memorize")


def _caller(config: RunnableConfig) -> Caller:
    return Caller.of(config, get_runtime())


def _messages(state: Any) -> Sequence[BaseMessage]:
    messages: Sequence[BaseMessage] = state["messages"] if isinstance(state, Mapping) else state.messages
    return messages
