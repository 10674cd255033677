"""Every method that waits has a twin that leaves the event loop free."""

import asyncio
import inspect
import threading

import pytest

from support.looping import slow_work, stops_the_loop
from titans_core import TitansMemory, Turn

WAITING = (
    "memorize", "memorize_many", "recall", "profile", "forget", "update", "consolidate",
    "calibration_cases", "calibrate",
    "get", "turns", "export", "import_",
    "stats", "close", "suspend", "forget_tenant",
)  # fmt: skip


@pytest.mark.parametrize("name", WAITING)
def test_each_twin_has_its_methods_signature_and_says_so(name):
    method, twin = getattr(TitansMemory, name), getattr(TitansMemory, f"a{name}")
    assert inspect.iscoroutinefunction(twin)
    assert inspect.signature(twin) == inspect.signature(method)
    assert name in twin.__doc__


def test_no_public_method_lacks_a_twin():
    methods = {name for name, _ in inspect.getmembers(TitansMemory, inspect.isfunction) if not name.startswith("_")}
    assert methods - {"knowledge"} == {*WAITING, *(f"a{name}" for name in WAITING)}  # which is no call, but a block


async def test_the_twins_do_what_the_methods_do(reader, tmp_path):
    async with TitansMemory.open(tmp_path / "memory.db", tenant="alice", reader=reader) as memory:
        await memory.amemorize("The boiler leaks.", id="boiler")
        await memory.amemorize_many([Turn("Tom climbs.", id="tom"), Turn("Ada sails.", id="ada")])
        assert (await memory.arecall("What leaks?", k=1)).best.id == "boiler"
        assert {recall.id for recall in await memory.aprofile()} == {"boiler", "tom", "ada"}
        assert (await memory.aupdate("tom", "Tom swims.")).id == "tom"
        assert (await memory.aget("tom")).text == "Tom swims."
        assert await memory.aforget("ada") == 1
        assert [turn.id for turn in await memory.aturns()] == ["boiler", "tom"]
        assert await memory.aexport(tmp_path / "turns.jsonl") == 2
        assert await memory.aimport_(tmp_path / "turns.jsonl") == 0
        assert (await memory.astats()).turns == 2
    assert memory.closed


async def test_the_loop_is_free_while_the_memory_works(memory, monkeypatch):
    read = memory._reader.read

    def slow(*args):
        slow_work()
        return read(*args)

    monkeypatch.setattr(memory._reader, "read", slow)
    work = asyncio.gather(memory.amemorize("The boiler leaks."), memory.arecall("What leaks?"))
    assert not await stops_the_loop(work)


def test_threads_may_share_a_memory(memory):
    def talk(name):
        for number in range(10):
            memory.memorize(f"{name} says number {number}.", speaker=name)
            memory.recall(f"What did {name} say?", k=2)

    threads = [threading.Thread(target=talk, args=(name,)) for name in ("Ada", "Ben", "Cem", "Dan")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(memory.turns()) == 40
    assert [turn.text for turn in memory.turns(speaker="Cem")] == [f"Cem says number {n}." for n in range(10)]
