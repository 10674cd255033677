"""Warnings that point at the line of the caller, however deep in the package they are given."""

from __future__ import annotations

import sys
import warnings

_PACKAGES = ("titans_core", "titans_langchain", "titans_llamaindex")


def warn_caller(message: str, category: type[Warning]) -> None:
    """Warn at the first frame outside our packages.

    Args:
        message: The warning.
        category: Its class.
    """
    level, frame = 1, sys._getframe(0)  # noqa: SLF001 - how `warnings` itself counts frames
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] in _PACKAGES:
        frame = frame.f_back
        level += 1
    warnings.warn(message, category, stacklevel=level)
