"""Progress bars, which are switched off where transformers' own are."""

from __future__ import annotations

from typing import Any


def progress_bar(*args: Any, **options: Any) -> Any:
    """A bar as `tqdm.tqdm` makes it; arguments as there.

    `transformers.logging.disable_progress_bar()` and `HF_HUB_DISABLE_PROGRESS_BARS` switch it off.
    """
    # Only who is shown a bar waits for transformers to be imported.
    from transformers.utils import logging

    return logging.tqdm(*args, **options)
