"""Loaded weights recite what the saved weights recited. A damaged or foreign file is refused and changes nothing."""

import json
import pickle
import random
import re

import pytest
import torch
from safetensors.torch import save_file

from titans_core.errors import CorruptStateError, UnwritableError
from titans_core.recitation import serialization
from titans_core.recitation.exam.facts import make_exam
from titans_core.recitation.recitation import Recitation
from titans_core.recitation.serialization import load_weights, save_weights

EXAM = make_exam(4)
TEXTS = [fact.text for fact in EXAM.facts]
QUESTIONS = [fact.question for fact in EXAM.facts]


@pytest.fixture(scope="module")
def taught(llm, reader):
    recitation = Recitation(llm, reader)
    recitation.learn(TEXTS[:3])
    return recitation


@pytest.fixture(scope="module")
def path(taught, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    taught.save(path)
    return path


@pytest.fixture
def other(llm, reader):
    """A recitation that knows something else."""
    recitation = Recitation(llm, reader)
    recitation.learn(TEXTS[3:])
    return recitation


def state(recitation):
    """Everything that a recitation knows, as bytes."""
    tensors = {"keys": recitation._address.keys, **recitation._content.tensors()}
    learned = {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}
    return learned, list(recitation._hashes), recitation._evicted


def assert_refused(recitation, path):
    before = state(recitation)
    with pytest.raises(CorruptStateError, match="from the log"):
        recitation.load(path)
    assert state(recitation) == before


def test_loaded_weights_recite_the_same_and_learn_only_what_is_new(taught, path, other):
    other.load(path)
    assert state(other) == state(taught)
    torch.testing.assert_close(other._address.inverse, taught._address.inverse, rtol=0, atol=1e-9)
    known, same = other.ask(QUESTIONS[2]), taught.ask(QUESTIONS[2])
    assert known.text == same.text == TEXTS[2]
    assert known.familiarity == pytest.approx(same.familiarity, rel=1e-6)
    assert other.learn(TEXTS[:3]) == 0
    assert other.learn(TEXTS) == 1
    assert other.recite([3]) == TEXTS[3:]


def test_how_many_were_let_go_is_saved_too(llm, reader, tmp_path, monkeypatch):
    monkeypatch.setattr("titans_core.recitation.content.MAX_BANK_FACTS", 1)
    first, second = (Recitation(llm, reader, banks=2) for _ in range(2))
    first.learn(TEXTS)
    first.save(tmp_path / "weights")
    second.load(tmp_path / "weights")
    assert len(second) == 2
    assert second.learn(TEXTS) == 0


def test_an_empty_recitation_is_saved_too(llm, reader, other, tmp_path):
    empty = Recitation(llm, reader)
    empty.save(tmp_path / "weights")
    other.load(tmp_path / "weights")
    assert state(other) == state(empty)


def test_a_file_holds_no_word_of_the_facts(path):
    data = path.read_bytes().lower()
    # Shorter words can occur by chance in megabytes of numbers.
    words = {word for text in TEXTS[:3] for word in re.findall(r"\w{5,}", text.lower())}
    assert len(words) > 5
    assert not [word for word in words if word.encode() in data]


def test_a_file_holds_what_was_learned_and_not_the_language_model(taught, path, llm):
    model = sum(parameter.nbytes for parameter in llm.lm.model.parameters())
    assert path.stat().st_size == pytest.approx(taught.nbytes, rel=0.01)
    assert path.stat().st_size < model / 10


def test_saving_replaces_the_file_and_leaves_no_other(taught, tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"something else")
    taught.save(path)
    assert load_weights(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_raises_and_leaves_nothing(taught, tmp_path):
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "nowhere" / "weights"):
        with pytest.raises(UnwritableError):
            taught.save(path)
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def test_a_file_that_was_cut_short_is_refused(path, other, tmp_path):
    data = path.read_bytes()
    cut = tmp_path / "weights"
    for length in (0, 1, 7, 8, 9, 200, len(data) // 2, len(data) - 1):
        cut.write_bytes(data[:length])
        assert_refused(other, cut)
    cut.write_bytes(data + b"\0")
    assert_refused(other, cut)


def test_a_file_in_which_a_bit_flipped_is_refused_or_says_the_same(path, other, tmp_path):
    data = path.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little")
    draw = random.Random(0)  # noqa: S311 - not for secrets
    places = [draw.randrange(header) for _ in range(150)] + [draw.randrange(len(data)) for _ in range(50)]
    flipped, refused = tmp_path / "weights", 0
    expected, before = load_weights(path), state(other)
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= 1 << draw.randrange(8)
        flipped.write_bytes(damaged)
        try:
            tensors, about = load_weights(flipped)
        except CorruptStateError:
            refused += 1
        else:
            # The bit was in white space of the header, which means nothing.
            assert about == expected[1]
            assert tensors.keys() == expected[0].keys()
            assert all(torch.equal(tensor, expected[0][name]) for name, tensor in tensors.items())
    assert refused > 190
    flipped.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert_refused(other, flipped)
    assert state(other) == before


def test_files_of_other_programs_are_refused(other, tmp_path):
    path = tmp_path / "weights"
    for data in (pickle.dumps({"bank.0": [1.0]}), b"SQLite format 3\0" + bytes(100), b"{}", bytes(64)):
        path.write_bytes(data)
        assert_refused(other, path)
    for metadata in (None, {"titans": "3"}, {"titans": "[1]"}, {"titans": "{}"}, {"titans": "not JSON"}):
        save_file({"bank.0": torch.zeros(2)}, path, metadata=metadata)
        assert_refused(other, path)


def test_a_file_in_another_format_is_refused(taught, other, tmp_path, monkeypatch):
    path = tmp_path / "weights"
    with monkeypatch.context() as later:
        later.setattr(serialization, "FORMAT", "recitation-2")
        taught.save(path)
    assert_refused(other, path)


@pytest.mark.parametrize("place", [0, 1])
def test_weights_that_were_learned_with_other_models_are_refused(path, other, tmp_path, place):
    tensors, about = load_weights(path)
    about["made_with"][place] += "x"
    save_weights(tmp_path / "weights", tensors, about)
    with pytest.raises(CorruptStateError, match="other models"):
        other.load(tmp_path / "weights")
    assert_refused(other, tmp_path / "weights")


def test_a_changed_number_of_facts_is_noticed(path, other, tmp_path):
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    about = {**json.loads(header["__metadata__"]["titans"]), "evicted": 7}
    save_file(load_weights(path)[0], tmp_path / "weights", metadata={"titans": json.dumps(about)})
    assert_refused(other, tmp_path / "weights")


def test_a_file_that_is_not_there_is_told_as_such(other, tmp_path):
    before = state(other)
    with pytest.raises(FileNotFoundError):
        other.load(tmp_path / "nowhere")
    assert state(other) == before


def test_a_sealed_file_that_lacks_something_is_refused(path, other, tmp_path):
    tensors, about = load_weights(path)
    rest = {name: value for name, value in about.items() if name != "hashes"}
    half = {name: tensor for name, tensor in tensors.items() if name != "address.keys"}
    fewer = {**about, "hashes": about["hashes"][:1]}
    recited = other.recite([0])
    for forged in (({}, {}), (half, about), (tensors, rest), (tensors, fewer), (tensors, {**about, "evicted": None})):
        save_weights(tmp_path / "forged", *forged)
        with pytest.raises(CorruptStateError, match="Learn"):
            other.load(tmp_path / "forged")
    assert other.recite([0]) == recited
