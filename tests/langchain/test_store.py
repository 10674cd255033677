"""`TitansStore` is a LangGraph store: every test here also passes with LangGraph's `InMemoryStore`."""

from datetime import UTC, datetime, timedelta

import pytest
from langgraph.store.base import GetOp, ListNamespacesOp, PutOp, SearchOp
from langgraph.store.memory import InMemoryStore

from support.store_items import ALICE, FACTS, ITEMS, keys
from titans_langchain.store import TitansStore

KEYS = [
    "",
    " ",
    "k",
    "a/b",
    "a.b",
    "100%",
    "_",
    "'; DROP TABLE turns; --",
    '"',
    "\\",
    '\\"k"',
    "a\0b",
    "a",
    "ключ",
    "鍵🗝️",
]


@pytest.fixture(params=["InMemoryStore", "TitansStore"])
def store(request, bank, reader):
    """Either store; `TitansStore` without abstaining, because `InMemoryStore` always returns the nearest items."""
    if request.param == "TitansStore":
        return TitansStore(bank, fields=["text"], abstain=False)

    def embed(texts):
        return [reading.pooled.tolist() for reading in reader.read(texts)]

    return InMemoryStore(index={"dims": reader.dim, "embed": embed, "fields": ["text"]})


def test_what_is_put_is_got(store):
    before = datetime.now(UTC)
    store.put(ALICE, "k", {"text": "Tea, please."})
    item = store.get(ALICE, "k")
    assert (item.namespace, item.key, item.value) == (ALICE, "k", {"text": "Tea, please."})
    assert before <= item.created_at <= item.updated_at <= datetime.now(UTC)
    assert item.created_at.utcoffset() == timedelta(0)


def test_what_was_never_put_is_none(store):
    assert store.get(ALICE, "k") is None
    store.put(ALICE, "k", {"n": 1})
    assert store.get(ALICE, "K") is None
    assert store.get(("memories",), "k") is None


def test_a_put_replaces_the_whole_value(store):
    store.put(ALICE, "k", {"text": "Tea, please.", "n": 1})
    store.put(ALICE, "k", {"text": "Coffee, please."})
    assert store.get(ALICE, "k").value == {"text": "Coffee, please."}
    assert keys(store.search(ALICE)) == ["k"]


def test_what_is_deleted_is_gone(store):
    store.put(ALICE, "k", {"n": 1})
    store.put(ALICE, "l", {"n": 2})
    store.delete(ALICE, "k")
    store.delete(ALICE, "k")
    store.delete(("nobody",), "k")
    assert store.get(ALICE, "k") is None
    assert keys(store.search(ALICE)) == ["l"]


def test_any_text_is_a_key(store):
    store.batch([PutOp(ALICE, key, {"n": n}, index=False) for n, key in enumerate(KEYS)])
    assert keys(store.search(ALICE, limit=100)) == KEYS
    assert [store.get(ALICE, key).value["n"] for key in KEYS] == list(range(len(KEYS)))
    store.delete(ALICE, "a\0b")
    assert store.get(ALICE, "a\0b") is None
    assert store.get(ALICE, "a").key == "a"


def test_any_json_is_a_value(store):
    value = {"": None, "n": [1, -2.5, True, []], "deep": {"'": {"ü\n": "\0"}}, "empty": "", "text": " "}
    store.put(ALICE, "k", value)
    store.put(ALICE, "nothing", {})
    assert store.get(ALICE, "k").value == value
    assert store.get(ALICE, "nothing").value == {}


def test_a_prefix_ends_between_two_labels(store):
    namespaces = [
        ("foo",),
        ("foobar",),
        ("foo", "bar"),
        ("fo",),
        ("f_o",),
        ("foo%",),
        ('foo"/"bar',),
        ("Foo",),
        ("föö",),
    ]
    for namespace in namespaces:
        store.put(namespace, "k", {"at": list(namespace)})
    assert [item.namespace for item in store.search(("foo",))] == [("foo",), ("foo", "bar")]
    assert [item.namespace for item in store.search(("f_o",))] == [("f_o",)]
    assert [item.namespace for item in store.search(("foo", "b"))] == []
    assert [item.namespace for item in store.search((), limit=100)] == namespaces
    assert store.list_namespaces(prefix=("foo",)) == [("foo",), ("foo", "bar")]
    assert store.list_namespaces() == sorted(namespaces)


def test_a_search_without_a_query_keeps_the_order_of_the_puts(store):
    for key in "cab":
        store.put(ALICE, key, {"text": key})
    store.put(("memories", "aaron"), "z", {"text": "z"})
    store.put(ALICE, "d", {"text": "d"})
    store.put(ALICE, "a", {"text": "another a"})
    found = store.search(("memories",))
    assert keys(found) == ["c", "a", "b", "d", "z"]
    assert [item.score for item in found] == [None] * 5


def test_limit_and_offset_cut_a_page(store):
    for key in "abcde":
        store.put(ALICE, key, {"n": 1}, index=False)
    assert keys(store.search(ALICE, limit=2)) == ["a", "b"]
    assert keys(store.search(ALICE, limit=2, offset=2)) == ["c", "d"]
    assert keys(store.search(ALICE, limit=2, offset=4)) == ["e"]
    assert keys(store.search(ALICE, offset=5)) == []
    assert keys(store.search(ALICE, limit=0)) == []
    assert len(store.search(ALICE)) == 5


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({}, ["one", "two", "many", "none"]),
        ({"n": 1}, ["one"]),
        ({"n": 3}, []),
        ({"n": None}, ["none"]),
        ({"n": "1"}, []),
        ({"absent": None}, ["one", "two", "many", "none"]),
        ({"n": 1, "tags": ["a"]}, []),
        ({"tags": ["a", "b"]}, ["one"]),
        ({"tags": ("a",)}, ["two"]),
        ({"tags": []}, ["many"]),
        ({"place": {"city": "Rome"}}, ["one"]),
        ({"place": {"zip": {"$eq": "00118"}}}, ["one"]),
        ({"place": {}}, ["one", "two"]),
        ({"n": {"$eq": 2}}, ["two"]),
        ({"n": {"$ne": 2}}, ["one", "many", "none"]),
        ({"tags": {"$ne": ["a"]}}, ["one", "many", "none"]),
    ],
)
def test_a_filter_compares_like_json(store, condition, expected):
    store.batch([PutOp(ALICE, key, value, index=False) for key, value in ITEMS.items()])
    assert keys(store.search(ALICE, filter=condition)) == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"$gt": 1}, ["two", "many"]),
        ({"$gte": 2}, ["two", "many"]),
        ({"$lt": 2}, ["one"]),
        ({"$lte": 2}, ["one", "two"]),
        ({"$gt": 1, "$lt": 10}, ["two"]),
        ({"$gt": "9"}, ["many"]),
    ],
)
def test_numbers_are_ordered(store, condition, expected):
    store.batch([PutOp(ALICE, key, value, index=False) for key, value in ITEMS.items() if key != "none"])
    assert keys(store.search(ALICE, filter={"n": condition})) == expected


def test_namespaces_are_listed_by_what_they_begin_and_end_with(store):
    namespaces = [("a", "b", "c"), ("a", "b", "d", "e"), ("a", "b", "d", "i"), ("a", "b", "f"), ("a", "c", "f"), ("b",)]
    for namespace in reversed(namespaces):
        store.put(namespace, "k", {"n": 1}, index=False)
    listed = store.list_namespaces
    assert listed() == namespaces
    assert listed(prefix=("a", "b"), max_depth=3) == [("a", "b", "c"), ("a", "b", "d"), ("a", "b", "f")]
    assert listed(max_depth=1) == [("a",), ("b",)]
    assert listed(suffix=("f",)) == [("a", "b", "f"), ("a", "c", "f")]
    assert listed(prefix=("a", "*", "f")) == [("a", "b", "f"), ("a", "c", "f")]
    assert listed(suffix=("d", "*")) == [("a", "b", "d", "e"), ("a", "b", "d", "i")]
    assert listed(prefix=("a",), suffix=("b", "*")) == [("a", "b", "c"), ("a", "b", "f")]
    assert listed(prefix=("a", "b", "c", "d", "e")) == []
    assert listed(limit=2, offset=1) == namespaces[1:3]


def test_a_batch_reads_before_it_writes_and_its_last_put_wins(store):
    store.put(ALICE, "old", {"n": 0})
    results = store.batch(
        [
            PutOp(ALICE, "new", {"n": 1}),
            GetOp(ALICE, "new"),
            PutOp(ALICE, "new", {"n": 2}),
            SearchOp(ALICE),
            PutOp(ALICE, "old", None),
            GetOp(ALICE, "old"),
            ListNamespacesOp(),
            PutOp(("other",), "k", {"n": 3}),
            PutOp(ALICE, "gone", {"n": 4}),
            PutOp(ALICE, "gone", None),
        ]
    )
    assert [results[place] for place in (0, 1, 2, 4, 7, 8, 9)] == [None] * 7
    assert keys(results[3]) == ["old"]
    assert results[5].value == {"n": 0}
    assert results[6] == [ALICE]
    assert store.get(ALICE, "new").value == {"n": 2}
    assert store.get(ALICE, "old") is None
    assert store.get(ALICE, "gone") is None
    assert store.list_namespaces() == [ALICE, ("other",)]


def test_an_empty_batch_does_nothing(store):
    assert store.batch([]) == []


async def test_the_async_twins_do_the_same(store):
    await store.aput(ALICE, "k", {"text": "Tea, please."})
    await store.aput(ALICE, "l", {"text": "The boiler leaks."})
    assert (await store.aget(ALICE, "k")).value == {"text": "Tea, please."}
    assert keys(await store.asearch(ALICE, query="What is wrong with the boiler?", limit=1)) == ["l"]
    assert keys(await store.asearch(ALICE, filter={"text": "Tea, please."})) == ["k"]
    assert await store.alist_namespaces(prefix=("memories",), suffix=("alice",), max_depth=1) == [("memories",)]
    await store.adelete(ALICE, "k")
    assert await store.abatch([GetOp(ALICE, "k"), SearchOp(ALICE, limit=0)]) == [None, []]


@pytest.mark.parametrize(
    ("query", "key"),
    [
        ("What is the secret code?", "code"),
        ("What color does Alice like?", "color"),
        ("When is the meeting?", "meeting"),
        ("Who has moved to Lisbon?", "bruno"),
    ],
)
def test_what_answers_a_query_comes_first(store, query, key):
    store.batch([PutOp(("memories", value["kind"]), key, value) for key, value in FACTS.items()])
    found = store.search(("memories",), query=query)
    assert sorted(keys(found)) == sorted(FACTS)
    assert found[0].key == key
    assert (found[0].namespace, found[0].value) == (("memories", FACTS[key]["kind"]), FACTS[key])
    scores = [item.score for item in found if item.score is not None]
    assert scores
    assert scores == sorted(scores, reverse=True)


def test_a_query_goes_with_a_filter_a_limit_and_an_offset(store):
    store.batch([PutOp(ALICE, key, value) for key, value in FACTS.items()])
    query = "What is the secret code?"
    ranked = keys(store.search(ALICE, query=query))
    assert keys(store.search(ALICE, query=query, limit=2)) == ranked[:2]
    assert keys(store.search(ALICE, query=query, limit=2, offset=1)) == ranked[1:3]
    assert keys(store.search(ALICE, query=query, filter={"kind": "taste"})) == ["color"]
    assert store.search(("nobody",), query=query) == []


def test_a_query_finds_the_fields_that_are_indexed(store):
    note = {"text": "The boiler leaks.", "secret": "The code is 5921.", "parts": [{"name": "Ada owns a canoe."}]}
    store.put(ALICE, "default", note)
    store.put(ALICE, "other", note, index=["secret", "parts[*].name"])
    store.put(ALICE, "never", note, index=False)
    assert keys(store.search(ALICE, query="What leaks?"))[0] == "default"
    for query in ("What is the code?", "Who owns a canoe?"):
        assert keys(store.search(ALICE, query=query))[0] == "other"
    # Items that are not indexed fill the end of the page.
    found = store.search(ALICE, query="What leaks?")
    assert (found[-1].key, found[-1].score) == ("never", None)
    assert len(store.search(ALICE, query="What leaks?", limit=2)) == 2


def test_a_query_finds_the_new_text_of_an_item(store):
    store.put(ALICE, "bruno", {"text": "Bruno lives in Lisbon."})
    store.put(ALICE, "boiler", {"text": "The boiler leaks."})
    store.put(ALICE, "bruno", {"text": "Ada owns a canoe."})
    [first, second] = store.search(ALICE, query="Who owns a canoe?")
    assert (first.key, first.value) == ("bruno", {"text": "Ada owns a canoe."})
    assert first.score > second.score


def test_one_text_under_two_keys_is_two_items(store):
    for key in ("a", "b"):
        store.put(ALICE, key, {"text": "The boiler leaks."})
    assert sorted(keys(store.search(ALICE, query="What leaks?"))) == ["a", "b"]
    store.delete(ALICE, "a")
    assert keys(store.search(ALICE, query="What leaks?")) == ["b"]
