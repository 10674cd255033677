"""A state is a value: saving and loading keep every bit, damage is found, and only a write makes a new state."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from support.pairs import lively, pairs
from titans_core.errors import CorruptStateError
from titans_core.neural import (
    PRESETS,
    MemorySpec,
    MemoryState,
    NeuralMemory,
    dump_state,
    load_state,
    read,
    serialization,
    surprise,
    write,
    write_sequentially,
)

DIM = 6
NAMES = pytest.mark.parametrize("name", PRESETS)


def learn_tokens(spec, *counts, state=None, seed=0):
    """Return the state after one write for each count of tokens."""
    state = MemoryState.initial(spec) if state is None else state
    for number, count in enumerate(counts):
        state, _ = write(spec, state, *tokens(spec, count, seed + number))
    return state


def tokens(spec, count, seed=0, dtype=None):
    dtype = MemoryState.initial(spec).key_sum.dtype if dtype is None else dtype
    return pairs(count, spec.dim, spec.values, seed=seed, dtype=dtype)


def identical(one, other):
    left, right = one.tensors(), other.tensors()
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype and torch.equal(left[name], right[name]) for name in left
    )


@NAMES
def test_saved_and_loaded_it_goes_on_as_if_it_had_not_been(name):
    spec = lively(name)
    before = learn_tokens(spec, 20, 1, 3)
    loaded, position = load_state(spec, dump_state(spec, before, position=7))
    assert position == 7
    assert identical(loaded, before)
    onwards, uninterrupted = (learn_tokens(spec, 2, 17, state=state, seed=5) for state in (loaded, before))
    assert identical(onwards, uninterrupted)
    assert dump_state(spec, onwards) == dump_state(spec, uninterrupted)


def test_pending_pairs_and_momentum_are_saved():
    spec = lively("omega")
    before = learn_tokens(spec, 3)
    loaded, _ = load_state(spec, dump_state(spec, before))
    assert len(loaded.recent_keys) == len(loaded.recent_values) == 3
    assert all(one.any() for one in loaded.momentum)
    for lost in (
        replace(before, momentum=tuple(torch.zeros_like(one) for one in before.momentum)),
        replace(before, recent_keys=before.recent_keys[:0], recent_values=before.recent_values[:0]),
    ):
        assert not identical(learn_tokens(spec, 2, state=lost), learn_tokens(spec, 2, state=loaded))


@NAMES
def test_the_initial_state_is_the_same_bytes_each_time(name):
    spec = lively(name)
    assert dump_state(spec, MemoryState.initial(spec)) == dump_state(spec, MemoryState.initial(spec))
    other = replace(spec, seed=1)
    same = identical(MemoryState.initial(other), MemoryState.initial(spec))
    assert same == (type(spec.architecture).__name__ == "Linear")  # only deep memories start with random weights


@NAMES
def test_equal_histories_give_equal_bytes(name):
    spec = lively(name)
    one, other = learn_tokens(spec, 5, 20, 1), learn_tokens(spec, 5, 20, 1)
    assert dump_state(spec, one, position=3) == dump_state(spec, other, position=3)


@NAMES
@pytest.mark.parametrize("learn", [write, write_sequentially])
def test_a_write_changes_neither_the_state_it_is_given_nor_keeps_the_callers_tensors(name, learn):
    spec = lively(name)
    state = learn_tokens(spec, 5)
    before = dump_state(spec, state)
    keys, values = tokens(spec, 20, 3)
    after, _ = learn(spec, state, keys, values)
    assert dump_state(spec, state) == before
    bytes_after = dump_state(spec, after)
    keys.fill_(7)
    values.fill_(7)
    assert dump_state(spec, after) == bytes_after


@NAMES
def test_reading_and_measuring_change_nothing(name):
    spec = lively(name)
    state = learn_tokens(spec, 20)
    before = dump_state(spec, state)
    keys, values = tokens(spec, 4, 3)
    read(spec, state, keys)
    surprise(spec, state, keys, values)
    assert dump_state(spec, state) == before


@NAMES
def test_the_size_does_not_depend_on_how_much_was_written(name):
    spec = lively(name)
    early, late = learn_tokens(spec, 20), learn_tokens(spec, 20, *[20] * 10)
    assert early.nbytes == late.nbytes
    assert len(dump_state(spec, early)) == len(dump_state(spec, late))
    assert late.tokens == 220
    assert MemoryState.initial(spec).nbytes <= early.nbytes
    assert len(late.recent_keys) == spec.window - 1


@NAMES
@pytest.mark.parametrize("counts", [(7, 1, 20), (22, 5, 35, 64)])
def test_the_number_of_threads_changes_no_bit(name, counts):
    spec, threads, states = lively(name, 64, 64), torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            states.append(learn_tokens(spec, *counts).tensors())
    finally:
        torch.set_num_threads(threads)
    one, other = states
    assert {
        part: float((one[part] - other[part]).abs().max()) for part in one if not one[part].equal(other[part])
    } == {}


PROGRAM = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from test_state import PRESETS, dump_state, learn_tokens, lively
for name in PRESETS:
    spec = lively(name, 16, 16)
    print(name, hashlib.sha256(dump_state(spec, learn_tokens(spec, 7, 1, 20))).hexdigest())
"""


def test_another_process_gives_the_same_bytes(request):
    import hashlib

    env = os.environ | {"PYTHONHASHSEED": "1"}
    folder = str(request.path.parent)
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, folder], env=env, capture_output=True, text=True, check=True
    )
    specs = {name: lively(name, 16, 16) for name in PRESETS}
    expected = [
        f"{name} {hashlib.sha256(dump_state(spec, learn_tokens(spec, 7, 1, 20))).hexdigest()}"
        for name, spec in specs.items()
    ]
    assert result.stdout.split("\n")[:-1] == expected


SAVED_SPEC = lively("omega", 3, 3)
SAVED_STATE = learn_tokens(SAVED_SPEC, 5)
DATA = dump_state(SAVED_SPEC, SAVED_STATE, position=102)
HEADER = 8 + int.from_bytes(DATA[:8], "little")


def flip_bits(place, mask):
    damaged = bytearray(DATA)
    damaged[place] ^= mask
    return bytes(damaged)


def loaded_or_none(data):
    """Return the loaded state and position; None if the load finds the damage. Any other error fails the test."""
    try:
        return load_state(SAVED_SPEC, data)
    except CorruptStateError:
        return None


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, len(DATA) - 1), mask=st.integers(1, 255))
def test_a_damaged_byte_is_found_or_harmless(place, mask):
    found = loaded_or_none(flip_bits(place, mask))
    assert found is None or identical(found[0], SAVED_STATE)


def test_no_flipped_bit_anywhere_gives_another_state():
    for place in range(len(DATA)):
        found = loaded_or_none(flip_bits(place, 1))
        assert found is None or identical(found[0], SAVED_STATE), place
        assert found is None or place < HEADER, place


def test_no_flipped_bit_anywhere_gives_another_position():
    harmful = [place for place in range(HEADER) if (found := loaded_or_none(flip_bits(place, 1))) and found[1] != 102]
    assert [DATA[max(0, place - 12) : place + 4] for place in harmful] == []


@pytest.mark.parametrize("name", ["least_squares", "titans", "moneta", "tutorial"])
def test_every_truncation_is_found(name):
    spec = lively(name, 3, 3)
    data = dump_state(spec, learn_tokens(spec, 5))
    header = 8 + int.from_bytes(data[:8], "little")
    for length in (0, 1, 7, 8, 9, header // 2, header - 1, header, header + 1, len(data) // 2, len(data) - 1):
        with pytest.raises(CorruptStateError, match="Rebuild"):
            load_state(spec, data[:length])
    with pytest.raises(CorruptStateError):
        load_state(spec, data + b"\0")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
@example(b"")
@example(b"\xff" * 16)
@example((2).to_bytes(8, "little") + b"{}")
@example((2).to_bytes(8, "little") + b"[]")
@example(save({"weights": torch.zeros(2)}))
@example(save({"weights": torch.zeros(2)}, metadata={"titans": "no object"}))
@example(save({"weights": torch.zeros(2)}, metadata={"titans": "[]"}))
def test_what_is_no_saved_state_is_refused(data):
    with pytest.raises(CorruptStateError):
        load_state(SAVED_SPEC, data)


def test_a_state_of_another_spec_is_refused_and_the_message_shows_that_spec():
    for name in PRESETS:
        other = lively(name, 3, 3)
        if name != "omega":
            with pytest.raises(CorruptStateError, match=r"another spec: MemorySpec\(dim=3.*Decay"):
                load_state(other, DATA)
    with pytest.raises(CorruptStateError, match="another spec"):
        load_state(replace(SAVED_SPEC, seed=1), DATA)


def test_a_state_of_another_format_is_refused(monkeypatch):
    monkeypatch.setattr(serialization, "FORMAT", "999")
    other = dump_state(SAVED_SPEC, SAVED_STATE)
    assert identical(load_state(SAVED_SPEC, other)[0], SAVED_STATE)
    monkeypatch.undo()
    with pytest.raises(CorruptStateError, match="format '999'"):
        load_state(SAVED_SPEC, other)


def test_tensors_that_are_no_state_of_the_spec_are_none():
    tensors = SAVED_STATE.tensors()
    assert identical(MemoryState.from_tensors(SAVED_SPEC, tensors), SAVED_STATE)
    # The state has 5 recent pairs, but a window of 5 keeps at most 4.
    assert MemoryState.from_tensors(replace(SAVED_SPEC, window=5), tensors) is None
    for name in tensors:
        without = {other: one for other, one in tensors.items() if other != name}
        assert MemoryState.from_tensors(SAVED_SPEC, without) is None, name
        of_another_kind = tensors[name].to(torch.float16)
        assert MemoryState.from_tensors(SAVED_SPEC, tensors | {name: of_another_kind}) is None, name
        larger = torch.zeros(*tensors[name].shape, 2, dtype=tensors[name].dtype)
        assert MemoryState.from_tensors(SAVED_SPEC, tensors | {name: larger}) is None, name
    fewer = tensors | {"recent_values": tensors["recent_values"][1:]}
    assert MemoryState.from_tensors(SAVED_SPEC, fewer) is None
    assert MemoryState.from_tensors(lively("omega", 4, 4), tensors) is None


@NAMES
def test_the_object_does_what_the_functions_do(name, tmp_path):
    spec = lively(name)
    memory = NeuralMemory(spec)
    assert identical(memory.state, MemoryState.initial(spec))
    keys, values = tokens(spec, 9)
    state, surprised = write(spec, MemoryState.initial(spec), keys, values)
    object_surprise = memory.write(keys, values)
    assert torch.equal(object_surprise.momentary, surprised.momentary)
    assert torch.equal(object_surprise.past, surprised.past)
    assert identical(memory.state, state)
    assert torch.equal(memory.read(keys), read(spec, state, keys))
    assert torch.equal(memory.surprise(keys, values), surprise(spec, state, keys, values))

    memory.save(tmp_path / "memory.safetensors", position=9)
    other = NeuralMemory(spec)
    assert other.load(str(tmp_path / "memory.safetensors")) == 9
    assert identical(other.state, state)

    memory.reset()
    assert dump_state(spec, memory.state) == dump_state(spec, MemoryState.initial(spec))
    memory.write(keys, values)
    assert identical(memory.state, state)


def test_a_damaged_file_leaves_the_object_as_it_was(tmp_path):
    memory = NeuralMemory(SAVED_SPEC)
    memory.write(*tokens(SAVED_SPEC, 4))
    before = memory.state
    (tmp_path / "damaged").write_bytes(flip_bits(len(DATA) - 1, 1))
    with pytest.raises(CorruptStateError):
        memory.load(tmp_path / "damaged")
    assert memory.state is before


@NAMES
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_memory_keeps_the_numbers_it_was_made_with(name, dtype):
    spec = lively(name)
    memory = NeuralMemory(spec, dtype=dtype)
    kinds = {part: one.dtype for part, one in memory.state.tensors().items()}
    keys, values = tokens(spec, 20, dtype=dtype)
    memory.write(keys, values)
    assert {part: one.dtype for part, one in memory.state.tensors().items()} == kinds
    assert memory.read(keys).dtype == dtype
    loaded, _ = load_state(spec, dump_state(spec, memory.state))
    assert identical(loaded, memory.state)
    memory.reset()
    assert memory.state.key_sum.dtype == dtype


def test_a_memory_of_addresses_needs_no_values():
    memory = NeuralMemory(MemorySpec(DIM))
    keys, _ = pairs(5, DIM)
    assert len(memory.write(keys).momentary) == 5
    assert torch.equal(memory.surprise(keys), surprise(memory.spec, memory.state, keys))
    assert memory.read(keys).shape == (5, 0)
