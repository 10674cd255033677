"""The next-state memory reads, measures its surprise, learns, and recites what it learned."""

import pytest

from support.tiny_model import write_gguf
from titans_core.errors import EmptyTurnError, InvalidQueryError
from titans_core.readers import CausalReader
from titans_core.recitation.baselines.next_state import NextStateMemory

CODE = "The secret code is X-8-DELTA-9."
FACTS = [
    ("The secret", " code is X-8-DELTA-9."),
    ("Anna's", " favorite color is turquoise."),
    ("Lunch is", " at 14:30 in room B-204."),
    ("Our", " project is Bluebird."),
]
OTHER = "My grandmother collects stamps from Portugal."


@pytest.fixture(scope="module")
def learned(llm):
    memory = NextStateMemory(llm)
    for beginning, rest in FACTS:
        memory.learn(beginning + rest)
    return memory


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A random language model with one token for each letter, so that a test can write any word."""
    folder = tmp_path_factory.mktemp("model")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TITANS_CACHE", str(folder))
        return CausalReader(str(write_gguf(folder / "tiny.gguf")), quantization=None)


def test_each_token_of_a_new_text_is_all_new(llm):
    surprises = NextStateMemory(llm).read(CODE)
    assert "".join(surprises.tokens) == CODE
    assert len(surprises.values) == llm.count_tokens(CODE)
    assert surprises.values == pytest.approx([1] * len(surprises.values))


def test_what_was_learned_does_not_surprise_any_more(learned):
    assert max(learned.read(beginning + rest).mean for beginning, rest in FACTS) < 0.2
    assert learned.read(OTHER).mean > 0.8


def test_another_ending_surprises_where_it_differs(learned):
    surprises = learned.read("Our project is late.")
    place = surprises.tokens.index(" late")
    assert max(surprises.values[1:place]) < 0.2
    assert surprises.values[place] > 1


@pytest.mark.parametrize(("beginning", "rest"), [FACTS[0], FACTS[3]])
def test_a_beginning_recalls_the_rest(learned, beginning, rest):
    assert learned.recall(beginning, max_new_tokens=16) == rest


def test_recall_is_cut_where_asked(learned):
    assert learned.recall("Our", max_new_tokens=2) == " project is"


@pytest.mark.parametrize("layer", [-1, 1])
def test_the_states_of_any_layer_are_keys(tiny, layer):
    memory = NextStateMemory(CausalReader(tiny.lm, layer=layer))
    assert memory.recall("the", max_new_tokens=8) == ""
    memory.learn("thequick")
    assert memory.recall("the", max_new_tokens=8) == "quick"


def test_learning_tells_the_surprise_before_and_reading_learns_nothing(tiny):
    memory = NextStateMemory(tiny)
    assert memory.read("thequick") == memory.read("thequick") == memory.learn("thequick")
    known = memory.read("thequick")
    assert known.mean < 0.1
    assert memory.learn("thequick") == known


def test_the_size_depends_on_the_model_alone(tiny):
    memory = NextStateMemory(tiny)
    before = memory.nbytes
    memory.learn("thequickbrownfox")
    assert memory.nbytes == before > 8 * 2 * tiny.dim**2


def test_a_text_without_tokens_is_refused(tiny):
    memory = NextStateMemory(tiny)
    with pytest.raises(EmptyTurnError):
        memory.learn("")
    with pytest.raises(InvalidQueryError):
        memory.read("")
    with pytest.raises(InvalidQueryError):
        memory.recall("", max_new_tokens=1)
