"""Tools with which an agent writes down, looks up and deletes what a user's memory holds."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from langgraph.prebuilt import ToolRuntime  # noqa: TC002  # LangGraph reads the tools' annotations at run time
from pydantic import BaseModel, Field

from titans_core import TitansError, Turn
from titans_core.errors import InvalidQueryError, InvalidTenantError
from titans_core.integration import (
    CONTENT_DESCRIPTION,
    FORGET_DESCRIPTION,
    MEMORIZE_DESCRIPTION,
    MEMORY_ID_DESCRIPTION,
    NOTHING_STORED,
    QUERY_DESCRIPTION,
    RECALL_DESCRIPTION,
    TOOL_RECALL_TEMPLATE,
)
from titans_langchain import events
from titans_langchain.identity import Caller
from titans_langchain.messages import jsonable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from titans_core import Memorized, Recollection
    from titans_core.integration import MemorySource

# A graph gives its tools a runtime; called by hand, a tool has the config alone.
_OUTSIDE: Any = None


class _Note(BaseModel):
    content: str = Field(description=CONTENT_DESCRIPTION)


class _Query(BaseModel):
    query: str = Field(description=QUERY_DESCRIPTION)


class _Memory(BaseModel):
    memory_id: str = Field(description=MEMORY_ID_DESCRIPTION)


def create_memorize_tool(
    memory: MemorySource, *, name: str = "memorize", description: str = MEMORIZE_DESCRIPTION
) -> BaseTool:
    """Make a tool that memorizes one statement of the agent's, for the user whom the run is about.

    The turn's speaker is "assistant", its session the thread. The message's artifact is the `Memorized`, as JSON
    values. An error of the memory is told to the model as the tool's answer, without an artifact; but a missing user
    is raised.

    Usage:

    ```python
    bank = MemoryBank("memory.db")
    agent = create_agent(model, tools=[create_memorize_tool(bank), create_recall_tool(bank)])
    agent.invoke({"messages": "I am allergic to nuts."}, {"configurable": {"user_id": "alice"}})
    ```

    Args:
        memory: a bank for many users, or the open memory of one. Stays the caller's to close.
        name: of the tool, for the model.
        description: of the tool, for the model.

    Raises:
        InvalidTenantError: by the tool, if the run names no user, or another than the memory's.
    """

    def memorize(content: str, runtime: ToolRuntime = _OUTSIDE) -> tuple[str, Any]:
        config = ensure_config()
        caller = Caller.of(config, runtime)
        with _told_to_the_model():
            return _receipt(events.memorize(caller.memory(memory), [_note(content, caller)], config))

    async def amemorize(content: str, runtime: ToolRuntime = _OUTSIDE) -> tuple[str, Any]:
        config = ensure_config()
        caller = Caller.of(config, runtime)
        with _told_to_the_model():
            return _receipt(await events.amemorize(await caller.amemory(memory), [_note(content, caller)], config))

    return _tool(memorize, amemorize, _Note, name, description)


def create_recall_tool(
    memory: MemorySource, *, k: int = 5, name: str = "recall", description: str = RECALL_DESCRIPTION
) -> BaseTool:
    """Make a tool that recalls what a user's memory holds about a query.

    The model is shown a labelled block with each memory's id, or `NOTHING_STORED` under the label `none`; the
    message's artifact is the whole `Recollection`, which comes back from a checkpoint as a dict. Errors as in
    `create_memorize_tool`.

    Usage:

    ```python
    recall = create_recall_tool(MemoryBank("memory.db"), k=3)
    recall.invoke({"query": "allergies"}, {"configurable": {"user_id": "alice"}})
    ```

    Args:
        memory: a bank for many users, or the open memory of one. Stays the caller's to close.
        k: memories at most, >= 1.
        name: of the tool, for the model.
        description: of the tool, for the model.

    Raises:
        InvalidQueryError: `k` is below 1.
        InvalidTenantError: by the tool, if the run names no user, or another than the memory's.
    """
    if k < 1:  # here, where a person reads it; in a call the model would
        raise InvalidQueryError(f"`k` must be at least 1, not {k!r}.")

    def recall(query: str, runtime: ToolRuntime = _OUTSIDE) -> tuple[str, Any]:
        config = ensure_config()
        caller = Caller.of(config, runtime)
        with _told_to_the_model():
            return _shown(events.recall(caller.memory(memory), query, config, k=k))

    async def arecall(query: str, runtime: ToolRuntime = _OUTSIDE) -> tuple[str, Any]:
        config = ensure_config()
        caller = Caller.of(config, runtime)
        with _told_to_the_model():
            return _shown(await events.arecall(await caller.amemory(memory), query, config, k=k))

    return _tool(recall, arecall, _Query, name, description)


def create_forget_tool(
    memory: MemorySource, *, name: str = "forget", description: str = FORGET_DESCRIPTION
) -> BaseTool:
    """Make a tool that deletes one turn of a user's memory by its id, as the recall tool shows it.

    The message's artifact is the id. Errors as in `create_memorize_tool`; an unknown id is one of them.

    Usage:

    ```python
    bank = MemoryBank("memory.db")
    agent = create_agent(model, tools=[create_recall_tool(bank), create_forget_tool(bank)])
    agent.invoke({"messages": "Forget my old address."}, {"configurable": {"user_id": "alice"}})
    ```

    Args:
        memory: a bank for many users, or the open memory of one. Stays the caller's to close.
        name: of the tool, for the model.
        description: of the tool, for the model.

    Raises:
        InvalidTenantError: by the tool, if the run names no user, or another than the memory's.
    """

    def forget(memory_id: str, runtime: ToolRuntime = _OUTSIDE) -> tuple[str, str]:
        caller = Caller.of(ensure_config(), runtime)
        with _told_to_the_model():
            caller.memory(memory).forget(memory_id)
        return f"The memory {memory_id} is forgotten.", memory_id

    async def aforget(memory_id: str, runtime: ToolRuntime = _OUTSIDE) -> tuple[str, str]:
        caller = Caller.of(ensure_config(), runtime)
        with _told_to_the_model():
            await (await caller.amemory(memory)).aforget(memory_id)
        return f"The memory {memory_id} is forgotten.", memory_id

    return _tool(forget, aforget, _Memory, name, description)


def _tool(
    func: Callable[..., Any], coroutine: Callable[..., Any], arguments: type[BaseModel], name: str, description: str
) -> BaseTool:
    # The schema is given, not read from the function: what a graph injects is neither shown to a model nor validated.
    return StructuredTool.from_function(
        func,
        coroutine,
        name,
        description,
        args_schema=arguments,
        response_format="content_and_artifact",
        handle_tool_error=True,
    )


@contextmanager
def _told_to_the_model() -> Iterator[None]:
    """Let the model read what went wrong; whose memory it is, it can neither know nor mend."""
    try:
        yield
    except InvalidTenantError:
        raise
    except TitansError as error:
        raise ToolException(str(error)) from error


def _note(content: str, caller: Caller) -> Turn:
    return Turn(content, speaker="assistant", session=caller.thread)


def _receipt(receipts: list[Memorized]) -> tuple[str, Any]:
    [receipt] = receipts
    return f"Memorized under the id {receipt.id}.", jsonable(receipt)


def _shown(found: Recollection) -> tuple[str, Any]:
    return found.as_text(TOOL_RECALL_TEMPLATE) or NOTHING_STORED, jsonable(found)
