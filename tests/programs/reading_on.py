"""Reads a conversation on a CPU of another kind, by a simulation: reading_on.py READINGS.

bitsandbytes is told that the CPU has AVX512-BF16, which is where it would look for a kernel and multiply in bfloat16.
The instruction sets of torch's own kernels, of oneDNN and of MKL are named in the environment (see `KINDS` in
tests/readers/test_one_reading.py). The 4-bit codes of all keys are written to the file READINGS.
"""

import json
import sys
from pathlib import Path

TURNS = 24
CONVERSATION = Path(__file__).parents[2] / "examples" / "conversation.jsonl"


class ToldOfBf16:
    """Answers for the CPU before the parts of bitsandbytes that ask are imported."""

    def find_spec(self, name, path=None, target=None):
        if name in ("bitsandbytes.backends.cpu.ops", "bitsandbytes.nn.modules"):
            from bitsandbytes import functional

            functional.has_avx512bf16 = lambda: True


def conversation():
    """Texts and what is read before them."""
    turns = [json.loads(line) for line in CONVERSATION.read_text(encoding="utf-8").splitlines()[:TURNS]]
    return [turn["text"] for turn in turns], [f"{turn['speaker']}: " for turn in turns]


def codes(readings):
    """The 4-bit codes of each reading's keys, int8 (tokens, 384)."""
    import numpy as np

    from titans_core.storage.codec import encode_keys, unpack_codes

    return [unpack_codes(encode_keys(reading.keys), reading.keys.shape[1]).astype(np.int8) for reading in readings]


def main():
    [path] = sys.argv[1:]
    sys.meta_path.insert(0, ToldOfBf16())

    import numpy as np

    from titans_core.readers import load_reader

    np.save(path, np.concatenate(codes(load_reader().read(*conversation()))))


if __name__ == "__main__":
    main()
