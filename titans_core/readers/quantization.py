"""Quantization of a model's weights: 4 bit, 8 bit, or none."""

from __future__ import annotations

import hashlib
import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch

from titans_core._utils.locks import Lock
from titans_core.errors import QuantizationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn
    from transformers import BitsAndBytesConfig

Quantization = Literal["nf4", "int8"]

_importing = Lock()


def check_quantization(quantization: str | None) -> None:
    """Check a quantization before anything is loaded.

    Raises:
        QuantizationError: The quantization is unknown.
    """
    if quantization is not None and quantization not in get_args(Quantization):
        known = ", ".join(repr(known) for known in get_args(Quantization))
        raise QuantizationError(f"The quantization {quantization!r} is unknown; use {known} or None.")


def quantizer(
    quantization: Quantization, *, compute_dtype: torch.dtype = torch.float32, double: bool = False
) -> BitsAndBytesConfig:
    """Make the configuration with which transformers quantizes a model while it is loaded.

    Args:
        quantization: "nf4" (4 bit) or "int8".
        compute_dtype: The type in which 4-bit weights are multiplied.
        double: Whether the scales of 4-bit weights are quantized too, which saves .4 bit a weight.
    """
    from transformers import BitsAndBytesConfig

    import_bitsandbytes()
    if quantization == "int8":
        # If a model is not in float16, as on a CPU, bitsandbytes logs a cast for every product. Users cannot avoid it,
        # because 8-bit products need float16.
        logging.getLogger("bitsandbytes.autograd._functions").addFilter(_is_no_cast)
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=double,
        bnb_4bit_compute_dtype=compute_dtype,
    )


def import_bitsandbytes() -> None:
    """Import bitsandbytes without letting it download code or print.

    On a CPU with AVX512-BF16, bitsandbytes asks the package `kernels` for a compiled kernel from the Hub while it is
    imported, and warns if it gets none. With `keep_layout` that kernel is never used, so `kernels` is hidden meanwhile.

    Raises:
        ImportError: bitsandbytes is missing, or does not run on this machine.
    """
    with _importing:
        if "bitsandbytes" in sys.modules:
            return
        with _without_kernels():
            import bitsandbytes  # noqa: F401 - later imports find it loaded


def keep_layout(model: nn.Module) -> None:
    """Keep 4-bit weights as they were loaded, and multiply them in the compute dtype, on every CPU.

    On a CPU with AVX512-BF16, bitsandbytes would repack them in the first forward pass, and compute products in
    bfloat16 whatever the compute dtype is. Then 0.3 % of the 4-bit codes of a reading would change with the batch, more
    from one CPU to another, and no gradient would pass such a layer.
    """
    modules: Iterator[Any] = model.modules()
    for module in modules:
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def weights_hash(model: nn.Module) -> str:
    """A hash of the weights that stay float in every quantization: equal on CPU and CUDA, other for other models."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        if parameter.is_floating_point():
            # Every 64th row is enough to distinguish models, and takes milliseconds.
            digest.update(name.encode() + parameter.detach()[::64].float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _is_no_cast(record: logging.LogRecord) -> bool:
    return "inputs will be cast" not in str(record.msg)


def _is_no_kernel(record: logging.LogRecord) -> bool:
    return "gemm_4bit_forward" not in str(record.msg)


@contextmanager
def _without_kernels() -> Iterator[None]:
    """Hide the package `kernels` inside the block, and bitsandbytes' warning that it is missing."""
    logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
    modules: dict[str, Any] = sys.modules
    imported = modules.get("kernels")
    logger.addFilter(_is_no_kernel)
    modules["kernels"] = None  # this is how Python marks a module that cannot be imported
    try:
        yield
    finally:
        del modules["kernels"]
        if imported:
            modules["kernels"] = imported
        logger.removeFilter(_is_no_kernel)
