"""A thousand tenants with similar names: no turn is recalled for another tenant, or shows in another's weights."""

from itertools import product

import numpy as np
import pytest

from support.recorded import RecordedReader
from titans_core import MemoryBank
from titans_core.errors import ClosedMemoryError, InvalidSpecError, InvalidTenantError
from titans_core.retrieval.associative import token_weights

QUESTION = "What is the password of this house?"
PEOPLE = ["Ada", "Tom", "Zoe", "Jonas", "Mireille", "Kofi", "Ingrid", "Pavel", "Aiko", "Rosa"]
THINGS = ["a boat", "two lemon trees", "a red bicycle", "an old piano", "a share in a bakery", "nine hens", "a kiln"]
PLACES = ["Exeter", "Lisbon", "Porto", "Tromsø", "Graz", "Accra", "Kyoto", "Lima", "Cork", "Bilbao"]


def confusable_names(count):
    """Names that differ only in case, accents, white space, wildcards or special characters of SQL."""
    stems = [
        "foo",
        "Foo",
        "FOO",
        "föö",
        "foo ",
        " foo",
        "f_o",
        "f%",
        "foo.bar",
        "foo/bar",
        "foo*",
        "'--",
        'f"o',
        "fo\0o",
    ]
    ends = ["", *(f"{mark}{number}" for number, mark in product(range(1, 100), ["", "_", "%", "."]))]
    names = [stem + end for end in ends for stem in stems]
    return names[:count]


def recalls_over_tenants(bank, names, rounds, each):
    """Ask every tenant for its password, in `rounds` rounds, and count the wrong recalls."""
    wrong = 0
    for _ in range(rounds):
        for name in names:
            memory = bank.tenant(name)
            for _ in range(each):
                found = memory.recall(QUESTION, k=10)
                wrong += [recall.text for recall in found] != [password(name)]
    return wrong


def password(name):
    return f"The password of this house is {name!r}."


def fill(path, reader, count):
    names = confusable_names(count)
    assert len(set(names)) == count
    recorded = RecordedReader(reader, [("", QUESTION), *(("", password(name)) for name in names)])
    bank = MemoryBank(path, reader=recorded, max_open=50)
    for name in names:
        bank.tenant(name).memorize(password(name), id="password")
    return bank, names


def test_no_recall_finds_another_tenants_turn(reader, tmp_path):
    bank, names = fill(tmp_path / "memory.db", reader, 60)  # 50 of them are awake at a time
    with bank:
        assert recalls_over_tenants(bank, names, rounds=2, each=3) == 0
        assert bank.tenants() == sorted(names)


@pytest.mark.slow
def test_no_recall_of_a_hundred_thousand_finds_another_tenants_turn(reader, tmp_path):
    bank, names = fill(tmp_path / "memory.db", reader, 1000)
    with bank:
        assert recalls_over_tenants(bank, names, rounds=4, each=25) == 0


def statements(count):
    """Different facts, drawn from one distribution."""
    facts = [f"{who} has {what} in {where}." for who, what, where in product(PEOPLE, THINGS, PLACES)]
    return [str(fact) for fact in np.random.default_rng(4).permutation(facts)[:count]]


def surprises(memory, reader, texts):
    """The two scores that an attacker could use: how well the weights predict each text, and its best similarity."""
    cache = memory._learned.learner
    predicted = [-float(token_weights(cache.spec, cache.state, reading.keys).mean()) for reading in reader.read(texts)]
    recalled = [max((recall.similarity for recall in memory.recall(text)), default=0.0) for text in texts]
    return np.array(predicted), np.array(recalled)


def auc(members, others):
    """The probability that a member has a higher score than a text of the others."""
    return float((members[:, None] > others).mean() + (members[:, None] == others).mean() / 2)


def worlds(path, reader, count):
    """Scores of both tenants in two worlds.

    In each world, alice says the half of the facts that she does not say in the other. Bob says the same in both.
    """
    facts = statements(2 * count)
    halves = facts[:count], facts[count:]
    recorded = RecordedReader(reader, [("", text) for text in [*facts, *BOBS]])
    for world, (said, unsaid) in enumerate([halves, halves[::-1]]):
        with MemoryBank(path / f"{world}.db", reader=recorded) as bank:
            bank.tenant("bob").memorize_many(BOBS[:2])
            bank.tenant("alice").memorize_many(said)
            bank.tenant("bob").memorize_many(BOBS[2:])
            yield {
                name: [surprises(bank.tenant(name), recorded, texts) for texts in (said, unsaid)]
                for name in ("alice", "bob")
            }


BOBS = ["I prefer tea.", "Ada has a boat in Cork.", "The boiler was repaired.", "Kofi sold the kiln."]


def membership(path, reader, count):
    """AUC of the question whether alice said a text, from alice's memory and from bob's, by surprise and by recall."""
    found = list(worlds(path, reader, count))
    return {
        name: [
            auc(*(np.concatenate([world[name][role][score] for world in found]) for role in (0, 1))) for score in (0, 1)
        ]
        for name in ("alice", "bob")
    }


def check_membership(path, reader, count, record_property):
    found = membership(path, reader, count)
    record_property("AUC by surprise and by recall", found)
    assert min(found["alice"]) > 0.55  # alice's own memory shows it, so the test can see it: a little by surprise,
    assert max(found["alice"]) > 0.99  # with certainty by recall
    assert found["bob"] == pytest.approx([0.5, 0.5], abs=0.02)


def test_another_tenants_weights_do_not_tell_what_was_stored(reader, tmp_path, record_property):
    check_membership(tmp_path, reader, 40, record_property)


@pytest.mark.slow
def test_another_tenants_weights_do_not_tell_what_was_stored_of_seven_hundred(reader, tmp_path, record_property):
    check_membership(tmp_path, reader, 350, record_property)


def test_memories_sleep_when_there_are_too_many_and_wake_when_they_are_used(reader, tmp_path):
    with MemoryBank(tmp_path / "memory.db", reader=reader, max_open=2) as bank:
        memories = {name: bank.tenant(name) for name in ("a", "b", "c", "d")}
        for name, memory in memories.items():
            memory.memorize(password(name))
            assert bank.tenant(name) is memory
        for _ in range(3):
            for name in "abcd":
                assert bank.tenant(name).recall(QUESTION).best.text == password(name)
        assert [memory._learned.suspended for memory in memories.values()] == [True, True, False, False]
        memories["a"].suspend()  # a second call is no error
        assert memories["a"].memorize("One more.").learned  # it wakes although nobody called `bank.tenant`
        assert not memories["a"].closed
    with pytest.raises(ClosedMemoryError):
        memories["b"].turns()


def test_a_sleeping_memory_remembers_what_it_recalled(reader, tmp_path):
    with MemoryBank(tmp_path / "memory.db", reader=reader, max_open=1) as bank:
        alice = bank.tenant("alice")
        alice.memorize("I prefer tea.")
        alice.recall("What do I prefer?")
        alice.memorize("I live in Cork.")  # so that there is something new to save
        bank.tenant("bob")
        assert alice.recall("Where do I live?").best.text == "I live in Cork."
        assert sorted(alice._learned.learner.recalled.values()) == [1, 1]


def test_one_memory_may_be_awake_at_least(reader):
    with pytest.raises(InvalidSpecError, match="max_open"):
        MemoryBank(":memory:", reader=reader, max_open=0)


def test_a_forgotten_tenant_is_as_new(reader, tmp_path):
    path = tmp_path / "memory.db"
    with MemoryBank(path, reader=reader) as bank:
        bank.tenant("alice").memorize("My PIN is xylophone-7731.", session="quixotic-session")
        bank.tenant("bob").memorize("I prefer tea.")
        alice = bank.tenant("alice")
        assert bank.forget_tenant("alice") == 1
        assert alice.closed
        assert bank.tenants() == ["bob"]
        left = [file.read_bytes() for file in tmp_path.iterdir()]
        assert not any(mark in content for content in left for mark in (b"ylophone", b"quixotic"))
        assert bank.tenant("alice").turns() == []
        bank.tenant("alice").memorize("I am back.")
        assert bank.tenants() == ["alice", "bob"]
        with pytest.raises(InvalidTenantError):
            bank.forget_tenant("")


def test_another_process_may_go_on_with_a_tenant_that_was_forgotten(reader, tmp_path):
    path = tmp_path / "memory.db"
    with MemoryBank(path, reader=reader) as here, MemoryBank(path, reader=reader) as there:
        here.tenant("alice").memorize_many(["I prefer tea.", "I live in Cork."])
        there.tenant("alice").recall("What do I prefer?")
        here.forget_tenant("alice")
        assert there.tenant("alice").turns() == []
        assert len(there.tenant("alice").recall("What do I prefer?")) == 0
        there.tenant("alice").memorize("I prefer coffee.")
        assert there.tenant("alice").recall("What do I prefer?").best.text == "I prefer coffee."
        assert [turn.text for turn in here.tenant("alice").turns()] == ["I prefer coffee."]
