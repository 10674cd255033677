"""A reader that reads each passage only once.

Two memories are equal byte for byte only if their readings are equal, and the last bit of a float may depend on the
batch in which a text is read. So the tests read each text once. This also saves time.
"""

from collections import OrderedDict

from titans_core._utils.locks import Lock
from titans_core.readers import EncoderReader

PASSAGES = 4_000
"""Most readings that are kept: more than any test needs. Readings of long passages would take half a gigabyte."""


class RememberingReader(EncoderReader):
    """The real reader, which keeps its readings and reads no passage twice."""

    def __init__(self, reader):
        vars(self).update(vars(reader))
        self._remembered = OrderedDict()
        self._remembering = Lock()

    def read(self, texts, prefixes=None):
        wanted = list(zip(prefixes or [""] * len(texts), texts, strict=True))
        with self._remembering:
            new = [passage for passage in dict.fromkeys(wanted) if passage not in self._remembered]
            readings = super().read([text for _, text in new], [prefix for prefix, _ in new])
            self._remembered.update(zip(new, readings, strict=True))
            for passage in wanted:
                self._remembered.move_to_end(passage)
            found = [self._remembered[passage] for passage in wanted]
            while len(self._remembered) > PASSAGES:
                self._remembered.popitem(last=False)
        return found
