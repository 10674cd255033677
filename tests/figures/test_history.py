"""A history has the numbers that the memory's weights had, because it replays the log into new weights."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from titans_core.errors import InvalidQueryError, InvalidSpecError
from titans_core.figures.history import replay
from titans_core.neural import (
    PRESETS,
    Decay,
    LeastSquares,
    MemorySpec,
    NeuralMemory,
    SurpriseMetric,
    address_codes,
    fullness,
)
from titans_core.storage import PassageRecord, TurnRecord, decode_keys, encode_keys

DIM = 16
RIDGE = 10.0
OPEN = MemorySpec(DIM, optimizer=LeastSquares(RIDGE))
SPEC = replace(OPEN, gate=0.9)


def turn(position, *passages, speaker="user"):
    records = [
        PassageRecord(
            number, 0, 1, np.zeros(DIM, np.float16), np.zeros(DIM, np.float16), encode_keys(keys) if len(keys) else b""
        )
        for number, keys in enumerate(passages)
    ]
    return TurnRecord(position, speaker, None, 0.0, text="", passages=tuple(records), checksum=0)


def noise(count, seed):
    return np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)


def along(*directions):
    return np.eye(DIM, dtype=np.float32)[list(directions)]


def talk():
    """Seven turns with gaps in their positions: two have two passages, two repeat known keys, one has no tokens."""
    known = noise(9, 3)
    return [
        turn(2, noise(5, 1)),
        turn(3, noise(20, 2), noise(3, 8)),
        turn(5, known),
        turn(6, known, speaker=None),
        turn(9, np.zeros((0, DIM), np.float32)),
        turn(10, known, noise(4, 6)),
        turn(11, noise(7, 7)),
    ]


def decode_passages(record):
    return [torch.from_numpy(decode_keys(passage.keys, DIM)) for passage in record.passages if passage.keys]


def test_the_memory_is_the_one_that_is_written_directly():
    history = replay(talk(), SPEC)
    memory = NeuralMemory(replace(SPEC, values=512))
    for row, record in enumerate(talk()):
        momentary, relative = [], []
        for keys in decode_passages(record):
            usual = SurpriseMetric(*memory.state.usual.tolist())
            code = address_codes([record.position], 512).double().expand(len(keys), -1)
            momentary += memory.write(keys.double(), code).momentary.tolist()
            relative += usual.relative(torch.tensor(momentary[-len(keys) :])).tolist()
        start = history.tokens[:row].sum()
        assert history.tokens[row] == len(momentary)
        assert history.token_surprise[start : start + len(momentary)].tolist() == momentary
        if momentary:
            assert history.surprise[row] == pytest.approx(np.mean(momentary))
            assert history.relative[row] == pytest.approx(np.mean(relative))
        assert history.fullness[row] == fullness(memory.spec, memory.state)
        weights = memory.state.inverse @ memory.state.weights[0]
        assert history.norm[row] == pytest.approx(float(weights.norm()), rel=1e-5)
    assert history.positions.tolist() == [2, 3, 5, 6, 9, 10, 11]
    assert history.numbers.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert history.speakers == ("user", "user", "user", None, "user", "user", "user")


def test_the_memory_with_momentum_is_the_preset_titans_on_codes():
    seen = replay(talk(), SPEC).first_order
    memory = NeuralMemory(PRESETS["titans"](DIM, DIM))
    for row, record in enumerate(talk()):
        before = memory.state.weights
        momentary, past = [], []
        for keys in decode_passages(record):
            # Codes of ±1 have the length of an answer after layer normalisation.
            surprised = memory.write(keys, address_codes([record.position], DIM).sign().expand(len(keys), -1))
            momentary += surprised.momentary.tolist()
            past += surprised.past.tolist()
        if momentary:
            assert seen.surprise[row] == pytest.approx(np.mean(momentary))
            assert seen.past[row] == pytest.approx(np.mean(past))
        for found, tensors in ((seen.weights, memory.state.weights), (seen.momentum, memory.state.momentum)):
            assert found[row] == pytest.approx(float(torch.cat([one.flatten() for one in tensors]).norm()), rel=1e-5)
        changes = [new - old for new, old in zip(memory.state.weights, before, strict=True)]
        bands = [band.norm() for change in changes for band in torch.tensor_split(change, 24)]
        np.testing.assert_allclose(seen.updates[row], torch.stack(bands), rtol=1e-5)
    assert seen.updates.shape == (7, 48)
    assert seen.layers == 2


def test_a_linear_memory_gets_codes_of_unit_length_and_all_bands():
    spec = PRESETS["deltanet"](DIM, DIM)
    seen = replay(talk(), SPEC, first_order=spec).first_order
    memory = NeuralMemory(spec)
    keys = decode_passages(talk()[0])[0]
    memory.write(keys, address_codes([2], DIM).expand(len(keys), -1))
    assert seen.weights[0] == pytest.approx(float(memory.state.weights[0].norm()), rel=1e-5)
    assert seen.updates.shape == (7, 48)
    assert (seen.momentum == 0).all()


def test_the_gate_shuts_for_what_is_known_and_the_weights_stay():
    records = [
        turn(1, along(0, 1, 2, 3)),
        turn(2, along(0, 0, 0, 0, 0, 0)),
        turn(3, along(0)),
        turn(4, along(0), along(9, 10)),  # the gate decides for each passage
    ]
    history = replay(records, SPEC)
    assert history.learned.tolist() == [1, 1, 0, pytest.approx(2 / 3)]
    assert history.relative[2] < 0.9 <= history.relative[1]
    assert history.norm[2] == history.norm[1]
    assert history.fullness[2] == history.fullness[1]
    assert history.gate == 0.9
    everything = replay(records, OPEN)
    assert everything.learned.tolist() == [1, 1, 1, 1]
    assert everything.norm[2] != everything.norm[1]


def test_a_repeated_turn_surprises_but_is_not_learned():
    history = replay(talk(), OPEN, repeats={6})
    assert history.repeated.tolist() == [position == 6 for position in history.positions]
    assert history.learned[3] == 0
    assert 0 < history.surprise[3] < 1
    assert history.fullness[3] == history.fullness[2]
    without = replay([record for record in talk() if record.position != 6], OPEN)
    assert history.surprise[5] == without.surprise[4]


def test_only_the_last_turns_are_looked_at_but_all_are_learned():
    done = []
    whole, last = replay(talk(), SPEC), replay(talk(), SPEC, last=3, progress=lambda *step: done.append(step))
    assert len(last) == 3
    for name in ("positions", "numbers", "tokens", "surprise", "relative", "learned", "fullness", "norm"):
        np.testing.assert_array_equal(getattr(last, name), getattr(whole, name)[-3:])
    assert last.token_surprise.tolist() == whole.token_surprise[-last.tokens.sum() :].tolist()
    assert done == [(step, 7) for step in range(1, 8)]
    # The other memories are empty before the first turn that is shown.
    alone = replay(talk()[-3:], SPEC)
    for name in ("surprise", "past", "weights", "momentum", "updates"):
        np.testing.assert_array_equal(getattr(last.first_order, name), getattr(alone.first_order, name))
    np.testing.assert_array_equal(last.forgetting.kept, alone.forgetting.kept)


def test_a_turn_without_tokens_has_no_surprise_and_changes_nothing():
    history = replay(talk(), SPEC)
    seen = history.first_order
    for values in (history.surprise, history.relative, seen.surprise, seen.past, history.forgetting.kept):
        assert np.flatnonzero(np.isnan(values)).tolist() == [4]
    assert (seen.updates[4] == 0).all()
    assert seen.weights[4] == seen.weights[3]


def test_what_is_forgotten_follows_from_the_decay():
    keep = 0.9
    history = replay([turn(number + 1, along(number)) for number in range(6)], SPEC, forget=1 - keep)
    left = history.forgetting
    ages = np.array([5, 4, 3, 2, 1, 0])
    assert left.ages.tolist() == ages.tolist()
    # Each turn has its own direction, in which (λ + κ^age) w = κ^age, because nothing else is written there.
    np.testing.assert_allclose(left.decayed, keep**ages * (RIDGE + 1) / (RIDGE + keep**ages), rtol=1e-6)
    np.testing.assert_allclose(left.kept, 1, rtol=1e-6)
    assert left.writes.tolist() == ages.tolist()
    assert replay(talk(), SPEC).forgetting.writes.tolist() == [7, 5, 4, 3, 3, 1, 0]
    assert left.forget == pytest.approx(0.1)


def test_an_answer_weakens_without_decay_where_turns_share_directions():
    records = [turn(number + 1, along(1 if number == 1 else 0)) for number in range(40)]
    left = replay(records, SPEC).forgetting.kept
    # 1 / (λ + 39) divided by 1 / (λ + 1), up to the noise of 39 codes of 512 numbers.
    assert left[0] == pytest.approx((RIDGE + 1) / (RIDGE + 39), rel=0.6)
    assert left[1] == pytest.approx(1)


def test_the_memory_s_own_decay_is_replayed():
    faded = replay(talk(), replace(OPEN, retention=Decay(0.2)))
    assert (faded.fullness < replay(talk(), OPEN).fullness)[1:].all()


def test_an_empty_memory_has_an_empty_history():
    history = replay([], SPEC)
    assert len(history) == 0
    for values in (history.surprise, history.token_surprise, history.norm, history.first_order.weights):
        assert values.shape == (0,)
    assert history.first_order.updates.shape == (0, 48)
    assert history.forgetting.kept.shape == history.forgetting.ages.shape == (0,)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"spec": PRESETS["titans"](DIM, DIM)}, InvalidSpecError),
        ({"first_order": SPEC}, InvalidSpecError),
        ({"forget": 1.5}, InvalidSpecError),
        ({"last": 0}, InvalidQueryError),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, error):
    with pytest.raises(error):
        replay(talk(), **{"spec": SPEC, **arguments})


def test_the_history_of_a_real_memory_is_what_the_memory_itself_has_learned(memory):
    texts = [
        "The secret code is X-8-DELTA-9.",
        "My brother Tom broke his arm while climbing near the quarry.",
        "I finally sold my old Volvo to a neighbour.",
        "My brother Tom broke his arm while climbing near the quarry!",
        "The spare key is with Maria, who lives across the road.",
    ]
    receipts = [memory.memorize(text, speaker="user") for text in texts]
    history = replay(memory._learned.log, memory._learned.learner.spec, repeats={4})
    assert [receipt.learned for receipt in receipts] == [bool(learned) for learned in history.learned]
    rarity = memory._learned.learner.index.turns().rarity
    assert rarity[3] == rarity[1]  # what is said again stays as rare; the history measures it anew
    np.testing.assert_allclose(np.delete(history.surprise, 3), np.delete(rarity, 3), rtol=1e-5)
    assert history.tokens.sum() == len(history.token_surprise)
    assert history.fullness[-1] == pytest.approx(fullness(memory._learned.learner.spec, memory._learned.learner.state))


def test_a_turn_that_tells_nothing_is_measured_and_not_written(memory):
    texts = ["The spare key is with Maria.", "Where does Tom live?", "We sold the car. Do you want to see the papers?"]
    receipts = [memory.memorize(text, speaker="user") for text in texts]
    assert [receipt.learned for receipt in receipts] == [True, False, True]
    history = replay(memory._learned.log, memory._learned.learner.spec)
    assert [bool(learned) for learned in history.learned] == [True, False, True]
    assert not np.isnan(history.surprise).any()
    assert history.fullness[-1] == pytest.approx(fullness(memory._learned.learner.spec, memory._learned.learner.state))


def test_the_core_is_imported_without_torch_and_the_pictures_without_matplotlib():
    program = "import sys, titans_core, titans_core.figures; sys.exit(any(name in sys.modules for name in {}))"
    program = program.format(["torch", "matplotlib"])
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
