"""What a fork must do, in one fixed order that does not depend on which module was imported first."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

Part: TypeAlias = Literal["locks", "threads", "sqlite", "postgres", "memories"]

ORDER: tuple[Part, ...] = ("locks", "threads", "sqlite", "postgres", "memories")
"""The order of the hooks after a fork; before a fork they run the other way round. Memories come last after a fork,
because they use everything before them."""


class _Hooks(NamedTuple):
    before: Callable[[], None] | None
    after_in_parent: Callable[[], None] | None
    after_in_child: Callable[[], None] | None


_HOOKS: dict[Part, _Hooks] = {}


def at_fork(
    part: Part,
    *,
    before: Callable[[], None] | None = None,
    after_in_parent: Callable[[], None] | None = None,
    after_in_child: Callable[[], None] | None = None,
) -> None:
    """Register what a part of the package does when the process forks. Where there is no fork, nothing happens.

    Args:
        part: The part; a second call for it replaces the first.
        before: Called in the parent before it forks.
        after_in_parent: Called in the parent afterwards.
        after_in_child: Called in the child, before any other code of ours runs there.
    """
    _HOOKS[part] = _Hooks(before, after_in_parent, after_in_child)


def _before() -> None:
    for part in reversed(ORDER):
        if (hooks := _HOOKS.get(part)) and hooks.before:
            hooks.before()


def _after_in_parent() -> None:
    for part in ORDER:
        if (hooks := _HOOKS.get(part)) and hooks.after_in_parent:
            hooks.after_in_parent()


def _after_in_child() -> None:
    for part in ORDER:
        if (hooks := _HOOKS.get(part)) and hooks.after_in_child:
            hooks.after_in_child()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
