"""A 4-bit language model with its weights unpacked: the same numbers, and a token in half the time."""

import copy

from torch import nn

from titans_core.readers import CausalLM


def unpacked(lm):
    """A copy of a 4-bit model whose products need not unpack their weights each time."""
    # The model has loaded it; before that, it would be imported as it stands, and could print.
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Linear4bit

    model = copy.deepcopy(lm.model)
    for name, layer in list(model.named_modules()):
        if isinstance(layer, Linear4bit):
            plain = nn.Linear(layer.in_features, layer.out_features, bias=False)
            plain.weight.data = dequantize_4bit(layer.weight.data, layer.weight.quant_state)
            plain.bias = layer.bias
            model.set_submodule(name, plain.requires_grad_(requires_grad=False))
    return CausalLM(model, lm.tokenizer)
