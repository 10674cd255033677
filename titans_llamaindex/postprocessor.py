"""Keeps of retrieved nodes those that can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from llama_index.core.postprocessor.types import BaseNodePostprocessor

if TYPE_CHECKING:
    from llama_index.core.schema import NodeWithScore, QueryBundle

_BELOW = {"high": ("low", "none"), "low": ("none",)}


class ConfidencePostprocessor(BaseNodePostprocessor):
    """Drops recalls whose label is too low; whatever else was retrieved passes unchanged.

    A recall is told by the label under `confidence` in its metadata, as `TitansRetriever` writes it. A node without
    that key, or with another value under it, comes from elsewhere: nothing is known about it here.

    Usage:

    ```python
    engine = RetrieverQueryEngine.from_args(
        QueryFusionRetriever([TitansRetriever(memory), documents], num_queries=1, llm=llm),
        llm=llm,
        node_postprocessors=[ConfidencePostprocessor()],
    )
    ```

    Attributes:
        min_confidence: "high" keeps only recalls under that label, "low" also those that may be relevant.
    """

    min_confidence: Literal["high", "low"] = "high"

    @classmethod
    def class_name(cls) -> str:
        """The name that LlamaIndex saves it under."""
        return "ConfidencePostprocessor"

    def _postprocess_nodes(
        self,
        nodes: list[NodeWithScore],
        query_bundle: QueryBundle | None = None,  # noqa: ARG002  # the label is of the query already
    ) -> list[NodeWithScore]:
        return [node for node in nodes if node.metadata.get("confidence") not in _BELOW[self.min_confidence]]
