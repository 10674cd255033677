"""GGUF files, converted once into what loads in a second or two."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from titans_core.errors import UnwritableError


def convert_gguf(gguf: Path) -> Path:
    """The folder that holds a GGUF file's model as transformers saves it.

    It is made when the file is first seen, and kept in `$TITANS_CACHE`, else `~/.cache/titans-memory`.

    Args:
        gguf: the file.

    Raises:
        UnwritableError: the converted model cannot be kept.
    """
    # The content, not the size: two trainings of one architecture have files of one size.
    with gguf.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    root = Path(os.environ.get("TITANS_CACHE") or "~/.cache/titans-memory").expanduser()
    folder = root / f"{gguf.stem}-{digest[:16]}"
    if not folder.is_dir():
        _convert(gguf, folder)
    return folder


def _convert(gguf: Path, folder: Path) -> None:
    # Only here: releases of transformers that lack it read everything else.
    from transformers import GgufConfig

    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, prefix=".unfinished-") as unfinished:
            complete = Path(unfinished) / folder.name
            # Half the size; greedy answers were the same as in float32, token by token.
            model.half().save_pretrained(complete)
            tokenizer.save_pretrained(complete)
            # Renaming is all or nothing: a crash leaves no half of a model.
            _rename(complete, folder)
    except OSError as error:
        raise UnwritableError(
            f"The converted model cannot be kept in {folder.parent}: {error}. Make room there, or let TITANS_CACHE "
            f"name a folder that can be written."
        ) from error


def _rename(complete: Path, folder: Path) -> None:
    try:
        complete.rename(folder)
    except OSError:
        # Another process was faster, with the same files.
        if not folder.is_dir():
            raise
