"""A cross-encoder orders the best recalls by its own scores, and the best score sets the label."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import sentence_transformers
import torch
from sentence_transformers import CrossEncoder
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from titans_core import Confidence, Turn
from titans_core.confidence.cross_encoder import CrossEncoderReranker
from titans_core.confidence.strategy import Evidence
from titans_core.errors import InvalidQueryError, ModelNotFoundError, ReaderError
from titans_core.readers import DEFAULT_MODEL, find_model
from titans_core.types import Recall

QUERY = "Where does Anna work?"
TEXTS = [
    "Anna works at the harbour.",
    "I like tea.",
    "The code is 42.",
    "We went skiing in Tyrol last winter.",
    "Snow.",
]


def save_cross_encoder(folder, labels=1, bias=0.0):
    """A real cross-encoder with random weights and the default reader's vocabulary."""
    tokenizer = AutoTokenizer.from_pretrained(find_model(DEFAULT_MODEL).location)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        num_labels=labels,
        initializer_range=0.5,  # far enough from 0 for the scores to differ
    )
    model = BertForSequenceClassification(config)
    torch.nn.init.constant_(model.classifier.bias, bias)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return save_cross_encoder(tmp_path_factory.mktemp("cross-encoder"))


def recall(number, text, speaker="anna", passage=None):
    return Recall(Turn(text, speaker=speaker, id=str(number)), -number, 0.1, 0.1, passage or text, {"lexical": -number})


def evidence(recalls, query=QUERY):
    return Evidence(query, np.zeros(len(recalls)), {}, lambda k: tuple(recalls[:k]))


RECALLS = [recall(number, text) for number, text in enumerate(TEXTS)]


def own_scores(path, recalls=RECALLS):
    pairs = [(QUERY, f"{recall.turn.speaker}: {recall.passage}") for recall in recalls]
    return CrossEncoder(path).predict(pairs)


def test_the_order_follows_the_models_own_scores(path):
    scores = own_scores(path)
    assert len(set(scores.tolist())) == len(TEXTS)
    order = np.argsort(-scores)
    assert order.tolist() != sorted(order)  # or the test would show nothing
    verdict = CrossEncoderReranker(path).judge(evidence(RECALLS))
    assert verdict.recalls == tuple(RECALLS[place] for place in order)
    assert verdict.reasons["reranker"] == pytest.approx(scores[order[0]], abs=1e-6)
    assert verdict.reasons["margin"] == pytest.approx(scores[order[0]] - scores[order[1]], abs=1e-6)
    assert verdict.probability is None
    assert verdict.probability_top3 is None


def test_the_label_follows_the_best_score(path):
    best = CrossEncoderReranker(path).judge(evidence(RECALLS)).reasons["reranker"]
    assert 0 < best < 1
    assert CrossEncoderReranker(path, min_score=best).judge(evidence(RECALLS)).confidence is Confidence.HIGH
    above = float(np.nextafter(best, 1))
    assert CrossEncoderReranker(path, min_score=above).judge(evidence(RECALLS)).confidence is Confidence.LOW


def test_only_the_first_k_are_scored(path):
    verdict = CrossEncoderReranker(path, k=2).judge(evidence(RECALLS))
    assert {recall.id for recall in verdict.recalls} == {"0", "1"}


def test_a_single_recall_has_no_margin(path):
    verdict = CrossEncoderReranker(path).judge(evidence(RECALLS[:1]))
    assert verdict.recalls == (RECALLS[0],)
    assert verdict.reasons["margin"] == 0


def test_equal_scores_keep_the_order(path):
    twins = [recall(number, "We went skiing.") for number in range(3)]
    assert CrossEncoderReranker(path).judge(evidence(twins)).recalls == tuple(twins)


def test_the_passage_is_scored_and_not_the_whole_turn(path):
    long = [recall(n, f"{text} And much else. " * 20, passage=text) for n, text in enumerate(TEXTS)]
    [best, *_] = sorted(own_scores(path), reverse=True)
    assert CrossEncoderReranker(path).judge(evidence(long)).reasons["reranker"] == pytest.approx(best, abs=1e-6)


def test_a_turn_without_speaker_is_scored_as_it_is(path):
    alone = recall(0, TEXTS[0], speaker=None)
    [score] = CrossEncoder(path).predict([(QUERY, TEXTS[0])])
    assert CrossEncoderReranker(path).judge(evidence([alone])).reasons["reranker"] == pytest.approx(score, abs=1e-6)


def test_one_sigmoid_is_applied_whatever_the_model_was_saved_with(path):
    """Rerankers trained on MS MARCO are saved with no activation: `predict` gives their logits."""
    bare = CrossEncoder(path, activation_fn=torch.nn.Identity())
    with_sigmoid = CrossEncoderReranker(CrossEncoder(path)).judge(evidence(RECALLS))
    assert CrossEncoderReranker(bare).judge(evidence(RECALLS)) == with_sigmoid
    assert with_sigmoid == CrossEncoderReranker(path).judge(evidence(RECALLS))


def test_high_logits_keep_their_order(tmp_path):
    path = save_cross_encoder(tmp_path, bias=25.0)
    assert set(own_scores(path).tolist()) == {1.0}  # in float32 all are equal
    logits = CrossEncoder(path, activation_fn=torch.nn.Identity()).predict([(QUERY, f"anna: {text}") for text in TEXTS])
    verdict = CrossEncoderReranker(path).judge(evidence(RECALLS))
    assert verdict.recalls == tuple(RECALLS[place] for place in np.argsort(-logits))


def test_nothing_found_is_none_and_loads_no_model():
    verdict = CrossEncoderReranker("no/such-model").judge(evidence([]))
    assert verdict.confidence is Confidence.NONE
    assert not verdict.recalls


def test_the_model_is_loaded_once_for_all_threads(path, monkeypatch):
    loads = []

    class Counted(CrossEncoder):
        def __init__(self, *args, **kwargs):
            loads.append(args)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(sentence_transformers, "CrossEncoder", Counted)
    strategy = CrossEncoderReranker(path, device="cpu")
    assert not loads
    with ThreadPoolExecutor(4) as pool:
        verdicts = list(pool.map(strategy.judge, [evidence(RECALLS)] * 8))
    assert len(loads) == 1
    assert all(verdict == verdicts[0] for verdict in verdicts)


def test_an_unknown_model_tells_the_three_ways():
    with pytest.raises(ModelNotFoundError, match=r"path of a folder.*wheel.*Hub"):
        CrossEncoderReranker("no/such-model").judge(evidence(RECALLS))


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ModelNotFoundError, match="holds no model"):
        CrossEncoderReranker(str(tmp_path)).judge(evidence(RECALLS))


def test_a_model_with_several_labels_is_refused(tmp_path):
    path = save_cross_encoder(tmp_path, labels=3)
    for model in (path, CrossEncoder(path)):
        with pytest.raises(ReaderError, match="3 labels"):
            CrossEncoderReranker(model).judge(evidence(RECALLS))


@pytest.mark.parametrize("wrong", [{"k": 0}, {"min_score": -0.1}, {"min_score": 1.1}, {"min_score": float("nan")}])
def test_arguments_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidQueryError):
        CrossEncoderReranker("any", **wrong)


def test_a_memory_takes_it_as_strategy(memory, path):
    strategy = CrossEncoderReranker(path, min_score=0)
    assert memory.recall(QUERY, strategy=strategy).confidence is Confidence.NONE
    memory.memorize_many([Turn(text, speaker="anna", id=str(number)) for number, text in enumerate(TEXTS)])
    found = memory.recall(QUERY, k=len(TEXTS), strategy=strategy)
    assert [recall.id for recall in found] == [str(place) for place in np.argsort(-own_scores(path))]
    assert found.confidence is Confidence.HIGH
