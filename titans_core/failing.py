"""A memory that fails must not take the application with it."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from titans_core.errors import InvalidTenantError, TitansError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def going_on(
    what: str, *but: type[Exception], logger: str, tell: Callable[[Exception], None] | None = None
) -> Iterator[None]:
    """Log as a warning whatever fails inside: the caller answers without its memory.

    Args:
        what: the memory was to do.
        but: what is raised all the same; an unknown user always is.
        logger: its name.
        tell: is called with the error as well.
    """
    raised: tuple[type[Exception], ...] = (InvalidTenantError, *but)
    try:
        yield
    except raised:
        raise
    except Exception as error:
        # No traceback: it may hold what was said. The class says most; our own errors are sentences.
        detail = error if isinstance(error, TitansError) else type(error).__name__
        logging.getLogger(logger).warning("The memory could not %s, the answer goes on without it: %s", what, detail)
        if tell is not None:
            tell(error)
