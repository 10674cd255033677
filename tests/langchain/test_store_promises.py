"""What `TitansStore` promises beyond LangGraph's `InMemoryStore`, and the errors of that store that it avoids."""

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.store.base import GetOp, InvalidNamespaceError, ListNamespacesOp, MatchCondition, PutOp, SearchOp

from support.looping import stops_the_loop
from support.store_items import ALICE, FACTS, ITEMS, keys
from titans_core import MemoryBank, Turn
from titans_core.errors import InvalidQueryError, InvalidTurnError, StorageBusyError
from titans_langchain.identity import STORE_PREFIX
from titans_langchain.store import TitansStore
from titans_langchain.store.items import ScoredItem, id_of, key_of, namespace_of, tenant_of


class Clock:
    """A clock that a test moves."""

    def __init__(self):
        self.now = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)

    def pass_minutes(self, minutes):
        self.now += timedelta(minutes=minutes)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("titans_langchain.store.store._now", lambda: clock.now)
    return clock


@pytest.fixture
def titans(bank):
    return TitansStore(bank)


@pytest.fixture
def store_with_facts(titans):
    titans.batch([PutOp(ALICE, key, value) for key, value in FACTS.items()])
    return titans


@pytest.mark.parametrize(
    "namespace",
    [(), ("",), ("a", ""), (1,), (None,), ("a\0b",), ("\ud800",), ("langgraph",), ("langgraph", "a"), "memories"],
)
async def test_trap_10_bad_labels_are_refused_through_batch_too(titans, namespace):
    good = PutOp(ALICE, "k", {"text": "Tea, please."})
    for op in (PutOp(namespace, "k", {"n": 1}), PutOp(namespace, "k", None), GetOp(namespace, "k")):
        with pytest.raises(InvalidNamespaceError):
            titans.batch([good, op])
        with pytest.raises(InvalidNamespaceError):
            await titans.abatch([good, op])
    with pytest.raises(InvalidNamespaceError):
        titans.put(namespace, "k", {"n": 1})
    assert titans.get(ALICE, "k") is None
    assert titans.list_namespaces() == []


def test_trap_10_bad_labels_are_refused_in_prefixes(titans):
    for path in (("",), (1,), ("a\0b",)):
        for op in (SearchOp(path), ListNamespacesOp((MatchCondition("suffix", path),))):
            with pytest.raises(InvalidNamespaceError):
                titans.batch([op])
    with pytest.raises(InvalidQueryError, match="'prefix' or 'suffix'"):
        titans.batch([ListNamespacesOp((MatchCondition("infix", ("a",)),))])


async def test_trap_10_dots_are_allowed_everywhere(titans):
    namespace, other = ("memories", "alice@example.org"), ("memories", "alice@example", "org")
    titans.put(namespace, "k", {"n": 1})
    await titans.aput(other, "k", {"n": 2})
    assert titans.get(namespace, "k").value == (await titans.aget(namespace, "k")).value == {"n": 1}
    assert keys(titans.search(namespace)) == keys(await titans.asearch(namespace)) == ["k"]
    expected = [namespace]
    assert titans.list_namespaces(prefix=namespace) == await titans.alist_namespaces(suffix=namespace) == expected
    titans.delete(namespace, "k")
    await titans.adelete(other, "k")
    assert titans.search(()) == []


def test_trap_11_what_cannot_be_ordered_does_not_match(titans):
    titans.batch([PutOp(ALICE, key, value, index=False) for key, value in ITEMS.items()])
    assert keys(titans.search(ALICE, filter={"n": {"$gt": 1}})) == ["two", "many"]
    assert keys(titans.search(ALICE, filter={"absent": {"$lt": 1}})) == []
    assert keys(titans.search(ALICE, filter={"tags": {"$gte": 1}})) == []
    assert keys(titans.search(ALICE, filter={"n": {"$lte": "x"}})) == ["many"]
    assert keys(titans.search(ALICE, filter={"n": {"$lt": 10**400}})) == []
    assert keys(titans.search(ALICE, filter={"day": {"$gt": "2026-01-01"}})) == ["many"]


@pytest.mark.parametrize("condition", [{"n": {"$in": [1]}}, {"a": {"b": {"$in": 1}}}, {"a": [{"$gt": 1, "b": 2}]}])
def test_trap_11_an_unknown_operator_is_named(titans, condition):
    with pytest.raises(InvalidQueryError, match=r"\$eq, \$ne, \$gt, \$gte, \$lt, \$lte, not (\$in|b)"):
        titans.search(ALICE, filter=condition)


def test_a_filter_comes_before_the_ranking(bank):
    store = TitansStore(bank, abstain=False)
    store.batch([PutOp(ALICE, f"k{n}", {"text": f"The code of door {n} is {n * 37}.", "door": n}) for n in range(20)])
    found = store.search(ALICE, query="What is the code of door 3?", filter={"door": 7}, limit=1)
    assert [(item.key, item.score is not None) for item in found] == [("k7", True)]


def test_limits_below_zero_and_unknown_ops_are_refused(titans):
    for op in (SearchOp(ALICE, limit=-1), SearchOp(ALICE, offset=-1), ListNamespacesOp(limit=-1), "get"):
        with pytest.raises(InvalidQueryError):
            titans.batch([PutOp(ALICE, "k", {"n": 1}), op])
    assert titans.get(ALICE, "k") is None


def test_trap_12_an_item_keeps_the_time_at_which_it_was_created(titans, clock):
    began = clock.now
    titans.put(ALICE, "k", {"text": "Tea, please."})
    for value in ({"text": "Tea, please."}, {"text": "Coffee, please."}):
        clock.pass_minutes(1)
        titans.put(ALICE, "k", value)
        item = titans.get(ALICE, "k")
        assert (item.value, item.created_at, item.updated_at) == (value, began, clock.now)
    titans.delete(ALICE, "k")
    titans.put(ALICE, "k", {"text": "Tea, please."})
    assert titans.get(ALICE, "k").created_at == clock.now


def test_the_same_text_is_not_learned_again(titans, bank):
    titans.put(ALICE, "k", {"text": "Tea, please."}, index=["text"])
    memory = bank.tenant(tenant_of(ALICE))
    epoch = memory._learned.log.head().epoch
    titans.put(ALICE, "k", {"text": "Tea, please.", "seen": 2}, index=["text"])
    assert memory._learned.log.head().epoch == epoch
    assert titans.get(ALICE, "k").value["seen"] == 2
    titans.put(ALICE, "k", {"text": "Coffee, please."}, index=["text"])
    assert memory._learned.log.head().epoch == epoch + 1


def test_trap_13_changing_a_result_changes_nothing_stored(titans):
    value = {"text": "Tea, please.", "tags": ["a"]}
    titans.put(ALICE, "k", value)
    value["tags"].append("b")
    titans.get(ALICE, "k").value["tags"].append("c")
    titans.search(ALICE)[0].value["tags"].append("d")
    titans.search(ALICE, query="Tea?")
    assert titans.get(ALICE, "k").value == {"text": "Tea, please.", "tags": ["a"]}


def test_trap_13_reading_and_deleting_create_no_namespace(titans, bank, tmp_path):
    assert titans.get(ALICE, "k") is None
    assert titans.search(ALICE, query="What is the secret code?") == []
    titans.delete(ALICE, "k")
    assert titans.sweep_ttl() == 0
    assert not (tmp_path / "memory.db").exists()
    titans.put(ALICE, "k", {"n": 1})
    titans.delete(ALICE, "k")
    assert titans.list_namespaces() == []
    assert titans.get(ALICE, "k") is None


def test_trap_14_what_has_expired_is_not_there(bank, clock):
    store = TitansStore(bank, ttl={"omit_expired": False, "default_ttl": 10, "refresh_on_read": False})
    store.put(ALICE, "default", {"text": "The secret code is X-8-DELTA-9."})
    store.put(ALICE, "longer", {"text": "The boiler leaks."}, ttl=20)
    store.put(ALICE, "ever", {"text": "Ada owns a canoe."}, ttl=None)
    store.batch([PutOp(ALICE, "raw", {"n": 1})])
    clock.pass_minutes(9.9)
    assert store.get(ALICE, "default").value["text"].startswith("The secret")
    assert keys(store.search(ALICE)) == ["default", "longer", "ever", "raw"]
    clock.pass_minutes(0.1)
    assert store.get(ALICE, "default") is None
    assert keys(store.search(ALICE)) == ["longer", "ever", "raw"]
    for abstain in (True, False):
        found = TitansStore(bank, abstain=abstain).search(ALICE, query="What is the secret code?", refresh_ttl=False)
        assert "default" not in keys(found)
    clock.pass_minutes(10)
    assert keys(store.search(ALICE)) == ["ever", "raw"]


def test_reading_lets_an_item_live_on(bank, clock):
    store = TitansStore(bank)
    store.put(ALICE, "got", {"text": "The secret code is X-8-DELTA-9."}, ttl=10)
    store.put(ALICE, "found", {"text": "The boiler leaks.", "n": 1}, ttl=10)
    store.put(ALICE, "left", {"text": "Ada owns a canoe."}, ttl=10)
    updated = store.get(ALICE, "got").updated_at
    for _ in range(3):
        clock.pass_minutes(6)
        assert store.get(ALICE, "got").updated_at == updated
        assert keys(store.search(ALICE, filter={"n": 1})) == ["found"]
        store.get(ALICE, "left", refresh_ttl=False)
        store.search(ALICE, filter={"text": "Ada owns a canoe."}, refresh_ttl=False)
    assert store.get(ALICE, "left") is None
    clock.pass_minutes(9)
    TitansStore(bank, ttl={"refresh_on_read": False}).get(ALICE, "got")
    clock.pass_minutes(1)
    assert store.search(ALICE) == []


def test_a_query_lets_what_it_finds_live_on(store_with_facts, clock):
    store_with_facts.put(ALICE, "code", FACTS["code"], ttl=10)
    clock.pass_minutes(9)
    assert keys(store_with_facts.search(ALICE, query="What is the secret code?", limit=1)) == ["code"]
    clock.pass_minutes(9)
    assert store_with_facts.get(ALICE, "code") is not None


def test_what_is_put_after_it_has_expired_is_new(titans, clock):
    for text in ("Tea, please.", "Coffee, please.", "Coffee, please."):
        titans.put(ALICE, "k", {"text": text}, ttl=1)
        clock.pass_minutes(1)
        titans.put(ALICE, "k", {"text": text}, ttl=1)
        assert titans.get(ALICE, "k").created_at == clock.now
        clock.pass_minutes(1)


def test_a_sweep_deletes_what_has_expired(titans, bank, clock):
    titans.put(ALICE, "k", {"n": 1}, ttl=1)
    titans.put(ALICE, "l", {"n": 2}, ttl=3)
    titans.put(("other",), "k", {"n": 3}, ttl=1)
    bank.tenant("alice").memorize("Not the store's own.")
    assert titans.sweep_ttl() == 0
    clock.pass_minutes(1)
    assert titans.sweep_ttl() == 2
    assert [turn.id for turn in bank.tenant(tenant_of(ALICE)).turns()] == ["l"]
    assert titans.list_namespaces() == [ALICE]
    assert titans.sweep_ttl() == 0


def test_the_sweeper_sweeps_until_it_is_stopped(bank, clock, monkeypatch, caplog):
    store = TitansStore(bank, ttl={"sweep_interval_minutes": 0.0005})
    store.put(ALICE, "k", {"n": 1}, ttl=1)
    store.put(("other",), "k", {"n": 1})
    clock.pass_minutes(1)
    swept, sweep = [], store.sweep_ttl

    def failing_at_first():
        swept.append(None)
        if len(swept) == 1:
            raise StorageBusyError("Another process has held the file for too long.")
        return sweep()

    monkeypatch.setattr(store, "sweep_ttl", failing_at_first)
    with caplog.at_level(logging.WARNING):
        store.start_ttl_sweeper()
        thread = store._sweeper[0]
        store.start_ttl_sweeper()
        assert store._sweeper[0] is thread
        until = time.monotonic() + 10
        while store.list_namespaces() != [("other",)]:
            assert time.monotonic() < until
            time.sleep(0.01)
    store.stop_ttl_sweeper()
    store.stop_ttl_sweeper()
    assert not thread.is_alive()
    assert [record.message for record in caplog.records] == [
        "Expired items could not be deleted; the next sweep tries again."
    ]


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), "10"])
def test_a_time_to_live_is_a_positive_number_of_minutes(titans, ttl):
    with pytest.raises(InvalidTurnError, match="positive number of minutes"):
        titans.put(ALICE, "k", {"n": 1}, ttl=ttl)


def test_trap_15_what_is_put_is_found_at_once(titans):
    for key, value in FACTS.items():
        titans.put(ALICE, key, value)
        assert titans.search(ALICE, query=value["text"])[0].key == key
        assert key in keys(titans.search(ALICE))


def test_trap_20_namespaces_share_nothing(store_with_facts):
    query = "What is the secret code?"
    before = store_with_facts.search(ALICE, query=query)
    mallory = ("memories", "mallory")
    store_with_facts.batch(
        [PutOp(mallory, f"k{n}", {"text": f"The secret code of door {n} is {n * 37}."}) for n in range(20)]
    )
    assert [item.dict() for item in store_with_facts.search(ALICE, query=query)] == [item.dict() for item in before]
    assert {item.namespace for item in store_with_facts.search(mallory, query=query)} == {mallory}
    assert store_with_facts.search(mallory, query="Who has moved to Lisbon?") == []


@pytest.mark.parametrize(
    "value",
    [{"a": object()}, {"a": {1, 2}}, {"a": float("nan")}, {"a": datetime.now(UTC)}, {"a": "\ud800"}, ["a"], "a"],
)
def test_what_json_does_not_hold_is_refused_before_anything_is_written(titans, value):
    with pytest.raises(InvalidTurnError):
        titans.batch([PutOp(("other",), "k", {"n": 1}), PutOp(ALICE, "k", value)])
    assert titans.list_namespaces() == []


def test_a_key_is_a_text(titans):
    for op in (PutOp(ALICE, 5, {"n": 1}), GetOp(ALICE, "\ud800")):
        with pytest.raises(InvalidTurnError, match="key"):
            titans.batch([op])
    titans.put(ALICE, 5, {"n": 1})  # LangGraph's methods convert a key to text
    assert titans.get(ALICE, 5).key == "5"


def test_scored_items_say_how_far_to_trust_them(store_with_facts):
    found = store_with_facts.search(ALICE, query="What is the secret code?")
    assert isinstance(found[0], ScoredItem)
    assert (found[0].key, found[0].confidence) == ("code", "high")
    assert {item.confidence for item in found[1:]} <= {"low"}
    assert found[0].dict()["confidence"] == "high"
    assert found[0].dict()["score"] == found[0].score
    assert all(0 <= item.score <= 1 for item in found)
    assert [item.confidence for item in store_with_facts.search(ALICE)] == [None] * len(FACTS)


async def test_a_question_that_nothing_answers_finds_nothing(store_with_facts):
    for query in ("Who won the football world cup?", "How tall is the Eiffel tower?"):
        assert store_with_facts.search(ALICE, query=query) == []
        assert await store_with_facts.asearch((), query=query) == []


def test_without_abstaining_it_is_labelled_none(store_with_facts):
    found = TitansStore(store_with_facts.bank, abstain=False).search(ALICE, query="Who won the football world cup?")
    assert sorted(keys(found)) == sorted(FACTS)
    assert {item.confidence for item in found if item.score is not None} == {"none"}


def test_a_blank_query_is_none(store_with_facts):
    assert (
        keys(store_with_facts.search(ALICE, query=" ")) == keys(store_with_facts.search(ALICE, query="")) == list(FACTS)
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"content": "Alice likes tea."}, "Alice likes tea."),
        ({"content": {"text": "Alice likes tea."}, "note": None}, "Alice likes tea."),
        ({"a": "Tea", "b": {"c": [1, "two", {"d": True}]}, "e": " "}, "a: Tea\nb.c: 1\nb.c: two\nb.c.d: True"),
        ({"age": 30}, "age: 30"),
    ],
)
def test_a_value_is_read_as_text_not_as_json(titans, bank, value, text):
    titans.put(ALICE, "k", value)
    assert bank.tenant(tenant_of(ALICE)).get("k").text == text


def test_what_has_no_text_is_found_by_no_query(titans):
    titans.put(ALICE, "secret code", {"text": None})
    titans.put(ALICE, "the secret code", {"text": "The secret code is X-8-DELTA-9."}, index=False)
    titans.put(ALICE, "code", {"text": "The secret code is X-8-DELTA-9."}, index=[])
    assert titans.search(ALICE, query="What is the secret code?") == []
    assert len(titans.search(ALICE)) == 3


def test_a_store_outlives_its_process(reader, tmp_path):
    with MemoryBank(tmp_path / "memory.db", reader=reader) as bank:
        TitansStore(bank).batch([PutOp(ALICE, key, value) for key, value in FACTS.items()])
        before = [item.dict() for item in TitansStore(bank).search(ALICE, query="What is the secret code?")]
    with MemoryBank(tmp_path / "memory.db", reader=reader) as bank:
        store = TitansStore(bank)
        assert store.get(ALICE, "bruno").value == FACTS["bruno"]
        assert store.list_namespaces() == [ALICE]
        assert [item.dict() for item in store.search(ALICE, query="What is the secret code?")] == before


def test_a_store_works_in_memory(reader):
    with MemoryBank(":memory:", reader=reader) as bank:
        store = TitansStore(bank)
        store.put(ALICE, "code", FACTS["code"])
        assert store.list_namespaces() == [ALICE]
        assert keys(store.search((), query="What is the secret code?")) == ["code"]


def test_threads_may_put_one_key_at_once(titans, clock):
    def use(n):
        titans.put(ALICE, "k", {"text": f"Tea for {n}, please."}, ttl=60)
        return titans.get(ALICE, "k").created_at, titans.search(ALICE)[0].key

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(use, range(24))) == {(clock.now, "k")}


def test_a_read_does_not_undo_a_put_that_overtakes_it(titans, bank, monkeypatch):
    titans.put(ALICE, "k", {"n": 1}, ttl=10)
    memory = bank.tenant(tenant_of(ALICE))
    get = memory.get

    def overtaken_get(turn_id):
        turn = get(turn_id)
        monkeypatch.setattr(memory, "get", get)
        titans.put(ALICE, "k", {"n": 2}, ttl=10)
        return turn

    monkeypatch.setattr(memory, "get", overtaken_get)
    assert titans.get(ALICE, "k").value == {"n": 1}
    assert titans.get(ALICE, "k").value == {"n": 2}


async def test_the_loop_stays_free_while_the_model_reads(slow_reader):
    with MemoryBank(":memory:", reader=slow_reader) as bank:
        store = TitansStore(bank)
        put = store.aput(ALICE, "k", {"text": "Tea, please."})
        assert not await stops_the_loop(put)
        assert not await stops_the_loop(store.asearch(ALICE, query="Tea?"))


LABELS = st.text(st.sampled_from('a"/\\.*%é鍵') | st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4)
NAMESPACE = st.lists(LABELS, max_size=3).map(tuple)


@given(NAMESPACE, NAMESPACE)
def test_namespaces_are_encoded_reversibly_and_label_by_label(one, other):
    assert namespace_of(tenant_of(one)) == one
    assert tenant_of(one).startswith(STORE_PREFIX)
    for whole in (other, one + other):
        assert tenant_of(whole).startswith(tenant_of(one)) == (whole[: len(one)] == one)


@given(st.text(st.sampled_from('\0\\"a') | st.characters(exclude_categories=["Cs"])))
def test_keys_are_encoded_reversibly(key):
    turn_id = id_of(key)
    assert turn_id
    assert "\0" not in turn_id
    assert key_of(Turn("text", id=turn_id)) == key
