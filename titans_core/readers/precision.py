"""Full precision for float32 products, which an application may have lowered for the whole process."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def full_precision() -> Iterator[None]:
    """Compute float32 products in float32 inside the block.

    After `torch.set_float32_matmul_precision("medium")`, a common line of training scripts, a CPU with AVX512-BF16
    would compute in bfloat16, and a GPU in TF32, which gives other readings of the same texts.

    The setting holds for the whole process, so that other threads compute in full precision meanwhile too. If nothing
    was lowered, nothing is changed.
    """
    mkldnn: Any = torch.backends.mkldnn  # its attributes have no types
    backends: list[Any] = [mkldnn.matmul, torch.backends.cuda.matmul]
    lowered = [(backend, backend.fp32_precision) for backend in backends if backend.fp32_precision in ("bf16", "tf32")]
    for backend, _ in lowered:
        backend.fp32_precision = "ieee"
    try:
        yield
    finally:
        for backend, precision in lowered:
            backend.fp32_precision = precision
