"""The benchmark of scenes reports what its answers say, and the verifier's training learns and can be stopped."""

import argparse
import json

import numpy as np
import pytest
from rich.progress import Progress

from benchmarks import scenes
from benchmarks.common.pairs import SCENES, TESTED, scene_pairs
from benchmarks.fit import verifier
from titans_core import Confidence

FILES = sorted(SCENES.glob("*.json"))


def answer(kind, *, first, label, probability):
    return scenes.Answer(kind, first, first, Confidence(label), probability)


def test_the_figures_are_what_was_counted():
    measured = scenes.measure(
        [
            answer("yes", first=True, label="high", probability=0.9),
            answer("yes", first=False, label="high", probability=0.6),
            answer("yes", first=True, label="none", probability=0.2),
            answer("person", first=True, label="high", probability=0.7),
            answer("person", first=False, label="high", probability=0.1),
            answer("asked", first=True, label="none", probability=0.1),
        ]
    )
    yes = {"questions": 3, "first": 2 / 3, "among three": 2 / 3, "right high": 1 / 3, "none": 1 / 3}
    assert measured["yes"] == pytest.approx(yes)
    assert measured["no"]["person"] == {"questions": 2, "false high": 0.5, "none": 0.0}
    assert measured["no"]["asked"] == {"questions": 1, "false high": 0.0, "none": 1.0}
    assert measured["no"]["all"] == pytest.approx({"questions": 3, "false high": 1 / 3, "none": 1 / 3})
    assert measured["AUROC"] == pytest.approx(6 / 8)


def test_scenes_are_asked_through_the_public_interface(tmp_path):
    out = tmp_path / "figures.json"
    scenes.main([str(SCENES / f"{TESTED[0]}.json"), "--limit", "2", "--noise", "2", "--json", str(out)])
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["yes"]["questions"] == sum(
        len(scene["yes"]) for scene in json.loads((SCENES / f"{TESTED[0]}.json").read_text(encoding="utf-8"))[:2]
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_scene_is_sound(path):
    for scene in json.loads(path.read_text(encoding="utf-8")):
        assert all(turn["text"].strip() and turn["speaker"] for turn in scene["turns"])
        assert 0 <= scene["target"] < len(scene["turns"])
        assert all(question.strip() for question in scene["yes"])
        assert {kind for _, kind in scene["no"]} <= {*verifier.KINDS} - {"yes"}
        assert not {*scene["yes"]} & {question for question, _ in scene["no"]}


@pytest.fixture(scope="module")
def pairs():
    return list(scene_pairs(SCENES / "p1.json"))[:96]


def run(pairs, cache, epochs=1):
    options = argparse.Namespace(seed=0, cache=cache)
    with Progress(disable=True) as progress:
        return verifier.train(verifier.Run("few", pairs, 1e-3, epochs), None, options, progress)


def test_a_batch_holds_whole_groups_and_an_epoch_every_pair_once(pairs):
    read = [pair for batch in verifier.batches(pairs, 0) for pair in batch]
    assert sorted(map(id, read)) == sorted(map(id, pairs))
    assert [len(batch) for batch in verifier.batches(pairs, 0)] == [verifier.BATCH] * 3
    assert read != [pair for batch in verifier.batches(pairs, 1) for pair in batch]


def test_a_run_that_was_stopped_goes_on_where_it_was(pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(verifier, "DROPOUT", 0.0)
    monkeypatch.setattr(verifier, "SAVE_EVERY", 2)
    whole = run(pairs, None)
    stopped = verifier.loss
    calls = []

    def stop_at_the_third(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return stopped(*arguments)

    monkeypatch.setattr(verifier, "loss", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        run(pairs, tmp_path)
    monkeypatch.setattr(verifier, "loss", stopped)
    continued = run(pairs, tmp_path)
    assert continued.tensors.keys() == whole.tensors.keys()
    for name, tensor in whole.tensors.items():
        assert np.allclose(continued.tensors[name].numpy(), tensor.numpy(), atol=1e-4)
