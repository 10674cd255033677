"""A filter that keeps only retrieved nodes with a sufficient confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from llama_index.core.postprocessor.types import BaseNodePostprocessor

if TYPE_CHECKING:
    from llama_index.core.schema import NodeWithScore, QueryBundle

_LABELS_BELOW = {"high": ("low", "none"), "low": ("none",)}


class ConfidencePostprocessor(BaseNodePostprocessor):
    """Drops recalls whose label is too low. All other nodes pass unchanged.

    `TitansRetriever` writes the label of a recall into the node's metadata, under the key `confidence`. A node without
    this key, or with another value under it, is not a recall of a memory, so that nothing is known about it.

    Attributes:
        min_confidence: "high" keeps only recalls under that label; "low" also keeps recalls that may be relevant.

    Example:
        ```python
        engine = RetrieverQueryEngine.from_args(
            QueryFusionRetriever([TitansRetriever(memory), documents], num_queries=1, llm=llm),
            llm=llm,
            node_postprocessors=[ConfidencePostprocessor()],
        )
        ```
    """

    min_confidence: Literal["high", "low"] = "high"

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which LlamaIndex saves the class."""
        return "ConfidencePostprocessor"

    def _postprocess_nodes(
        self,
        nodes: list[NodeWithScore],
        query_bundle: QueryBundle | None = None,  # noqa: ARG002  # the label already refers to the query
    ) -> list[NodeWithScore]:
        dropped_labels = _LABELS_BELOW[self.min_confidence]
        return [node for node in nodes if node.metadata.get("confidence") not in dropped_labels]
