"""A memory in a LangChain chain: memories | prompt | model.

The model is a fake that answers with its prompt, so that you see what a real one would be given.
Put any chat model in its place: `| prompt | ChatOllama(model="…")`.
"""

from langchain_core.documents import Document
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough
from rich import print
from rich.panel import Panel
from rich.text import Text

from titans_core import TitansMemory
from titans_langchain import TitansRetriever

PROMPT = ChatPromptTemplate.from_messages(
    [
        ("system", "What the user told you earlier, and how far to trust it:\n{memories}"),
        ("human", "{question}"),
    ]
)
ECHO = RunnableLambda(lambda prompt: prompt.to_string())


def as_lines(documents: list[Document]) -> str:
    return "\n".join(f"- ({document.metadata['confidence']}) {document.page_content}" for document in documents)


def build(memory: TitansMemory) -> Runnable[str, str]:
    memories = TitansRetriever(memory=memory, k=3) | as_lines
    return {"memories": memories, "question": RunnablePassthrough()} | PROMPT | ECHO


def demo(memory: TitansMemory) -> None:
    answer = build(memory).invoke("What is Alice's favorite color?")
    print(Panel(Text(answer), title="[bold]LangChain[/]  [dim]what the chain gave the model", title_align="left"))


if __name__ == "__main__":
    with TitansMemory.open(":memory:", tenant="alice") as memory:
        memory.memorize("Alice's favorite color is turquoise.", speaker="user")
        demo(memory)
