"""BM25Index finds as SQLite's full-text search finds, in memory, and is the same after it was saved."""

import sqlite3
import sys
import unicodedata

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save

from titans_core.retrieval.bm25 import MAX_QUERY_WORDS, MAX_STEMMED_CHARS, BM25Index

PASSAGES = [
    "Ada Ada moved her two boats from Exeter to Lisbon last spring.",
    "Tom Is it true that you run? Running at night is what I was told.",
    "Ada I ran as far as the café, and he runs with us on Tom's old path.",
    "Tom The boiler leaks again; the plumber's number is 0171-555.",
    "Ada My relations are happily related, and happiness is relative.",
    "Ada She said the boat's engine had been flying apart.",
    "Tom He planted tomatoes, tomatoes and more tomatoes!",
    "",
    "Ada A boat with a hole is a happy fish's home, as the old saying goes.",
    "Tom Skies, flies and ties; the sky flew; dies, dying, died.",
]
QUERIES = [
    "Where is Ada's boat?",
    "Who runs, who is running, and did they run?",
    "What is the plumber's number: 0171?",
    "happy relation, happiness related",
    "Tomatoes! Tomatoes? tomato",
    "Did the CAFE fly?",
    "the the the is a",
    "Zanzibar",
    "?!",
]
FORMS = ["run", "running", "runs", "boat", "boats", "happy", "happily", "happiness", "is", "as", "us", "a", "I", "X-8"]
VOCABULARY = st.sampled_from([*FORMS, "the", "Tom's", "café"])
TEXTS = st.lists(VOCABULARY, max_size=8).map(" ".join)
NUMBERS = ["words.sizes", "words.rows", "words.counts", "words.lengths"]


def made(passages):
    words = BM25Index()
    for passage in passages:
        words.add(passage)
    return words


def fts5(passages, query):
    """The frequencies and scores of SQLite's full-text index."""
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE VIRTUAL TABLE words USING fts5(text, tokenize='porter unicode61 remove_diacritics 2')")
        database.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", enumerate(passages))

        def matches(words):
            asked = " OR ".join(f'"{word}"' for word in words)
            return database.execute("SELECT rowid, -rank FROM words WHERE words MATCH ?", (asked,)).fetchall()

        frequencies = {word: len(matches([word])) for word in BM25Index().frequencies(query)}
        scores = np.zeros(len(passages))
        informative = [word for word, count in frequencies.items() if 0 < count < len(passages) / 2]
        for row, score in matches(informative) if informative else []:
            scores[row] = score
    return frequencies, scores


def assert_as_in_fts5(passages, query):
    words = made(passages)
    frequencies, scores = fts5(passages, query)
    assert words.frequencies(query) == frequencies
    found = words.scores(frequencies)
    assert (found.dtype, found.shape) == (np.float32, (len(passages),))
    np.testing.assert_allclose(found, scores, rtol=1e-4)
    return found


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def restored(tensors):
    words = BM25Index()
    assert words.restore(tensors)
    return words


@pytest.mark.parametrize("query", QUERIES)
def test_sentences_score_as_in_full_text_search(query):
    found = assert_as_in_fts5(PASSAGES, query)
    assert found.any() == (query not in {"Zanzibar", "?!"})


@given(st.lists(TEXTS, max_size=12), TEXTS)
def test_any_passages_score_as_in_full_text_search(passages, query):
    assert_as_in_fts5(passages, query)


@pytest.mark.parametrize("word", ["b" * (MAX_STEMMED_CHARS - 1), "b" * MAX_STEMMED_CHARS, "i", "bs", "bbs"])
def test_very_short_and_very_long_words_are_not_stemmed(word):
    assert_as_in_fts5([word, f"{word}s", "Ada", "Tom", "Eve"], word)


def test_two_words_of_one_stem_count_twice():
    words = made(PASSAGES)
    run = words.scores(words.frequencies("run"))
    np.testing.assert_allclose(words.scores(words.frequencies("run running")), 2 * run, rtol=1e-6)


def test_what_half_of_the_passages_hold_gives_no_score():
    words = made(["Ada rows", "Ada sails", "Tom rows", "Tom dives", "Eve swims"])
    assert words.frequencies("Ada") == {"ada": 2}
    assert np.flatnonzero(words.scores({"ada": 2})).tolist() == [0, 1]
    words.add("Ada dives")
    assert words.frequencies("Ada") == {"ada": 3}
    assert not words.scores({"ada": 3}).any()


def test_accents_and_case_make_no_difference():
    words = made(["Beyoncé sang in ÅLESUND", "Straße", "ΟΔΟΣ", "Lego™ has 8² and a ﬁsh", "nothing", "of", "that"])
    for query in ("beyonce", "BEYONCÉ", "Ålesund", "alesund", "STRASSE", "straße", "οδος", "lego", "8²", "fish"):
        assert list(words.frequencies(query).values()) == [1], query
    assert words.frequencies("82") == {"82": 0}


def test_composed_and_decomposed_twins_are_the_same_words():
    for code in range(sys.maxunicode + 1):
        text = f"a{chr(code)}b"
        if (twin := unicodedata.normalize("NFD", text)) != text:
            assert BM25Index().frequencies(text) == BM25Index().frequencies(twin), text


@pytest.mark.parametrize(
    "word", ["किताब", "مدرسة", "שלום", "книга", "\ue001\ue002", "한국어", "བོད", "ㄋㄧˇ", "\uff21\uff22", "iPhone15"]
)
def test_words_of_other_scripts_are_whole(word):
    words = made([f"{word} Ada", "Ada", "Tom"])
    assert list(words.frequencies(f"«{word}»").values()) == [1]
    assert words.scores(words.frequencies(word)).argmax() == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("绿茶", ["绿茶"]),
        ("我喝绿茶。", ["我喝", "喝绿", "绿茶"]),
        ("猫", ["猫"]),
        ("東京タワー", ["東京", "京タ", "タワ", "ワー"]),
        ("ﾀﾜｰ、佐々木", ["ﾀﾜ", "ﾜｰ", "佐々", "々木"]),
        ("\U00020bb7野家", ["\U00020bb7野", "野家"]),
        ("ชาเขียว", ["ชา", "าเ", "เข", "ขี", "ีย", "ยว"]),
        ("ດີ ກາ", ["ດີ", "ກາ"]),
        ("iPhone手机壳 5月", ["iphone", "手机", "机壳", "5", "月"]),
        ("한국어漢字", ["한국어", "漢字"]),
        ("Lena's 🎂!", ["lena", "s", "🎂"]),
        ("👍🏽 👩\u200d👧✈️", ["👍", "👩", "👧", "✈"]),
        ("Lego™ at 23°C", ["lego", "™", "at", "23", "°", "c"]),
        ("a → b + c = 3 €", ["a", "b", "c", "3"]),
    ],
)
def test_words_are_found_without_spaces_and_among_symbols(text, expected):
    assert list(BM25Index().frequencies(text)) == [unicodedata.normalize("NFD", word) for word in expected]


@given(
    st.data(),
    st.sampled_from(
        [
            "我妹妹在成都学兽医下周二和王工开会",
            "わたしのあねはガレージでギターをひく",
            "ฉันดื่มชาเขียวทุกเช้าที่เชียงใหม่",
            "ຂ້ອຍມັກຊາຂຽວ",
            "ខ្ញុំចូលចិត្តតែបៃតង",
        ]
    ),
)
def test_any_two_neighbours_of_a_script_without_spaces_are_found(data, text):
    passages = ["Ada drinks tea.", "Ada runs.", "猫", "Tom sails 🚣.", f"Tom: {text}"]
    start = data.draw(st.integers(0, len(text) - 2))
    part = text[start : data.draw(st.integers(start + 2, len(text)))]
    words = made(passages)
    assert set(words.frequencies(part).values()) == {1}
    assert np.flatnonzero(words.scores(words.frequencies(part))).tolist() == [4]


@given(st.characters(categories=["So"]))
def test_any_symbol_is_found(symbol):
    words = made(["Ada drinks tea.", "Ada runs.", "Tom sails.", f"The cake{symbol}is for Lena"])
    assert list(words.frequencies(f"{symbol}?").values()) == [1]
    assert np.flatnonzero(words.scores(words.frequencies(symbol))).tolist() == [3]


@given(st.text())
def test_the_words_of_any_text_do_not_depend_on_its_encoding(text):
    forms = [text, *(unicodedata.normalize(form, text) for form in ("NFC", "NFD"))]
    assert len({tuple(BM25Index().frequencies(form)) for form in forms}) == 1


@given(
    st.lists(st.sampled_from([*FORMS, "ёлка", "한국어", "किताब", "שלום", "-", "3,5", "a_b"]), max_size=8).map(" ".join)
)
def test_where_no_script_lacks_spaces_a_word_is_a_run_of_letters_and_digits(text):
    kept = [char for char in unicodedata.normalize("NFD", text) if unicodedata.category(char)[0] != "M"]
    words = "".join(char.casefold() if char.isalnum() else " " for char in kept).split()
    assert list(BM25Index().frequencies(text)) == list(dict.fromkeys(words))


@given(st.text(), st.text())
def test_any_text_is_taken(passage, query):
    words = made([passage, query])
    assert set(words.frequencies(query).values()) <= {1, 2}
    assert np.isfinite(words.scores(words.frequencies(query))).all()
    assert same(restored(words.saved()).saved(), words.saved())


def test_without_words_nothing_is_found():
    for passages in ([], [""], ["", "?!"]):
        words = made(passages)
        assert len(words) == len(passages)
        assert words.frequencies("Ada") == {"ada": 0}
        assert words.scores({"ada": 0}).tolist() == [0] * len(passages)
        assert words.frequencies("") == {}
        assert same(restored(load(save(words.saved()))).saved(), words.saved())


def test_of_a_long_query_the_first_words_are_looked_up():
    words = made(["number999999", f"number{MAX_QUERY_WORDS - 1}", "number0"])
    found = words.frequencies(" ".join(f"number{number}" for number in range(1_000_000)))
    assert list(found) == [f"number{number}" for number in range(MAX_QUERY_WORDS)]
    assert words.scores(found)[0] == 0
    assert all(words.scores(found)[1:] > 0)


@given(st.lists(TEXTS, max_size=6), st.lists(TEXTS, max_size=6), TEXTS)
def test_a_restored_one_goes_on_as_if_it_had_never_been_saved(before, after, query):
    words = restored(load(save(made(before).saved())))
    for passage in after:
        words.add(passage)
    always = made(before + after)
    assert same(words.saved(), always.saved())
    assert words.frequencies(query) == always.frequencies(query)
    asked = always.frequencies(query)
    np.testing.assert_array_equal(words.scores(asked), always.scores(asked))


@given(st.data())
def test_what_is_missing_short_or_of_another_type_is_not_restored(data):
    tensors = made(PASSAGES).saved()
    name = data.draw(st.sampled_from(sorted(tensors)))
    whole = tensors.pop(name)
    assert_not_restored(tensors)
    assert_not_restored(tensors | {name: whole[: data.draw(st.integers(0, len(whole) - 1))]})
    assert_not_restored(tensors | {name: torch.cat([whole, whole[:1]])})
    assert_not_restored(tensors | {name: whole[None]})
    assert_not_restored(tensors | {name: whole.double()})


@given(st.data(), st.integers(-(2**31), 2**31 - 1))
def test_an_altered_number_is_not_restored(data, number):
    tensors = made(PASSAGES).saved()
    name = data.draw(st.sampled_from(NUMBERS))
    place = data.draw(st.integers(0, len(tensors[name]) - 1))
    if number != tensors[name][place]:
        tensors[name][place] = number
        assert_not_restored(tensors)


@pytest.mark.parametrize(
    ("name", "numbers", "wrong"),
    [
        ("words.rows", [0, 1, 0], [0, 0, 1]),  # a stem that holds a passage twice
        ("words.sizes", [2, 1], [4, -1]),
        ("words.counts", [1, 1, 1], [2, 1, 0]),
    ],
)
def test_numbers_that_add_up_but_cannot_be_are_not_restored(name, numbers, wrong):
    tensors = made(["run far", "run"]).saved()
    assert tensors[name].tolist() == numbers
    assert_not_restored(tensors | {name: torch.tensor(wrong, dtype=torch.int32)})


@given(st.data(), st.binary(min_size=1, max_size=4))
def test_altered_stems_are_refused_or_restored_as_they_stand(data, wrong):
    tensors = made(PASSAGES).saved()
    stems = tensors["words.stems"]
    place = data.draw(st.integers(0, len(stems) - len(wrong)))
    stems[place : place + len(wrong)] = torch.tensor(list(wrong), dtype=torch.uint8)
    words = BM25Index()
    if words.restore(tensors):
        assert same(words.saved(), tensors)
    else:
        assert same(words.saved(), BM25Index().saved())


@pytest.mark.parametrize("wrong", [b"run\nrun\n", b"\xff\xfe\nru\n", b"run\nfar", b"run far\n"])
def test_stems_that_are_no_list_of_distinct_words_are_not_restored(wrong):
    tensors = made(["run far"]).saved()
    assert restored(tensors).frequencies("far") == {"far": 1}
    tensors["words.stems"] = torch.tensor(list(wrong), dtype=torch.uint8)
    assert_not_restored(tensors)


def assert_not_restored(tensors):
    words = BM25Index()
    assert not words.restore(tensors)
    assert same(words.saved(), BM25Index().saved())
