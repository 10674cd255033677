"""Reads a conversation on a simulated CPU of another kind.

The program makes bitsandbytes believe that the CPU has AVX512-BF16. On such a CPU, bitsandbytes would look for a kernel
and multiply in bfloat16. Environment variables choose the instruction sets of torch's own kernels, of oneDNN and of MKL
(see `KINDS` in tests/readers/test_one_reading.py). The 4-bit codes of all keys are written to a file.

Command line: reading_on.py FILE
"""

import json
import sys
from pathlib import Path

TURNS = 24
CONVERSATION = Path(__file__).parents[2] / "examples" / "conversation.jsonl"


class Bf16Simulator:
    """An import hook. It changes what bitsandbytes knows about the CPU, before the modules that use it are imported."""

    def find_spec(self, name, path=None, target=None):
        if name in ("bitsandbytes.backends.cpu.ops", "bitsandbytes.nn.modules"):
            from bitsandbytes import functional

            functional.has_avx512bf16 = lambda: True


def conversation():
    """Return the texts of the turns, and the prefix of each text."""
    turns = [json.loads(line) for line in CONVERSATION.read_text(encoding="utf-8").splitlines()[:TURNS]]
    return [turn["text"] for turn in turns], [f"{turn['speaker']}: " for turn in turns]


def codes(readings):
    """Return the 4-bit codes of each reading's keys, int8 (tokens, 384)."""
    import numpy as np

    from titans_core.storage.codec import encode_keys, unpack_codes

    return [unpack_codes(encode_keys(reading.keys), reading.keys.shape[1]).astype(np.int8) for reading in readings]


def main():
    [path] = sys.argv[1:]
    sys.meta_path.insert(0, Bf16Simulator())

    import numpy as np

    from titans_core.readers import load_reader

    np.save(path, np.concatenate(codes(load_reader().read(*conversation()))))


if __name__ == "__main__":
    main()
