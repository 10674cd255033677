"""A memory in a LangChain chain: memories | prompt | model.

The model is a fake that answers with its prompt, so that you see what a real model would get.
You can replace it by any chat model: `| prompt | ChatOllama(model="…")`.
"""

from langchain_core.documents import Document
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from titans_core import TitansMemory
from titans_langchain import TitansRetriever

PROMPT = ChatPromptTemplate.from_messages(
    [
        ("system", "What you remember of earlier conversations:\n{memories}"),
        ("human", "{question}"),
    ]
)
ECHO = RunnableLambda(lambda prompt: prompt.to_string())


def as_notes(documents: list[Document]) -> str:
    """The recalled turns under their label. Without documents, the label is `none`: nothing is known."""
    label = documents[0].metadata["confidence"] if documents else "none"
    return "\n".join([f"(confidence in the first: {label})", *(f"- {document.page_content}" for document in documents)])


def build(memory: TitansMemory) -> Runnable[str, str]:
    """Build the chain, from a question to the model's answer."""
    memories = TitansRetriever(memory=memory, k=2) | as_notes
    return {"memories": memories, "question": RunnablePassthrough()} | PROMPT | ECHO


def demo(memory: TitansMemory) -> None:
    """Ask the chain, and print what its model got."""
    prompt = build(memory).invoke("What is Alice's favorite color?")
    title = "[bold]LangChain[/]  [dim]what the chain gave the model"
    Console().print(Panel(Text(prompt), title=title, title_align="left"))


if __name__ == "__main__":
    with TitansMemory.open(":memory:", tenant="alice") as memory:
        memory.memorize("Alice's favorite color is turquoise.", speaker="user")
        demo(memory)
