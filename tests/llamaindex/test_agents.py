"""With TitansChatMemory, LlamaIndex's agents give their model a fact that the user told in an earlier session.

The scripted model calls a tool and then answers. Its chat template is strict, so that the tests also fail for prompts
that a local model would refuse.
"""

import pytest
from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, FunctionAgent, ReActAgent, ToolCallResult
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer

from support.llamaindex_models import ScriptedLLM, call, local_llm
from titans_llamaindex import TitansChatMemory

FACT = "The secret code is X-8-DELTA-9."
QUESTION = "What is the secret code?"
CODE = "X-8-DELTA-9"
ANSWER = "Here you are."

# LlamaIndex searches all attributes of an agent for steps, and thereby reads deprecated attributes of pydantic.
pytestmark = [
    pytest.mark.compat,
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning"),
    # ReActAgent raises this warning.
    pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning"),
]


def today():
    """Return the day of the week."""
    return "Friday"


def calls_a_tool(messages):
    return call("today") if messages[-1].role == "user" else ANSWER


def thinks_and_calls_a_tool(messages):
    if messages[-1].content.startswith("Observation:"):
        return f"Thought: I can answer now.\nAnswer: {ANSWER}"
    return "Thought: I need a tool.\nAction: today\nAction Input: {}"


def hands_over(messages):
    """Answer for two agents: the first hands over to the second, which calls the tool."""
    if messages[-1].role == "user":
        return call("handoff", to_agent="clerk", reason="The clerk knows the day.")
    return call("today") if "now handling" in messages[-1].content else ANSWER


def function_agent(streaming):
    llm = ScriptedLLM(calls_a_tool)
    return FunctionAgent(tools=[today], llm=llm, system_prompt="Be brief.", streaming=streaming), llm


def react_agent(streaming):
    llm = ScriptedLLM(thinks_and_calls_a_tool)
    return ReActAgent(tools=[today], llm=llm, system_prompt="Be brief.", streaming=streaming), llm


def workflow(streaming):
    llm = ScriptedLLM(hands_over)
    shared = {"llm": llm, "system_prompt": "Be brief.", "streaming": streaming}
    porter = FunctionAgent(name="porter", description="Opens the door.", can_handoff_to=["clerk"], **shared)
    clerk = FunctionAgent(name="clerk", description="Knows the day.", tools=[today], **shared)
    return AgentWorkflow(agents=[porter, clerk], root_agent="porter"), llm


@pytest.fixture(params=[function_agent, react_agent, workflow])
def build(request):
    return request.param


streaming = pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streaming"])


async def ask(agent, text, **options):
    """Run an agent; return its answer and its events."""
    handler = agent.run(text, **options)
    events = [event async for event in handler.stream_events()]
    return str(await handler), events


def chat(memory, session):
    return TitansChatMemory.from_defaults(memory=memory, session_id=session)


@streaming
async def test_a_fact_told_in_an_earlier_session_reaches_the_model_and_every_turn_is_memorized_once(
    memory, build, streaming
):
    await ask(build(streaming)[0], FACT, memory=chat(memory, "one"))
    agent, llm = build(streaming)
    two = chat(memory, "two")
    answer, events = await ask(agent, QUESTION, memory=two)
    assert answer == ANSWER
    assert [event.tool_output.content for event in events if isinstance(event, ToolCallResult)][-1] == "Friday"
    assert any(isinstance(event, AgentStream) for event in events) is streaming
    assert len(llm.prompts) >= 2
    assert all(CODE in prompt for prompt in llm.prompts)  # both before and after the tool call
    # The tool calls and the recalled block are not memorized.
    question, final = memory.turns(session="two")
    assert (question.speaker, question.text) == ("user", QUESTION)
    assert final.speaker == "assistant"
    assert final.text.endswith(ANSWER)
    assert CODE not in final.text
    assert [said.content for said in two.get_all() if said.role == "user"] == [QUESTION]


@streaming
async def test_with_a_chat_memory_buffer_it_does_not(build, streaming):
    await ask(build(streaming)[0], FACT, memory=ChatMemoryBuffer.from_defaults())
    agent, llm = build(streaming)
    assert (await ask(agent, QUESTION, memory=ChatMemoryBuffer.from_defaults()))[0] == ANSWER
    assert not any(CODE in prompt for prompt in llm.prompts)


async def test_tool_calls_and_their_results_are_kept_in_the_conversation(memory):
    two = chat(memory, "two")
    await ask(function_agent(streaming=False)[0], QUESTION, memory=two)
    assert [message.role.value for message in two.get_all()] == ["user", "assistant", "tool", "assistant"]
    assert [turn.text for turn in memory.turns()] == [QUESTION, ANSWER]


async def test_all_agents_of_a_workflow_share_the_memory(memory):
    two = chat(memory, "two")
    agent, llm = workflow(streaming=False)
    await ask(agent, QUESTION, memory=two)
    assert [message.role.value for message in two.get_all()] == [
        "user",
        *["assistant", "tool"],  # the handover
        *["assistant", "tool", "assistant"],
    ]
    assert len(llm.prompts) == 3


async def test_trap_13_a_history_given_with_the_question_is_memorized_once(memory, build):
    history = [ChatMessage(FACT, role="user"), ChatMessage("Noted.", role="assistant")]
    one = chat(memory, "one")
    for _ in range(2):
        await ask(build(False)[0], "Thanks.", chat_history=history, memory=one)
    assert [turn.text for turn in memory.turns()].count(FACT) == 1


@pytest.mark.parametrize("remembers", [True, False], ids=["TitansChatMemory", "ChatMemoryBuffer"])
async def test_a_language_model_answers_what_an_earlier_session_told(memory, language_model, remembers):
    local = local_llm(language_model)
    agent = FunctionAgent(llm=ScriptedLLM(lambda messages: local.chat(messages).message), system_prompt="Be brief.")
    one, two = (chat(memory, session) if remembers else ChatMemoryBuffer.from_defaults() for session in ("one", "two"))
    one.put(ChatMessage("My dog is called Biscuit.", role="user"))
    answer, _ = await ask(agent, "What is my dog called?", memory=two)
    assert ("Biscuit" in answer) is remembers
