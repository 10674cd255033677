"""A retriever over a memory, for query engines, chat engines, tools and fusion."""

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
    """Retrieves turns from a memory.

    Usage:

    ```python
    retriever = TitansRetriever(MemoryBank("memory.db"), user_id="alice")
    engine = ContextChatEngine.from_defaults(retriever=retriever, llm=llm)
    ```

    Each node has the turn's id and text. Its score is in [0, 1]: the first node's is the calibrated probability that
    it answers, the others' are lower in proportion; where the label comes with no probability (see
    `Recollection.relevance`), it compares the nodes of one query only. Its metadata are the turn's own and, over
    them, `confidence` (the label of the first, "high" or "low"), `similarity` (a cosine, in [-1, 1]), `session_id`,
    `speaker` and `created_at` (ISO 8601). None of these is embedded; the model that writes the answer sees the label,
    the speaker and the time. Under the label `none`, no node comes back.

    `retrieve` and its kin raise whatever the memory's `recall` raises.

    Args:
        memory: a bank for many users, or the open memory of one; stays the caller's to close.
        user_id: whose memory; a bank needs it.
        k: nodes per query at most, >= 1.
        session_id: only turns of this conversation.
        speaker: only turns of this speaker.
        where: only turns whose metadata have these values.
        min_confidence: "high" gives only nodes under that label, "low" also those that may be relevant.
        callback_manager: see `BaseRetriever`.
        verbose: see `BaseRetriever`.

    Raises:
        InvalidTenantError: the user is missing, or another than the memory's.
        InvalidQueryError: there is no such `min_confidence`.
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
        min_confidence: Literal["high", "low"] = "low",
        callback_manager: CallbackManager | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(callback_manager=callback_manager, verbose=verbose)
        if min_confidence not in ("high", "low"):
            raise InvalidQueryError(f'`min_confidence` must be "high" or "low", not {min_confidence!r}.')
        self._owner = Owner(memory, user_id)
        self._limits: dict[str, Any] = {"k": k, "session": session_id, "speaker": speaker, "where": where}
        self._min_confidence = min_confidence

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self._nodes(events.recall(self._owner.memory(), query_bundle.query_str, **self._limits))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        memory = await self._owner.amemory()
        return self._nodes(await events.arecall(memory, query_bundle.query_str, **self._limits))

    def _nodes(self, found: Recollection) -> list[NodeWithScore]:
        if not found.reaches(self._min_confidence):
            return []
        return [_node(recall, score, found.confidence) for recall, score in zip(found, found.relevance, strict=True)]


def _node(recall: Recall, score: float, confidence: Confidence) -> NodeWithScore:
    turn = recall.turn
    ours: dict[str, Any] = {
        "confidence": str(confidence),
        "similarity": recall.similarity,
        "session_id": turn.session,
        "speaker": turn.speaker,
        "created_at": turn.at.isoformat() if turn.at else None,
    }
    unread = {"similarity", "session_id", *(key for key, value in ours.items() if value is None)}
    node = TextNode(
        id_=recall.id,
        text=recall.text,
        metadata={**turn.metadata, **ours},
        excluded_embed_metadata_keys=list(ours),
        excluded_llm_metadata_keys=sorted(unread),
    )
    return NodeWithScore(node=node, score=score)
