# ruff: noqa: RUF001 - these tests need letters that look like other letters
"""Any text is stored and returned exactly, or a typed error says why not. Any text can be a question."""

import itertools
import math
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from titans_core import TitansMemory, Turn
from titans_core.errors import TitansError, TurnError, UnknownTurnError
from titans_core.types import Reading

EXAMPLES = [60, pytest.param(2_000, marks=pytest.mark.slow)]

# Characters and words that cause errors in databases, full-text queries, JSON paths and terminals, or mislead readers.
PIECES = [
    *"%_'\";\\*()[]:^?+~|\0\x1b\x7f\u2028\ufeff\ufffe\U0010ffff\ud800\udfff\u202e\u2066\u200b\u200d\ufe0f\u0301ßİ",
    *["--", "{text}", "{}", "%s", "%00", "?1", "$.a[0]", "$[#-1]", "</memory>", "\r\n", "\x1b[31m", "007", "1e400"],
    *["NEAR", "AND", "NOT", "NULL", "NaN", "true", "'; DROP TABLE turns; --", 'NEAR("a" b)', "word ", "in auguſt"],
    *[
        "👩\u200d👩\u200d👧",
        "🇵🇹",
        "a\u0301",
        "e\u0301" * 99,
        "раураl",
        "paypal",
        "ＡＢ",
        "ﬁ",
        "עברית",
        "العربية",
        "한국어",
    ],
    *["漢字", "क्षि", "ไทย", "in aprıl"],
]

TEXTS = st.lists(st.characters() | st.sampled_from(PIECES), max_size=12).map("".join)
NAMES = st.none() | TEXTS
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
# One day before both ends of the calendar: at the very ends, times in other zones than UTC are outside of it.
TIMES = st.none() | st.datetimes(
    datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.sampled_from([None, UTC, timezone(timedelta(hours=9))])
)
METADATA = st.dictionaries(TEXTS, VALUES, max_size=3)
TURNS = st.builds(Turn, TEXTS, speaker=NAMES, at=TIMES, session=NAMES, metadata=METADATA, id=NAMES)

# A sentence, which is a different text in composed and in decomposed letters; and a question for it.
ACCENTED = {
    "Latin": ("The café Zoë opened in Málaga serves crème brûlée.", "Where is crème brûlée served?"),
    "Vietnamese": ("Chị Hường sống ở Huế và bán phở mỗi sáng.", "Ai bán phở ở Huế?"),
    "Greek": ("Η Ελένη μένει στην Αθήνα και πίνει τσάι.", "Ποιος μένει στην Αθήνα;"),
    "Cyrillic": ("Андрей купил ёлку и йогурт в Киеве.", "Кто купил ёлку и йогурт?"),
    "Hangul": ("민준은 서울에서 김치를 만들었다.", "누가 서울에서 김치를 만들었다?"),
    "Kana": ("ガレージで ギターを ひくのは ペペです。", "ギターを ひくのは だれ?"),
}

SCRIPTS = {
    "Latin": "My sister moved to Lisbon.",
    "Greek": "Η αδελφή μου μένει στη Λισαβόνα.",
    "Cyrillic": "Моя сестра живёт в Лиссабоне.",
    "Armenian": "Իմ քույրը ապրում է Լիսաբոնում։",
    "Georgian": "ჩემი და ცხოვრობს ლისაბონში.",
    "Hebrew": "אחותי גרה בליסבון.",
    "Arabic": "أختي تعيش في لشبونة.",
    "Syriac": "ܫܠܡܐ ܥܠܝܟܘܢ",
    "Thaana": "މަގޭ ނަމަކީ އަހުމަދު",
    "N'Ko": "ߒ ߕߐ߮ ߦߋ߫ ߡߎ߬ߛߊ߫",
    "Ethiopic": "እህቴ በሊዝበን ትኖራለች።",
    "Devanagari": "मेरी बहन लिस्बन में रहती है।",
    "Bengali": "আমার বোন লিসবনে থাকে।",
    "Gurmukhi": "ਮੇਰੀ ਭੈਣ ਲਿਸਬਨ ਵਿੱਚ ਰਹਿੰਦੀ ਹੈ।",
    "Gujarati": "મારી બહેન લિસ્બનમાં રહે છે.",
    "Odia": "ମୋ ଭଉଣୀ ଲିସବନରେ ରହେ।",
    "Tamil": "என் சகோதரி லிஸ்பனில் வசிக்கிறாள்.",
    "Telugu": "నా సోదరి లిస్బన్‌లో నివసిస్తుంది.",
    "Kannada": "ನನ್ನ ಸಹೋದರಿ ಲಿಸ್ಬನ್‌ನಲ್ಲಿ ವಾಸಿಸುತ್ತಾಳೆ.",
    "Malayalam": "എന്റെ സഹോദരി ലിസ്ബണിൽ താമസിക്കുന്നു.",
    "Sinhala": "මගේ සහෝදරිය ලිස්බන්හි ජීවත් වේ.",
    "Thai": "พี่สาวของฉันอยู่ที่ลิสบอน",
    "Lao": "ເອື້ອຍຂອງຂ້ອຍຢູ່ລິສບອນ",
    "Khmer": "បងស្រីរបស់ខ្ញុំរស់នៅទីក្រុងលីសបោន។",
    "Myanmar": "ကျွန်တော့်အစ်မ လစ္စဘွန်းမှာ နေတယ်။",
    "Tibetan": "ངའི་མིང་ལ་བཀྲ་ཤིས་ཟེར།",
    "Mongolian": "ᠮᠣᠩᠭᠣᠯ ᠪᠢᠴᠢᠭ",
    "Han": "我的姐姐住在里斯本。",
    "Hiragana": "わたしのあねはまちにすんでいます。",
    "Katakana": "リスボン ニ イル アネ",
    "Hangul": "우리 언니는 리스본에 살아요.",
    "Bopomofo": "ㄋㄧˇ ㄏㄠˇ ㄇㄚ",
    "Yi": "ꆈꌠꁱꂷ",
    "Cherokee": "ᎣᏏᏲ ᏙᎯᏧ",
    "Inuktitut": "ᐃᓄᒃᑎᑐᑦ ᐅᖃᐅᓯᖅ",
    "Tifinagh": "ⴰⵣⵓⵍ ⴼⵍⵍⴰⵡⵏ",
    "Runic": "ᚠᚢᚦᚨᚱᚲ ᚷᚹᚺᚾᛁᛃ",
    "Ogham": "᚛ᚑᚌᚐᚋ᚜",
    "Gothic": "𐌰𐍄𐍄𐌰 𐌿𐌽𐍃𐌰𐍂",
    "Cuneiform": "𒀭𒈹 𒂗𒆤",
}


class HashReader:
    """A fast reader for any text: the key of each word comes from a hash of the word."""

    dim, fingerprint = 32, "hashes"

    def read(self, texts, prefixes=None):
        return [self._read(prefix + text) for prefix, text in zip(prefixes or [""] * len(texts), texts, strict=True)]

    def count_tokens(self, text):
        return len(text.split())

    def _read(self, text):
        seeds = [sum(word.encode()) for word in text.split()]
        keys = np.array([np.random.default_rng(seed).normal(size=self.dim) for seed in seeds]).reshape(-1, self.dim)
        keys = (keys / np.linalg.norm(keys, axis=1, keepdims=True)).astype(np.float32)
        pooled = keys.sum(0) / max(np.linalg.norm(keys.sum(0)), 1e-9)
        return Reading(keys, pooled.astype(np.float32), np.array(seeds, np.int32), np.zeros((len(seeds), 2), np.int32))


def open_memory(path, tenant="alice", reader=None):
    return TitansMemory.open(path, tenant=tenant, reader=reader or HashReader(), strategy="gap_and_similarity")


def parts_of(value):
    """The value itself, or all values inside it."""
    if isinstance(value, dict):
        return [part for item in value.items() for side in item for part in parts_of(side)]
    return [part for item in value for part in parts_of(item)] if isinstance(value, list) else [value]


def is_storable(turn):
    names = (turn.speaker, turn.session, turn.id)
    parts = [turn.text, *names, *parts_of(turn.metadata)]
    surrogates = any("\ud800" <= char <= "\udfff" for part in parts if isinstance(part, str) for char in part)
    infinite = any(isinstance(part, float) and not math.isfinite(part) for part in parts)
    return turn.text.strip() != "" and "" not in names and not infinite and not surrogates


def memorize_storable(memory, turns):
    """Memorize each turn, or see it refused with a typed error. Returns the turns that the memory should hold."""
    kept = {}
    for turn in turns:
        try:
            receipt = memory.memorize(turn)
        except TurnError:
            assert not is_storable(turn) or turn.id in kept
            continue
        assert is_storable(turn)
        at = turn.at or memory.get(receipt.id).at
        at = at.astimezone(UTC).replace(fold=0)
        kept.setdefault(receipt.id, replace(turn, id=receipt.id, at=at))
    return list(kept.values())


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_text_comes_back_exactly_or_is_refused(tmp_path, examples):
    folders = map("{}/{}".format, itertools.repeat(tmp_path), itertools.count())

    @settings(max_examples=examples, deadline=None)
    @given(st.lists(TURNS, max_size=3))
    def holds(turns):
        folder = Path(next(folders))
        folder.mkdir()
        with open_memory(folder / "memory.db") as memory, open_memory(folder / "memory.db", tenant="bob") as other:
            expected = memorize_storable(memory, turns)
            assert repr(memory.turns()) == repr(expected)
            assert [memory.get(turn.id) for turn in expected] == expected
            memory.export(folder / "turns.jsonl")
            other.import_(folder / "turns.jsonl")
            assert repr(other.turns()) == repr(expected)
        with open_memory(folder / "memory.db") as memory:
            assert repr(memory.turns()) == repr(expected)

    holds()


@pytest.fixture(scope="module")
def memory_of_pieces(reader):
    """A memory with all printable pieces."""
    with TitansMemory.open(":memory:", tenant="alice", reader=reader) as memory:
        texts = [f"They wrote {piece} on the wall." for piece in PIECES if piece.isprintable() and len(piece) < 99]
        memory.memorize_many([Turn(text, speaker="user", metadata={"n": n}) for n, text in enumerate(texts)])
        yield memory


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_text_may_be_asked_with_any_filters(memory_of_pieces, examples):
    filters = {
        "speaker": NAMES,
        "session": NAMES,
        "since": TIMES,
        "until": TIMES,
        "where": st.dictionaries(TEXTS, VALUES, max_size=2),
        "ids": st.lists(TEXTS, max_size=2),
        "except_texts": st.lists(TEXTS, max_size=2),
    }

    @settings(max_examples=examples, deadline=None)
    @given(TEXTS, st.fixed_dictionaries({}, optional=filters))
    def holds(query, filters):
        try:
            found = memory_of_pieces.recall(query, **filters)
        except TitansError:
            parts = [query, *parts_of([*filters.values()]), *filters.get("where", {}).values()]
            assert not query.strip() or any(map(is_refused, parts))
        else:
            assert {recall.text for recall in found} <= {turn.text for turn in memory_of_pieces.turns(**filters)}

    holds()


def is_refused(part):
    """Whether a filter is allowed to refuse this value."""
    surrogate = isinstance(part, str) and any("\ud800" <= char <= "\udfff" for char in part)
    return surrogate or isinstance(part, list | dict) or (isinstance(part, int | float) and not abs(part) < 2**63)


@pytest.mark.parametrize("query", ["in auguſt", "on frİday", "fıve days ago", "9" * 5_000 + " days ago", "aprıl 2023"])
def test_a_time_in_strange_letters_is_no_time(memory_of_pieces, query):
    assert memory_of_pieces.recall(f"Who wrote on the wall {query}?").best


def test_every_awkward_piece_is_found_by_its_filters_and_no_other_is(memory):
    pieces = [piece for piece in PIECES if piece.isprintable() and piece.strip()]
    memory.memorize_many([Turn("They met.", speaker=p, session=p, id=p, metadata={p: p}) for p in pieces])
    for p in pieces:
        for filters in ({"speaker": p}, {"session": p}, {"ids": [p]}, {"where": {p: p}}):
            assert [turn.id for turn in memory.turns(**filters)] == [p]
        assert [recall.id for recall in memory.recall("Who met?", speaker=p, where={p: p})] == [p]


@pytest.mark.parametrize("name", ["\ud800", "a\0", "nobody"])
def test_an_id_that_no_turn_can_have_is_an_unknown_one(memory, name):
    memory.memorize("They met.", id="a")
    for use in (memory.get, memory.forget, lambda name: memory.update(name, "They parted.")):
        with pytest.raises(UnknownTurnError):
            use(name)
    assert [turn.id for turn in memory.turns()] == ["a"]


def test_a_passage_with_nul_is_shown_whole(memory):
    text = "The code\0of the gate is 4711."
    memory.memorize(text)
    best = memory.recall("What is the code of the gate?").best
    assert best.text == best.passage == text


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_sentence_in_any_script_is_found_by_its_own_words(memory_of_scripts, script):
    best = memory_of_scripts.recall(SCRIPTS[script]).best
    assert (best.text, best.id) == (SCRIPTS[script], script)


@pytest.fixture(scope="module")
def memory_of_scripts(reader):
    with TitansMemory.open(":memory:", tenant="alice", reader=reader) as memory:
        memory.memorize_many([Turn(text, id=script) for script, text in SCRIPTS.items()])
        yield memory


FORMS = [("NFC", "NFD"), ("NFD", "NFC")]


@pytest.mark.parametrize(("stored", "queried"), FORMS)
@pytest.mark.parametrize("script", ACCENTED)
def test_composed_and_decomposed_letters_find_each_other(reader, script, stored, queried):
    sentence, question = ACCENTED[script]
    sentence = unicodedata.normalize(stored, sentence)
    own, other = (unicodedata.normalize(form, question) for form in (stored, queried))
    assert own != other
    with TitansMemory.open(":memory:", tenant="alice", reader=reader) as memory:
        memory.memorize_many(
            [Turn(unicodedata.normalize(stored, text), speaker="Zoë") for text, _ in ACCENTED.values()]
        )
        in_own, in_other = memory.recall(own), memory.recall(other)
    assert in_other.best.text == sentence
    assert in_other.recalls == in_own.recalls
    assert (in_other.confidence, in_other.probability) == (in_own.confidence, in_own.probability)


@pytest.mark.parametrize(("first", "second"), FORMS)
@pytest.mark.parametrize("script", ACCENTED)
def test_a_twin_in_other_encoding_is_a_duplicate_and_is_kept_exactly(memory, script, first, second):
    one, other = (unicodedata.normalize(form, ACCENTED[script][0]) for form in (first, second))
    receipt = memory.memorize(one, speaker="user")
    assert memory.memorize(other, speaker="user").duplicate_of == receipt.id
    assert memory.memorize(f"{other}!", speaker="user").duplicate_of == receipt.id
    assert memory.memorize(f"{other} {other}").duplicate_of is None
    assert [turn.text for turn in memory.turns()][:2] == [one, other]


@pytest.mark.parametrize(("stored", "queried"), FORMS)
def test_a_speaker_is_named_in_either_encoding(reader, stored, queried):
    names = [unicodedata.normalize(stored, name) for name in ("Zoë", "Renée")]
    with TitansMemory.open(":memory:", tenant="alice", reader=reader) as memory:
        memory.memorize_many([Turn("I have a new bike.", speaker=name) for name in names])
        for name in names:
            found = memory.recall(unicodedata.normalize(queried, f"What did {name} get?"))
            assert found.best.turn.speaker == name
            assert found.best.why["speaker"] > 0


@pytest.mark.parametrize(("one", "other"), [("😀", "🎉"), ("मेरा किला है।", "मेरा काल है।"), ("ดี", "ดู")])
def test_what_the_reader_cannot_tell_apart_is_no_duplicate(memory, one, other):
    memory.memorize(one)
    assert memory.memorize(other).duplicate_of is None
