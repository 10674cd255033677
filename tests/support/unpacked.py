"""A 4-bit language model with unpacked weights: its numbers are the same, and a token takes half the time."""

import copy

from torch import nn

from titans_core.readers import CausalLM


def unpacked(lm):
    """Return a copy of a 4-bit model whose weights are already unpacked, so that no product must unpack them."""
    # By now the model has loaded bitsandbytes with our precautions. An earlier import could print to the terminal.
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
