"""A LangChain agent with a long-term memory, offline: a local language model, two threads, two users.

The same agent without the memory cannot know the answer. Put any chat model in the place of `ChatTitansLM`.
"""

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from rich.console import Console
from rich.panel import Panel

from titans_core import MemoryBank
from titans_langchain import ChatTitansLM, TitansMemoryMiddleware

TOLD = "My dog is called Biscuit."
ASKED = "What is my dog called?"


def ask(agent, user: str, thread: str, message: str) -> str:
    config = {"configurable": {"user_id": user, "thread_id": thread}}
    answer: str = agent.invoke({"messages": message}, config)["messages"][-1].text
    return answer


def demo(bank: MemoryBank, model: BaseChatModel) -> None:
    """Tell an agent something in one thread, and ask for it in another."""
    agent = create_agent(model, middleware=[TitansMemoryMiddleware(bank)])
    forgetful = create_agent(model)
    ask(agent, "alice", "monday", TOLD)
    ask(forgetful, "alice", "monday", TOLD)
    answers = {
        "with the memory": ask(agent, "alice", "tuesday", ASKED),
        "without it": ask(forgetful, "alice", "tuesday", ASKED),
        "with it, but asked by Bruno": ask(agent, "bruno", "tuesday", ASKED),
    }
    for title, answer in answers.items():
        Console().print(Panel(answer, title=f"[bold]{ASKED}[/]  [dim]{title}", title_align="left"))


if __name__ == "__main__":
    with MemoryBank(":memory:") as bank:
        demo(bank, ChatTitansLM.from_pretrained(max_new_tokens=24))
