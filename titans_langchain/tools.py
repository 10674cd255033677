"""Tools with which an agent memorizes, recalls and forgets on behalf of a user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from langgraph.prebuilt import ToolRuntime  # noqa: TC002  # LangGraph reads the tools' annotations at run time
from pydantic import BaseModel, Field, create_model

from titans_core import Turn, integration
from titans_langchain import events
from titans_langchain.identity import Caller
from titans_langchain.messages import to_json_values

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.runnables import RunnableConfig

    from titans_core import Memorized, Recollection, TitansError
    from titans_core.integration import MemorySource

_Answer: TypeAlias = tuple[str, Any]
"""A text for the model, and the artifact of the tool message."""

# A graph passes its tools a runtime. Outside a graph, a tool has the config only.
_NO_RUNTIME: Any = None

_MemorizeInput = create_model("MemorizeInput", content=(str, Field(description=integration.CONTENT_DESCRIPTION)))
_RecallInput = create_model("RecallInput", query=(str, Field(description=integration.QUERY_DESCRIPTION)))
_ForgetInput = create_model("ForgetInput", memory_id=(str, Field(description=integration.MEMORY_ID_DESCRIPTION)))


def create_memorize_tool(
    memory: MemorySource, *, name: str = "memorize", description: str = integration.MEMORIZE_DESCRIPTION
) -> BaseTool:
    """Make a tool that memorizes one statement of the agent for the user of the run.

    The turn's speaker is "assistant" and its session is the thread. The artifact of the tool message is the
    `Memorized` receipt as JSON values. If the memory raises an error, the model receives its message as the tool's
    answer, without an artifact. A missing user is raised.

    Example:
        ```python
        bank = MemoryBank("memory.db")
        agent = create_agent(model, tools=[create_memorize_tool(bank), create_recall_tool(bank)])
        agent.invoke({"messages": "I am allergic to nuts."}, {"configurable": {"user_id": "alice"}})
        ```

    Args:
        memory: Bank for many users, or the open memory of one user, to write to. The caller closes it.
        name: Name of the tool, as the model sees it.
        description: Description of the tool for the model; says what is worth memorizing.

    Raises:
        InvalidTenantError: From the tool: the run names no user, or a user whom the memory does not belong to.
    """

    def memorize(content: str, runtime: ToolRuntime = _NO_RUNTIME) -> _Answer:
        config, caller = _current_run(runtime)
        with integration.errors_for_model(_raise_tool_error):
            return _memorize_answer(events.memorize(caller.memory(memory), [_note(content, caller)], config))

    async def amemorize(content: str, runtime: ToolRuntime = _NO_RUNTIME) -> _Answer:
        config, caller = _current_run(runtime)
        with integration.errors_for_model(_raise_tool_error):
            user_memory = await caller.amemory(memory)
            return _memorize_answer(await events.amemorize(user_memory, [_note(content, caller)], config))

    return _make_tool(memorize, amemorize, _MemorizeInput, name, description)


def create_recall_tool(
    memory: MemorySource, *, k: int = 5, name: str = "recall", description: str = integration.RECALL_DESCRIPTION
) -> BaseTool:
    """Make a tool that recalls what a user's memory holds about a query.

    The model receives a labelled block with the id of each memory, or `NOTHING_STORED` under the label `none`. The
    artifact of the tool message is the whole `Recollection`; from a checkpoint it comes back as a dict. Errors are
    handled as in `create_memorize_tool`.

    Example:
        ```python
        recall = create_recall_tool(MemoryBank("memory.db"), k=3)
        recall.invoke({"query": "allergies"}, {"configurable": {"user_id": "alice"}})
        ```

    Args:
        memory: Bank for many users, or the open memory of one user, to search. The caller closes it.
        k: Maximum number of memories, >= 1.
        name: Name of the tool, as the model sees it.
        description: Description of the tool for the model; says what a query is.

    Raises:
        InvalidQueryError: `k` is below 1.
        InvalidTenantError: From the tool: the run names no user, or a user whom the memory does not belong to.
    """
    integration.check_recall_count(k)
    limits: dict[str, Any] = {"k": k, "context": "reply"}

    def recall(query: str, runtime: ToolRuntime = _NO_RUNTIME) -> _Answer:
        config, caller = _current_run(runtime)
        with integration.errors_for_model(_raise_tool_error):
            return _recall_answer(events.recall(caller.memory(memory), query, config, **limits))

    async def arecall(query: str, runtime: ToolRuntime = _NO_RUNTIME) -> _Answer:
        config, caller = _current_run(runtime)
        with integration.errors_for_model(_raise_tool_error):
            return _recall_answer(await events.arecall(await caller.amemory(memory), query, config, **limits))

    return _make_tool(recall, arecall, _RecallInput, name, description)


def create_forget_tool(
    memory: MemorySource, *, name: str = "forget", description: str = integration.FORGET_DESCRIPTION
) -> BaseTool:
    """Make a tool that deletes one turn of a user's memory by the id that the recall tool shows.

    The artifact of the tool message is the id. Errors are handled as in `create_memorize_tool`; an unknown id is such
    an error.

    Example:
        ```python
        bank = MemoryBank("memory.db")
        agent = create_agent(model, tools=[create_recall_tool(bank), create_forget_tool(bank)])
        agent.invoke({"messages": "Forget my old address."}, {"configurable": {"user_id": "alice"}})
        ```

    Args:
        memory: Bank for many users, or the open memory of one user, to delete from. The caller closes it.
        name: Name of the tool, as the model sees it.
        description: Description of the tool for the model; says when to delete a memory.

    Raises:
        InvalidTenantError: From the tool: the run names no user, or a user whom the memory does not belong to.
    """

    def forget(memory_id: str, runtime: ToolRuntime = _NO_RUNTIME) -> _Answer:
        _, caller = _current_run(runtime)
        with integration.errors_for_model(_raise_tool_error):
            caller.memory(memory).forget(memory_id)
        return integration.forget_answer(memory_id), memory_id

    async def aforget(memory_id: str, runtime: ToolRuntime = _NO_RUNTIME) -> _Answer:
        _, caller = _current_run(runtime)
        with integration.errors_for_model(_raise_tool_error):
            await (await caller.amemory(memory)).aforget(memory_id)
        return integration.forget_answer(memory_id), memory_id

    return _make_tool(forget, aforget, _ForgetInput, name, description)


def _make_tool(
    func: Callable[..., Any], coroutine: Callable[..., Any], arguments: type[BaseModel], name: str, description: str
) -> BaseTool:
    # LangChain must not derive the schema from the function: the model must not see or set what a graph injects.
    return StructuredTool.from_function(
        func,
        coroutine,
        name,
        description,
        args_schema=arguments,
        response_format="content_and_artifact",
        handle_tool_error=True,
    )


def _current_run(runtime: Any) -> tuple[RunnableConfig, Caller]:
    config = ensure_config()
    return config, Caller.of(config, runtime)


def _raise_tool_error(error: TitansError) -> NoReturn:
    raise ToolException(str(error)) from error


def _note(content: str, caller: Caller) -> Turn:
    return Turn(content, speaker="assistant", session=caller.thread)


def _memorize_answer(receipts: list[Memorized]) -> _Answer:
    [receipt] = receipts
    return integration.memorize_answer(receipt), to_json_values(receipt)


def _recall_answer(found: Recollection) -> _Answer:
    return integration.recall_answer(found), to_json_values(found)
