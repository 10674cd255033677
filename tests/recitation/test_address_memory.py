"""The address memory finds the slot of a fact. Facts written one by one give the same memory as all facts at once."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from titans_core.recitation.address import AddressMemory

DIM = 384


def vectors(count, seed=0, near=0.0):
    """Random sentence vectors. With `near`, all are within about that distance of each other."""
    generator = torch.Generator().manual_seed(seed)
    own = normalize(torch.randn(count, DIM, generator=generator), dim=-1)
    return normalize(own[:1] + near * own, dim=-1) if near else own


def memory_of(*batches):
    memory = AddressMemory(DIM)
    for batch in batches:
        memory.write(batch)
    return memory


def rewritten_memory(keys):
    memory = AddressMemory(DIM)
    memory.rewrite(keys)
    return memory


def assert_equal(memory, other):
    assert torch.equal(memory.keys, other.keys)
    torch.testing.assert_close(memory.inverse, other.inverse, rtol=0, atol=1e-9)


@settings(deadline=None, max_examples=40)
@given(
    counts=st.lists(st.integers(0, 9), max_size=5),
    seed=st.integers(0, 2**32),
    near=st.sampled_from([0.0, 0.5, 1e-2, 1e-5]),
)
def test_facts_written_one_by_one_are_learned_as_all_at_once(counts, seed, near):
    keys = vectors(max(1, sum(counts)), seed, near)[: sum(counts)]
    assert_equal(memory_of(*keys.split(counts)), rewritten_memory(keys))


def test_a_sentence_that_is_written_twice_has_two_slots_and_breaks_nothing():
    keys = vectors(3)[[0, 1, 0, 2]]
    memory = memory_of(keys)
    assert_equal(memory, rewritten_memory(keys))
    assert memory.read(keys[:1])[0, [0, 2]].tolist() == pytest.approx([0.5, 0.5], abs=0.05)


def test_a_facts_own_words_activate_its_slot_and_no_other():
    keys = vectors(48)
    activations = memory_of(keys).read(keys)
    own = torch.eye(48, dtype=torch.bool)
    assert activations[own].min() > 0.85
    assert activations[own].max() < 1
    assert activations[~own].abs().max() < 0.1


def test_words_of_no_fact_activate_nothing():
    assert memory_of(vectors(48)).read(vectors(100, seed=1)).abs().max() < 0.1


def test_facts_that_are_alike_are_told_apart():
    keys = vectors(2, near=0.4)
    assert float(keys[0] @ keys[1]) > 0.8
    assert memory_of(keys).read(keys).argmax(dim=-1).tolist() == [0, 1]


def test_nothing_is_learned_of_nothing():
    memory = memory_of(vectors(0))
    assert (len(memory), memory.nbytes) == (0, 0)
    assert memory.read(vectors(2)).shape == (2, 0)
    full = memory_of(vectors(3))
    before = full.inverse
    full.write(vectors(0))
    assert len(full) == 3
    assert torch.equal(full.inverse, before)


def test_writing_goes_on_after_facts_were_forgotten():
    keys = vectors(6)
    memory = memory_of(keys)
    memory.rewrite(keys[:4])
    memory.write(keys[5:])
    assert_equal(memory, rewritten_memory(keys[[0, 1, 2, 3, 5]]))


def test_size_is_that_of_the_vectors_and_of_the_inverse():
    assert memory_of(vectors(5)).nbytes == 5 * DIM * 4 + 5 * 5 * 8
