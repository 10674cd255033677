"""The benchmark of everyday conversations reports what its answers say, on conversations cut short."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from benchmarks import everyday
from benchmarks.common.conversations import EVERYDAY
from titans_core import TitansMemory

FIRST = datetime(2025, 9, 15, 7, 45, tzinfo=UTC)


def question(kind, *evidence, needs_all=False, stale=()):
    return everyday.Question("?", FIRST, kind, bool(evidence), frozenset(evidence), needs_all, frozenset(stale))


def answer(kind, label, ranking, *evidence, conversation="c", repeats=False, **facts):
    asked = question(kind, *evidence, **facts)
    return everyday.Answer(conversation, asked, label, None, list(ranking), "text", repeats)


@pytest.fixture
def data(tmp_path):
    """The first eight turns of two young memories, and the questions about them: at most four with an answer."""
    [path] = [path for path in EVERYDAY if path.name == "f.json"]
    conversations = json.loads(path.read_text(encoding="utf-8"))["conversations"][:2]
    for conversation in conversations:
        conversation["turns"] = conversation["turns"][:8]
        ids = {turn["id"] for turn in conversation["turns"]}
        asked = conversation["questions"]
        answerable = [each for each in asked if each["answerable"] and {*each["evidence"], *each["stale"]} <= ids]
        conversation["questions"] = answerable[:4] + [each for each in asked if not each["answerable"]][:2]
    cut = tmp_path / "cut.json"
    cut.write_text(json.dumps({"name": "cut", "conversations": conversations}))
    return cut


@pytest.fixture
def run(data, tmp_path, capsys, reader):
    def run(*arguments):
        out = tmp_path / "figures.json"
        everyday.main([str(data), *arguments, "--json", str(out)])
        return json.loads(out.read_text()), capsys.readouterr().out

    return run


# ── the figures ──


def test_a_question_that_needs_all_evidence_counts_the_share_that_was_found():
    ranking = ["a", "x", "b", "y", "z", "c"]
    assert answer("list", "low", ranking, "a", "b", "c", "d", needs_all=True).any5 == 1 / 2
    assert answer("list", "low", ranking, "a", "b", "c", "d").any5 == 1
    assert answer("list", "low", ranking, "c").any5 == 0
    assert answer("list", "low", ranking, "b").mrr == 1 / 3
    assert answer("unanswerable", "low", ranking, needs_all=True).any5 == 0


def test_what_changed_is_fresh_if_its_evidence_ranks_above_all_that_is_stale():
    assert answer("update", "low", ["new", "old"], "new", stale=["old", "older"]).fresh is True
    assert answer("update", "low", ["x", "new"], "new", stale=["old"]).fresh is True
    assert answer("correction", "low", ["older", "new"], "new", stale=["old", "older"]).fresh is False
    assert answer("update", "low", ["x"], "new", stale=["old"]).fresh is False
    assert answer("update", "low", ["new"], "new").fresh is None
    assert answer("previous", "low", ["new", "old"], "old", stale=["new"]).fresh is None


def test_figures_equal_those_computed_by_hand():
    measured = everyday.measure(
        [
            answer("fact", "high", "ab", "a"),
            answer("fact", "high", "xa", "a"),
            answer("update", "none", "xa", "a", stale=["x"]),
            answer("update", "none", "xy", "a", stale=["z"], conversation="d"),
            answer("unanswerable", "high", "x", repeats=True),
            answer("unanswerable", "none", "x", conversation="d"),
            answer("smalltalk", "none", ""),
        ]
    )
    assert measured["questions"] == 7
    assert measured["figures"] == pytest.approx(
        {
            "hit1": 1 / 4,
            "any5": 3 / 4,
            "mrr": 2 / 4,
            "fresh": 0,
            "high": 3,
            "high_right": 1 / 3,
            "high_coverage": 2 / 4,
            "high_on_unanswerable": 1 / 3,
            "none_on_answerable": 2 / 4,
            "none_hides": 1 / 4,
            "none_on_unanswerable": 1 / 2,
            "none_on_smalltalk": 1,
            "old_question_first": 1 / 7,
        }
    )
    assert measured["medians"] == pytest.approx({"hit1": (1 / 3 + 0) / 2, "any5": 1 / 2})
    assert list(measured["kinds"]) == ["fact", "smalltalk", "unanswerable", "update"]
    assert measured["kinds"]["fact"] == {"questions": 2, "hit1": 1 / 2, "any5": 1, "mrr": 3 / 4, "high": 1, "none": 0}
    assert measured["kinds"]["smalltalk"]["hit1"] is None


def test_a_mean_over_nothing_is_missing():
    measured = everyday.measure([])
    assert set(measured["figures"].values()) == {0, None}
    assert measured["medians"] == {}
    assert measured["kinds"] == {}


def test_wrong_is_a_wrong_first_recall_a_hidden_answer_or_trust_in_none():
    assert answer("fact", "high", "xa", "a").is_wrong
    assert answer("fact", "none", "ax", "a").is_wrong
    assert not answer("fact", "low", "ax", "a").is_wrong
    assert answer("unanswerable", "high", "x").is_wrong
    assert not answer("unanswerable", "low", "x").is_wrong


# ── the files ──


def test_the_shipped_files_hold_what_their_page_says():
    assert [path.name for path in EVERYDAY] == [f"{name}.json" for name in "abcef"]
    page = (EVERYDAY[0].parent / "README.md").read_text(encoding="utf-8")
    kinds = set()
    for path in EVERYDAY:
        conversations = everyday.load_conversations(path)
        turns, questions = (
            [part for each in conversations for part in getattr(each, name)] for name in ("turns", "questions")
        )
        assert f"| `{path.name}` | {len(conversations)} | {len(turns)} | {len(questions)} |" in page
        kinds |= {each.kind for each in questions}
        for conversation in conversations:
            ids = {turn.id for turn in conversation.turns}
            assert len(ids) == len(conversation.turns)
            assert all(each.evidence | each.stale <= ids for each in conversation.questions)
        assert all(each.answerable == bool(each.evidence) for each in questions)
    assert all(f"| `{kind}` |" in page for kind in kinds)


def test_times_are_utc(data):
    [first, _] = everyday.load_conversations(data)
    assert first.turns[0].at == datetime(2025, 9, 1, 19, 42, tzinfo=UTC)
    assert first.questions[0].asked == FIRST


# ── the program ──


def test_it_reports_every_figure(run):
    report, printed = run()
    assert (report["data"], report["conversations"], report["turns"]) == (["cut.json"], 2, 16)
    assert report["questions"] == len(report["answers"]) == sum(row["questions"] for row in report["kinds"].values())
    assert report["figures"]["hit1"] > 0
    assert set(report["medians"]) == {"hit1", "any5"}
    assert report["figures"]["old_question_first"] == 0
    assert all(len(row["ranking"]) <= 10 for row in report["answers"])
    assert "titans-core" in report["environment"]
    assert "unanswerable" in printed
    assert "old question first" not in printed
    assert max(map(len, printed.splitlines())) <= 80


def test_it_shows_what_is_wrong(run):
    report, printed = run("--show")
    wrong = [row for row in report["answers"] if row["answerable"] and (row["hit1"] == 0 or row["label"] == "none")]
    wrong += [row for row in report["answers"] if not row["answerable"] and row["label"] == "high"]
    assert printed.count("←") == len(wrong)


def test_questions_are_asked_when_the_file_says_but_after_the_last_turn(run, monkeypatch):
    asked, recall = [], TitansMemory.recall

    def recorded(memory, query, **arguments):
        asked.append(arguments)
        return recall(memory, query, **arguments)

    monkeypatch.setattr(TitansMemory, "recall", recorded)
    run("--k", "5")
    assert {each["k"] for each in asked} == {5}
    # The file asks 20 minutes after the last turn of the whole conversation; the cut one ends two weeks before.
    assert asked[0]["now"] == FIRST
    assert all(each["now"].tzinfo is UTC for each in asked)


def test_before_each_question_it_was_asked_and_refused(data, run):
    [first, _] = everyday.load_conversations(data)
    earlier = everyday.ask_and_refuse(first)
    assert earlier == everyday.ask_and_refuse(first)
    assert [turn.text for turn in earlier[::2]] == [each.text for each in first.questions]
    assert {turn.text for turn in earlier[1::2]} <= set(everyday.REFUSALS)
    assert len({turn.session for turn in earlier}) == len(first.questions)
    assert first.turns[-1].at < earlier[0].at < earlier[-1].at < first.turns[-1].at + timedelta(days=1)
    report, printed = run("--asked-before")
    assert report["asked_before"]
    assert "old question first" in printed
    assert 0 <= report["figures"]["old_question_first"] <= 1


def test_bare_turns_have_neither_times_nor_speakers(run, monkeypatch):
    memorized, memorize = [], TitansMemory.memorize_many

    def recorded(memory, turns, **arguments):
        memorized.extend(turns)
        return memorize(memory, turns, **arguments)

    monkeypatch.setattr(TitansMemory, "memorize_many", recorded)
    report, _ = run("--bare", "--asked-before")
    assert report["bare"]
    assert len(memorized) == report["turns"] + 2 * report["questions"]
    assert {(turn.speaker, turn.session, turn.at) for turn in memorized} == {(None, None, None)}


def test_refusals_are_ten_different_ones():
    assert len(set(everyday.REFUSALS)) == 10
