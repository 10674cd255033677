"""Migrate from a chain with LangChain's vector-store memory to a Titans memory, then to a current kind of chain.

The model is a fake that prints its prompt, so that you see what a real model would get. You can replace it by any
model. The first two chains are of LangChain's deprecated kind and need `pip install 'titans-core[classic]'`.
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


class PrintingLLM(LLM):
    """Prints its prompt."""

    title: str

    @property
    def _llm_type(self) -> str:
        return "printing"

    def _call(self, prompt: str, *_: Any, **__: Any) -> str:
        Console().print(Panel(Text(prompt), title=f"[bold]{self.title}", title_align="left"))
        return "Turquoise, a fine color."


def before() -> Runnable:
    """The old chain. It gets the nearest neighbours, relevant or not, and no label says how far to trust them."""
    store = InMemoryVectorStore(DeterministicFakeEmbedding(size=32))
    memory = VectorStoreRetrieverMemory(retriever=store.as_retriever(search_kwargs={"k": 1}))
    return ConversationChain(llm=PrintingLLM(title="VectorStoreRetrieverMemory"), memory=memory, prompt=PROMPT)


def step_one(memory: TitansMemory) -> Runnable:
    """The same chain with a Titans memory. It gets a labelled block, or nothing."""
    return ConversationChain(
        llm=PrintingLLM(title="TitansChainMemory"), memory=TitansChainMemory(memory=memory), prompt=PROMPT
    )


def step_two(memory: TitansMemory) -> Runnable:
    """A current kind of chain, with the same memory."""
    return with_memory(PROMPT | PrintingLLM(title="with_memory"), memory, input_key="input", memory_key="history")


def demo(memory: TitansMemory) -> None:
    """Tell the old chains a fact, ask all three chains, and print what their models got."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LangChainDeprecationWarning)
        old, first, second = before(), step_one(memory), step_two(memory)
    for chain in (old, first):
        chain.invoke({"input": "Alice's favorite color is turquoise."})
        chain.invoke({"input": "What is Alice's favorite color?"})
    second.invoke({"input": "Which color does Alice like?"})  # it knows the fact that was told to the previous chain


if __name__ == "__main__":
    with TitansMemory.open(":memory:", tenant="alice") as memory:
        demo(memory)
