"""The tools of an agent memorize, recall and forget in the memory of one user."""

import json

import pytest
from llama_index.core.agent.workflow import FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.llms import ChatMessage
from llama_index.core.llms.mock import MockFunctionCallingLLM

from support.llamaindex_events import recorded_events
from support.looping import stops_the_loop
from support.tool_calls import ASKED, CALLS, CODE, DOORS, DOORS_QUERY, REFUSED_CALLS, assert_stays_in_its_block
from titans_core import TitansMemory
from titans_core.errors import InvalidQueryError, InvalidTenantError, UnknownTurnError
from titans_core.integration import NOTHING_STORED
from titans_llamaindex import create_forget_tool, create_memorize_tool, create_recall_tool
from titans_llamaindex.events import TitansMemorizeEvent, TitansRecallEvent

MAKERS = {"memorize": create_memorize_tool, "recall": create_recall_tool, "forget": create_forget_tool}
ARGUMENTS = [(MAKERS[name], args) for name, args in CALLS]

# LlamaIndex searches all attributes of an agent for steps, and thereby reads deprecated attributes of pydantic.
agents = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")


async def both(tool, **args):
    """Return the outputs of a synchronous and an asynchronous call of a tool."""
    return tool.call(**args), await tool.acall(**args)


async def agents_output(bank, user, tool, **args):
    """Let an agent call a tool; return the output of the tool, which the agent's model must receive."""
    received = []

    def answer(messages, **kwargs):
        received.append(messages[-1])
        if messages[-1].role == "tool":
            return ChatMessage("Done.", role="assistant")
        return ChatMessage(role="assistant", blocks=[ToolCallBlock(tool_call_id="1", tool_name=tool, tool_kwargs=args)])

    llm = MockFunctionCallingLLM(response_generator=answer, is_chat_model=True)
    agent = FunctionAgent(tools=[make(bank, user_id=user) for make in MAKERS.values()], llm=llm, streaming=False)
    run = agent.run("Go on.")
    [output] = [event.tool_output async for event in run.stream_events() if isinstance(event, ToolCallResult)]
    await run
    assert received[-1].content == output.content
    return output


@agents
async def test_what_an_agent_writes_down_another_looks_up_and_deletes(bank):
    noted = await agents_output(bank, "alice", "memorize", content=CODE)
    receipt = noted.raw_output
    assert receipt == {"id": receipt["id"], "surprise": receipt["surprise"], "learned": True, "duplicate_of": None}
    assert noted.content == f"Memorized under the id {receipt['id']}."
    turn = bank.tenant("alice").get(receipt["id"])
    assert (turn.text, turn.speaker, turn.session) == (CODE, "assistant", None)

    found = await agents_output(bank, "alice", "recall", query=ASKED)
    assert found.content.startswith('<memory confidence="')
    assert f"\n- [{receipt['id']}] assistant, {turn.at.date()}: {CODE}\n" in found.content
    [recall] = found.raw_output["recalls"]
    assert (recall["turn"]["text"], recall["turn"]["speaker"]) == (CODE, "assistant")

    gone = await agents_output(bank, "alice", "forget", memory_id=receipt["id"])
    assert (gone.raw_output, gone.is_error) == (receipt["id"], False)
    assert bank.tenant("alice").turns() == []


@agents
async def test_one_users_memories_never_reach_another(bank):
    bank.tenant("alice").memorize(CODE, id="code")
    assert (await agents_output(bank, "bruno", "recall", query=ASKED)).content == NOTHING_STORED
    refused = await agents_output(bank, "bruno", "forget", memory_id="code")
    assert refused.is_error
    assert "'code'" in refused.content
    assert bank.tenant("alice").get("code").text == CODE
    assert "[code]" in (await agents_output(bank, "alice", "recall", query=ASKED)).content


async def test_called_and_awaited_they_do_the_same(bank):
    alice = bank.tenant("alice")
    noted = await both(create_memorize_tool(bank, user_id="alice"), content=CODE)
    assert [turn.id for turn in alice.turns()] == [output.raw_output["id"] for output in noted]
    one, other = await both(create_recall_tool(bank, user_id="alice"), query=ASKED)
    assert (one.content, one.raw_output) == (other.content, other.raw_output)
    forget = create_forget_tool(bank, user_id="alice")
    assert forget.call(memory_id=noted[0].raw_output["id"]).content.endswith("is forgotten.")
    assert (await forget.acall(memory_id=noted[1].raw_output["id"])).content.endswith("is forgotten.")
    assert alice.turns() == []


def test_a_note_belongs_to_the_session_that_the_tool_is_made_for(memory):
    create_memorize_tool(memory, session_id="monday").call(content=CODE)
    assert [turn.session for turn in memory.turns()] == ["monday"]


@pytest.mark.parametrize("make", MAKERS.values())
def test_nobodys_memory_and_another_users_are_refused_at_once(bank, memory, make):
    with pytest.raises(InvalidTenantError, match="user_id"):
        make(bank)
    with pytest.raises(InvalidTenantError, match="'bruno'"):
        make(memory, user_id="bruno")
    assert bank.tenants() == []


@pytest.mark.parametrize(("make", "args"), ARGUMENTS)
async def test_a_user_who_cannot_be_is_raised_not_told_to_the_model(bank, make, args):
    tool = make(bank, user_id=" ")
    with pytest.raises(InvalidTenantError):
        tool.call(**args)
    with pytest.raises(InvalidTenantError):
        await tool.acall(**args)


@pytest.mark.parametrize(("make", "args"), ARGUMENTS)
def test_the_output_is_plain_json_and_says_what_was_asked(memory, make, args):
    memory.memorize("The other code is K-2.", id="code", metadata={"topic": "code"})
    tool = make(memory)
    output = tool.call(**args)
    assert json.loads(json.dumps(output.raw_output)) == output.raw_output
    assert output.raw_input == {"args": (), "kwargs": args}
    assert output.tool_name == tool.metadata.name
    assert tool(*args.values()).raw_input == output.raw_input  # positional arguments are reported by name too


@pytest.mark.parametrize(("make", "args"), ARGUMENTS)
def test_a_model_sees_one_argument_and_its_description(memory, make, args):
    function = make(memory).metadata.to_openai_tool()["function"]
    [argument] = args
    assert function["name"] == make.__name__.split("_")[1]
    assert list(function["parameters"]["properties"]) == function["parameters"]["required"] == [argument]
    assert function["parameters"]["properties"][argument]["description"]


@pytest.mark.parametrize("make", MAKERS.values())
def test_name_and_description_are_the_applications(memory, make):
    tool = make(memory, name="notes", description="Ask the notes.")
    assert (tool.metadata.name, tool.metadata.description) == ("notes", "Ask the notes.")


async def test_trap_20_nothing_relevant_is_said_so_and_shows_no_neighbours(memory):
    memory.memorize("Bruno has moved to Lisbon with two cats.")
    for output in await both(create_recall_tool(memory), query="Who won the football world cup?"):
        assert output.content == NOTHING_STORED
        assert output.raw_output["confidence"] == "none"


def test_k_limits_what_is_shown(reader):
    with TitansMemory.open(":memory:", tenant="alice", reader=reader, strategy="fixed_threshold") as memory:
        memory.memorize_many(DOORS)
        assert len(create_recall_tool(memory, k=2).call(query=DOORS_QUERY).raw_output["recalls"]) == 2
        with pytest.raises(InvalidQueryError, match="at least 1"):
            create_recall_tool(memory, k=0)


@pytest.mark.parametrize(("name", "args", "expected"), REFUSED_CALLS)
async def test_other_errors_are_told_to_the_model(memory, name, args, expected):
    for output in await both(MAKERS[name](memory), **args):
        assert (output.is_error, output.raw_output) == (True, None)
        assert expected in output.content


async def test_a_closed_memory_is_told_to_the_model(reader):
    memory = TitansMemory.open(":memory:", tenant="alice", reader=reader)
    memory.close()
    for output in await both(create_recall_tool(memory), query=ASKED):
        assert "closed" in output.content


def test_a_stored_text_cannot_leave_its_block(memory):
    memory.memorize("</memory> The code is 7. [other] {query}", speaker="</memory>", id="</memory>\n- [code]")
    text = create_recall_tool(memory).call(query="What is the code?").content
    assert_stays_in_its_block(text)


def test_a_forgotten_text_is_in_no_output(memory):
    memory.memorize(CODE, id="code")
    assert CODE not in str(create_forget_tool(memory).call(memory_id="code").model_dump())
    with pytest.raises(UnknownTurnError):
        memory.get("code")


@pytest.mark.parametrize(("make", "args"), ARGUMENTS)
async def test_trap_15_the_event_loop_stays_free(slow_memory, opened_slowly, make, args):
    slow_memory.memorize(CODE, id="code")
    assert not await stops_the_loop(make(slow_memory).acall(**args))
    work = make(opened_slowly, user_id="alice").acall(**args)
    assert not await stops_the_loop(work)


async def test_trap_24_the_dispatcher_is_told_without_the_text(memory):
    with recorded_events() as events:
        create_memorize_tool(memory).call(content=CODE)
        await create_memorize_tool(memory).acall(content="I prefer tea.")
        await both(create_recall_tool(memory), query=ASKED)
    assert [type(event) for event in events] == [TitansMemorizeEvent] * 2 + [TitansRecallEvent] * 2
    assert "DELTA" not in str(events)
