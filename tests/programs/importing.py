"""Imports turns with a worker, slowly enough to be interrupted.

Command line: importing.py RECORDING FILE DATABASE LOG. FILE is the export, and DATABASE the file of the memory. The
reader appends each text that it reads to LOG.
"""

import sys
import time
from pathlib import Path

import titans_core.memory.memory
from support.recorded import RecordedReader
from titans_core import TitansMemory

BATCH = 3


class SlowReader(RecordedReader):
    """A slow reader that appends each text to a log."""

    def __init__(self, recorded, log):
        self.__dict__.update(recorded.__dict__)
        self.log = log

    def read(self, texts, prefixes=None):
        time.sleep(0.1 * len(texts))
        with Path(self.log).open("a") as log:
            log.writelines(f"{text}\n" for text in texts)
        return super().read(texts, prefixes)


def main():
    recording, file, database, log = sys.argv[1:]
    titans_core.memory.memory.COMMIT_TURNS = BATCH
    reader = SlowReader(RecordedReader.load(recording), log)
    with TitansMemory.open(database, tenant="alice", reader=reader) as memory:
        memory.import_(file, workers=1)


if __name__ == "__main__":
    main()
