"""From a chain with LangChain's vector-store memory to one with Titans', and from there to a chain of today.

The model is a fake that prints what it is given, so that you see what a real one would be given; put any other in its
place.
The first two chains are LangChain's own deprecated ones; they need `pip install 'titans-core[classic]'`.
"""

import warnings
from typing import Any

from langchain_classic.chains import ConversationChain
from langchain_classic.memory import VectorStoreRetrieverMemory
from langchain_core._api import LangChainDeprecationWarning
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models import LLM
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import Runnable
from langchain_core.vectorstores import InMemoryVectorStore
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from titans_core import TitansMemory
from titans_langchain import TitansChainMemory, with_memory

PROMPT = PromptTemplate.from_template("{history}\nHuman: {input}\nAI:")


class Shown(LLM):
    """Prints what it is given."""

    title: str

    @property
    def _llm_type(self) -> str:
        return "shown"

    def _call(self, prompt: str, *_: Any, **__: Any) -> str:
        Console().print(Panel(Text(prompt), title=f"[bold]{self.title}", title_align="left"))
        return "Turquoise, a fine color."


def before() -> Runnable:
    """The nearest neighbours, whether they are relevant or not; nothing says how far to trust them."""
    store = InMemoryVectorStore(DeterministicFakeEmbedding(size=32))
    memory = VectorStoreRetrieverMemory(retriever=store.as_retriever(search_kwargs={"k": 1}))
    return ConversationChain(llm=Shown(title="VectorStoreRetrieverMemory"), memory=memory, prompt=PROMPT)


def step_one(memory: TitansMemory) -> Runnable:
    """The same chain with another memory: a labelled block, or nothing."""
    return ConversationChain(
        llm=Shown(title="TitansChainMemory"), memory=TitansChainMemory(memory=memory), prompt=PROMPT
    )


def step_two(memory: TitansMemory) -> Runnable:
    """A chain of today, with the same memory."""
    return with_memory(PROMPT | Shown(title="with_memory"), memory, input_key="input", memory_key="history")


def demo(memory: TitansMemory) -> None:
    """Tell the old chains something, ask all three, and print what their models were given."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LangChainDeprecationWarning)
        old, first, second = before(), step_one(memory), step_two(memory)
    for chain in (old, first):
        chain.invoke({"input": "Alice's favorite color is turquoise."})
        chain.invoke({"input": "What is Alice's favorite color?"})
    second.invoke({"input": "Which color does Alice like?"})  # it knows what the chain before it was told


if __name__ == "__main__":
    with TitansMemory.open(":memory:", tenant="alice") as memory:
        demo(memory)
