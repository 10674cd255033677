"""Recalls as LangChain documents."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  # pydantic reads the fields' types at run time
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import Field
from typing_extensions import override

from titans_core import Confidence
from titans_langchain.messages import MESSAGE_KEY

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
    from langchain_core.retrievers import LangSmithRetrieverParams

    from titans_core import Recall, Recollection, TitansMemory
else:
    TitansMemory = Any  # the real class would load torch with this module


class TitansRetriever(BaseRetriever):
    """The turns that answer a query, as documents, best first; no documents if nothing relevant is known.

    A document's `id` is the turn's id and its `page_content` the turn's text. Its `metadata` is the
    turn's own, plus these keys, which always exist, take precedence and are JSON-compatible:

    * `relevance_score`: in [0, 1], never rises from one document to the next. It compares the documents
      of one query; it is not a calibrated probability.
    * `similarity`: in [-1, 1], the cosine between the sentence vectors of query and turn.
    * `confidence`: the label of the whole recollection, "high" (trust it) or "low" (show it, do not
      assert it). Under "none" there are no documents.
    * `memory_id`, `tenant`, `session`, `speaker`: where the turn is and who said it; the last two may
      be None.
    * `created_at`: when it was said, in ISO 8601.

    Usage:

    ```python
    retriever = TitansRetriever(memory=memory, k=3)
    retriever.invoke("What is the secret code?")
    await retriever.ainvoke("What is the secret code?", k=1)
    ```

    Attributes:
        memory: the tenant's open memory. The retriever does not close it.
        k: at most so many documents, at least 1; `invoke` and its kin also take `k` for one call.
        session: only turns of this conversation.
        speaker: only turns of this speaker.
        where: only turns whose metadata has these values.

    Raises:
        TitansError: by `invoke` and its kin, whatever the memory's `recall` raises: for example
            `InvalidQueryError` for an empty query, `ClosedMemoryError` once the memory is closed.
    """

    memory: TitansMemory = Field(exclude=True, repr=False)
    k: int = Field(default=5, ge=1)
    session: str | None = None
    speaker: str | None = None
    where: Mapping[str, Any] | None = None

    @override
    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        return self._documents(self.memory.recall(query, **self._limits(k)))

    @override
    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        return self._documents(await self.memory.arecall(query, **self._limits(k)))

    @override
    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        params = super()._get_ls_params(**kwargs)
        params["ls_vector_store_provider"] = "titans"
        params["ls_embedding_provider"] = "titans"
        return params

    def _limits(self, k: int | None) -> dict[str, Any]:
        return {
            "k": self.k if k is None else k,
            "session": self.session,
            "speaker": self.speaker,
            "where": self.where,
        }

    def _documents(self, recollection: Recollection) -> list[Document]:
        if recollection.confidence is Confidence.NONE:
            return []
        return [self._document(recall, recollection.confidence) for recall in recollection]

    def _document(self, recall: Recall, confidence: Confidence) -> Document:
        turn = recall.turn
        metadata = {
            **turn.metadata,
            "relevance_score": recall.probability,
            "similarity": recall.similarity,
            "confidence": confidence.value,
            "memory_id": recall.id,
            "tenant": self.memory.tenant,
            "session": turn.session,
            "speaker": turn.speaker,
            "created_at": turn.at.isoformat() if turn.at else None,
        }
        metadata.pop(MESSAGE_KEY, None)  # the chat history's own note, of no use to a reader
        return Document(id=recall.id, page_content=recall.text, metadata=metadata)
