"""Key-value pairs, gates and presets, for tests of the neural memory."""

from dataclasses import fields, replace

import torch

from titans_core.neural import PRESETS, Gates

_LIVELY = {"step": 0.05, "momentum": 0.8, "rate": 0.02, "ridge": 3.0, "forget": 0.05, "delta": 1.0, "scale": 2.0}


def pairs(count, dim=6, values=6, *, seed=0, dtype=torch.float64):
    """Return random keys (n, d) of unit length, and random values (n, v) of any length."""
    generator = torch.Generator().manual_seed(seed)
    keys = torch.nn.functional.normalize(torch.randn(count, dim, generator=generator, dtype=torch.float64), dim=-1)
    return keys.to(dtype), torch.randn(count, values, generator=generator, dtype=torch.float64).to(dtype)


def random_gates(count, *, seed=0, step=0.1):
    """Return gates that differ from token to token. Of eleven tokens, one is not written and one clears the memory."""
    generator = torch.Generator().manual_seed(seed)
    steps, momentum, forget = torch.rand(3, count, generator=generator, dtype=torch.float64)
    steps, forget = step * steps, forget / 2
    steps[3::11], forget[5::11] = 0, 1
    return Gates(steps, momentum, forget)


def lively(name, dim=6, values=6):
    """Return a preset whose constants are so large that they have an effect within a few tokens.

    Linear attention keeps its step of ½, because this step is part of its definition.
    """
    spec = PRESETS[name](dim, values)
    parts = {}
    for kind in ("bias", "retention", "optimizer"):
        part = getattr(spec, kind)
        constants = {field.name: _LIVELY[field.name] for field in fields(part) if field.name in _LIVELY}
        unchanged = name == "linear_attention" or not getattr(part, "forget", 1)
        parts[kind] = part if unchanged else replace(part, **constants)
    return replace(spec, **parts)
