"""Tools with which an agent writes down, looks up and deletes what a user's memory holds."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from llama_index.core.bridge.pydantic import BaseModel, Field
from llama_index.core.tools import FunctionTool, ToolOutput
from pydantic_core import to_jsonable_python

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
from titans_llamaindex import events
from titans_llamaindex.owner import Owner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from titans_core import Memorized, Recollection
    from titans_core.integration import MemorySource


class _Note(BaseModel):
    content: str = Field(description=CONTENT_DESCRIPTION)


class _Query(BaseModel):
    query: str = Field(description=QUERY_DESCRIPTION)


class _Memory(BaseModel):
    memory_id: str = Field(description=MEMORY_ID_DESCRIPTION)


def create_memorize_tool(
    memory: MemorySource,
    *,
    user_id: str | None = None,
    session_id: str | None = None,
    name: str = "memorize",
    description: str = MEMORIZE_DESCRIPTION,
) -> FunctionTool:
    """Make a tool that memorizes one statement of the agent's.

    The turn's speaker is "assistant". The output's `raw_output` is the `Memorized`, as JSON values. An error of the
    memory is told to the model as the tool's output, with `is_error` and no `raw_output`.

    Usage:

    ```python
    bank = MemoryBank("memory.db")
    tools = [create_memorize_tool(bank, user_id="alice"), create_recall_tool(bank, user_id="alice")]
    await FunctionAgent(tools=tools, llm=llm).run("I am allergic to nuts.")
    ```

    Args:
        memory: a bank for many users, or the open memory of one. Stays the caller's to close.
        user_id: whose memory; a bank needs it.
        session_id: the conversation that the statement is memorized under.
        name: of the tool, for the model.
        description: of the tool, for the model.

    Raises:
        InvalidTenantError: the user is missing, or another than the memory's.
    """
    owner = Owner(memory, user_id)

    def memorize(content: str) -> ToolOutput:
        output = _output(name, content=content)
        with _told_to_the_model(output):
            _receipt(output, events.memorize(owner.memory(), [note(content)]))
        return output

    async def amemorize(content: str) -> ToolOutput:
        output = _output(name, content=content)
        with _told_to_the_model(output):
            _receipt(output, await events.amemorize(await owner.amemory(), [note(content)]))
        return output

    def note(content: str) -> Turn:
        return Turn(content, speaker="assistant", session=session_id)

    return _tool(memorize, amemorize, _Note, name, description)


def create_recall_tool(
    memory: MemorySource,
    *,
    user_id: str | None = None,
    k: int = 5,
    name: str = "recall",
    description: str = RECALL_DESCRIPTION,
) -> FunctionTool:
    """Make a tool that recalls what a user's memory holds about a query.

    The model is shown a labelled block with each memory's id, or `NOTHING_STORED` under the label `none`; the
    output's `raw_output` is the whole `Recollection`, as JSON values. Errors as in `create_memorize_tool`.

    Usage:

    ```python
    recall = create_recall_tool(MemoryBank("memory.db"), user_id="alice", k=3)
    print(recall.call(query="allergies"))
    ```

    Args:
        memory: a bank for many users, or the open memory of one. Stays the caller's to close.
        user_id: whose memory; a bank needs it.
        k: memories at most, >= 1.
        name: of the tool, for the model.
        description: of the tool, for the model.

    Raises:
        InvalidQueryError: `k` is below 1.
        InvalidTenantError: the user is missing, or another than the memory's.
    """
    if k < 1:  # here, where a person reads it; in a call the model would
        raise InvalidQueryError(f"`k` must be at least 1, not {k!r}.")
    owner = Owner(memory, user_id)

    def recall(query: str) -> ToolOutput:
        output = _output(name, query=query)
        with _told_to_the_model(output):
            _show(output, events.recall(owner.memory(), query, k=k))
        return output

    async def arecall(query: str) -> ToolOutput:
        output = _output(name, query=query)
        with _told_to_the_model(output):
            _show(output, await events.arecall(await owner.amemory(), query, k=k))
        return output

    return _tool(recall, arecall, _Query, name, description)


def create_forget_tool(
    memory: MemorySource, *, user_id: str | None = None, name: str = "forget", description: str = FORGET_DESCRIPTION
) -> FunctionTool:
    """Make a tool that deletes one turn of a user's memory by its id, as the recall tool shows it.

    The output's `raw_output` is the id. Errors as in `create_memorize_tool`; an unknown id is one of them.

    Usage:

    ```python
    bank = MemoryBank("memory.db")
    tools = [create_recall_tool(bank, user_id="alice"), create_forget_tool(bank, user_id="alice")]
    await FunctionAgent(tools=tools, llm=llm).run("Forget my old address.")
    ```

    Args:
        memory: a bank for many users, or the open memory of one. Stays the caller's to close.
        user_id: whose memory; a bank needs it.
        name: of the tool, for the model.
        description: of the tool, for the model.

    Raises:
        InvalidTenantError: the user is missing, or another than the memory's.
    """
    owner = Owner(memory, user_id)

    def forget(memory_id: str) -> ToolOutput:
        output = _output(name, memory_id=memory_id)
        with _told_to_the_model(output):
            owner.memory().forget(memory_id)
            _forgotten(output, memory_id)
        return output

    async def aforget(memory_id: str) -> ToolOutput:
        output = _output(name, memory_id=memory_id)
        with _told_to_the_model(output):
            await (await owner.amemory()).aforget(memory_id)
            _forgotten(output, memory_id)
        return output

    return _tool(forget, aforget, _Memory, name, description)


def _tool(
    fn: Callable[..., ToolOutput], async_fn: Callable[..., Any], arguments: type[BaseModel], name: str, description: str
) -> FunctionTool:
    async def made(output: ToolOutput) -> ToolOutput:
        return output

    # A FunctionTool makes one text of what its function returns, unless a callback returns a whole output.
    return FunctionTool.from_defaults(
        fn,
        name,
        description,
        fn_schema=arguments,
        async_fn=async_fn,
        callback=lambda output: output,
        async_callback=made,
    )


def _output(name: str, **arguments: str) -> ToolOutput:
    return ToolOutput(name, raw_input={"args": (), "kwargs": arguments})


@contextmanager
def _told_to_the_model(output: ToolOutput) -> Iterator[None]:
    """Let the model read what went wrong; whose memory it is, it can neither know nor mend."""
    try:
        yield
    except InvalidTenantError:
        raise
    except TitansError as error:
        output.content, output.is_error = str(error), True


def _receipt(output: ToolOutput, receipts: list[Memorized]) -> None:
    [receipt] = receipts
    output.content, output.raw_output = f"Memorized under the id {receipt.id}.", to_jsonable_python(receipt)


def _show(output: ToolOutput, found: Recollection) -> None:
    output.content = found.as_text(TOOL_RECALL_TEMPLATE) or NOTHING_STORED
    output.raw_output = to_jsonable_python(found)


def _forgotten(output: ToolOutput, memory_id: str) -> None:
    output.content, output.raw_output = f"The memory {memory_id} is forgotten.", memory_id
