"""Tools with which an agent memorizes, recalls and forgets on behalf of a user."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from llama_index.core.bridge.pydantic import BaseModel, Field, create_model
from llama_index.core.tools import FunctionTool, ToolOutput
from pydantic_core import to_jsonable_python

from titans_core import Turn, integration
from titans_llamaindex import events
from titans_llamaindex.owner import Owner

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from titans_core import Memorized, Recollection, TitansError
    from titans_core.integration import MemorySource

_MemorizeInput = create_model("MemorizeInput", content=(str, Field(description=integration.CONTENT_DESCRIPTION)))
_RecallInput = create_model("RecallInput", query=(str, Field(description=integration.QUERY_DESCRIPTION)))
_ForgetInput = create_model("ForgetInput", memory_id=(str, Field(description=integration.MEMORY_ID_DESCRIPTION)))


def create_memorize_tool(
    memory: MemorySource,
    *,
    user_id: str | None = None,
    session_id: str | None = None,
    name: str = "memorize",
    description: str = integration.MEMORIZE_DESCRIPTION,
) -> FunctionTool:
    """Make a tool that memorizes one statement of the agent.

    The turn's speaker is "assistant". The `raw_output` is the `Memorized` receipt as JSON values. If the memory raises
    an error, the model receives its message as the tool's output, with `is_error` and without a `raw_output`.

    Example:
        ```python
        bank = MemoryBank("memory.db")
        tools = [create_memorize_tool(bank, user_id="alice"), create_recall_tool(bank, user_id="alice")]
        await FunctionAgent(tools=tools, llm=llm).run("I am allergic to nuts.")
        ```

    Args:
        memory: Bank for many users, or the open memory of one user, to write to. The caller closes it.
        user_id: Id of the user; required with a bank.
        session_id: Session of the memorized statements; None for no session.
        name: Name of the tool, as the model sees it.
        description: Description of the tool for the model; says what is worth memorizing.

    Raises:
        InvalidTenantError: The user is missing, or the memory belongs to another user.
    """
    owner = Owner(memory, user_id)

    def memorize(content: str) -> ToolOutput:
        with _tool_output(name, content=content) as output:
            _write_receipt(output, events.memorize(owner.memory(), [to_note(content)]))
        return output

    async def amemorize(content: str) -> ToolOutput:
        with _tool_output(name, content=content) as output:
            _write_receipt(output, await events.amemorize(await owner.amemory(), [to_note(content)]))
        return output

    def to_note(content: str) -> Turn:
        return Turn(content, speaker="assistant", session=session_id)

    return _make_tool(memorize, amemorize, _MemorizeInput, name, description)


def create_recall_tool(
    memory: MemorySource,
    *,
    user_id: str | None = None,
    k: int = 5,
    name: str = "recall",
    description: str = integration.RECALL_DESCRIPTION,
) -> FunctionTool:
    """Make a tool that recalls what a user's memory holds about a query.

    The model receives a labelled block with the id of each memory, or `NOTHING_STORED` under the label `none`. The
    `raw_output` is the whole `Recollection` as JSON values. Errors are handled as in `create_memorize_tool`.

    Example:
        ```python
        recall = create_recall_tool(MemoryBank("memory.db"), user_id="alice", k=3)
        print(recall.call(query="allergies"))
        ```

    Args:
        memory: Bank for many users, or the open memory of one user, to search. The caller closes it.
        user_id: Id of the user; required with a bank.
        k: Maximum number of recalls, >= 1.
        name: Name of the tool, as the model sees it.
        description: Description of the tool for the model; says when to look something up.

    Raises:
        InvalidQueryError: `k` is below 1.
        InvalidTenantError: The user is missing, or the memory belongs to another user.
    """
    integration.check_recall_count(k)
    limits: dict[str, Any] = {"k": k, "context": "reply"}
    owner = Owner(memory, user_id)

    def recall(query: str) -> ToolOutput:
        with _tool_output(name, query=query) as output:
            _write_recalls(output, events.recall(owner.memory(), query, **limits))
        return output

    async def arecall(query: str) -> ToolOutput:
        with _tool_output(name, query=query) as output:
            _write_recalls(output, await events.arecall(await owner.amemory(), query, **limits))
        return output

    return _make_tool(recall, arecall, _RecallInput, name, description)


def create_forget_tool(
    memory: MemorySource,
    *,
    user_id: str | None = None,
    name: str = "forget",
    description: str = integration.FORGET_DESCRIPTION,
) -> FunctionTool:
    """Make a tool that deletes one turn of a user's memory by the id that the recall tool shows.

    The `raw_output` is the id. Errors are handled as in `create_memorize_tool`; an unknown id is such an error.

    Example:
        ```python
        bank = MemoryBank("memory.db")
        tools = [create_recall_tool(bank, user_id="alice"), create_forget_tool(bank, user_id="alice")]
        await FunctionAgent(tools=tools, llm=llm).run("Forget my old address.")
        ```

    Args:
        memory: Bank for many users, or the open memory of one user, to delete from. The caller closes it.
        user_id: Id of the user; required with a bank.
        name: Name of the tool, as the model sees it.
        description: Description of the tool for the model; says when to delete a memory.

    Raises:
        InvalidTenantError: The user is missing, or the memory belongs to another user.
    """
    owner = Owner(memory, user_id)

    def forget(memory_id: str) -> ToolOutput:
        with _tool_output(name, memory_id=memory_id) as output:
            owner.memory().forget(memory_id)
            _write_deleted_id(output, memory_id)
        return output

    async def aforget(memory_id: str) -> ToolOutput:
        with _tool_output(name, memory_id=memory_id) as output:
            await (await owner.amemory()).aforget(memory_id)
            _write_deleted_id(output, memory_id)
        return output

    return _make_tool(forget, aforget, _ForgetInput, name, description)


def _make_tool(
    fn: Callable[..., ToolOutput],
    async_fn: Callable[..., Coroutine[Any, Any, ToolOutput]],
    arguments: type[BaseModel],
    name: str,
    description: str,
) -> FunctionTool:
    # A FunctionTool replaces the result of its function by a text, unless a callback returns a ToolOutput.
    async def keep_output(output: ToolOutput) -> ToolOutput:
        return output

    return FunctionTool.from_defaults(
        fn,
        name,
        description,
        fn_schema=arguments,
        async_fn=async_fn,
        callback=lambda output: output,
        async_callback=keep_output,
    )


@contextmanager
def _tool_output(name: str, **arguments: str) -> Iterator[ToolOutput]:
    """Make the output of a tool call; an error of the memory becomes its content, for the model to read."""
    output = ToolOutput(name, raw_input={"args": (), "kwargs": arguments})

    def write_error(error: TitansError) -> None:
        output.content, output.is_error = str(error), True

    with integration.errors_for_model(write_error):
        yield output


def _write_receipt(output: ToolOutput, receipts: list[Memorized]) -> None:
    [receipt] = receipts
    output.content, output.raw_output = integration.memorize_answer(receipt), to_jsonable_python(receipt)


def _write_recalls(output: ToolOutput, found: Recollection) -> None:
    # The time zone is no JSON value; its name is.
    output.content, output.raw_output = integration.recall_answer(found), to_jsonable_python(found, fallback=str)


def _write_deleted_id(output: ToolOutput, memory_id: str) -> None:
    output.content, output.raw_output = integration.forget_answer(memory_id), memory_id
