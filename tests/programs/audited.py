"""Uses all operations of a memory under an audit hook, and prints the events that the hook reports.

Command line: audited.py RECORDING FOLDER TEXT…
"""

import json
import sys
from pathlib import Path

from support.recorded import RecordedReader
from titans_core import MemoryBank, Turn

WATCHED = (
    "compile", "ctypes.dlopen", "exec", "import", "marshal.loads", "os.exec", "os.posix_spawn", "os.system",
    "pickle.find_class", "socket.bind", "socket.connect", "socket.getaddrinfo", "subprocess.Popen", "urllib.Request",
)  # fmt: skip


def use(folder, reader, turns):
    folder.mkdir()
    with MemoryBank(folder / "memory.db", reader=reader) as bank:
        memory = bank.tenant("alice")
        memory.memorize_many([Turn(text, session="s", source="test", metadata={"a": [1]}) for text in turns])
        memory.recall(turns[0], where={"b": 1})
        memory.recall(turns[0]).as_text()
        memory.update(memory.turns()[0].id, metadata={"b": 2})
        memory.forget(memory.turns()[1].id)
        memory.consolidate()
        memory.export(folder / "turns.jsonl")
        memory.suspend()
        memory.stats()
        bank.tenant("bob").import_(folder / "turns.jsonl")
        bank.forget_tenant("bob")


def main():
    recording, folder, *turns = sys.argv[1:]
    reader = RecordedReader.load(recording)
    use(Path(folder) / "first", reader, turns)  # so that late imports happen before the hook is added
    events = []
    sys.addaudithook(lambda event, arguments: events.append([event, repr(arguments)]) if event in WATCHED else None)
    use(Path(folder) / "second", reader, turns)
    found = list(events)
    exec("pass")  # shows that the hook works
    print(json.dumps({"found": found, "works": len(events) > len(found)}))


if __name__ == "__main__":
    main()
