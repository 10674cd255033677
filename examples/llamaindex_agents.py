"""LlamaIndex's agents with a long-term memory, offline: a fact told to one agent is what the others are given.

The model is a fake that answers with what it was asked, so that you see what a real one would be given. Put any
other in its place: `llm=Ollama(model="…")`.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ReActAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.llms.mock import MockFunctionCallingLLM
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from titans_core import TitansMemory
from titans_llamaindex import TitansChatMemory

TOLD = "My dog is called Biscuit."
ASKED = "What is my dog called?"


def echo(messages: Sequence[ChatMessage], **_: Any) -> ChatMessage:
    """The model: it repeats what it is given, to a reasoning agent in the form that this expects."""
    form = "Thought: I can answer.\nAnswer: " if "Thought:" in (messages[0].content or "") else ""
    return ChatMessage(f"{form}You said: {messages[-1].content}", role="assistant")


def build() -> dict[str, FunctionAgent | ReActAgent | AgentWorkflow]:
    llm = MockFunctionCallingLLM(response_generator=echo, is_chat_model=True)
    return {
        "FunctionAgent": FunctionAgent(llm=llm, system_prompt="Be brief."),
        "ReActAgent": ReActAgent(llm=llm, system_prompt="Be brief."),
        "AgentWorkflow": AgentWorkflow(agents=[FunctionAgent(llm=llm, system_prompt="Be brief.")]),
    }


async def ask(agent: FunctionAgent | ReActAgent | AgentWorkflow, memory: TitansMemory, session: str, text: str) -> str:
    # Only what the user says is memorized, or the echo would be remembered too.
    chat_memory = TitansChatMemory.from_defaults(memory=memory, session_id=session, roles=["user"], k=2)
    return str(await agent.run(text, memory=chat_memory))


async def demo(memory: TitansMemory) -> None:
    """Tell one agent something, and ask each for it in a conversation of its own."""
    agents = build()
    await ask(agents["FunctionAgent"], memory, "monday", TOLD)
    for name, agent in agents.items():
        answer = await ask(agent, memory, name, ASKED)
        await memory.aforget(session=name)  # so that the next is asked for the first time
        Console().print(Panel(Text(answer), title=f"[bold]{name}[/]  [dim]{ASKED}", title_align="left"))


if __name__ == "__main__":
    with TitansMemory.open(":memory:", tenant="alice") as memory:
        asyncio.run(demo(memory))
