"""A memory in a LangGraph graph: recall, model, memorize. A fact from one thread is known in another thread.

The model is a fake that answers with its input, so that you see what a real model would get.
You can replace it by any chat model:
`ChatOllama(model="…").invoke([SystemMessage(state["memory"]), *state["messages"]])`.
"""

from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from titans_core import TitansMemory
from titans_langchain import memorize_node, recall_node


class State(MessagesState):
    """The conversation, and what the memory recalls for it."""

    memory: str


def echo(state: State) -> dict[str, list[AIMessage]]:
    """The model. It repeats its input."""
    return {"messages": [AIMessage("\n".join([state["memory"] or "(no memories)", state["messages"][-1].text]))]}


def build(memory: TitansMemory) -> CompiledStateGraph:
    """Build the graph. Only the user's messages are memorized: otherwise the memory would recall the echo too."""
    graph = StateGraph(State)
    graph.add_node("recall", recall_node(memory, k=2))
    graph.add_node("model", echo)
    graph.add_node("memorize", memorize_node(memory, roles=["user"]))
    graph.add_edge(START, "recall")
    graph.add_edge("recall", "model")
    graph.add_edge("model", "memorize")
    return graph.compile(checkpointer=InMemorySaver())


def demo(memory: TitansMemory) -> None:
    """Tell a fact in one thread, ask in another, and print what the model got."""
    graph = build(memory)
    for thread, text in [
        ("monday", "Alice's favorite color is turquoise."),
        ("tuesday", "What is Alice's favorite color?"),
    ]:
        state = graph.invoke({"messages": text}, {"configurable": {"thread_id": thread}})
        title = f"[bold]LangGraph, {thread}[/]  [dim]what the graph gave the model"
        Console().print(Panel(Text(state["messages"][-1].text), title=title, title_align="left"))


if __name__ == "__main__":
    with TitansMemory.open(":memory:", tenant="alice") as memory:
        demo(memory)
