"""A LangChain retriever over a memory."""

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
from titans_langchain.identity import ANONYMOUS, Caller
from titans_langchain.messages import MESSAGE_KEY

if TYPE_CHECKING:
    from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
    from langchain_core.retrievers import LangSmithRetrieverParams
    from langchain_core.runnables import RunnableConfig

    from titans_core import Confidence, Recall, Recollection, TitansMemory


class TitansRetriever(BaseRetriever):
    """Retrieves the turns that answer a query, as documents, best first.

    If the memory holds nothing relevant, there are no documents, unless `min_confidence` is "none". A document's `id`
    is the id of the turn, and its `page_content` is the text of the turn. Its `metadata` has the turn's own metadata
    and the keys below. They always exist, are JSON-compatible, and replace keys of the turn with the same name.

    * `relevance_score`: In [0, 1]. For the first document, the calibrated probability that it answers the query; the
      other scores are lower in proportion. If the label comes without a probability (see `Recollection.relevance`),
      scores are comparable only within one query.
    * `similarity`: In [-1, 1], the cosine between the sentence vectors of query and turn.
    * `confidence`: Label of the whole recollection: "high" (trust it), "low" (show it, do not assert it) or "none"
      (nothing relevant is known).
    * `memory_id`, `tenant`, `session`, `speaker`: Id and origin of the turn. The last two may be None.
    * `created_at`: Time at which the turn was said, in ISO 8601.
    * `superseded_by`: Id of a later turn that seems to give the same subject another value; None if there is none. It
      lets an application leave out what no longer holds.

    With a bank, the user is `config["configurable"]["user_id"]` of each call; a call without a user is an error.

    Attributes:
        memory: Bank for many users, or the open memory of one user. The retriever does not close it.
        min_confidence: "high" returns documents only under that label; "likely" also returns documents of which one of
            the first three probably answers; "low" also returns documents that may be relevant; "none" returns what was
            found under every label, so that the application can decide by it.
        score_threshold: Minimum `relevance_score` of a document, in [0, 1]; None for no minimum.
        k: Maximum number of documents, >= 1. `invoke`, `ainvoke` and the batch methods also take `k` for one call.
        session: Id of the only session to search; None for all.
        speaker: The only speaker to search; None for all.
        where: Metadata values that a turn must have; None for no condition.

    Example:
        ```python
        retriever = TitansRetriever(memory=MemoryBank("memory.db"), k=3)
        retriever.invoke("What is the secret code?", {"configurable": {"user_id": "alice"}})
        await TitansRetriever(memory=memory).ainvoke("What is the secret code?", k=1)
        ```
    """

    memory: MemorySource = Field(exclude=True, repr=False)
    k: int = Field(default=5, ge=1)
    min_confidence: Literal["high", "likely", "low", "none"] = "low"
    score_threshold: float | None = Field(default=None, ge=0, le=1)
    session: str | None = None
    speaker: str | None = None
    where: Mapping[str, Any] | None = None

    @override
    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> list[Document]:
        """Return the documents for a query, from the memory of the user in the config.

        Args:
            input: Query; not empty.
            config: Config of the call; with a bank, it must name the user.
            **kwargs: `k` for this call.

        Raises:
            TitansError: Any error of `TitansMemory.recall`. Examples are `InvalidQueryError` for an empty query,
                `InvalidTenantError` for a call without a user, and `ClosedMemoryError` after the memory was closed.
        """
        # LangChain does not pass the config to the methods below, so the caller is read here.
        return super().invoke(input, config, caller=Caller.of(ensure_config(config)), **kwargs)

    @override
    async def ainvoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> list[Document]:
        """Like `invoke`, without blocking the event loop."""
        return await super().ainvoke(input, config, caller=Caller.of(ensure_config(config)), **kwargs)

    @override
    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        caller: Caller = ANONYMOUS,
        k: int | None = None,
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
        caller: Caller = ANONYMOUS,
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
        "superseded_by": recall.superseded_by,
    }
    metadata.pop(MESSAGE_KEY, None)  # only `TitansChatMessageHistory` needs it
    return Document(id=recall.id, page_content=recall.text, metadata=metadata)
