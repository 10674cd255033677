"""The content memory returns token for token what was written. Later writes do not change its sealed banks."""

import pytest
import torch

from titans_core.recitation.content import CODE_DIM, KEY_DIM, MAX_BANK_FACTS, MAX_BANK_TOKENS, ContentMemory
from titans_core.recitation.recitation import MIN_TOKEN_SCORE

DIM = 576
VOCABULARY = 1000


def facts(count, length=6, seed=0):
    """Random facts, each a pair of states and tokens."""
    generator = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randn(length, DIM, generator=generator),
            torch.randint(VOCABULARY, (length,), generator=generator),
        )
        for _ in range(count)
    ]


def memory_of(*taught):
    memory = ContentMemory(DIM)
    for states, tokens in taught:
        memory.write(states, tokens)
    return memory


def read(memory, slot, states):
    return memory.read(states, torch.full((len(states),), slot), VOCABULARY)


def known(memory, slot, fact):
    """Whether a fact is read back token for token, each with a score high enough to be recited."""
    tokens, scores = read(memory, slot, fact[0])
    return torch.equal(tokens, fact[1]) and bool((scores >= MIN_TOKEN_SCORE).all())


def assert_equal(memory, other):
    tensors, others = memory.tensors(), other.tensors()
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)


@pytest.fixture(scope="module")
def three_banks():
    """A memory with two banks that are full of facts, and one more fact; and these facts."""
    taught = facts(2 * MAX_BANK_FACTS + 1)
    return memory_of(*taught), taught


def test_what_was_written_is_read_back_from_every_bank(three_banks):
    memory, taught = three_banks
    assert len(memory) == len(taught)
    assert all(known(memory, slot, fact) for slot, fact in enumerate(taught))


def test_a_bank_that_is_full_of_tokens_knows_them_all():
    taught = facts(MAX_BANK_FACTS, length=MAX_BANK_TOKENS // MAX_BANK_FACTS)
    memory = memory_of(*taught)
    assert [bank.tokens for bank in memory.banks] == [MAX_BANK_TOKENS]
    assert all(known(memory, slot, fact) for slot, fact in enumerate(taught))


def test_one_text_may_fill_a_bank():
    [fact] = facts(1, length=MAX_BANK_TOKENS)
    assert known(memory_of(fact), 0, fact)


def test_states_shorter_than_a_key_are_learned_too():
    memory = ContentMemory(48)
    states, tokens = facts(1)[0]
    memory.write(states[:, :48], tokens)
    assert known(memory, 0, (states[:, :48], tokens))


def test_states_that_were_never_written_score_low(three_banks):
    memory, _ = three_banks
    strange = torch.cat([states for states, _ in facts(40, seed=1)])
    scores = read(memory, MAX_BANK_FACTS + 3, strange)[1]
    assert (scores < MIN_TOKEN_SCORE).float().mean() > 0.95
    assert scores.median() < MIN_TOKEN_SCORE / 2 + 0.1


def test_facts_that_begin_alike_are_told_apart_by_their_place():
    [(states, tokens), (_, others)] = facts(2)
    memory = memory_of((states, tokens), (states, others))
    assert known(memory, 0, (states, tokens))
    assert known(memory, 1, (states, others))


def test_a_bank_is_full_with_so_many_facts(three_banks):
    memory, _ = three_banks
    assert [bank.facts for bank in memory.banks] == [MAX_BANK_FACTS, MAX_BANK_FACTS, 1]
    assert [bank.tokens for bank in memory.banks] == [6 * MAX_BANK_FACTS, 6 * MAX_BANK_FACTS, 6]


def test_a_bank_is_full_when_the_next_fact_does_not_fit():
    memory = memory_of(*facts(1, length=MAX_BANK_TOKENS - 6), *facts(1, length=6))
    assert [bank.tokens for bank in memory.banks] == [MAX_BANK_TOKENS]
    memory.write(*facts(1, length=1)[0])
    assert [(bank.facts, bank.tokens) for bank in memory.banks] == [(2, MAX_BANK_TOKENS), (1, 1)]
    assert [bank.tokens for bank in memory_of(*facts(1, length=MAX_BANK_TOKENS - 6), *facts(1, length=7)).banks] == [
        MAX_BANK_TOKENS - 6,
        7,
    ]


def test_later_writes_change_no_sealed_bank():
    taught = facts(MAX_BANK_FACTS + 4)
    memory = memory_of(*taught[:MAX_BANK_FACTS])
    sealed = memory.banks[0].weights.clone()
    for fact in taught[MAX_BANK_FACTS:]:
        memory.write(*fact)
    assert torch.equal(memory.banks[0].weights, sealed)


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        (200, MAX_BANK_FACTS + 8),
        (MAX_BANK_FACTS + 8, MAX_BANK_FACTS + 8),
        (MAX_BANK_FACTS + 7, MAX_BANK_FACTS),
        (31, 0),
    ],
)
def test_only_whole_banks_are_kept(wanted, kept):
    taught = facts(MAX_BANK_FACTS + 8, length=2)
    memory = memory_of(*taught)
    assert memory.truncate(wanted) == len(memory) == kept
    assert all(known(memory, slot, fact) for slot, fact in enumerate(taught[:kept]))


def test_after_forgetting_it_is_as_if_it_had_never_known():
    taught, others = facts(MAX_BANK_FACTS + 8, length=2), facts(3, length=2, seed=1)
    memory = memory_of(*taught)
    memory.truncate(MAX_BANK_FACTS + 2)
    for fact in others:
        memory.write(*fact)
    assert_equal(memory, memory_of(*taught[:MAX_BANK_FACTS], *others))
    memory.truncate(0)
    assert len(memory) == 0
    for fact in others:
        memory.write(*fact)
    assert_equal(memory, memory_of(*others))


def test_a_bank_that_a_forgotten_fact_had_closed_takes_another():
    big, middle, small = (
        facts(1, length=MAX_BANK_TOKENS - 8)[0],
        facts(1, length=10, seed=1)[0],
        facts(1, length=5, seed=2)[0],
    )
    memory = memory_of(big, middle)
    assert memory.truncate(1) == 0
    memory.write(*big)
    memory.write(*small)
    assert_equal(memory, memory_of(big, small))


def test_the_oldest_bank_is_let_go_and_the_others_stay(three_banks):
    _, taught = three_banks
    memory = memory_of(*taught)
    assert memory.drop() == MAX_BANK_FACTS
    assert len(memory) == MAX_BANK_FACTS + 1
    assert all(known(memory, slot, fact) for slot, fact in enumerate(taught[MAX_BANK_FACTS:]))
    memory.write(*facts(1, seed=1)[0])
    assert known(memory, MAX_BANK_FACTS, taught[-1])
    assert known(memory, MAX_BANK_FACTS + 1, facts(1, seed=1)[0])


def test_size_grows_by_one_matrix_a_bank(three_banks):
    memory, _ = three_banks
    matrix = KEY_DIM * CODE_DIM * 4
    one = memory_of(*facts(1)).nbytes
    assert ContentMemory(DIM).nbytes == 0
    assert one > matrix
    assert memory_of(*facts(3)).nbytes == one
    assert memory.nbytes == one + 2 * matrix


def test_what_is_restored_is_the_same_and_goes_on_the_same(three_banks):
    _, taught = three_banks
    memory, restored = memory_of(*taught), ContentMemory(DIM)
    restored.restore(memory.tensors())
    assert_equal(restored, memory)
    for one in (memory, restored):
        one.write(*facts(1, seed=1)[0])
    assert [bank.facts for bank in restored.banks] == [MAX_BANK_FACTS, MAX_BANK_FACTS, 2]
    assert_equal(restored, memory)


def test_a_memory_without_an_open_bank_is_restored_too():
    memory, restored = memory_of(*facts(MAX_BANK_FACTS + 1, length=1)), ContentMemory(DIM)
    memory.truncate(MAX_BANK_FACTS)
    for source in (memory, ContentMemory(DIM)):
        restored.restore(source.tensors())
        assert_equal(restored, source)


def test_nothing_is_restored_when_something_is_missing():
    memory, restored = memory_of(*facts(MAX_BANK_FACTS + 1, length=1)), memory_of(*facts(2))
    before = restored.tensors()
    tensors = memory.tensors()
    del tensors["bank.1"]
    with pytest.raises(KeyError):
        restored.restore(tensors)
    assert all(torch.equal(before[name], tensor) for name, tensor in restored.tensors().items())
