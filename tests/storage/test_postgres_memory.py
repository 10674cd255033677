"""A memory on PostgreSQL gives the same answers as a memory in a file."""

import multiprocessing
from datetime import UTC, datetime, timedelta

import pytest

from support.recorded import RecordedReader
from support.soundness import equals_a_replay
from titans_core import MemoryBank, TitansMemory, Turn
from titans_core.errors import ReaderMismatchError, UnwritableError

AT = datetime(2026, 3, 1, tzinfo=UTC)
NAMES = ["Ada", "Tom", "Mia", "Leo", "Eva"]
PLACES = ["Lisbon", "Exeter", "Porto", "Graz", "Oslo"]
THINGS = ["a green bike", "two cats", "a boat", "a piano", "tomatoes on the balcony"]
TEXTS = [f"{name} lives in {place}." for name, place in zip(NAMES, PLACES, strict=True)]
TEXTS += [f"{name} has {THINGS[(row * 2 + 1) % 5]}." for row, name in enumerate(NAMES)]
TEXTS += [
    f"On day {day} {NAMES[day % 5]} went from {PLACES[day % 5]} to {PLACES[(day * 3 + 1) % 5]} by train."
    for day in range(40)
]
TURNS = [
    Turn(text, speaker=NAMES[row % 2], at=AT + timedelta(minutes=row), session=str(row // 10), id=str(row))
    for row, text in enumerate(TEXTS)
]
QUESTIONS = [
    "Where does Mia live?", "Who has a boat?", "Who grows tomatoes?", "When did Leo go to Oslo?", "What leaks?",
]  # fmt: skip


def answers(memory):
    """Return what a memory recalls for all questions, with and without filters."""
    return [
        [(recall.id, round(recall.score, 5)) for recall in recalls] + [recalls.confidence, len(recalls)]
        for question in QUESTIONS
        for recalls in (memory.recall(question, k=5), memory.recall(question, k=3, speaker="Ada", since=TURNS[20].at))
    ]


@pytest.fixture
def memory(postgres_url, reader):
    with TitansMemory.open(postgres_url, tenant="alice", reader=reader) as memory:
        yield memory


def test_it_recalls_what_a_file_recalls_through_all_that_happens_to_it(memory, postgres_url, reader, tmp_path):
    def assert_equal():
        assert answers(memory) == answers(file)
        assert [turn.id for turn in memory.turns()] == [turn.id for turn in file.turns()]
        assert memory.stats().tokens == file.stats().tokens

    with TitansMemory.open(tmp_path / "memory.db", tenant="alice", reader=reader) as file:
        for each in (memory, file):
            each.memorize_many(TURNS[:40])
            for turn in TURNS[40:]:
                each.memorize(turn)
        assert_equal()
        for each in (memory, file):
            each.forget("7")
            each.forget(session="2")
            each.update("3", "Leo lives in Bergen.")
        assert_equal()
        for each in (memory, file):
            assert each.consolidate(0.2)
        assert_equal()
        assert equals_a_replay(memory)
        memory.close()
        with TitansMemory.open(postgres_url, tenant="alice", reader=reader) as reopened:
            assert answers(reopened) == answers(file)
            assert equals_a_replay(reopened)


def test_tenants_of_a_bank_share_nothing_but_the_server(postgres_url, reader):
    with MemoryBank(postgres_url, reader=reader) as bank:
        for name in NAMES:
            bank.tenant(name).memorize(f"The password of this house is {name}.", id="password")
        for name in NAMES:
            recalls = bank.tenant(name).recall("What is the password of this house?", k=10)
            assert [recall.text for recall in recalls] == [f"The password of this house is {name}."]
        assert bank.tenants() == sorted(NAMES)
        assert bank.tenant("Ada").forget_tenant() == 1
        assert bank.tenants() == sorted(NAMES[1:])


def test_it_sleeps_and_wakes_with_the_password_it_was_given(memory):
    memory.memorize("The key is under the mat.")
    memory.suspend()
    assert memory.recall("Where is the key?").best.text == "The key is under the mat."


def test_another_reader_is_refused(memory, postgres_url):
    class OtherReader:
        fingerprint, dim = "another reader", 384

    memory.memorize("The key is under the mat.")
    with pytest.raises(ReaderMismatchError):
        TitansMemory.open(postgres_url, tenant="alice", reader=OtherReader())


def test_processes_lose_no_update_of_one_another(memory, postgres_url, reader, tmp_path):
    texts = [f"Process {name} writes its note {number}." for name in "ab" for number in range(8)]
    recorded = RecordedReader(reader, [("", text) for text in texts])
    recorded.save(tmp_path / "readings.npz")
    context = multiprocessing.get_context("spawn")
    jobs = [(postgres_url, tmp_path / "readings.npz", texts[start : start + 8]) for start in (0, 8)]
    with context.Pool(2) as processes:
        processes.map(_memorize, jobs)
    assert sorted(turn.text for turn in memory.turns()) == sorted(texts)
    assert memory.recall(texts[-1]).best.text == texts[-1]
    assert equals_a_replay(memory)


def _memorize(job):
    """Memorize texts in a process of its own."""
    url, readings, texts = job
    with TitansMemory.open(url, tenant="alice", reader=RecordedReader.load(readings)) as memory:
        for text in texts:
            memory.memorize(text)


def test_a_server_that_only_reads_can_be_asked_and_refuses_the_rest(memory, postgres_url, reader):
    replica = f"{postgres_url}{'&' if '?' in postgres_url else '?'}options=-c%20default_transaction_read_only%3Don"
    memory.memorize("The key is under the mat.", id="key")
    with TitansMemory.open(replica, tenant="alice", reader=reader) as read_only:
        memory.memorize("The train leaves at noon.")
        assert read_only.recall("When does the train leave?").best.text == "The train leaves at noon."
        for write in (
            lambda: read_only.memorize("The boiler leaks."),
            lambda: read_only.forget("key"),
            read_only.consolidate,
        ):
            with pytest.raises(UnwritableError):
                write()
        assert [turn.text for turn in read_only.turns()] == [turn.text for turn in memory.turns()]
    with pytest.raises(UnwritableError):
        TitansMemory.open(replica, tenant="bob", reader=reader)
