"""A reader that returns recorded readings, for processes that must start fast or fork."""

import numpy as np

from titans_core.types import Reading


class RecordedReader:
    """Holds the readings of known texts. Raises a `KeyError` for any other text."""

    def __init__(self, reader, inputs):
        """Record readings.

        Args:
            reader: A real reader.
            inputs: Pairs of a prefix and a text.
        """
        readings = reader.read([text for _, text in inputs], [prefix for prefix, _ in inputs])
        self.readings = dict(zip([prefix + text for prefix, text in inputs], readings, strict=True))
        self.fingerprint = reader.fingerprint
        self.dim = reader.dim

    def read(self, texts, prefixes=None):
        return [self.readings[prefix + text] for prefix, text in zip(prefixes or [""] * len(texts), texts, strict=True)]

    def count_tokens(self, text):
        return len(self.readings[text].tokens)

    def save(self, path):
        """Write the readings to a file."""
        arrays = {}
        for number, (text, reading) in enumerate(self.readings.items()):
            arrays[f"{number}.text"] = np.array(text)
            for name in ("keys", "pooled", "tokens", "offsets"):
                arrays[f"{number}.{name}"] = getattr(reading, name)
        np.savez(path, fingerprint=np.array(self.fingerprint), dim=np.array(self.dim), **arrays)

    @classmethod
    def load(cls, path):
        """Load the readings that `save` has written."""
        arrays = np.load(path)
        recorded = cls.__new__(cls)
        recorded.fingerprint, recorded.dim = str(arrays["fingerprint"]), int(arrays["dim"])
        count = sum(name.endswith(".text") for name in arrays)
        recorded.readings = {
            str(arrays[f"{number}.text"]): Reading(
                *(arrays[f"{number}.{name}"] for name in ("keys", "pooled", "tokens", "offsets"))
            )
            for number in range(count)
        }
        return recorded
