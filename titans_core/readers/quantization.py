"""How a model's weights are stored: 4 bit, 8 bit, or as they are."""

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
    """Fail before anything is loaded.

    Raises:
        QuantizationError: the quantization is unknown.
    """
    if quantization is not None and quantization not in get_args(Quantization):
        known = ", ".join(repr(known) for known in get_args(Quantization))
        raise QuantizationError(f"The quantization {quantization!r} is unknown; use {known} or None.")


def quantizer(
    quantization: Quantization, *, compute_dtype: torch.dtype = torch.float32, double: bool = False
) -> BitsAndBytesConfig:
    """What transformers quantizes a model by while loading it.

    Args:
        quantization: "nf4" (4 bit) or "int8".
        compute_dtype: what 4-bit weights are multiplied in.
        double: whether the scales of 4-bit weights are quantized too, which saves .4 bit a weight.
    """
    from transformers import BitsAndBytesConfig

    import_bitsandbytes()
    if quantization == "int8":
        # On a CPU, and wherever a model is not in float16, it would be logged for every product, though nothing can
        # be done about it: 8-bit products take float16.
        logging.getLogger("bitsandbytes.autograd._functions").addFilter(_is_no_cast)
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=double,
        bnb_4bit_compute_dtype=compute_dtype,
    )


def import_bitsandbytes() -> None:
    """Import bitsandbytes, and let it neither fetch code nor print.

    Where a CPU has AVX512-BF16, bitsandbytes asks the package `kernels` for a compiled kernel from the Hub while it is
    imported, and warns if it gets none. `keep_layout` leaves no use for that kernel, so `kernels` is hidden meanwhile.

    Raises:
        ImportError: bitsandbytes is missing, or does not run on this machine.
    """
    with _importing:
        if "bitsandbytes" in sys.modules:
            return
        with _without_kernels():
            import bitsandbytes  # noqa: F401 - whoever imports it later finds it loaded


def keep_layout(model: nn.Module) -> None:
    """Let 4-bit weights stay as they were loaded, and multiply them in the compute dtype, on every CPU.

    Where a CPU has AVX512-BF16, bitsandbytes would repack them in the first forward pass. Products would be in
    bfloat16 whatever the compute dtype: 0.3 % of the 4-bit codes of a reading would change with the batch that a text
    is read in, and more from one CPU to another. No gradient would flow through such a layer any more, either.
    """
    modules: Iterator[Any] = model.modules()
    for module in modules:
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def weights_hash(model: nn.Module) -> str:
    """Hash what stays float under every quantization: equal on CPU and CUDA, different for another model."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        if parameter.is_floating_point():
            # Every 64th row is plenty to tell models apart, and takes milliseconds.
            digest.update(name.encode() + parameter.detach()[::64].float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def _is_no_cast(record: logging.LogRecord) -> bool:
    return "inputs will be cast" not in str(record.msg)


def _is_no_kernel(record: logging.LogRecord) -> bool:
    return "gemm_4bit_forward" not in str(record.msg)


@contextmanager
def _without_kernels() -> Iterator[None]:
    """Inside, the package `kernels` cannot be imported, and bitsandbytes does not say that it is missing."""
    logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
    modules: dict[str, Any] = sys.modules
    imported = modules.get("kernels")
    logger.addFilter(_is_no_kernel)
    modules["kernels"] = None  # Python's own way to say that there is no such module
    try:
        yield
    finally:
        del modules["kernels"]
        if imported:
            modules["kernels"] = imported
        logger.removeFilter(_is_no_kernel)
