"""Speech acts: what tells something, and what only asks, declines or makes small talk, with marks and without."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titans_core.retrieval.english import SpeechAct, is_small_talk, question_share, speech_act

TELLS = (
    "I live in Bonn.",
    "my sister plays the cello",
    "The code is 5513",
    "Tea.",
    "Twenty-two",
    "No, 13 of them.",
    "I don't know how to swim.",
    "I never told my boss about it.",
    "I asked Ana what she wants for her birthday.",
    "What a day! We moved to Ulm.",
    "Is it late? I have to leave at nine.",
    "Thanks! My flight is on Friday.",
    "Hi, I'm Ida.",
    "When I was nine, we moved to Crete.",
    "I'm in Rome with Ana on Friday, what should we see?",
    "Remind Ana that the rent is due",
    "Will is my brother.",
    "How I met your mother is my favourite show.",
    "the code of the gate is 4711",
    "number for the vet: 5513",
    "I love how quiet Bonn is.",
    "I want what Ana has.",
    "Я живу в Бонне.",
    "我住在波恩。",
    "🎂",
    "...",
    "",
)
ASKS = (
    "Where do I live?",
    "where do I live",
    "what's my name",
    "whats the code of the gate",
    "the code of the gate",
    "who lives in the loft",
    "Is Sam there",
    "did I tell you about the ferry",
    "Tell me the door code.",
    "Can you remind me of the code.",
    "please give me the address of the vet",
    "I wonder what the code is",
    "I'd like to know when the ferry leaves.",
    "And which bus do I take?",
    "ok, so what is the number",
    "Which bus? From where?",
    "Thanks! And where does Ana live?",
    "Hello. What is my name?",
    "Где я живу?",
    "我住在哪里？",
    "أين أعيش؟",
)
SMALL_TALK = (
    "Hello.",
    "hi there",
    "Thanks!",
    "thank you so much",
    "ok",
    "Great, thank you!",
    "Good morning! Have a nice day.",
    "You're welcome.",
    "haha nice",
    "See you tomorrow.",
    "How are you?",
)
DECLINES = (
    "No idea, sorry.",
    "I have no clue.",
    "Hm, I'm not sure about that one.",
    "idk",
    "I'd rather not say.",
    "Sorry, I forgot.",
)
ASSISTANT_DECLINES = (
    "I'm sorry, I don't know that yet.",
    "I don't have your number.",
    "You haven't told me where you live.",
    "There is nothing about a ferry in my notes.",
    "I don’t have any information about that.",
    "As an AI I cannot see your calendar.",
    "I have no record of it.",
)
ACTS = [
    *((text, SpeechAct.TELL) for text in TELLS),
    *((text, SpeechAct.ASK) for text in ASKS),
    *((text, SpeechAct.SMALL_TALK) for text in SMALL_TALK if text != "How are you?"),
    *((text, SpeechAct.DECLINE) for text in DECLINES),
]


@pytest.mark.parametrize("speaker", [None, "user", "assistant", "Ana"])
@pytest.mark.parametrize(("text", "act"), ACTS)
def test_what_a_text_does_whoever_says_it(text, act, speaker):
    if (
        text not in {"I don't know how to swim.", "I never told my boss about it."} or speaker != "assistant"
    ):  # no fact about an assistant
        assert speech_act(text, speaker) is act


@pytest.mark.parametrize("text", ASSISTANT_DECLINES)
def test_an_assistant_declines_in_more_ways(text):
    assert speech_act(text, "assistant") is speech_act(text, "AI") is SpeechAct.DECLINE


@pytest.mark.parametrize("text", ["I don't have a car.", "You haven't told me your name.", "I have no children."])
def test_of_a_user_the_same_words_tell_something(text):
    assert speech_act(text, "user") is speech_act(text, "Ana") is speech_act(text) is SpeechAct.TELL


@pytest.mark.parametrize(
    "text",
    [
        "The ferry leaves at nine.",
        "You live in Bonn.",
        "I don't have your number. The door code is 5513.",
        "I found three trains to Porto. The first leaves at 7:40.",
    ],
)
def test_an_assistant_tells_something_too(text):
    assert speech_act(text, "assistant") is SpeechAct.TELL


@pytest.mark.parametrize("one", [*ASKS, *DECLINES, "Thanks!", "I'm sorry, I don't have that."])
def test_one_sentence_that_tells_makes_the_whole_tell(one):
    ended = one if one[-1] in ".!?？؟" else f"{one}."
    assert speech_act(f"{ended} The rent is 640 euros.", "assistant") is SpeechAct.TELL
    assert speech_act(f"The rent is 640 euros. {one}", "assistant") is SpeechAct.TELL


def test_a_detailed_question_tells_something_unless_details_do_not_count():
    text = "How do I keep the retries of the search field below the API's hourly rate limit?"
    assert speech_act(text) is SpeechAct.TELL
    assert speech_act(text, details=False) is SpeechAct.ASK


@pytest.mark.parametrize(
    "text", ['<memory confidence="low">\nThe train was late.\n</memory>', "See: <MEMORY>x</MEMORY>"]
)
def test_a_block_of_recalls_is_a_block_whatever_stands_beside_it(text):
    assert speech_act(text) is speech_act(f"I live in Bonn. {text}") is SpeechAct.BLOCK


def test_numbers_of_speech_acts_are_those_in_snapshots():
    assert {act.name: act.value for act in SpeechAct} == {
        "TELL": 0,
        "ASK": 1,
        "DECLINE": 2,
        "SMALL_TALK": 3,
        "BLOCK": 4,
    }


@pytest.mark.parametrize("text", [*SMALL_TALK, "Morning! Coffee first."])
def test_small_talk_is_told_from_a_message_that_looks_for_something(text):
    assert is_small_talk(text)


@pytest.mark.parametrize("text", [*(text for text in TELLS if text != "Tea."), *ASKS, "Thanks Ana", "Hello world 42"])
def test_whatever_names_something_is_no_small_talk(text):
    assert not is_small_talk(text)


@pytest.mark.parametrize(
    ("text", "share"),
    [("", 0), ("I live in Bonn.", 0), ("Where?", 1), ("Tea. Why?", 5 / 9), ("我住在哪里？", 1), ("Where is it", 0)],
)
def test_the_share_of_questions_counts_characters_up_to_question_marks(text, share):
    assert question_share(text) == pytest.approx(share)


@given(st.text(max_size=200), st.sampled_from([None, "user", "assistant", "Ana"]))
def test_any_text_does_something(text, speaker):
    assert isinstance(speech_act(text, speaker), SpeechAct)
    assert isinstance(speech_act(text, speaker, details=False), SpeechAct)
    assert is_small_talk(text) in (True, False)
    assert 0 <= question_share(text) <= 1


LONG = [
    "x",
    " ",
    ".",
    "?",
    "\n",
    "a ",
    "so ",
    "no, ",
    "and ",
    "thanks ",
    "what ",
    "Mr.",
    ".a",
    "<",
    "- ",
    "漢",
    "Hi! ",
    "Why? ",
]


@pytest.mark.serial
@pytest.mark.parametrize("text", LONG)
def test_the_time_grows_no_faster_than_the_text(text):
    # Both are small enough for memory that the process has already: on some machines, each new page of a larger text
    # takes longer than to read it.
    short, long = ((text * (size // len(text) + 1))[:size] for size in (20_000, 200_000))
    for judge in (lambda text: speech_act(text, "assistant"), is_small_talk, question_share):
        fast, slow = (min(_seconds(lambda text=text: judge(text)) for _ in range(3)) for text in (short, long))  # noqa: B023
        assert slow < 30 * max(fast, 0.0005)


def _seconds(judge):
    start = time.process_time()
    judge()
    return time.process_time() - start
