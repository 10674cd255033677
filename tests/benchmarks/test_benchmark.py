"""The benchmarks report what they claim: their metrics equal values that were computed by hand."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import recall, speed
from benchmarks.common import baselines, metrics
from benchmarks.common.conversations import load_conversations
from benchmarks.common.memories import RepeatingReader
from benchmarks.common.synthetic import make_facts
from titans_core.errors import InvalidQueryError

RANKING = ["a", "b", "c", "d", "e", "f"]


# ── metrics of one ranking ──


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        # two turns, found at ranks 1 and 3
        ({"a", "c"}, {"R@1": 1 / 2, "R@5": 1, "hit@1": 1, "hit@5": 1, "MRR": 1}),
        # three turns, of which two are found, at ranks 2 and 6
        ({"b", "f", "missing"}, {"R@1": 0, "R@5": 1 / 3, "R@10": 2 / 3, "hit@1": 0, "hit@5": 1, "MRR": 1 / 2}),
        # not found
        ({"missing"}, {"R@1": 0, "R@20": 0, "hit@1": 0, "hit@5": 0, "MRR": 0, "nDCG@10": 0}),
    ],
)
def test_metrics_of_a_known_ranking(evidence, expected):
    scored = metrics.score_ranking(RANKING, evidence)
    assert list(scored) == ["R@1", "R@5", "R@10", "R@20", "hit@1", "hit@5", "MRR", "nDCG@10"]
    assert {name: scored[name] for name in expected} == pytest.approx(expected)


def test_ndcg_discounts_by_the_logarithm_of_the_rank():
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    found = 1 / math.log2(3) + 1 / math.log2(7)
    assert metrics.ndcg_at(RANKING, {"b", "f", "missing"}, 10) == pytest.approx(found / ideal)
    assert metrics.ndcg_at(RANKING, {"b", "f", "missing"}, 2) == pytest.approx(
        (1 / math.log2(3)) / (1 + 1 / math.log2(3))
    )


def test_metrics_of_an_empty_ranking_are_zero():
    assert set(metrics.score_ranking([], {"a"}).values()) == {0.0}


def test_nothing_below_the_depth_counts():
    ranking = [str(number) for number in range(50)]
    assert metrics.score_ranking(ranking, {"20"})["MRR"] == 0
    assert metrics.score_ranking(ranking, {"19"})["MRR"] == 1 / 20


identifiers = st.lists(st.integers(0, 40).map(str), unique=True)


@given(ranking=identifiers, evidence=st.sets(st.integers(0, 40).map(str), min_size=1))
def test_metrics_stay_within_their_bounds(ranking, evidence):
    scored = metrics.score_ranking(ranking, evidence)
    assert all(0 <= value <= 1 + 1e-12 for value in scored.values())
    assert scored["R@1"] <= scored["R@5"] <= scored["R@10"] <= scored["R@20"]
    assert scored["hit@1"] <= scored["MRR"]
    assert (scored["MRR"] > 0) == (scored["R@20"] > 0)
    assert (scored["nDCG@10"] > 0) == (scored["R@10"] > 0)


@given(evidence=st.sets(st.integers(0, 40).map(str), min_size=1), others=identifiers)
def test_a_perfect_ranking_has_perfect_gain(evidence, others):
    ranking = [*evidence, *(turn for turn in others if turn not in evidence)]
    scored = metrics.score_ranking(ranking, evidence)
    assert scored["nDCG@10"] == pytest.approx(1)
    assert scored["MRR"] == scored["hit@1"] == 1


@given(ranking=identifiers.filter(bool), evidence=st.sets(st.integers(0, 40).map(str), min_size=1), data=st.data())
def test_moving_evidence_up_never_hurts(ranking, evidence, data):
    place = data.draw(st.integers(0, len(ranking) - 1))
    if ranking[place] not in evidence:
        ranking[place] = "moved"
        evidence = evidence | {"moved"}
    better = [ranking[place], *ranking[:place], *ranking[place + 1 :]]
    before, after = metrics.score_ranking(ranking, evidence), metrics.score_ranking(better, evidence)
    assert all(after[name] >= before[name] - 1e-12 for name in before)


# ── metrics over several questions ──


def test_averages_are_by_category_and_overall():
    averages = metrics.average_by_category([("b", {"MRR": 1.0}), ("a", {"MRR": 0.5}), ("b", {"MRR": 0.0})])
    assert averages == {
        "a": {"questions": 1, "MRR": 0.5},
        "b": {"questions": 2, "MRR": 0.5},
        "overall": {"questions": 3, "MRR": 0.5},
    }
    assert list(averages)[-1] == "overall"
    assert metrics.average_by_category([]) == {}


def test_labels_are_judged_by_their_first_recall():
    judged = metrics.judge_labels(
        [("high", True), ("high", True), ("high", False), ("low", False)], ["high", "low", "low", "none"]
    )
    assert judged == {
        "answerable": {
            "high": {"count": 3, "precision": pytest.approx(2 / 3)},
            "low": {"count": 1, "precision": 0},
            "none": {"count": 0, "precision": None},
        },
        "unanswerable": {"high": 1, "low": 2, "none": 1},
        "false_high": 1 / 4,
    }
    assert metrics.judge_labels([("low", True)], [])["false_high"] is None


def test_percentiles_are_interpolated():
    assert metrics.percentiles([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx({"p50": 3, "p95": 4.8, "count": 5})


# ── baselines ──


def test_equal_scores_rank_in_order():
    scores = np.array([[0.5, 0.9, 0.5], [0.0, 0.0, 0.0]], np.float32)
    assert baselines.rank(scores, ["a", "b", "c"], 2) == [["b", "a"], ["a", "b"]]


def test_bm25_stems_words_and_prefers_rare_ones():
    turns = ["We painted the fence.", "We walked along the fence.", "We walked home."]
    scores = baselines.bm25_scores(turns, ["Who is painting fences?", "unknown words"])
    assert scores.shape == (2, 3)
    assert scores[0, 0] > scores[0, 1] > scores[0, 2] == 0
    assert not scores[1].any()


# ── the file of conversations ──

CODE = "The secret code of the old vault is X-8-DELTA-9."
FERRY = "Our ferry to the island leaves on Friday at noon."


@pytest.fixture
def data(tmp_path):
    """A file of two conversations with so few turns that every ranking is known."""
    turns = [
        {"id": "1", "session": "s1", "date": "2024-03-15", "speaker": "Ann", "text": CODE},
        {"id": "2", "session": "s1", "date": "2024-03-15T10:30:00", "speaker": "Bo", "text": FERRY},
        {"id": "3", "session": "s1", "date": None, "speaker": "Bo", "text": " "},
    ]

    def question(text, category, *evidence):
        return {"question": text, "category": category, "answerable": bool(evidence), "evidence": evidence}

    questions = [
        question(CODE, "direct", "1"),  # rank 1
        question("When does the ferry leave?", "direct", "2", "gone"),  # rank 1; "gone" is not the id of a turn
        question("What is the secret code?", "misled", "2"),  # rank 2
        question("What is the code, and when does the ferry leave?", "misled", "1", "2"),  # ranks 1 and 2
        question("What is it?", "misled", "gone"),  # cannot be measured
        question(FERRY, "adversarial"),  # unanswerable, but the text is stored
    ]
    path = tmp_path / "conversations.json"
    first = {"id": "first", "turns": turns, "questions": questions}
    other = [{**turns[0], "text": "The bakery on the corner closes at six."}]
    second = {"id": "second", "turns": other, "questions": [question("When does it close?", "direct", "1")]}
    path.write_text(json.dumps({"name": "tiny", "conversations": [first, second]}))
    return path


def test_the_file_is_read_into_turns_and_questions(data):
    name, [first, second] = load_conversations(data)
    assert (name, first.id, second.id) == ("tiny", "first", "second")
    assert [(turn.id, turn.speaker, turn.session, turn.text) for turn in first.turns] == [
        ("1", "Ann", "s1", CODE),
        ("2", "Bo", "s1", FERRY),
    ]
    assert [turn.at.isoformat() for turn in first.turns] == ["2024-03-15T00:00:00+00:00", "2024-03-15T10:30:00+00:00"]
    assert [question.evidence for question in first.questions] == [{"1"}, {"2"}, {"2"}, {"1", "2"}, set()]
    assert len(load_conversations(data, 1)[1]) == 1


# ── the programs ──


def test_recall_reports_what_was_computed_by_hand(data, tmp_path, capsys, reader):
    out = tmp_path / "figures.json"
    recall.main(["--data", str(data), "--limit", "1", "--json", str(out)])
    report = json.loads(out.read_text())
    assert (report["data"], report["conversations"], report["turns"], report["questions"]) == ("tiny", 1, 2, 5)
    assert list(report["rankings"]) == ["titans", "cosine", "cosine+s", "bm25", "bm25+s"]
    second = 1 / math.log2(3)
    expected = {
        "direct": {"questions": 2, "R@1": 1, "R@5": 1, "hit@1": 1, "hit@5": 1, "MRR": 1, "nDCG@10": 1},
        "misled": {"questions": 2, "R@1": 1 / 4, "R@5": 1, "hit@1": 1 / 2, "hit@5": 1, "MRR": 3 / 4}
        | {"nDCG@10": (second + 1) / 2},
        "overall": {"questions": 4, "R@1": 5 / 8, "R@5": 1, "hit@1": 3 / 4, "hit@5": 1, "MRR": 7 / 8}
        | {"nDCG@10": (3 + second) / 4},
    }
    for by_category in report["rankings"].values():
        assert list(by_category) == list(expected)
        for category, scored in expected.items():
            found = by_category[category]
            assert found == pytest.approx(scored | {"R@10": 1, "R@20": 1})
    # A query that repeats a turn word for word is `high` under the default strategy, even if the turn is no answer.
    assert report["labels"]["answerable"]["high"]["count"] >= 1
    assert sum(counted["count"] for counted in report["labels"]["answerable"].values()) == 4
    assert report["labels"]["unanswerable"] == {"high": 1, "low": 0, "none": 0}
    assert report["labels"]["false_high"] == 1
    assert report["memorize_turns_per_second"] > 0
    assert report["bytes_per_turn"] > 0
    assert 0 < report["recall_ms"]["p50"] <= report["recall_ms"]["p95"]
    assert report["recall_ms"]["count"] == 5
    assert {"command", "python", "titans-core", "torch", "transformers", "cpus"} <= set(report["environment"])
    printed = capsys.readouterr().out
    assert "overall" in printed
    assert max(map(len, printed.splitlines())) <= 80
    assert "false high: 100.0%" in printed


def test_recall_keeps_conversations_apart(data, tmp_path, reader):
    out = tmp_path / "figures.json"
    recall.main(["--data", str(data), "--json", str(out)])
    report = json.loads(out.read_text())
    assert (report["conversations"], report["turns"], report["questions"]) == (2, 3, 6)
    # Both conversations have a turn "1". One memory would refuse the second, because its id has another text.
    assert report["rankings"]["titans"]["direct"] == pytest.approx(
        dict.fromkeys(report["rankings"]["titans"]["direct"], 1) | {"questions": 3}
    )


def test_recall_labels_by_the_strategy_that_is_named(data, tmp_path, reader):
    out = tmp_path / "figures.json"
    # This strategy never labels the recalls of a stored turn `none`.
    recall.main(["--data", str(data), "--strategy", "fixed_threshold", "--json", str(out)])
    labels = json.loads(out.read_text())["labels"]
    assert labels["answerable"]["none"]["count"] == 0
    with pytest.raises(InvalidQueryError, match="nonsense"):
        recall.main(["--data", str(data), "--strategy", "nonsense"])


def test_a_repeating_reader_reads_like_the_reader_it_repeats(reader):
    repeating = RepeatingReader()
    texts, prefixes = ["The ferry leaves.", "At nine.", "The ferry leaves."], ["Ada: ", "", "Ben: "]
    for _ in range(2):
        for found, expected in zip(repeating.read(texts, prefixes), reader.read(texts, prefixes), strict=True):
            np.testing.assert_allclose(found.keys, expected.keys, atol=1e-6)
            np.testing.assert_allclose(found.pooled, expected.pooled, atol=1e-6)
    assert repeating.read(texts)[0] is repeating.read(texts)[2]


def test_speed_reports_every_figure(monkeypatch, tmp_path, capsys, reader):
    monkeypatch.setattr(speed, "SINGLE_TURNS", 3)
    monkeypatch.setattr(speed, "QUERIES", 5)
    monkeypatch.setattr(speed, "ROUND", 20)
    out = tmp_path / "figures.json"
    speed.main(["--turns", "40", "--json", str(out)])
    report = json.loads(out.read_text())
    counts = {
        name: figures["count"] for name, figures in report.items() if name not in {"benchmark", "turns", "environment"}
    }
    assert counts == {
        "memorize_ms": 3,
        "memorize_many_turns_per_second": 2,
        "reader_turns_per_second": 2,
        "memorize_many_to_reader": 2,
        "recall_ms": 5,
    }
    assert all(report[name]["p50"] > 0 for name in counts)
    assert report["turns"] == 40
    assert "titans-core" in report["environment"]
    assert "recall in 40 turns" in capsys.readouterr().out


def test_made_up_turns_are_repeatable_different_and_of_the_length_asked_for():
    facts = make_facts(300, seed=7)
    assert facts == make_facts(300, seed=7)
    assert facts != make_facts(300, seed=8)
    assert len({fact.text for fact in facts}) == 300
    assert {len(fact.text.split()) for fact in facts} <= set(range(15, 26))
    assert {len(fact.text.split()) for fact in make_facts(20, seed=1, words=range(20, 21))} == {20}
