"""How a model's weights are stored: 4 bit, 8 bit, or as they are."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from transformers import BitsAndBytesConfig

from titans_core.errors import QuantizationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

Quantization = Literal["nf4", "int8"]


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
    if quantization == "int8":
        # On a CPU, and wherever a model is not in float16, it would be logged for every product, though nothing can
        # be done about it: 8-bit products take float16.
        logging.getLogger("bitsandbytes.autograd._functions").addFilter(_is_news)
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=double,
        bnb_4bit_compute_dtype=compute_dtype,
    )


def keep_layout(model: nn.Module) -> None:
    """Let 4-bit weights stay as they were loaded, on every CPU.

    Where a CPU has AVX512-BF16, bitsandbytes would repack them in the first forward pass: no gradient flows through
    such a layer any more, and products are in bfloat16 whatever the compute dtype.
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


def _is_news(record: logging.LogRecord) -> bool:
    return "inputs will be cast" not in str(record.msg)
