"""HybridEngine answers with what the memory knows. Where the memory knows nothing, the plain model answers."""

import inspect

import pytest
import torch

from titans_core import Confidence, TitansMemory, Turn
from titans_core.engine import MODES, HybridEngine, statements
from titans_core.errors import InvalidQueryError
from titans_core.recitation.baselines.soft_prompt import SoftPromptMemory
from titans_core.recitation.prompts import INSTRUCTION
from titans_core.recitation.recitation import Recitation

COLOR = "Alice's favorite color is turquoise."
TURNS = [
    Turn(COLOR, speaker="user"),
    Turn("Bruno has moved to Lisbon with two cats.", speaker="user"),
    Turn("What would you like to know about Lisbon?", speaker="assistant"),
    Turn("How is the weather there?", speaker="user"),
]
QUESTION = "Which color does Alice like?"
FOREIGN = "Why do magnets attract iron?"


@pytest.fixture(scope="module")
def taught_memory(reader):
    with TitansMemory.open(":memory:", tenant="alice", reader=reader) as memory:
        memory.memorize_many(TURNS)
        yield memory


@pytest.fixture(scope="module")
def recitation(llm, reader):
    return Recitation(llm, reader, banks=2)


@pytest.fixture
def engine(llm, taught_memory, recitation):
    return HybridEngine(llm, taught_memory, recitation=recitation)


@pytest.fixture
def prompts(llm, monkeypatch):
    """The prompts that the language model gets; it answers them as usual."""
    prompts = []
    generate = type(llm.lm).generate

    def record(self, prompt, **options):
        prompts.append(prompt)
        return generate(self, prompt, **options)

    monkeypatch.setattr(type(llm.lm), "generate", record)
    return prompts


def user(text):
    return {"role": "user", "content": text}


def logits(llm, prompt):
    with torch.no_grad():
        return llm.lm.model(torch.tensor([llm.tokens(prompt)])).logits


def test_a_question_in_other_words_is_answered_from_what_is_recalled(engine, llm):
    reply = engine.generate(QUESTION, max_new_tokens=12)
    assert "turquoise" in reply.text.lower()
    assert reply.mode == "context"
    assert reply.recollection.best.text == COLOR
    assert reply.recited is None


def test_a_question_in_other_words_is_answered_from_what_is_recited(engine, taught_memory, prompts, llm):
    reply = engine.generate(QUESTION, mode="recite", max_new_tokens=12)
    assert reply.recited.text == COLOR
    assert reply.recited.familiarity >= 1
    instruction = {"role": "system", "content": INSTRUCTION}
    assert prompts == [llm.chat_prompt([instruction, user(f"{COLOR}\n{QUESTION}")])]
    assert "turquoise" in reply.text.lower()
    assert reply.recollection is None


def test_the_recalled_block_and_its_label_stand_in_the_users_message(engine, prompts, llm):
    found = engine.generate(QUESTION, max_new_tokens=1).recollection
    assert found.confidence is not Confidence.NONE
    [prompt] = prompts
    assert f'<memory confidence="{found.confidence}">' in prompt
    assert COLOR in prompt
    assert prompt.count(QUESTION) == 1


@pytest.mark.parametrize("mode", ["context", "recite"])
def test_what_is_unknown_leaves_prompt_and_logits_as_they_are_without_a_memory(engine, llm, prompts, mode):
    plain = llm.chat_prompt([user(FOREIGN)])
    before = logits(llm, plain)
    reply = engine.generate(FOREIGN, mode=mode, max_new_tokens=2)
    assert reply.recited is None or reply.recited.text is None
    assert reply.recollection is None or reply.recollection.confidence is Confidence.NONE
    assert prompts == [plain]
    assert torch.equal(logits(llm, prompts[0]), before)


def test_a_conversation_is_reminded_in_the_users_last_message_only(engine, prompts, llm):
    before = [{"role": "system", "content": "Be brief."}, user("Hello!"), {"role": "assistant", "content": "Hi."}]
    engine.chat([*before, user(QUESTION)], mode="recite", max_new_tokens=1)
    assert prompts == [llm.chat_prompt([*before, user(f"{COLOR}\n{QUESTION}")])]


def test_the_same_question_asked_before_is_no_answer(llm, memory):
    memory.memorize_many([Turn(QUESTION, speaker="user"), Turn(COLOR, speaker="user")])
    found = HybridEngine(llm, memory).generate(QUESTION, max_new_tokens=1).recollection
    assert [recall.text for recall in found] == [COLOR]


def test_a_larger_model_may_be_given_more_recalls(llm, taught_memory, prompts):
    found = HybridEngine(llm, taught_memory, recalls=2).generate(QUESTION, max_new_tokens=1).recollection
    assert len(found) == 2
    assert all(recall.text in prompts[0] for recall in found)


def test_it_memorizes_nothing(engine, taught_memory):
    engine.generate(QUESTION, max_new_tokens=1)
    assert [turn.text for turn in taught_memory.turns()] == [turn.text for turn in TURNS]


def test_what_can_be_recited_are_statements_that_no_assistant_made():
    assert statements(TURNS) == [TURNS[0].text, TURNS[1].text]
    assert statements([Turn("Ada sails."), Turn("My dog is called Rex. OK?"), Turn("So? My dog? Called Rex?")]) == [
        "Ada sails.",
        "My dog is called Rex. OK?",
    ]


def test_the_recitation_follows_the_log(llm, memory, reader):
    memory.memorize("Tom has a ferret.", speaker="user", id="tom")
    recitation = Recitation(llm, reader, banks=2)
    engine = HybridEngine(llm, memory, recitation=recitation)
    question = "What pet does Tom have?"
    assert engine.generate(question, mode="recite", max_new_tokens=1).recited.text == "Tom has a ferret."
    memory.update("tom", "Tom has a parrot.")
    assert engine.generate(question, mode="recite", max_new_tokens=1).recited.text == "Tom has a parrot."
    memory.forget("tom")
    assert engine.generate(question, mode="recite", max_new_tokens=1).recited.text is None
    assert len(recitation) == 0


def test_text_is_handed_over_while_it_is_written_and_stops_when_it_is_not_wanted(engine):
    pieces = []
    whole = engine.generate(FOREIGN, max_new_tokens=6, on_text=lambda text: pieces.append(text) or True).text
    assert len(pieces) > 3
    assert "".join(pieces) == whole
    pieces.clear()
    stopped = engine.generate(
        FOREIGN, max_new_tokens=6, on_text=lambda text: pieces.append(text) or len(pieces) < 3
    ).text
    assert len(pieces) == 3
    assert whole.startswith(stopped)
    assert stopped != whole


def test_a_soft_prompt_writes_from_the_plain_prompt(llm, taught_memory):
    soft_prompt = SoftPromptMemory(llm)
    engine = HybridEngine(llm, taught_memory, soft_prompt=soft_prompt)
    pieces = []
    reply = engine.generate(QUESTION, mode="soft_prompt", max_new_tokens=3, on_text=lambda text: pieces.append(text))
    assert reply.text == soft_prompt.generate(llm.chat_prompt([user(QUESTION)]), max_new_tokens=3)
    assert pieces == [reply.text]
    assert (reply.recollection, reply.recited) == (None, None)


@pytest.mark.parametrize(("mode", "needed"), [("recite", "Recitation"), ("soft_prompt", "train one")])
def test_a_mode_without_what_it_needs_says_so(llm, taught_memory, mode, needed):
    with pytest.raises(InvalidQueryError, match=needed):
        HybridEngine(llm, taught_memory).generate(QUESTION, mode=mode)


def test_an_unknown_mode_names_the_known_ones(engine):
    with pytest.raises(InvalidQueryError, match=", ".join(MODES)):
        engine.generate(QUESTION, mode="guess")


@pytest.mark.parametrize("messages", [[], [user(" ")], [{"role": "assistant", "content": "Hello!"}]])
def test_without_a_question_there_is_no_answer(engine, messages):
    with pytest.raises(InvalidQueryError, match="missing or empty"):
        engine.chat(messages)
    with pytest.raises(InvalidQueryError, match="missing or empty"):
        engine.generate("")


async def test_the_twins_do_what_the_methods_do(engine):
    for name in ("generate", "chat"):
        method, twin = getattr(HybridEngine, name), getattr(HybridEngine, f"a{name}")
        assert inspect.iscoroutinefunction(twin)
        assert inspect.signature(twin) == inspect.signature(method)
    assert await engine.agenerate(QUESTION, max_new_tokens=2) == engine.generate(QUESTION, max_new_tokens=2)
    assert (await engine.achat([user(QUESTION)], max_new_tokens=2)).text == engine.generate(
        QUESTION, max_new_tokens=2
    ).text
