"""Files that are replaced as a whole or not at all."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from titans_core.errors import TitansError, UnwritableError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def atomic_write(*paths: str | Path) -> Iterator[list[Path]]:
    """Write files that replace others once all of them are on disk; after an error the old files are still there.

    Args:
        *paths: Paths of the files to replace; they need not exist.

    Yields:
        For each path a temporary file to write to.

    Raises:
        UnwritableError: A file cannot be written.
    """
    targets = [Path(path).resolve() for path in paths]  # a link stays a link; the file that it points to is replaced
    parts: list[Path] = []
    try:
        for target in targets:
            parts.append(_part(target))  # noqa: PERF401 - each is removed if the next cannot be created
        yield parts
        for part in parts:
            _sync(part)
        for part, target in zip(parts, targets, strict=True):
            part.replace(target)
        _sync(targets[0].parent)
    except TitansError:
        raise  # our own errors, some of which are an OSError too
    except (OSError, SafetensorError) as error:
        raise UnwritableError(f"{str(paths[0])!r} cannot be written: {error}.") from error
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def _part(target: Path) -> Path:
    """Create a temporary file beside another one; only this user can read it."""
    if target.exists() and not target.is_file():
        raise OSError("a folder or a device is in its place")
    handle, name = mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(handle)
    return Path(name)


def _sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
