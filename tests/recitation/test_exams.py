"""An exam is reproducible. Its facts all differ, and its other questions are answered by none of its facts."""

import pytest

from titans_core.recitation.exam.facts import FIRST_NAMES, STRANGERS, SURNAMES, TOPICS, Topic, World, make_exam

ALL = len(FIRST_NAMES) * len(SURNAMES) // 2 * len(TOPICS)
SEEDS = range(4)
PEOPLE = [f"{first} {last}" for first in FIRST_NAMES for last in SURNAMES]


@pytest.fixture(scope="module", params=SEEDS)
def exam(request):
    """An exam with all possible facts."""
    return make_exam(ALL, seed=request.param)


def subjects(texts):
    """The person who is named in each text."""
    return [next(person for person in PEOPLE if person in text) for text in texts]


def taught_people(exam):
    return set(subjects(fact.text for fact in exam.facts))


def test_a_seed_gives_one_exam_and_another_gives_another():
    assert make_exam(20, seed=3) == make_exam(20, seed=3)
    exams = [make_exam(20, seed=seed) for seed in SEEDS]
    for part in ("facts", "near", "unknown", "unrelated"):
        assert len({getattr(exam, part) for exam in exams}) == len(SEEDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_smaller_exam_begins_a_larger_one(seed):
    larger = make_exam(300, seed=seed).facts
    assert all(make_exam(count, seed=seed).facts == larger[:count] for count in (1, 4, 299))


def test_there_are_as_many_facts_as_asked_for_and_no_two_alike(exam):
    assert len({fact.text for fact in exam.facts}) == len(exam.facts) == ALL == 2496
    assert len({fact.beginning for fact in exam.facts}) == ALL


def test_an_answer_is_in_the_text_and_neither_in_its_beginning_nor_in_the_question(exam):
    for fact in exam.facts:
        assert fact.text == f"{fact.beginning} {fact.value}."
        assert fact.value not in fact.beginning
        assert fact.value.lower() not in fact.question.lower()


def test_a_question_names_whom_its_fact_is_about_and_uses_other_words(exam):
    assert subjects(fact.question for fact in exam.facts) == subjects(fact.text for fact in exam.facts)
    assert all(fact.beginning not in fact.question for fact in exam.facts)


def test_near_questions_are_about_others_of_the_same_names(exam):
    people = taught_people(exam)
    first_names, surnames = ({person.split()[place] for person in people} for place in (0, 1))
    for person in subjects(exam.near):
        first, last = person.split()
        assert person not in people
        assert first in first_names
        assert last in surnames


def test_nobody_was_told_about_those_whom_unknown_questions_are_about(exam):
    taught = {word for fact in exam.facts for word in fact.text.rstrip(".").split()}
    for question in exam.unknown:
        [stranger] = [name for name in STRANGERS if name in question]
        assert taught.isdisjoint(stranger.split())


def test_near_and_unknown_questions_are_those_of_the_topics():
    exam = make_exam(4)
    patterns = {question for topic in TOPICS for question in topic.questions}
    names = (*PEOPLE, *STRANGERS)
    for question in (*exam.near, *exam.unknown):
        [name] = [name for name in names if name in question]
        assert question.replace(name, "{person}") in patterns


def test_unrelated_questions_all_differ_and_name_nobody(exam):
    assert len(set(exam.unrelated)) == 200
    names = {*FIRST_NAMES, *SURNAMES}
    assert not any(names.intersection(question.rstrip("?").split()) for question in exam.unrelated)


@pytest.mark.parametrize(("negatives", "unrelated"), [(0, 0), (3, 3), (240, 240), (300, 240)])
def test_there_are_as_many_other_questions_as_asked_for(negatives, unrelated):
    exam = make_exam(4, negatives=negatives)
    assert [len(exam.near), len(exam.unknown)] == [negatives, negatives]
    assert len(set(exam.unrelated)) == len(exam.unrelated) == unrelated


def test_another_world_gives_other_facts():
    topic = Topic("{person} drives a {value}.", ("Which car is {person}'s?",), ("van",))
    exam = make_exam(2, negatives=2, world=World(("Una", "Ivo"), ("Lem", "Roth"), ("Jo Bligh",), (topic,)))
    assert all(fact.text.endswith(" drives a van.") for fact in exam.facts)
    assert set(exam.unknown) == {"Which car is Jo Bligh's?"}
