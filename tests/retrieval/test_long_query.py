"""Of a query that is too long, what it asks is searched for, then its head and its tail."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titans_core.retrieval.long_query import PIECE_CHARS, asking_part

LIMIT = 40


def count(text):
    """Tokens of four characters, each word for itself."""
    return sum(-(-len(word) // 4) for word in text.split())


def part(query, limit=LIMIT):
    return asking_part(query, count=count, limit=limit)


def is_subsequence(items, of):
    rest = iter(of)
    return all(item in rest for item in items)


STATEMENT = "The harbour committee met again on Monday."
PASTE = [f"{STATEMENT[:-1]}, item {number}." for number in range(300)]

words = st.text("abcäß漢α0_-,;()", min_size=1, max_size=20)
sentences = st.lists(words, min_size=1, max_size=30).map(" ".join)
texts = st.lists(st.tuples(sentences, st.sampled_from([". ", "? ", "\n", "\r\n\n", "!” ", "。 ", " "]))).map(
    lambda pairs: "".join(sentence + end for sentence, end in pairs)
)
any_text = st.one_of(
    st.text(),
    st.text(st.characters(codec=None)),
    st.lists(
        st.sampled_from(["?", ".", "\n", " ", "what ", "x" * 500, "\ud800", "\u200b", "İ", "e\u0301", "。」"])
    ).map("".join),
)
limits = st.integers(1, 100)


# ── what the part holds ──


@given(st.lists(st.sampled_from(["one.", "two words", "and three more?", "\n"])).map(" ".join))
def test_a_short_query_is_returned_as_it_is(query):
    assert part(query, limit=max(count(query), 1)) is query


@given(texts, limits)
def test_the_part_has_at_most_so_many_tokens(query, limit):
    assert count(part(query, limit)) <= limit


@given(texts, st.integers(20, 100))
def test_the_part_is_made_of_the_words_of_the_query_in_their_order(query, limit):
    assert is_subsequence(part(query, limit).split(), query.split())


@given(any_text, limits)
def test_any_text_has_a_part(query, limit):
    found = part(query, limit)
    assert bool(found) == bool(query)
    assert is_subsequence("".join(found.split()), "".join(query.split()))


@given(any_text)
def test_a_part_has_a_character_even_if_each_has_too_many_tokens(query):
    assert bool(asking_part(query, count=lambda text: 3 * len(text), limit=1)) == bool(query)


def test_white_space_stays_as_it_is():
    query = " \n" * 10_000
    assert part(query) is query


def test_few_tokens_among_much_white_space_are_returned_as_they_are():
    query = "\n" * 10_000 + "What is it?" + " " * 10_000
    assert part(query) is query


# ── the question ──


@given(place=st.integers(0, len(PASTE)), line_breaks=st.booleans())
@pytest.mark.parametrize("question", ["Which ferry goes to the island?", "tell me the code of the gate"])
def test_the_question_is_found_wherever_it_stands(question, place, line_breaks):
    query = ("\n" if line_breaks or not question.endswith("?") else " ").join(
        [*PASTE[:place], question, *PASTE[place:]]
    )
    assert question in part(query).split("\n")


@pytest.mark.parametrize(
    "question",
    [
        "Where is it?",
        "You do know where it is, don't you?!",
        "**Is there a ferry on Monday?**",
        "(Or the other one?)",
        "どこですか？",
        "أين هو؟",
        "¿Dónde está?",
        "> what did she say",
        "whats my cats name again",
        "On which day do we play",
        "How many sessions did it take",
        "when is my dentist's appointment",
        "Hi Maren, could you look up my shoe size",
        "Good morning, please give me the number",
        "ok so which gate does the bus leave from",
        "Thanks, can you remind me of the date",
        "Quick question: who painted the fence",
        "can’t you find it",
        "Summarise the e-mail above.",
        "find “the red one”",
        "I was wondering about the boiler",
        "I'd like to know more",
        "Do you remember the name of the restaurant",
    ],
)
def test_this_asks(question):
    assert question in part("\n".join([*PASTE[:150], question, *PASTE[150:]]))


@pytest.mark.parametrize(
    "statement",
    [
        "When I came home, nobody was there.",
        "Where I live, it snows.",
        "What a day!",
        "What an honour.",
        "The question is closed.",
        "list = [1, 2, 3]",
        "find . -name x",
        "?!?",
        "Isabel told me.",
        "Hi Maren, all is well.",
        "Do not forget it.",
        'GET /index?page=2 "200"',
    ],
)
def test_this_does_not_ask(statement):
    assert statement not in part("\n".join([*PASTE[:150], statement, *PASTE[150:]]))


def test_of_several_questions_those_near_the_ends_are_kept():
    questions = [f"What about number {number} of them all?" for number in range(300)]
    kept = part("\n".join(questions), limit=4 * count(questions[100])).split("\n")
    assert kept == [questions[0], questions[1], questions[298], questions[299]]


def test_a_question_without_any_end_of_a_sentence_is_found():
    assert part("so we went on and on " * 1_000 + "and where was it?").endswith("and where was it?")


# ── the rest ──


def test_head_and_tail_fill_what_the_question_leaves():
    query = " ".join([*PASTE[:100], "Where is it?", *PASTE[100:]])
    kept = part(query, limit=count("Where is it?") + 4 * count(PASTE[100])).split("\n")
    assert kept == [*PASTE[:2], "Where is it?", *PASTE[-2:]]


def test_a_sentence_that_does_not_fit_is_cut_between_words():
    first, cut, last = part("\n".join(PASTE), limit=2 * count(PASTE[-1]) + 6).split("\n")
    assert (first, last) == (PASTE[0], PASTE[-1])
    assert cut == "The harbour committee"


def test_head_and_tail_share_one_endless_sentence():
    head, *_, tail = part(" ".join(f"word{number}" for number in range(10_000))).split("\n")
    assert head.startswith("word0 ")
    assert tail.endswith(" word9999")


@pytest.mark.parametrize("text", ["漢字" * 10_000, "x" * 20_000])
def test_head_and_tail_share_one_endless_word(text):
    found = asking_part("A" + text + "Z", count=len, limit=LIMIT)
    assert found.startswith("A")
    assert found.endswith("Z")
    assert len(found) <= LIMIT


def test_a_line_break_may_cost_a_token():
    assert len(asking_part("\n".join(["some words"] * 1_000), count=len, limit=LIMIT)) <= LIMIT


# ── time ──


@pytest.mark.parametrize(
    "repeated",
    ["word ", f"{STATEMENT} ", "a\n", ". ", "?", "? ", ".", '."', "x", "漢", "漢。", "\u200b\n", "what\n", "(", " "],
)
def test_a_long_query_takes_no_longer_than_its_length(repeated, encoder):
    query = (repeated * (1_000_000 // len(repeated))) + "\nWhere is it?"
    longest = 0

    def measured(text):
        nonlocal longest
        longest = max(longest, len(text))
        return encoder.count_tokens(text)

    start = time.perf_counter()
    found = asking_part(query, count=measured, limit=256)
    assert time.perf_counter() - start < 5  # the square of a million characters would take hours
    assert longest <= PIECE_CHARS
    assert found.endswith("Where is it?")
    assert encoder.count_tokens(found) <= 256
