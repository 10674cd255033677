"""A LlamaIndex retriever over a memory, for query engines, chat engines, tools and fusion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, TextNode

from titans_core.errors import InvalidQueryError
from titans_llamaindex import events
from titans_llamaindex.owner import Owner

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llama_index.core.callbacks import CallbackManager
    from llama_index.core.schema import QueryBundle

    from titans_core import Confidence, Recall, Recollection
    from titans_core.integration import MemorySource


class TitansRetriever(BaseRetriever):
    """Retrieves the turns that answer a query, as nodes, best first.

    If the memory holds nothing relevant (label "none"), there are no nodes, unless `min_confidence` is "none". A node
    has the id and the text of its turn. Its score is in [0, 1]. For the first node, the score is the calibrated
    probability that the node answers the query; the other scores are lower in proportion. If the label comes without a
    probability (see `Recollection.relevance`), scores are comparable only within one query.

    The metadata of a node are the metadata of the turn and the keys below, which replace keys of the turn with the same
    name. The keys below are not embedded. The model that writes the answer sees the label, the speaker and the time.

    * `confidence`: Label of the whole recollection: "high", "low" or "none".
    * `similarity`: In [-1, 1], the cosine between the sentence vectors of query and turn.
    * `session_id`, `speaker`: Origin of the turn; may be None.
    * `created_at`: Time at which the turn was said, in ISO 8601; may be None.
    * `superseded_by`: Id of a later turn that seems to give the same subject another value; None if there is none. It
      lets an application leave out what no longer holds.

    `retrieve` and `aretrieve` raise the errors of `TitansMemory.recall`.

    Example:
        ```python
        retriever = TitansRetriever(MemoryBank("memory.db"), user_id="alice")
        engine = ContextChatEngine.from_defaults(retriever=retriever, llm=llm)
        ```
    """

    def __init__(
        self,
        memory: MemorySource,
        *,
        user_id: str | None = None,
        k: int = 5,
        session_id: str | None = None,
        speaker: str | None = None,
        where: Mapping[str, Any] | None = None,
        min_confidence: Literal["high", "likely", "low", "none"] = "low",
        callback_manager: CallbackManager | None = None,
        verbose: bool = False,
    ) -> None:
        """Make a retriever over the memory of one user.

        Args:
            memory: Bank for many users, or the open memory of one user. The caller closes it.
            user_id: Id of the user; required with a bank.
            k: Maximum number of nodes per query, >= 1.
            session_id: Id of the only session to search; None for all sessions.
            speaker: The only speaker to search; None for all speakers.
            where: Metadata values that a turn must have; None for no condition.
            min_confidence: "high" returns nodes only under that label; "likely" also returns nodes of which one of the
                first three probably answers; "low" also returns nodes that may be relevant; "none" returns what was
                found under every label. A query engine without nodes answers "Empty Response" and never asks its model.
            callback_manager: Callback manager for `BaseRetriever`.
            verbose: Whether `BaseRetriever` prints what it does.

        Raises:
            InvalidTenantError: The user is missing, or the memory belongs to another user.
            InvalidQueryError: `min_confidence` is not "high", "likely", "low" or "none".
        """
        super().__init__(callback_manager=callback_manager, verbose=verbose)
        if min_confidence not in ("high", "likely", "low", "none"):
            raise InvalidQueryError(
                f'`min_confidence` must be "high", "likely", "low" or "none", not {min_confidence!r}.'
            )
        self._owner = Owner(memory, user_id)
        self._limits: dict[str, Any] = {"k": k, "session": session_id, "speaker": speaker, "where": where}
        self._min_confidence = min_confidence

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self._to_nodes(events.recall(self._owner.memory(), query_bundle.query_str, **self._limits))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        memory = await self._owner.amemory()
        return self._to_nodes(await events.arecall(memory, query_bundle.query_str, **self._limits))

    def _to_nodes(self, found: Recollection) -> list[NodeWithScore]:
        if not found.reaches(self._min_confidence):
            return []
        return [_to_node(recall, score, found.confidence) for recall, score in zip(found, found.relevance, strict=True)]


def _to_node(recall: Recall, score: float, confidence: Confidence) -> NodeWithScore:
    turn = recall.turn
    added: dict[str, Any] = {
        "confidence": str(confidence),
        "similarity": recall.similarity,
        "session_id": turn.session,
        "speaker": turn.speaker,
        "created_at": turn.at.isoformat() if turn.at else None,
        "superseded_by": recall.superseded_by,
    }
    without_value = {key for key, value in added.items() if value is None}
    node = TextNode(
        id_=recall.id,
        text=recall.text,
        metadata={**turn.metadata, **added},
        excluded_embed_metadata_keys=list(added),
        excluded_llm_metadata_keys=sorted({"similarity", "session_id", "superseded_by"} | without_value),
    )
    return NodeWithScore(node=node, score=score)
