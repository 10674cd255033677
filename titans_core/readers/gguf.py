"""Converts GGUF files once, into folders that load in a second or two."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from titans_core.errors import UnwritableError


def convert_gguf(gguf: Path) -> Path:
    """Convert a GGUF file into a folder that transformers loads, unless it was converted before.

    The folder is kept in `$TITANS_CACHE`, by default `~/.cache/titans-memory`.

    Args:
        gguf: Path of the file.

    Returns:
        Path of the folder.

    Raises:
        UnwritableError: The converted model cannot be stored.
    """
    # A hash of the content: two trainings of one architecture have files of equal size.
    with gguf.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    root = Path(os.environ.get("TITANS_CACHE") or "~/.cache/titans-memory").expanduser()
    folder = root / f"{gguf.stem}-{digest[:16]}"
    if not folder.is_dir():
        _convert(gguf, folder)
    return folder


def _convert(gguf: Path, folder: Path) -> None:
    # Imported here, because older releases of transformers lack it but read all other models.
    from transformers import GgufConfig

    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, prefix=".unfinished-") as unfinished:
            complete = Path(unfinished) / folder.name
            # float16 has half the size; greedy answers were the same as in float32, token by token.
            model.half().save_pretrained(complete)
            tokenizer.save_pretrained(complete)
            # Renaming is atomic, so that a crash leaves no incomplete model.
            _rename(complete, folder)
    except OSError as error:
        raise UnwritableError(
            f"The converted model cannot be stored in {folder.parent}: {error}. Free some space there, or set "
            f"TITANS_CACHE to a writable folder."
        ) from error


def _rename(complete: Path, folder: Path) -> None:
    try:
        complete.rename(folder)
    except OSError:
        # Another process has converted the same file meanwhile.
        if not folder.is_dir():
            raise
