"""Made-up facts and questions that measure a recitation. A seed always gives the same ones."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import product

FIRST_NAMES = (
    "Ada", "Ben", "Carla", "David", "Elena", "Felix", "Grace", "Hugo", "Irene", "Jonas", "Karin", "Leo", "Maria",
    "Nils", "Olga", "Paul", "Rosa", "Simon", "Tina", "Viktor", "Wendy", "Xavier", "Yara", "Zoltan", "Bruno",
)  # fmt: skip
SURNAMES = (
    "Abbott", "Bergman", "Castillo", "Dumont", "Eriksen", "Fischer", "Garcia", "Hansen", "Ivanov", "Jensen", "Keller",
    "Lindgren", "Moreau", "Novak", "Okafor", "Petrov", "Quinn", "Rossi", "Schmidt", "Tanaka", "Ulrich", "Vargas",
    "Walker", "Yamada", "Zimmer",
)  # fmt: skip
STRANGERS = (
    "Bartholomew Higginbotham", "Siobhan O'Callaghan", "Thaddeus Wigglesworth", "Ngozi Adichie", "Ludmila Kravchenko",
    "Cornelius Vanderbeek", "Aoife Gallagher", "Hiroshi Matsumoto", "Fatima Al-Rashid", "Giuseppe Bellini",
    "Priya Chakraborty", "Mikael Korhonen", "Esmeralda Quintana", "Rashid Bensalem", "Oluwaseun Balogun",
    "Dagmar Holzapfel", "Kwame Mensah", "Beatrix Poulsen", "Santiago Echeverria", "Yevgenia Sokolova",
)  # fmt: skip

_COLORS = ("turquoise", "crimson", "olive", "violet", "orange", "silver", "maroon", "teal", "beige", "indigo")
_CITIES = ("Lisbon", "Oslo", "Prague", "Toronto", "Cairo", "Lima", "Kyoto", "Dublin", "Athens", "Warsaw")
_ANIMALS = ("ferret", "parrot", "hamster", "tortoise", "goldfish", "rabbit", "lizard", "pony", "canary", "hedgehog")
_JOBS = ("plumber", "dentist", "baker", "pilot", "librarian", "florist", "welder", "translator", "nurse", "surveyor")
_DRINKS = ("cocoa", "espresso", "lemonade", "cider", "green tea", "apple juice", "milk", "ginger ale", "rum", "sherry")
_INSTRUMENTS = ("violin", "trumpet", "cello", "banjo", "flute", "harp", "piano", "drums", "clarinet", "accordion")
_FOODS = ("peanuts", "shellfish", "eggs", "celery", "mustard", "strawberries", "soy", "sesame", "wheat", "kiwi")
_SPORTS = ("chess", "tennis", "rowing", "fencing", "judo", "archery", "sailing", "boxing", "golf", "curling")


@dataclass(frozen=True)
class Topic:
    """A property of a person, such as the favorite color.

    Attributes:
        statement: A sentence with the fields `{person}` and `{value}`. The value is its last word.
        questions: Questions with the field `{person}`, in other words than the statement.
        values: Values that the property can have.
    """

    statement: str
    questions: tuple[str, ...]
    values: tuple[str, ...]


TOPICS = (
    Topic(
        "The favorite color of {person} is {value}.",
        ("Which color does {person} like best?", "What is {person}'s favorite color?"),
        _COLORS,
    ),
    Topic(
        "{person} was born in {value}.", ("What is {person}'s birthplace?", "In which city was {person} born?"), _CITIES
    ),
    Topic(
        "{person} keeps a pet {value}.",
        ("What kind of animal does {person} have at home?", "What pet does {person} keep?"),
        _ANIMALS,
    ),
    Topic(
        "{person} works as a {value}.",
        ("What does {person} do for a living?", "What is the job of {person}?"),
        _JOBS,
    ),
    Topic(
        "For breakfast {person} drinks {value}.",
        ("What does {person} have to drink in the morning?", "What does {person} drink for breakfast?"),
        _DRINKS,
    ),
    Topic(
        "The instrument that {person} plays is the {value}.",
        ("Which instrument does {person} play?", "What does {person} make music with?"),
        _INSTRUMENTS,
    ),
    Topic(
        "{person} is allergic to {value}.",
        ("What must {person} not eat because of an allergy?", "What is {person} allergic to?"),
        _FOODS,
    ),
    Topic(
        "The hobby of {person} is {value}.",
        ("How does {person} like to spend free time?", "What is {person}'s hobby?"),
        _SPORTS,
    ),
)


@dataclass(frozen=True)
class World:
    """The people and the topics that facts can be about.

    Attributes:
        first_names: First names of the people.
        surnames: Surnames of the people. Each person has one first name and one surname.
        strangers: Full names of people that no fact is about.
        topics: Topics that facts can be about.
    """

    first_names: tuple[str, ...]
    surnames: tuple[str, ...]
    strangers: tuple[str, ...]
    topics: tuple[Topic, ...]


WORLD = World(FIRST_NAMES, SURNAMES, STRANGERS, TOPICS)


@dataclass(frozen=True)
class Fact:
    """A fact to teach, with its question.

    Attributes:
        text: The whole sentence.
        beginning: The sentence up to the value.
        value: The value that a right answer contains.
        question: A question for the value, in other words than the sentence.
    """

    text: str
    beginning: str
    value: str
    question: str


@dataclass(frozen=True)
class Exam:
    """Facts to teach, and questions that none of these facts answers.

    Attributes:
        facts: The facts, all different. Many of their people share a first name or a surname.
        near: Questions on the same topics, about other people with the same first names and surnames.
        unknown: Questions on the same topics, about people whose names are in no fact.
        unrelated: Questions about other subjects.
    """

    facts: tuple[Fact, ...]
    near: tuple[str, ...]
    unknown: tuple[str, ...]
    unrelated: tuple[str, ...]


def make_exam(facts: int, *, seed: int = 0, negatives: int = 200, world: World = WORLD) -> Exam:
    """Make an exam.

    Exams with different seeds share only the names. With one seed, a larger exam begins with the facts of a smaller
    one.

    Args:
        facts: Number of facts, from 1 to half of the world's people times its topics; 2,496 in the default world.
        seed: Seed that chooses the people and the values.
        negatives: Number of questions of each kind that no fact answers. There are at most 240 unrelated questions.
        world: The people and the topics that the facts are about.
    """
    draw = random.Random(seed)  # noqa: S311 - not for secrets
    people = [f"{first} {last}" for first, last in product(world.first_names, world.surnames)]
    draw.shuffle(people)
    # Only half of the people have facts, so that near questions find other people with the same names.
    taught_people, other_people = people[: len(people) // 2], people[len(people) // 2 :]
    subjects = list(product(taught_people, world.topics))
    draw.shuffle(subjects)
    taught = tuple(_fact(person, topic, draw) for person, topic in subjects[:facts])
    near = tuple(_question(draw.choice(other_people), draw.choice(world.topics), draw) for _ in range(negatives))
    unknown = tuple(_question(draw.choice(world.strangers), draw.choice(world.topics), draw) for _ in range(negatives))
    unrelated = [pattern.format(thing) for pattern, things in _UNRELATED for thing in things]
    draw.shuffle(unrelated)
    return Exam(taught, near, unknown, tuple(unrelated[:negatives]))


def _fact(person: str, topic: Topic, draw: random.Random) -> Fact:
    value = draw.choice(topic.values)
    text = topic.statement.format(person=person, value=value)
    return Fact(text, text.removesuffix(f" {value}."), value, _question(person, topic, draw))


def _question(person: str, topic: Topic, draw: random.Random) -> str:
    return draw.choice(topic.questions).format(person=person)


_UNRELATED = (
    (
        "How do I {}?",
        ("boil an egg", "tie a bow tie", "change a tire", "sharpen a knife", "plant tomatoes", "fold a map",
         "clean a window", "bake bread", "learn French", "fix a leaking tap", "write a poem", "cut onions",
         "paint a wall", "iron a shirt", "build a kite", "sort a list in Python", "open a jar", "save money",
         "train for a marathon", "grow basil"),
    ),
    (
        "Explain {} in two sentences.",
        ("photosynthesis", "inflation", "gravity", "the water cycle", "compound interest", "plate tectonics",
         "machine learning", "the French Revolution", "black holes", "vaccination", "supply and demand", "evolution",
         "the greenhouse effect", "electricity", "democracy", "radioactivity", "the internet", "fermentation",
         "antibiotics", "relativity"),
    ),
    (
        "What is the capital of {}?",
        ("France", "Japan", "Kenya", "Brazil", "Norway", "Egypt", "Canada", "Poland", "Chile", "India", "Peru",
         "Turkey", "Vietnam", "Mexico", "Iceland", "Cuba", "Nepal", "Ghana", "Greece", "Austria"),
    ),
    (
        "Write a short story about {}.",
        ("a dragon", "a lighthouse", "two robots", "a lost key", "a snowstorm", "the last train", "a talking cat",
         "a haunted castle", "a spaceship", "an old clock", "a pirate", "a secret garden", "a magic pencil",
         "a flood", "a circus", "a desert island", "the moon", "a wedding", "a time machine", "a river"),
    ),
    (
        "Translate '{}' into German.",
        ("good morning", "thank you", "where is the station", "I am hungry", "see you tomorrow", "how much is it",
         "the weather is nice", "happy birthday", "I need help", "one coffee please", "the door is open",
         "I do not know", "good luck", "it is late", "turn left", "the book is new", "close the window",
         "what time is it", "I am tired", "welcome"),
    ),
    (
        "Why {}?",
        ("is the sky blue", "do cats purr", "does ice float", "do leaves fall", "is the sea salty", "do we dream",
         "do stars twinkle", "does metal rust", "do birds migrate", "does bread rise", "do we yawn", "is blood red",
         "do volcanoes erupt", "does the moon shine", "do bees dance", "is glass transparent", "do tides change",
         "do onions make us cry", "does popcorn pop", "do magnets attract"),
    ),
    (
        "Give me three tips for {}.",
        ("a job interview", "better sleep", "hiking", "public speaking", "studying", "a small garden", "photography",
         "learning chess", "a first date", "moving house", "cooking rice", "running", "writing e-mails",
         "time management", "a road trip", "buying a used car", "painting", "meditation", "camping", "swimming"),
    ),
    (
        "Who {}?",
        ("wrote Hamlet", "painted the Mona Lisa", "invented the telephone", "discovered penicillin",
         "built the pyramids", "composed the Ninth Symphony", "was Cleopatra", "invented printing",
         "was the first man on the moon", "wrote Don Quixote", "founded Rome", "was Marie Curie", "wrote Faust",
         "discovered America", "invented the light bulb", "was Genghis Khan", "wrote War and Peace",
         "painted Guernica", "was Galileo", "wrote the Odyssey"),
    ),
    (
        "Solve this: {}.",
        ("12 times 14", "the square root of 81", "45 minus 17", "half of 250", "7 plus 8 plus 9", "100 divided by 4",
         "3 to the power of 4", "15 percent of 200", "x + 5 = 12", "2x = 18", "the sum of 1 to 10", "99 plus 101",
         "1000 minus 1", "6 times 7", "a third of 90", "the area of a circle with radius 2", "8 cubed",
         "144 divided by 12", "0.5 times 60", "20 percent of 50"),
    ),
    (
        "List some {}.",
        ("vegetables", "programming languages", "planets", "card games", "spices", "rivers in Europe", "dog breeds",
         "kinds of cheese", "musical genres", "prime numbers", "board games", "types of clouds", "metals",
         "desserts", "chemical elements", "famous bridges", "dances", "kinds of pasta", "trees", "gemstones"),
    ),
    (
        "Is it true that {}?",
        ("bats are blind", "goldfish forget everything", "lightning never strikes twice", "carrots help you see",
         "we use ten percent of our brain", "bulls hate red", "the Great Wall is visible from space",
         "chewing gum stays for years", "water conducts electricity", "cracking knuckles is harmful",
         "honey never spoils", "hot water freezes faster", "sharks never sleep", "tomatoes are fruits",
         "bananas are berries", "glass is a liquid", "sugar makes children wild", "dogs see no colors",
         "hair grows after death", "coffee stunts growth"),
    ),
    (
        "Summarize {} for me.",
        ("the plot of Romeo and Juliet", "the rules of football", "how a bill becomes a law", "the theory of evolution",
         "the Cold War", "the story of Odysseus", "the life of Napoleon", "how engines work", "the Big Bang",
         "the history of jazz", "the rules of chess", "how vaccines work", "the plot of Moby Dick",
         "the causes of World War I", "how the stock market works", "the Olympic Games", "the solar system",
         "the Renaissance", "how a computer boots", "the human digestive system"),
    ),
)  # fmt: skip
