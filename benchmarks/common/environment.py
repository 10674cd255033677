"""The environment that a figure depends on, besides the code: versions, processors and the command."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from pathlib import Path


def describe_environment() -> dict[str, Any]:
    """Return the versions of the packages that affect the figures, the processors, and the command line."""
    packages = ("titans-core", "torch", "transformers", "sentence-transformers", "bitsandbytes")
    return {
        "command": shlex.join(["python", *sys.argv]),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write the figures, and the environment in which they were measured, as JSON."""
    path.write_text(json.dumps({**report, "environment": describe_environment()}, indent=2) + "\n")
