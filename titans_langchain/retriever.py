"""Recalls as LangChain documents."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  # pydantic reads the fields' types at run time
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import ensure_config
from pydantic import Field
from typing_extensions import override

from titans_core.integration import MemorySource  # noqa: TC001  # pydantic reads the fields' types at run time
from titans_langchain import events
from titans_langchain.identity import NOBODY, Caller
from titans_langchain.messages import MESSAGE_KEY

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
    from langchain_core.retrievers import LangSmithRetrieverParams
    from langchain_core.runnables import RunnableConfig

    from titans_core import Confidence, Recall, Recollection, TitansMemory


class TitansRetriever(BaseRetriever):
    """The turns that answer a query, as documents, best first; no documents if nothing relevant is known.

    A document's `id` is the turn's id and its `page_content` the turn's text. Its `metadata` is the
    turn's own, plus these keys, which always exist, take precedence and are JSON-compatible:

    * `relevance_score`: in [0, 1]. The first document's is the calibrated probability that it answers, the
      others' are lower in proportion. Where the label comes with no probability (see
      `Recollection.relevance`), it compares the documents of one query only.
    * `similarity`: in [-1, 1], the cosine between the sentence vectors of query and turn.
    * `confidence`: the label of the whole recollection, "high" (trust it) or "low" (show it, do not
      assert it). Under "none" there are no documents.
    * `memory_id`, `tenant`, `session`, `speaker`: where the turn is and who said it; the last two may
      be None.
    * `created_at`: when it was said, in ISO 8601.

    With a bank, the user is `config["configurable"]["user_id"]` of each call; a call that names none is an error.

    Usage:

    ```python
    retriever = TitansRetriever(memory=MemoryBank("memory.db"), k=3)
    retriever.invoke("What is the secret code?", {"configurable": {"user_id": "alice"}})
    await TitansRetriever(memory=memory).ainvoke("What is the secret code?", k=1)
    ```

    Attributes:
        memory: a bank for many users, or the open memory of one. The retriever does not close it.
        min_confidence: "high" gives only documents under that label, "low" also those that may be relevant.
        score_threshold: only documents with a `relevance_score` of at least this, in [0, 1].
        k: at most so many documents, at least 1; `invoke` and its kin also take `k` for one call.
        session: only turns of this conversation.
        speaker: only turns of this speaker.
        where: only turns whose metadata has these values.

    Raises:
        TitansError: by `invoke` and its kin, whatever the memory's `recall` raises: for example
            `InvalidQueryError` for an empty query, `InvalidTenantError` for a call without a user,
            `ClosedMemoryError` once the memory is closed.
    """

    memory: MemorySource = Field(exclude=True, repr=False)
    k: int = Field(default=5, ge=1)
    min_confidence: Literal["high", "low"] = "low"
    score_threshold: float | None = Field(default=None, ge=0, le=1)
    session: str | None = None
    speaker: str | None = None
    where: Mapping[str, Any] | None = None

    @override
    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> list[Document]:
        """The documents for a query, of the user that the config names."""
        # The hooks below are not given the config.
        return super().invoke(input, config, caller=Caller.of(ensure_config(config)), **kwargs)

    @override
    async def ainvoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> list[Document]:
        """`invoke` off the event loop."""
        return await super().ainvoke(input, config, caller=Caller.of(ensure_config(config)), **kwargs)

    @override
    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, caller: Caller = NOBODY, k: int | None = None
    ) -> list[Document]:
        memory = caller.memory(self.memory)
        found = events.recall(memory, query, {"callbacks": run_manager.get_child()}, **self._limits(k))
        return self._documents(found, memory)

    @override
    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        caller: Caller = NOBODY,
        k: int | None = None,
    ) -> list[Document]:
        memory = await caller.amemory(self.memory)
        found = await events.arecall(memory, query, {"callbacks": run_manager.get_child()}, **self._limits(k))
        return self._documents(found, memory)

    @override
    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        params = super()._get_ls_params(**kwargs)
        params["ls_vector_store_provider"] = "titans"
        params["ls_embedding_provider"] = "titans"
        params["ls_embedding_model"] = self.memory.reader
        return params

    def _limits(self, k: int | None) -> dict[str, Any]:
        return {
            "k": self.k if k is None else k,
            "session": self.session,
            "speaker": self.speaker,
            "where": self.where,
        }

    def _documents(self, found: Recollection, memory: TitansMemory) -> list[Document]:
        if not found.reaches(self.min_confidence):
            return []
        return [
            _document(recall, score, found.confidence, memory.tenant)
            for recall, score in zip(found, found.relevance, strict=True)
            if self.score_threshold is None or score >= self.score_threshold
        ]


def _document(recall: Recall, score: float, confidence: Confidence, tenant: str) -> Document:
    turn = recall.turn
    metadata = {
        **turn.metadata,
        "relevance_score": score,
        "similarity": recall.similarity,
        "confidence": confidence.value,
        "memory_id": recall.id,
        "tenant": tenant,
        "session": turn.session,
        "speaker": turn.speaker,
        "created_at": turn.at.isoformat() if turn.at else None,
    }
    metadata.pop(MESSAGE_KEY, None)  # the chat history's own note, of no use to a reader
    return Document(id=recall.id, page_content=recall.text, metadata=metadata)
