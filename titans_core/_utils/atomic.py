"""Files that are there whole or not at all."""

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
    """Files to write, which take the place of others when all are on disk; after an error the others are still there.

    Raises:
        UnwritableError: one cannot be written.
    """
    targets = [Path(path).resolve() for path in paths]  # a link stays one, and what it leads to is atomic_write
    parts: list[Path] = []
    try:
        for target in targets:
            parts.append(_part(target))  # noqa: PERF401 - each is removed if the next cannot be made
        yield parts
        for part in parts:
            _sync(part)
        for part, target in zip(parts, targets, strict=True):
            part.replace(target)
        _sync(targets[0].parent)
    except TitansError:
        raise  # of the log, some are an OSError too
    except (OSError, SafetensorError) as error:
        raise UnwritableError(f"{str(paths[0])!r} cannot be written: {error}.") from error
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def _part(target: Path) -> Path:
    """A new file beside another, which nobody else can read."""
    if target.exists() and not target.is_file():
        raise OSError("a folder or a device is in its place")
    handle, name = mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(handle)
    return Path(name)


def _sync(path: Path) -> None:
    """Have a file or folder written to the disk itself."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
