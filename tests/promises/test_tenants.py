"""Each tenant has its own memory. No tenant sees anything of another."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from titans_core import Confidence, MemoryBank, TitansMemory
from titans_core.errors import ClosedMemoryError, InvalidTenantError, UnknownTurnError

CONFUSABLE = ["foo", "foobar", "foo%", "f_o", "Foo", "foo.bar", "föö", "foo ", "'; DROP TABLE turns; --"]


@pytest.fixture
def bank(reader, tmp_path):
    with MemoryBank(tmp_path / "memory.db", reader=reader) as bank:
        yield bank


def test_confusable_names_share_nothing(bank):
    for name in CONFUSABLE:
        bank.tenant(name).memorize(f"The password of this house is {name!r}.", id="password")
    for name in CONFUSABLE:
        found = bank.tenant(name).recall("What is the password of this house?", k=100)
        assert [recall.text for recall in found] == [f"The password of this house is {name!r}."]
        assert len(bank.tenant(name).turns()) == 1


def test_what_others_store_does_not_move_a_tenants_recall(bank, reader):
    facts = ["Tom climbs at Bellever.", "The boiler leaks.", "Ada has a boat in Exeter."]
    bank.tenant("alice").memorize_many(facts)
    before = bank.tenant("alice").recall("Who has a boat?", k=5)
    bank.tenant("bob").memorize_many(["boat " * 20, "Who has a boat? Bob has a boat."] * 20)
    assert bank.tenant("alice").recall("Who has a boat?", k=5) == before
    alice, bob = (bank.tenant(name)._learned.learner.state.inverse for name in ("alice", "bob"))
    assert not torch.equal(alice, bob)


def test_forgetting_is_the_tenants_own(bank):
    for name in ("alice", "bob"):
        bank.tenant(name).memorize("The boiler leaks.", id="boiler", session="s")
    assert bank.tenant("alice").forget(session="s") == 1
    assert bank.tenant("bob").get("boiler").text == "The boiler leaks."
    with pytest.raises(UnknownTurnError):
        bank.tenant("alice").get("boiler")


def test_a_new_tenant_knows_nothing(bank):
    bank.tenant("alice").memorize("The boiler leaks.")
    assert bank.tenant("carol").recall("What leaks?").confidence is Confidence.NONE


def test_a_bank_keeps_one_memory_for_each_tenant_until_it_is_closed(bank):
    alice = bank.tenant("alice")
    assert bank.tenant("alice") is alice
    alice.close()
    again = bank.tenant("alice")
    assert again is not alice
    bank.close()
    with pytest.raises(ClosedMemoryError):
        again.turns()


def test_a_bank_refuses_a_missing_tenant(bank):
    with pytest.raises(InvalidTenantError):
        bank.tenant("")


def test_banks_share_their_file_with_open(bank, reader, tmp_path):
    bank.tenant("alice").memorize("The boiler leaks.")
    with TitansMemory.open(tmp_path / "memory.db", tenant="alice", reader=reader) as memory:
        assert (memory.tenant, memory.url) == ("alice", str(tmp_path / "memory.db"))
        assert len(memory.turns()) == 1


@pytest.mark.parametrize("url", ["memory.db", ":memory:"])
def test_a_bank_names_the_tenants_who_have_a_turn(reader, tmp_path, url):
    path = url if url == ":memory:" else tmp_path / url
    with MemoryBank(path, reader=reader) as bank:
        assert bank.tenants() == []
        for name in reversed(CONFUSABLE):
            bank.tenant(name).memorize("The boiler leaks.", id="boiler")
        bank.tenant("silent").recall("What leaks?")
        assert bank.tenants() == sorted(CONFUSABLE)
        assert bank.tenants(prefix="foo") == ["foo", "foo ", "foo%", "foo.bar", "foobar"]
        assert bank.tenants(prefix="f_") == ["f_o"]
        bank.tenant("foo").forget("boiler")
        assert "foo" not in bank.tenants()
    assert url == ":memory:" or MemoryBank(path, reader=reader).tenants(prefix="Foo") == ["Foo"]


def test_memory_and_bank_say_which_model_reads(bank, reader):
    assert bank.reader == bank.tenant("alice").reader == reader.fingerprint


def test_threads_that_use_one_tenant_at_once_get_the_same_memory(reader, tmp_path, monkeypatch):
    mark_used = MemoryBank._mark_used

    def slow(*args):
        time.sleep(0.1)
        mark_used(*args)

    monkeypatch.setattr(MemoryBank, "_mark_used", slow)
    with MemoryBank(tmp_path / "memory.db", reader=reader) as bank, ThreadPoolExecutor(4) as pool:
        assert len(set(map(id, pool.map(bank.tenant, ["alice"] * 4)))) == 1
