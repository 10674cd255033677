"""Calibrated labels: made from cases, kept as JSON, refused where they do not belong, worth what they promise."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titans_core import Confidence, TitansMemory
from titans_core.confidence import Calibrated, Calibration, Case, Evidence, FixedThreshold
from titans_core.confidence.calibration import HIDDEN
from titans_core.confidence.fitting import fit_calibration, recalibrate
from titans_core.errors import CalibrationError, UncalibratedWarning, UnknownTurnError
from titans_core.retrieval import ranking_fingerprint
from titans_core.retrieval.features import FEATURES

ODDS = 4.0


def cases(seed=0, n=1500, *, signal=True):
    """Cases in which the first feature is the log odds of being right, over ten groups."""
    generator = np.random.default_rng(seed)
    made = []
    for row in range(n):
        odds, noise = generator.normal(0, ODDS), generator.normal()
        right = bool(generator.uniform() < 1 / (1 + math.exp(-odds if signal else 0)))
        stored = right or bool(generator.uniform() < 0.3)
        made.append(Case({"odds": odds, "noise": noise}, right, right, stored, group=str(row % 10)))
    return made


@pytest.fixture(scope="module")
def made():
    return fit_calibration(cases(), reader="r", ranking="w")


def evidence(features):
    return Evidence("?", np.zeros(1), features, lambda _: ())


def test_the_probabilities_are_those_of_the_world(made):
    for odds in (-4.0, -1.0, 0.0, 1.0, 4.0):
        said = made.probabilities({"odds": odds, "noise": 0.0}).first
        assert said == pytest.approx(1 / (1 + math.exp(-odds)), abs=0.08)


@pytest.mark.parametrize("promise", [0.95, 0.9, 0.8])
def test_high_keeps_its_promise_on_other_cases(made, promise):
    strategy = Calibrated(made, promise=promise)
    others = [case for case in cases(seed=1, n=4000) if strategy.judge(evidence(case.features)).confidence == "high"]
    assert len(others) > 400
    assert sum(case.first for case in others) / len(others) >= promise


def test_none_keeps_its_promise_on_other_cases(made):
    strategy = Calibrated(made)
    stored = [case for case in cases(seed=1, n=4000) if case.stored]
    hidden = [case for case in stored if strategy.judge(evidence(case.features)).confidence == "none"]
    assert hidden
    assert len(hidden) / len(stored) <= HIDDEN


def test_a_harder_promise_is_kept_by_fewer(made):
    values = [made.high[promise]["value"] for promise in ("0.8", "0.9", "0.95")]
    assert values == sorted(values)
    assert values[0] < values[2]


def test_what_only_two_features_together_say_is_learned():
    generator = np.random.default_rng(2)
    together = [
        Case({"one": one, "other": other}, right, right, right, group=str(row % 10))
        for row, (one, other) in enumerate(generator.normal(size=(1500, 2)).tolist())
        for right in [one * other > 0]
    ]
    made = fit_calibration(together, reader="r", ranking="w")
    assert made.probabilities({"one": 1.5, "other": 1.5}).first > 0.8
    assert made.probabilities({"one": -1.5, "other": -1.5}).first > 0.8
    assert made.probabilities({"one": 1.5, "other": -1.5}).first < 0.25


def test_no_promise_is_tested_on_what_only_helps_to_fit(made):
    more = [replace(case, first=True, tested=False) for case in cases(seed=3)]
    assert recalibrate(made, [*cases(seed=1), *more]) == recalibrate(made, cases(seed=1))


def test_the_contributions_add_up(made):
    features = {"odds": 2.0, "noise": -1.0}
    logit = made.first.bias + sum(made.contributions(made.first, features).values())
    assert made.probabilities(features).first == pytest.approx(1 / (1 + math.exp(-logit)))


def test_without_a_signal_high_is_never_said():
    blind = fit_calibration(cases(signal=False), reader="r", ranking="w")
    assert set(blind.high.values()) == {None}
    label = Calibrated(blind).judge(evidence({"odds": 99.0, "noise": 0.0})).confidence
    assert label is Confidence.LOW


def test_too_few_cases_name_how_many_it_takes(made):
    with pytest.raises(CalibrationError, match="it takes 17 "):
        recalibrate(made, cases(n=16))


def test_cases_that_are_all_alike_teach_nothing():
    right = [Case({"odds": 1.0}, first=True, top3=True, stored=True, group=str(n % 2)) for n in range(50)]
    with pytest.raises(CalibrationError, match="same outcome"):
        fit_calibration(right, reader="r", ranking="w")
    with pytest.raises(CalibrationError, match="two groups"):
        fit_calibration(cases()[::10], reader="r", ranking="w")


def test_only_three_promises_are_made(made):
    with pytest.raises(CalibrationError, match=r"0\.95, 0\.9, 0\.8"):
        Calibrated(made, promise=0.99)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_any_features_get_one_label_and_probabilities(made, odds, noise):
    verdict = Calibrated(made, promise=0.9).judge(evidence({"odds": odds, "noise": noise}))
    assert 0 <= verdict.probability <= verdict.probability_top3 <= 1
    assert (verdict.confidence == "high") == (verdict.probability >= made.high["0.9"]["value"])


def test_it_is_the_same_after_a_file(made, tmp_path):
    made.save(tmp_path / "calibration.json")
    assert Calibration.load(tmp_path / "calibration.json") == made


@pytest.mark.parametrize(
    "damage",
    [
        lambda found: found.pop("mean"),
        lambda found: found.pop("version"),
        lambda found: found.update(version=99),
        lambda found: found["first"].update(bias=math.nan),
        lambda found: found["first"]["weights"].update(odds=math.inf),
        lambda found: found["first"]["weights"].pop("odds"),
        lambda found: found["first"]["products"].pop(),
        lambda found: found["first"]["products"][0].pop(),
        lambda found: found["first"]["products"][0].__setitem__(0, math.inf),
        lambda found: found["first"].update(products=3),
        lambda found: found["scale"].update(odds="1"),
        lambda found: found.update(first=3),
        lambda found: found.update(extra=1),
    ],
)
def test_a_damaged_file_is_refused(made, damage):
    found = json.loads(made.dump())
    damage(found)
    with pytest.raises(CalibrationError):
        Calibration.parse(json.dumps(found))


@pytest.mark.parametrize("text", ["", "[]", "null", "3", '{"version": 1}', "\x00"])
def test_what_is_no_calibration_is_refused(text):
    with pytest.raises(CalibrationError):
        Calibration.parse(text)


def test_the_shipped_one_fits_the_default_reader_and_the_shipped_weights(reader):
    shipped = Calibration.shipped()
    assert (shipped.reader, shipped.ranking) == (reader.fingerprint, ranking_fingerprint(None))
    assert tuple(shipped.mean) == FEATURES
    assert shipped.report["asked"] > 2000


def test_one_of_another_reader_is_refused(made, reader):
    with pytest.raises(CalibrationError, match="was made with the reader r "):
        TitansMemory.open(":memory:", tenant="alice", reader=reader, strategy=Calibrated(made))


NAMES = ["Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gita", "Hugo", "Ines", "Jan"]
THINGS = ["bicycle", "kettle", "tent", "piano", "camera", "lamp", "kayak", "jacket"]
COLOURS = ["red", "green", "blue", "yellow", "black", "white", "orange", "purple"]


def test_a_memory_is_calibrated_on_its_owners_questions(reader, tmp_path):
    with TitansMemory.open(":memory:", tenant="alice", reader=reader, strategy="calibrated") as memory:
        pairs = []
        for number, name in enumerate(NAMES):
            for place, thing in enumerate(THINGS):
                colour = COLOURS[(number + place) % len(COLOURS)]
                receipt = memory.memorize(f"{name} has bought a {colour} {thing}.")
                pairs.append((f"What colour is the {thing} of {name}?", [receipt.id]))
        pairs += [(f"What colour is the {thing} of Zoe?", []) for thing in THINGS]
        made = memory.calibrate(pairs, promise=0.8)
        assert made.report["asked"] == len(pairs)
        assert made.report["asked without an answer"] == len(THINGS)
        assert made.high["0.8"]["cases"] >= 17
        assert memory.recall("What colour is the kettle of Ada?").confidence is Confidence.HIGH
        made.save(tmp_path / "mine.json")
        with pytest.raises(UnknownTurnError):
            memory.calibrate([("What colour is the kettle of Ada?", ["no such id"])] * 20)
    mine = Calibrated(Calibration.load(tmp_path / "mine.json"), promise=0.8)
    with TitansMemory.open(":memory:", tenant="bob", reader=reader, strategy=mine) as memory:
        memory.memorize("Ada has bought a red kettle.")
        assert memory.recall("What colour is the kettle of Ada?").probability is not None


def test_hidden_answers_are_as_if_they_had_not_been_said(memory):
    memory.memorize_many(["The ferry leaves at nine.", "The bus leaves at ten."])
    ferry, bus = (turn.id for turn in memory.turns())
    asked, unsaid = memory.calibration_cases([("When does the ferry leave?", [ferry])])
    assert (asked.first, asked.stored, asked.asked) == (True, True, True)
    assert (unsaid.first, unsaid.stored, unsaid.asked) == (False, False, False)
    [with_both] = memory.calibration_cases([("When does the ferry leave?", [])])
    assert with_both.features == asked.features
    memory.forget(ferry)
    [forgotten] = memory.calibration_cases([("When does the ferry leave?", [])])
    assert forgotten.features["lead"] == unsaid.features["lead"] == 0  # one turn is left in both
    assert memory.get(bus)


def test_a_memory_labels_by_the_shipped_calibration(memory):
    memory.memorize("The secret code is X-8-DELTA-9.", speaker="user")
    found = memory.recall("What is the secret code?")
    assert found.confidence is Confidence.HIGH
    assert found.probability_top3 >= found.probability >= Calibration.shipped().high["0.8"]["value"]
    assert memory.recall("Where does my sister live?").confidence is Confidence.NONE


def test_what_is_asked_of_an_empty_memory_is_no_case(memory):
    assert memory.calibration_cases([("When does the ferry leave?", [])]) == []


def test_calibrating_takes_over_from_a_rule(reader):
    with TitansMemory.open(":memory:", tenant="alice", reader=reader, strategy=FixedThreshold()) as memory:
        receipts = [memory.memorize(f"Locker {number} belongs to {name}.") for number, name in enumerate(NAMES * 2)]
        pairs = [(f"Whose is locker {number}?", [receipt.id]) for number, receipt in enumerate(receipts)]
        memory.calibrate(pairs)
        assert memory.recall("Whose is locker 3?").probability is not None


def test_another_reader_is_calibrated_from_nothing(reader):
    class Other:
        dim, fingerprint = reader.dim, "another"
        read, count_tokens = reader.read, reader.count_tokens

    with pytest.warns(UncalibratedWarning, match="reader another"):
        opened = TitansMemory.open(":memory:", tenant="alice", reader=Other())
    with opened as memory:
        assert memory.recall("Whose is locker 3?").confidence is Confidence.NONE
        memory.memorize("Locker 3 belongs to Zoe.")
        assert memory.recall("Locker 3 belongs to Zoe.").confidence is Confidence.LOW
        with pytest.raises(CalibrationError, match="another"):
            memory.recall("Whose is locker 3?", strategy="calibrated")
        receipts = [memory.memorize(f"Locker {number} belongs to {name}.") for number, name in enumerate(NAMES * 2)]
        pairs = [(f"Whose is locker {number}?", [receipt.id]) for number, receipt in enumerate(receipts)]
        made = memory.calibrate([*pairs, *((f"Whose is the {thing}?", []) for thing in THINGS)])
        assert made.reader == "another"
        assert memory.recall("Whose is locker 3?").probability > memory.recall("Whose is the piano?").probability
