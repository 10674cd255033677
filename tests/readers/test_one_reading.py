"""One text has one reading: alone and in a batch, with any number of threads, on every kind of CPU; and no code is
fetched for it."""

import contextlib
import logging
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from programs.reading_on import codes, conversation
from titans_core.readers import encoder as encoder_module
from titans_core.readers.precision import full_precision
from titans_core.readers.quantization import import_bitsandbytes

EQUAL = 0.999
"""The share of equal 4-bit codes that is promised; the last bit of a float rounds the rest otherwise."""

KINDS = {
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "all": {},
}
KERNELS = """
from pathlib import Path
def get_kernel(*args, **kwargs):
    Path({marker!r}).touch()
    raise RuntimeError("A kernel was asked for.")
"""


@pytest.fixture(scope="module")
def alone(encoder):
    """Each turn of a conversation, read alone."""
    return codes([encoder.read([text], [prefix])[0] for text, prefix in zip(*conversation(), strict=True)])


def share_equal(one, other):
    return float(np.mean(np.concatenate(one) == np.concatenate(other)))


@pytest.mark.parametrize("batch", [2, 8, 32])
def test_in_a_batch_a_text_reads_as_alone(encoder, alone, batch, monkeypatch):
    monkeypatch.setattr(encoder_module, "READ_BATCH", batch)
    assert share_equal(codes(encoder.read(*conversation())), alone) >= EQUAL


def test_with_more_threads_a_text_reads_the_same(encoder, alone):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert share_equal(codes(encoder.read(*conversation())), alone) >= EQUAL
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_an_application_that_lowers_the_precision_of_products_changes_no_reading(encoder, alone, precision):
    torch.set_float32_matmul_precision(precision)
    try:
        assert share_equal(codes(encoder.read(*conversation())), alone) >= EQUAL
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision("highest")


def test_products_are_computed_in_full_precision_also_after_a_failure():
    torch.set_float32_matmul_precision("medium")
    try:
        with contextlib.suppress(KeyError), full_precision():
            assert torch.backends.mkldnn.matmul.fp32_precision == "ieee"
            raise KeyError
        assert torch.backends.mkldnn.matmul.fp32_precision == "bf16"
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize(("kind", "kernels"), [("all", True), ("AVX2", False)])
def test_on_another_cpu_a_text_reads_the_same_and_nothing_is_fetched_or_said(tmp_path, alone, kind, kernels):
    marker = tmp_path / "asked for"
    if kernels:
        package = tmp_path / "path" / "kernels"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(KERNELS.format(marker=str(marker)))
    done = subprocess.run(
        [sys.executable, "-m", "programs.reading_on", tmp_path / "codes.npy"],
        env=os.environ
        | KINDS[kind]
        | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "path"), os.environ["PYTHONPATH"]])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not marker.exists()
    assert float(np.mean(np.load(tmp_path / "codes.npy") == np.concatenate(alone))) >= EQUAL


def test_bitsandbytes_may_be_asked_for_again():
    import_bitsandbytes()
    import_bitsandbytes()
    assert logging.getLogger("bitsandbytes.backends.cpu.ops").filters == []
