"""A retriever over a memory, for query engines, chat engines, tools and fusion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, TextNode

from titans_core import Confidence

if TYPE_CHECKING:
    from llama_index.core.callbacks import CallbackManager
    from llama_index.core.schema import QueryBundle

    from titans_core import Recall, Recollection, TitansMemory


class TitansRetriever(BaseRetriever):
    """Retrieves turns from a memory.

    Usage:

    ```python
    engine = ContextChatEngine.from_defaults(retriever=TitansRetriever(memory), llm=llm)
    ```

    Each node has the turn's id and text; its score is the recall's `probability`, in [0, 1]. Its metadata are the
    turn's own and, over them, `confidence` (the label of the first, "high" or "low"), `similarity` (a cosine, in
    [-1, 1]), `session_id`, `speaker` and `created_at` (ISO 8601). None of these is embedded; the model that writes
    the answer sees the label, the speaker and the time. Under the label `none`, no node comes back.

    Args:
        memory: an open memory of one tenant; stays the caller's to close.
        k: nodes per query at most, >= 1.
        callback_manager: see `BaseRetriever`.
        verbose: see `BaseRetriever`.
    """

    def __init__(
        self,
        memory: TitansMemory,
        *,
        k: int = 5,
        callback_manager: CallbackManager | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(callback_manager=callback_manager, verbose=verbose)
        self._memory = memory
        self._k = k

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return _nodes(self._memory.recall(query_bundle.query_str, k=self._k))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return _nodes(await self._memory.arecall(query_bundle.query_str, k=self._k))


def _nodes(found: Recollection) -> list[NodeWithScore]:
    if found.confidence is Confidence.NONE:
        return []
    return [_node(recall, found.confidence) for recall in found]


def _node(recall: Recall, confidence: Confidence) -> NodeWithScore:
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
    return NodeWithScore(node=node, score=recall.probability)
