"""The interface of a reader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from titans_core.types import Reading


class Reader(Protocol):
    """A frozen model that turns text into token keys.

    A reader never learns. The same text gives the same reading, also after a restart, alone or in a batch, with any
    number of threads and on any CPU, up to the last bits of a float.
    """

    @property
    def dim(self) -> int:
        """Length d of a key."""

    @property
    def fingerprint(self) -> str:
        """Identifies weights, quantization and type of products: equal fingerprints mean equal keys."""

    def read(self, texts: Sequence[str], prefixes: Sequence[str] | None = None) -> list[Reading]:
        """Read passages.

        Args:
            texts: The passages, in any order and number.
            prefixes: For each passage the text that the model reads before it (the speaker). Its tokens are keys too,
                but are not part of the sentence vector.

        Returns:
            One reading for each passage; offsets count from the start of prefix + text.
        """

    def count_tokens(self, text: str) -> int:
        """The number of tokens of a text of any length; for budgets."""
