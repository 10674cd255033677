"""The turn with the word that was asked for is recalled first, also in scripts that the default reader cannot read."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from titans_core import TitansMemory, Turn

CONVERSATIONS = {
    "Thai": [
        "น้องสาวของฉันเรียนสัตวแพทย์ที่เชียงใหม่",
        "ฉันแพ้เฮเซลนัท",
        "รถของฉันเป็นสีฟ้า",
        "แมวของฉันชื่อถั่ว",
        "ฉันดื่มชาเขียวทุกเช้า",
        "กุญแจอยู่ใต้กระถางดอกไม้",
    ],
    "Lao": ["ນ້ອງສາວຂອງຂ້ອຍຢູ່ວຽງຈັນ", "ຂ້ອຍດື່ມຊາຂຽວທຸກເຊົ້າ", "ລົດຂອງຂ້ອຍສີຟ້າ", "ແມວຂອງຂ້ອຍຊື່ຖົ່ວ"],
    "Khmer": ["ប្អូនស្រីខ្ញុំនៅសៀមរាប", "ខ្ញុំផឹកតែបៃតងរាល់ព្រឹក", "ឡានរបស់ខ្ញុំពណ៌ខៀវ", "ឆ្មារបស់ខ្ញុំឈ្មោះសណ្តែក"],
    "Myanmar": ["ညီမလေးက မန္တလေးမှာနေတယ်", "မနက်တိုင်းလက်ဖက်စိမ်းသောက်တယ်", "ကားကအပြာရောင်", "ကြောင်နာမည်ကပဲစေ့"],
    "Chinese": [
        "我妹妹在成都学兽医。",
        "我对榛子过敏。",
        "我的车是蓝色的。",
        "下周二和王工开会。",
        "我的猫叫豆豆。",
        "我每天早上喝绿茶。",
        "钥匙放在花盆下面。",
        "房租每月五号交。",
        "我买了iPhone手机壳。",
    ],
    "Japanese": [
        "妹は札幌で獣医学を学んでいます。",
        "ヘーゼルナッツにアレルギーがあります。",
        "車は青いです。",
        "毎朝緑茶を飲みます。",
        "ガレージの鍵は植木鉢の下です。",
        "猫の名前はまめです。",
    ],
    "emoji": [
        "My favourite emoji is 🦦.",
        "I marked the trip with ✈️.",
        "The cake 🎂 is for Lena.",
        "Tom sent 👍🏽👩\u200d👩\u200d👧.",
        "The flag 🇵🇹 hangs here.",
    ],
}

QUESTIONS = [
    ("Thai", "ชาเขียว", "ฉันดื่มชาเขียวทุกเช้า"),
    ("Thai", "ใครแพ้เฮเซลนัทบ้าง", "ฉันแพ้เฮเซลนัท"),
    ("Thai", "แมวชื่ออะไร", "แมวของฉันชื่อถั่ว"),
    ("Thai", "กุญแจอยู่ที่ไหน", "กุญแจอยู่ใต้กระถางดอกไม้"),
    ("Lao", "ຊາຂຽວ", "ຂ້ອຍດື່ມຊາຂຽວທຸກເຊົ້າ"),
    ("Khmer", "តែបៃតង", "ខ្ញុំផឹកតែបៃតងរាល់ព្រឹក"),
    ("Myanmar", "လက်ဖက်စိမ်း", "မနက်တိုင်းလက်ဖက်စိမ်းသောက်တယ်"),
    ("Chinese", "绿茶", "我每天早上喝绿茶。"),
    ("Chinese", "我的猫叫什么名字？", "我的猫叫豆豆。"),
    ("Chinese", "钥匙在哪里？", "钥匙放在花盆下面。"),
    ("Chinese", "谁对榛子过敏？", "我对榛子过敏。"),
    ("Chinese", "手机壳", "我买了iPhone手机壳。"),
    ("Japanese", "緑茶", "毎朝緑茶を飲みます。"),
    ("Japanese", "アレルギーは何ですか？", "ヘーゼルナッツにアレルギーがあります。"),
    ("Japanese", "鍵はガレージのどこ？", "ガレージの鍵は植木鉢の下です。"),
    ("emoji", "🦦", "My favourite emoji is 🦦."),
    ("emoji", "✈", "I marked the trip with ✈️."),
    ("emoji", "🎂?", "The cake 🎂 is for Lena."),
    ("emoji", "👍", "Tom sent 👍🏽👩\u200d👩\u200d👧."),
    ("emoji", "🇵🇹", "The flag 🇵🇹 hangs here."),
]


@pytest.fixture(scope="module")
def memories(reader):
    """A memory of each conversation, and one of all of them."""
    opened = {}
    together = [text for texts in CONVERSATIONS.values() for text in texts]
    for name, texts in (CONVERSATIONS | {"all": together}).items():
        opened[name] = TitansMemory.open(":memory:", tenant="alice", reader=reader)
        opened[name].memorize_many([Turn(text, speaker="user", session="s") for text in texts])
    yield opened
    for memory in opened.values():
        memory.close()


@pytest.mark.parametrize("among", ["its own", "all"])
@pytest.mark.parametrize(("script", "question", "answer"), QUESTIONS)
def test_the_turn_with_the_word_is_first(memories, script, question, answer, among):
    memory = memories["all" if among == "all" else script]
    assert memory.recall(question).best.text == answer


@settings(max_examples=40)
@given(st.data())
def test_a_part_of_a_turn_that_the_reader_cannot_read_finds_the_turn(reader, memories, data):
    text = data.draw(st.sampled_from([text for script in ("Thai", "Lao", "Khmer") for text in CONVERSATIONS[script]]))
    start = data.draw(st.integers(0, len(text) - 5))
    part = text[start : start + 5]
    assume(not len(reader.read([part])[0].keys))
    assert part in memories["all"].recall(part).best.text
