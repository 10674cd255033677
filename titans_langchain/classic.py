"""A memory for the chains of LangChain before 1.0; needs `pip install 'titans-core[classic]'`."""

from __future__ import annotations

import uuid
from collections.abc import Sequence  # noqa: TC003  # pydantic reads the fields' types at run time
from typing import TYPE_CHECKING, Any

from langchain_classic.base_memory import BaseMemory
from langchain_core.messages import SystemMessage
from pydantic import Field
from typing_extensions import override

from titans_core import Turn
from titans_core.errors import InvalidQueryError

if TYPE_CHECKING:
    from titans_core import TitansMemory
else:
    TitansMemory = Any  # the real class would load torch with this module


class TitansChainMemory(BaseMemory):
    """What the chains of LangChain before 1.0 take as `memory`, in the place of `VectorStoreRetrieverMemory`.

    It gives a chain what the memory recalls for its input, as a labelled block, and memorizes input and answer as two
    turns. What it recalled itself is not memorized again.

    LangChain marks the interface as deprecated until its 2.0; `with_memory` does the same for any runnable.

    Usage:

    ```python
    chain = ConversationChain(llm=llm, memory=TitansChainMemory(memory=memory))
    chain.invoke({"input": "Where did I park?"})
    ```

    Attributes:
        memory: the tenant's open memory. Stays the caller's to close.
        memory_key: of the prompt, for the block; "" if nothing relevant is known.
        input_key: of the chain's inputs, for what the user says; None for the only one that is neither `memory_key`
            nor excluded.
        exclude_input_keys: of the chain's inputs, which are not what the user says.
        return_messages: whether the block is a list with one system message, for prompts of messages.
        k: recalls at most, >= 1.
        session_id: the conversation; a new one by default.

    Raises:
        InvalidQueryError: by its methods, if several inputs may be what the user says, or it is no text.
        TitansError: by its methods, whatever the memory raises.
    """

    memory: TitansMemory = Field(exclude=True, repr=False)
    memory_key: str = "history"
    input_key: str | None = None
    exclude_input_keys: Sequence[str] = ()
    return_messages: bool = False
    k: int = Field(default=5, ge=1)
    session_id: str = Field(default_factory=lambda: str(uuid.uuid4()), min_length=1)

    @property
    @override
    def memory_variables(self) -> list[str]:
        """The prompt's fields that this memory fills."""
        return [self.memory_key]

    @override
    def load_memory_variables(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Recall for what the user says.

        Args:
            inputs: the chain's inputs.

        Raises:
            InvalidQueryError: it is not clear which input that is, or it is no text.
        """
        query = self._said(inputs)
        block = self.memory.recall(query, k=self.k, except_texts=[query]).as_text() if query.strip() else ""
        if self.return_messages:
            return {self.memory_key: [SystemMessage(block)] if block else []}
        return {self.memory_key: block}

    @override
    def save_context(self, inputs: dict[str, Any], outputs: dict[str, str]) -> None:
        """Memorize what the user said and what the chain answered.

        Args:
            inputs: the chain's inputs.
            outputs: the chain's outputs; the texts among them are the answer.

        Raises:
            InvalidQueryError: it is not clear what the user said.
            TurnError: one of them cannot be stored.
        """
        answer = "\n".join(text for text in outputs.values() if isinstance(text, str))
        told = [("user", self._said(inputs)), ("assistant", answer)]
        self.memory.memorize_many(
            Turn(text, speaker, session=self.session_id) for speaker, text in told if text.strip()
        )

    @override
    def clear(self) -> None:
        """Forget this conversation; the tenant's others stay."""
        self.memory.forget(session=self.session_id)

    def _said(self, inputs: dict[str, Any]) -> str:
        """What the user says; "stop" is what LangChain's own memories leave out too."""
        others = {self.memory_key, "stop", *self.exclude_input_keys}
        keys = [key for key in inputs if key not in others] if self.input_key is None else [self.input_key]
        if len(keys) != 1 or not isinstance(text := inputs.get(keys[0]), str):
            raise InvalidQueryError(f"Say by `input_key` which of {list(inputs)} is the text that the user says.")
        return text
