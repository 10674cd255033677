"""A causal language model, loaded once for the whole process."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, cached_property
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, StoppingCriteria, TextStreamer

from titans_core._utils.locks import Lock
from titans_core.readers.find import DEFAULT_LANGUAGE_MODEL, load_model, quiet
from titans_core.readers.gguf import convert_gguf
from titans_core.readers.quantization import check_quantization, keep_layout, quantizer
from titans_core.rendering import escape_special_tokens, special_tokens

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from titans_core.readers.quantization import Quantization

GUIDANCE = 1.5
"""How far `unconditional_prompt` pushes: the logits of the prompt plus half of what the prompt changes (α = .5)."""

_loading = Lock()


@dataclass(frozen=True)
class Generation:
    """The result of a generation.

    Attributes:
        input_tokens: The number of tokens of the prompt.
        output_tokens: The number of generated tokens, with the end token and tokens that were cut off.
        finish_reason: "length" if the model reached the limit of tokens, otherwise "stop".
    """

    input_tokens: int
    output_tokens: int
    finish_reason: Literal["stop", "length"]


@dataclass(frozen=True)
class CausalLM:
    """A loaded causal language model.

    Attributes:
        model: The model, in evaluation mode, without gradients; it never changes.
        tokenizer: The model's tokenizer.
        lock: Held by the thread that uses the model or the tokenizer, for a whole forward pass or generation.

    Example:
        ```python
        lm = load_causal_lm()
        lm.generate("The capital of France is", max_new_tokens=3, on_text=lambda text: not print(text, end=""))
        ```
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    lock: Lock = field(default_factory=Lock)

    @property
    def name(self) -> str:
        """The path or name that the model was loaded from; the name of its class if it was never saved."""
        return str(self.model.name_or_path or type(self.model).__name__)

    @property
    def precision(self) -> str:
        """The storage of the weights: "nf4", "int8", "float", or the quantization that the model was saved with."""
        config: Any = getattr(self.model.config, "quantization_config", None)
        if config is None:
            return "float"
        if getattr(config, "load_in_8bit", False):
            return "int8"
        return str(config.bnb_4bit_quant_type if getattr(config, "load_in_4bit", False) else config.quant_method)

    @property
    def end_tokens(self) -> list[int]:
        """The ids of the tokens that end a generation; some models have several, or none."""
        end = self.model.generation_config.eos_token_id
        return end if isinstance(end, list) else [] if end is None else [end]

    @property
    def pad_token(self) -> int:
        """The id of the padding token. It changes no text, so that any token serves a tokenizer without one."""
        pad = self.tokenizer.pad_token_id
        return int(next(iter(self.end_tokens), 0) if pad is None else pad)

    @cached_property
    def cache_name(self) -> str:
        """The name of the key-value cache, as an argument of the forward pass and in its output.

        It is "cache" since transformers 5.24, and "past_key_values" before that and in models with their own code.
        """
        body: Any = self.model.base_model
        return "cache" if "cache" in signature(body.forward).parameters else "past_key_values"

    @cached_property
    def _special(self) -> re.Pattern[str]:
        """A pattern that finds the tokenizer's special tokens in a text."""
        added = self.tokenizer.added_tokens_decoder.values()
        return special_tokens(token.content for token in added if token.special)

    def escape_special_tokens(self, text: str) -> str:
        """Change a text so that it spells no special token and cannot begin a message of its own in a prompt.

        Chat templates insert messages as they are. A space follows the first character of each special token.

        Args:
            text: The text of a message.
        """
        return escape_special_tokens(text, self._special)

    def generate(
        self,
        prompt: str,
        *,
        max_new_tokens: int,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
        unconditional_prompt: str | None = None,
        on_text: Callable[[str], bool],
    ) -> Generation:
        """Continue a prompt. The call holds the lock until the text is complete.

        Args:
            prompt: The prompt, with the special tokens that the model expects, as a chat template writes them.
            max_new_tokens: The most tokens to generate, at least 1.
            temperature: 0 takes the likeliest token each time; a higher value is more random.
            stop: Texts before which the generated text ends.
            unconditional_prompt: The prompt without the context that the text shall rely on. What the model would
                write anyway then counts less (context-aware decoding, arXiv 2305.14739). It takes a second forward
                pass for each token.
            on_text: Called before the first token and after each token, with the text that became final, often an
                empty text. Special tokens are left out. When it returns False, the generation ends.

        Returns:
            The numbers of tokens, and why the generation ended.
        """
        with self.lock:
            pieces = _Pieces(self.tokenizer, stop, on_text)
            # The caller may have given up while this call waited for the lock.
            pieces.on_finalized_text("")
            if not pieces.wanted:
                return Generation(0, 0, "stop")
            tokens, mask = self._encoded(prompt)
            length = tokens.shape[1]
            sampling = {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}
            guided = guidance(*self._encoded(unconditional_prompt)) if unconditional_prompt else {}
            generate: Any = self.model.generate  # the base class of all models does not declare it
            [written] = generate(
                input_ids=tokens,
                attention_mask=mask,
                max_new_tokens=max_new_tokens,
                pad_token_id=self.pad_token,
                streamer=pieces,
                stopping_criteria=[_Unwanted(pieces)],
                **sampling,
                **guided,
            )
            ended = not pieces.wanted or int(written[-1]) in self.end_tokens
            return Generation(length, len(written) - length, "stop" if ended else "length")

    def _encoded(self, prompt: str) -> tuple[torch.Tensor, torch.Tensor]:
        """The tokens of a prompt and their mask, (1, n) each."""
        encoded = self.tokenizer(prompt, add_special_tokens=False, return_tensors="pt").to(self.model.device)
        return encoded["input_ids"], encoded["attention_mask"]


def guidance(tokens: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
    """The arguments of transformers' `generate` for an unconditional prompt, from its tokens (b, n) and their mask."""
    return {"guidance_scale": GUIDANCE, "negative_prompt_ids": tokens, "negative_prompt_attention_mask": mask}


class _Pieces(TextStreamer):
    """Passes text on as soon as it is final, until no more text is wanted."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop: Sequence[str], on_text: Callable[[str], bool]) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self.wanted = True
        self._stop = [text for text in stop if text]  # an empty text is everywhere
        self._on_text = on_text
        self._held = ""

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        if not self.wanted:
            return
        text = self._held + text
        stops = [start for stop in self._stop if (start := text.find(stop)) >= 0]
        end = min(stops, default=len(text) if stream_end else self._settled(text))
        self._held = text[end:]
        self.wanted = self._on_text(text[:end]) and not stops

    def _settled(self, text: str) -> int:
        """The length of the part in which no stop text can begin."""
        starts = range(max(0, len(text) - max(map(len, self._stop), default=0)), len(text))
        open_ = (start for start in starts if any(stop.startswith(text[start:]) for stop in self._stop))
        return next(open_, len(text))


class _Unwanted(StoppingCriteria):
    """Ends a generation when no more text is wanted."""

    def __init__(self, pieces: _Pieces) -> None:
        self._pieces = pieces

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:  # noqa: ARG002
        return torch.full((len(input_ids),), not self._pieces.wanted, device=input_ids.device)


def load_causal_lm(
    name: str = DEFAULT_LANGUAGE_MODEL, *, quantization: Quantization | None = None, device: str | None = None
) -> CausalLM:
    """Load a causal language model once for the whole process: equal arguments always return the same copy.

    On a CPU it computes in float32, on CUDA in the precision that it was saved in. A model that was saved quantized
    stays as it is. A GGUF file, also one from a wheel, is converted when it is first loaded, which takes about half a
    minute for the default model. The result is kept in `$TITANS_CACHE`, by default `~/.cache/titans-memory`.

    Args:
        name: The path of a folder or of a .gguf file, or a name that is looked up in installed wheels and then on the
            Hub.
        quantization: "nf4" (4 bit), "int8" or None (float), by bitsandbytes.
        device: "cpu", "cuda", "cuda:1"; None for CUDA if it is available.

    Raises:
        ModelNotFoundError: No path, wheel or Hub has the model.
        QuantizationError: The quantization is unknown.
        UnwritableError: The converted model cannot be stored.
    """
    check_quantization(quantization)
    # With `cache` alone, two threads could load two copies.
    with _loading:
        return _load(name, quantization, device or ("cuda" if torch.cuda.is_available() else "cpu"))


@cache
def _load(name: str, quantization: Quantization | None, device: str) -> CausalLM:
    with quiet():
        lm = load_model(name, lambda location: _load_from(location, quantization, device))
    # The folder of a wheel or of a converted model says little; the name that the caller gave says more.
    lm.model.name_or_path = name
    return lm


def _load_from(location: str, quantization: Quantization | None, device: str) -> CausalLM:
    if Path(location).is_file():
        location = str(convert_gguf(Path(location)))
    config = AutoConfig.from_pretrained(location)
    arguments: dict[str, Any] = {"dtype": torch.float32 if device == "cpu" else "auto", "device_map": {"": device}}
    if quantization and not getattr(config, "quantization_config", None):
        # On a CPU, bfloat16 takes four times as long.
        compute_dtype = torch.float32 if device == "cpu" else config.dtype or torch.float32
        arguments["quantization_config"] = quantizer(quantization, compute_dtype=compute_dtype, double=True)
    model = AutoModelForCausalLM.from_pretrained(location, **arguments)
    keep_layout(model)
    return CausalLM(model.eval().requires_grad_(requires_grad=False), AutoTokenizer.from_pretrained(location))
