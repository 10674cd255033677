"""ConfidencePostprocessor drops recalls with a low confidence, and keeps all nodes that are not recalls."""

import pytest
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from pydantic import ValidationError

from titans_llamaindex import ConfidencePostprocessor, TitansRetriever


def node(confidence=None):
    metadata = {} if confidence is None else {"confidence": confidence}
    return NodeWithScore(node=TextNode(text=f"labelled {confidence}", metadata=metadata), score=0.5)


HIGH, LOW, NONE = node("high"), node("low"), node("none")
OTHERS = [node(), node(0.97), node("certain"), node(["low"])]


@pytest.mark.parametrize(("least", "kept"), [("high", [HIGH]), ("low", [HIGH, LOW])])
async def test_recalls_below_the_least_confidence_are_dropped(least, kept):
    postprocessor = ConfidencePostprocessor(min_confidence=least)
    assert postprocessor.postprocess_nodes([HIGH, LOW, NONE]) == kept
    assert await postprocessor.apostprocess_nodes([HIGH, LOW, NONE]) == kept


def test_only_high_passes_unless_told_otherwise():
    assert ConfidencePostprocessor().postprocess_nodes([LOW, HIGH]) == [HIGH]


def test_nodes_that_are_no_recalls_pass_unchanged_in_their_order():
    assert ConfidencePostprocessor().postprocess_nodes([*OTHERS, LOW, HIGH]) == [*OTHERS, HIGH]
    assert ConfidencePostprocessor().postprocess_nodes([]) == []


async def test_a_query_may_come_along():
    postprocessor = ConfidencePostprocessor()
    assert postprocessor.postprocess_nodes([HIGH, LOW], query_str="What?") == [HIGH]
    assert await postprocessor.apostprocess_nodes([HIGH, LOW], QueryBundle("What?")) == [HIGH]


def test_saved_and_loaded_it_is_the_same():
    data = ConfidencePostprocessor(min_confidence="low").to_dict()
    assert data == {"class_name": "ConfidencePostprocessor", "min_confidence": "low"}
    assert ConfidencePostprocessor.from_dict(data).min_confidence == "low"


def test_another_label_is_refused():
    with pytest.raises(ValidationError):
        ConfidencePostprocessor(min_confidence="none")


def test_a_query_engine_answers_from_what_is_left(memory):
    memory.memorize_many(["The secret code is X-8-DELTA-9.", "The secret code is K-2-OMEGA-1."])
    engine = RetrieverQueryEngine.from_args(TitansRetriever(memory), llm=MockLLM())
    assert len(engine.query("What is the secret code?").source_nodes) == 2  # two codes, so both are labelled low
    strict = RetrieverQueryEngine.from_args(
        TitansRetriever(memory), llm=MockLLM(), node_postprocessors=[ConfidencePostprocessor()]
    )
    assert strict.query("What is the secret code?").source_nodes == []
