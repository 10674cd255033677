"""A LangChain agent with a long-term memory, offline: a local language model, two threads, two users.

The same agent without the memory cannot know the answer. You can replace `ChatTitansLM` by any chat model.
"""

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from rich.console import Console
from rich.panel import Panel

from titans_core import MemoryBank
from titans_langchain import ChatTitansLM, TitansMemoryMiddleware

FACT = "My dog is called Biscuit."
QUESTION = "What is my dog called?"


def ask(agent, user: str, thread: str, message: str) -> str:
    config = {"configurable": {"user_id": user, "thread_id": thread}}
    answer: str = agent.invoke({"messages": message}, config)["messages"][-1].text
    return answer


def demo(bank: MemoryBank, model: BaseChatModel) -> None:
    """Tell an agent a fact in one thread, and ask for it in another thread."""
    agent = create_agent(model, middleware=[TitansMemoryMiddleware(bank)])
    agent_without_memory = create_agent(model)
    ask(agent, "alice", "monday", FACT)
    ask(agent_without_memory, "alice", "monday", FACT)
    answers = {
        "with the memory": ask(agent, "alice", "tuesday", QUESTION),
        "without it": ask(agent_without_memory, "alice", "tuesday", QUESTION),
        "with it, but asked by Bruno": ask(agent, "bruno", "tuesday", QUESTION),
    }
    for title, answer in answers.items():
        Console().print(Panel(answer, title=f"[bold]{QUESTION}[/]  [dim]{title}", title_align="left"))


if __name__ == "__main__":
    with MemoryBank(":memory:") as bank:
        demo(bank, ChatTitansLM.from_pretrained(max_new_tokens=24))
