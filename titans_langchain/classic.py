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
    """A `memory` for the chains of LangChain before 1.0, in place of `VectorStoreRetrieverMemory`.

    It passes the recalls for the chain's input to the prompt, as a labelled block, and memorizes the input and the
    answer as two turns. Recalled texts are not memorized again.

    LangChain marks this interface as deprecated until version 2.0; `with_memory` does the same for any runnable.

    Attributes:
        memory: Open memory of the tenant. The caller closes it.
        memory_key: Field of the prompt for the block; the block is "" if the memory holds nothing relevant.
        input_key: Input of the chain that holds what the user says. None if only one input is neither `memory_key` nor
            excluded.
        exclude_input_keys: Inputs of the chain that the user does not say.
        return_messages: Whether the block is a list with one system message, for prompts of messages.
        k: Maximum number of recalls, >= 1.
        session_id: Id of the session; a new id by default.

    Example:
        ```python
        chain = ConversationChain(llm=llm, memory=TitansChainMemory(memory=memory))
        chain.invoke({"input": "Where did I park?"})
        ```
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
        """Fields of the prompt that this memory fills."""
        return [self.memory_key]

    @override
    def load_memory_variables(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Recall for what the user says.

        Args:
            inputs: Inputs of the chain.

        Returns:
            The block under `memory_key`.

        Raises:
            InvalidQueryError: It is unclear which input the user says, or that input is not a text.
            TitansError: Any other error of `TitansMemory.recall`.
        """
        query, block = self._user_text(inputs), ""
        if query.strip():
            block = self.memory.recall(query, k=self.k, context="reply", except_texts=[query]).as_text()
        if self.return_messages:
            return {self.memory_key: [SystemMessage(block)] if block else []}
        return {self.memory_key: block}

    @override
    def save_context(self, inputs: dict[str, Any], outputs: dict[str, str]) -> None:
        """Memorize what the user said and the answer of the chain.

        Args:
            inputs: Inputs of the chain.
            outputs: Outputs of the chain. The outputs that are texts make up the answer.

        Raises:
            InvalidQueryError: It is unclear which input the user says, or that input is not a text.
            TurnError: A text cannot be stored.
        """
        answer = "\n".join(text for text in outputs.values() if isinstance(text, str))
        exchange = [("user", self._user_text(inputs)), ("assistant", answer)]
        self.memory.memorize_many(
            Turn(text, speaker, session=self.session_id) for speaker, text in exchange if text.strip()
        )

    @override
    def clear(self) -> None:
        """Delete this session. The tenant's other sessions stay."""
        self.memory.forget(session=self.session_id)

    def _user_text(self, inputs: dict[str, Any]) -> str:
        # LangChain's own memories also ignore the input "stop".
        others = {self.memory_key, "stop", *self.exclude_input_keys}
        keys = [key for key in inputs if key not in others] if self.input_key is None else [self.input_key]
        if len(keys) != 1 or not isinstance(text := inputs.get(keys[0]), str):
            raise InvalidQueryError(
                f"It is unclear what the user says: set `input_key` to one of {list(inputs)}; it must hold a text."
            )
        return text
