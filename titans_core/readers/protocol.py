"""What the memory asks of a reader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from titans_core.types import Reading


class Reader(Protocol):
    """A frozen model that turns text into token keys.

    A reader never learns: the same text gives the same reading, today and after a restart, alone and in a batch, with
    any number of threads and on any CPU, but for the last bits of a float.
    """

    @property
    def dim(self) -> int:
        """Length d of a key."""

    @property
    def fingerprint(self) -> str:
        """Identifies weights, quantization and the type of products: readers of one fingerprint read the same keys."""

    def read(self, texts: Sequence[str], prefixes: Sequence[str] | None = None) -> list[Reading]:
        """Read passages.

        Args:
            texts: the passages, in any order and number.
            prefixes: for each text what the model reads before it (the speaker). Its tokens are keys like
                all others, but stay out of the sentence vector.

        Returns:
            One reading for each text; offsets count from the start of prefix + text.
        """

    def count_tokens(self, text: str) -> int:
        """How many tokens a text has, of any length; for budgets."""
