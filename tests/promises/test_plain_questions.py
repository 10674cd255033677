"""Plain questions to a young memory of plain facts reach the prompt."""

import pytest

from titans_core import Confidence, TitansMemory

FIRST_SIX = {
    "What's my name?": "Hi, my name is Sam.",
    "Where do I live?": "I live in Berlin.",
    "What do I do for a living?": "I work as a nurse.",
    "What's my dog called?": "My dog is called Waffle.",
    "What am I allergic to?": "I'm allergic to hazelnuts.",
    "When is my birthday?": "My birthday is on the 9th of March.",
}
SIXTEEN = {
    "What is my job?": "I work as a glazier in Ulm.",
    "Do I have any food allergies?": "I can't eat shellfish, I get hives.",
    "What kind of dog do I have?": "We got a beagle, he's called Waffle.",
    "What am I training for?": "I'm training for the Basel marathon.",
    "Who is my husband?": "My husband's name is Amir.",
    "What car do I drive?": "I drive a red Fiat.",
    "How do I like my coffee?": "I take my coffee black.",
    "Which band am I in?": "I play bass in a band called Lintel.",
    "Window or aisle?": "I prefer aisle seats.",
    "What is my name?": "Hi, I'm Ida.",
    "Where do I live?": "I have moved, my home is in Leipzig now.",
}


def told(facts):
    memory = TitansMemory.open(":memory:", tenant="alice")
    for number, text in enumerate(facts.values()):
        memory.memorize(text, speaker="user", session=f"s{number // 6}")
    return memory


@pytest.mark.parametrize("facts", [FIRST_SIX, SIXTEEN])
def test_the_fact_is_in_the_prompt(facts):
    with told(facts) as memory:
        for question, text in facts.items():
            found = memory.recall(question)
            assert found.confidence is not Confidence.NONE, question
            assert text in found.as_text(), question
        firsts = sum(memory.recall(question).best.text == text for question, text in facts.items())
        assert firsts >= len(facts) - 1


def test_a_question_behind_a_pasted_page_is_answered():
    with told(FIRST_SIX) as memory:
        page = "\n".join(f"Item {number}: a paragraph about shipping rates and customs forms." for number in range(400))
        for query in (f"{page}\n\nWhat am I allergic to?", f"What am I allergic to?\n\n{page}"):
            found = memory.recall(query)
            assert found.best.text == "I'm allergic to hazelnuts."
            assert "What am I allergic to?" in found.searched
            assert found.searched != query
        assert memory.recall("What am I allergic to?").searched == "What am I allergic to?"
