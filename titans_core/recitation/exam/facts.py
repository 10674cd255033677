"""Made-up facts and questions, to measure recitation with: the same for everybody, by a seed."""

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
_THINGS = ("violin", "trumpet", "cello", "banjo", "flute", "harp", "piano", "drums", "clarinet", "accordion")
_FOODS = ("peanuts", "shellfish", "eggs", "celery", "mustard", "strawberries", "soy", "sesame", "wheat", "kiwi")
_SPORTS = ("chess", "tennis", "rowing", "fencing", "judo", "archery", "sailing", "boxing", "golf", "curling")


@dataclass(frozen=True)
class Topic:
    """Something that is known of a person.

    Attributes:
        statement: with `{person}` and `{value}`, which ends the sentence.
        questions: in other words than the statement, with `{person}`.
        values: that the topic can take.
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
        _THINGS,
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
    """Whom facts are about, and what.

    Attributes:
        first_names: of the people.
        surnames: of the people; everybody has one of each.
        strangers: whole names that nobody is told about.
        topics: what is known of people.
    """

    first_names: tuple[str, ...]
    surnames: tuple[str, ...]
    strangers: tuple[str, ...]
    topics: tuple[Topic, ...]


WORLD = World(FIRST_NAMES, SURNAMES, STRANGERS, TOPICS)


@dataclass(frozen=True)
class Fact:
    """One thing to remember.

    Attributes:
        text: the whole sentence.
        beginning: of it, up to the value.
        value: what an answer must contain.
        question: asks for it in other words.
    """

    text: str
    beginning: str
    value: str
    question: str


@dataclass(frozen=True)
class Exam:
    """Facts to teach, and questions that nothing taught answers.

    Attributes:
        facts: all different, about people many of whom share a first name or a surname.
        near: questions like those for the facts, about another person of the same names.
        unknown: likewise, about people with names that nobody taught has.
        unrelated: about something else altogether.
    """

    facts: tuple[Fact, ...]
    near: tuple[str, ...]
    unknown: tuple[str, ...]
    unrelated: tuple[str, ...]


def make_exam(facts: int, *, seed: int = 0, negatives: int = 200, world: World = WORLD) -> Exam:
    """Make facts and questions.

    A seed's exams share nothing but the names; the first facts of a larger exam are those of a smaller one.

    Args:
        facts: how many, from 1 to half of the world's people times its topics, 2,496 here.
        seed: another one gives other people and other values.
        negatives: how many questions of each kind that nothing answers; unrelated ones are 240 at most.
        world: whom and what the facts are about.
    """
    draw = random.Random(seed)  # noqa: S311 - not for secrets
    people = [f"{first} {last}" for first, last in product(world.first_names, world.surnames)]
    draw.shuffle(people)
    # Half of the people are told about: of each name there is somebody who is not.
    told, untold = people[: len(people) // 2], people[len(people) // 2 :]
    subjects = list(product(told, world.topics))
    draw.shuffle(subjects)
    taught = tuple(_fact(person, topic, draw) for person, topic in subjects[:facts])
    near = tuple(_question(draw.choice(untold), draw.choice(world.topics), draw) for _ in range(negatives))
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
