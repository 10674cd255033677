"""Fits recalls into a budget of tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from titans_core.errors import InvalidQueryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from titans_core.types import Recall, Recollection


def fit_to_budget(found: Recollection, max_tokens: int, count: Callable[[str], int], template: str) -> Recollection:
    """Keep the best recalls that fit into a budget together. No recall is cut; a shorter one may follow a longer one.

    Args:
        found: The recollection, best recalls first.
        max_tokens: The most tokens that `as_text(template)` may have, at least 1.
        count: Counts the tokens of a text.
        template: The template of one recall.

    Raises:
        InvalidQueryError: `max_tokens` is below 1.
    """
    if max_tokens < 1:
        raise InvalidQueryError(f"`max_tokens` must be at least 1, not {max_tokens!r}.")
    chosen: tuple[Recall, ...] = ()
    for recall in found:
        if count(replace(found, recalls=(*chosen, recall)).as_text(template)) <= max_tokens:
            chosen = (*chosen, recall)
    return replace(found, recalls=chosen)
