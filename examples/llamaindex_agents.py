"""LlamaIndex's agents with a long-term memory, offline. All agents know a fact that was told to one of them.

The model is a fake that answers with its input, so that you see what a real model would get. You can replace it by
any model: `llm=Ollama(model="…")`.
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

FACT = "My dog is called Biscuit."
QUESTION = "What is my dog called?"


def echo(messages: Sequence[ChatMessage], **_: Any) -> ChatMessage:
    """The model. It repeats its input; for a reasoning agent, in the form that the agent expects."""
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
    # Only the user's messages are memorized: otherwise the memory would recall the echo too.
    chat_memory = TitansChatMemory.from_defaults(memory=memory, session_id=session, roles=["user"], k=2)
    return str(await agent.run(text, memory=chat_memory))


async def demo(memory: TitansMemory) -> None:
    """Tell one agent a fact, and ask each agent for it in a conversation of its own."""
    agents = build()
    await ask(agents["FunctionAgent"], memory, "monday", FACT)
    for name, agent in agents.items():
        answer = await ask(agent, memory, name, QUESTION)
        await memory.aforget(session=name)  # so that the next agent finds no earlier question
        Console().print(Panel(Text(answer), title=f"[bold]{name}[/]  [dim]{QUESTION}", title_align="left"))


if __name__ == "__main__":
    with TitansMemory.open(":memory:", tenant="alice") as memory:
        asyncio.run(demo(memory))
