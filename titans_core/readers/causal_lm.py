"""A causal language model, loaded once for a whole process."""

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
    """How a generation went.

    Attributes:
        input_tokens: of the prompt.
        output_tokens: that the model generated, the end token and what was cut away included.
        finish_reason: "length" if the model had more to say than it was given tokens for, else "stop".
    """

    input_tokens: int
    output_tokens: int
    finish_reason: Literal["stop", "length"]


@dataclass(frozen=True)
class CausalLM:
    """A loaded causal language model.

    Usage:

    ```python
    lm = load_causal_lm()
    lm.generate("The capital of France is", max_new_tokens=3, on_text=lambda text: not print(text, end=""))
    ```

    Attributes:
        model: the model, in evaluation mode, none of its weights to be trained; never changed.
        tokenizer: its tokenizer.
        lock: held by whoever uses model or tokenizer, for a whole forward pass or generation.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    lock: Lock = field(default_factory=Lock)

    @property
    def name(self) -> str:
        """What the model was loaded by: a path or a name; one that was never saved has its class's."""
        return str(self.model.name_or_path or type(self.model).__name__)

    @property
    def precision(self) -> str:
        """How the weights are stored: "nf4", "int8", "float", or the method that the model was saved with."""
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
        """The id that fills up a batch; no text is changed by it, so a tokenizer without one takes another token's."""
        pad = self.tokenizer.pad_token_id
        return int(next(iter(self.end_tokens), 0) if pad is None else pad)

    @cached_property
    def cache_name(self) -> str:
        """What the forward pass calls its key-value cache, as argument and in the output.

        "cache" since transformers 5.24, "past_key_values" before, and in models that bring code of their own.
        """
        body: Any = self.model.base_model
        return "cache" if "cache" in signature(body.forward).parameters else "past_key_values"

    @cached_property
    def _special(self) -> re.Pattern[str]:
        """Finds the tokenizer's special tokens, spelt out."""
        added = self.tokenizer.added_tokens_decoder.values()
        return special_tokens(token.content for token in added if token.special)

    def escape_special_tokens(self, text: str) -> str:
        """A text as it may stand in a prompt: it spells no special token, and so it cannot begin a message of its own.

        Chat templates take what is said as it is. A space breaks each token up after its first character.

        Args:
            text: what somebody says.
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
        """Continue a prompt. Blocks until the text is complete, and holds the lock for so long.

        Args:
            prompt: with the special tokens that the model expects, such as a chat template writes.
            max_new_tokens: at most so many tokens, at least 1.
            temperature: 0 takes the likeliest token each time; higher is more random.
            stop: the text ends before the first of these.
            unconditional_prompt: The prompt without the context that the text shall rely on. What the model would
                write anyway then counts less (context-aware decoding, arXiv 2305.14739). It takes a second forward
                pass for each token.
            on_text: called before the first token and after each, with the text that became final, often none.
                Special tokens are left out. Once it answers False, no token is generated any more.

        Returns:
            The number of tokens, and why the text ended.
        """
        with self.lock:
            pieces = _Pieces(self.tokenizer, stop, on_text)
            # Who asked may have gone while another text was being written.
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
        """A prompt's tokens and their mask, (1, n)."""
        encoded = self.tokenizer(prompt, add_special_tokens=False, return_tensors="pt").to(self.model.device)
        return encoded["input_ids"], encoded["attention_mask"]


def guidance(tokens: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
    """The arguments of transformers' `generate` for an unconditional prompt, from its tokens (b, n) and their mask."""
    return {"guidance_scale": GUIDANCE, "negative_prompt_ids": tokens, "negative_prompt_attention_mask": mask}


class _Pieces(TextStreamer):
    """Hands text over as soon as it is final, until no more is wanted."""

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
        """Up to where no stop text can begin any more."""
        starts = range(max(0, len(text) - max(map(len, self._stop), default=0)), len(text))
        open_ = (start for start in starts if any(stop.startswith(text[start:]) for stop in self._stop))
        return next(open_, len(text))


class _Unwanted(StoppingCriteria):
    """Ends a generation of which no more is wanted."""

    def __init__(self, pieces: _Pieces) -> None:
        self._pieces = pieces

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:  # noqa: ARG002
        return torch.full((len(input_ids),), not self._pieces.wanted, device=input_ids.device)


def load_causal_lm(
    name: str = DEFAULT_LANGUAGE_MODEL, *, quantization: Quantization | None = None, device: str | None = None
) -> CausalLM:
    """A causal language model that all of this process share: the same arguments always give the same copy.

    On a CPU it computes in float32, on CUDA in the precision that it was saved in. A model that was saved quantized
    stays as it is. A GGUF file, a wheel's too, is converted when it is first loaded, which takes about half a minute
    for the default model, and kept in `$TITANS_CACHE`, else `~/.cache/titans-memory`.

    Args:
        name: a folder, a file that ends in .gguf, or a name that is looked up in installed wheels and then on the Hub.
        quantization: "nf4" (4 bit), "int8" or None (float), by bitsandbytes.
        device: "cpu", "cuda", "cuda:1"; None takes CUDA if there is one.

    Raises:
        ModelNotFoundError: neither path, wheel nor Hub has it.
        QuantizationError: the quantization is unknown.
        UnwritableError: the converted model cannot be kept.
    """
    check_quantization(quantization)
    # `cache` alone would let two threads load two copies.
    with _loading:
        return _load(name, quantization, device or ("cuda" if torch.cuda.is_available() else "cpu"))


@cache
def _load(name: str, quantization: Quantization | None, device: str) -> CausalLM:
    with quiet():
        lm = load_model(name, lambda location: _load_from(location, quantization, device))
    # The folder of a wheel's or a converted model says little; what the caller asked for does.
    lm.model.name_or_path = name
    return lm


def _load_from(location: str, quantization: Quantization | None, device: str) -> CausalLM:
    if Path(location).is_file():
        location = str(convert_gguf(Path(location)))
    config = AutoConfig.from_pretrained(location)
    arguments: dict[str, Any] = {"dtype": torch.float32 if device == "cpu" else "auto", "device_map": {"": device}}
    if quantization and not getattr(config, "quantization_config", None):
        # In bfloat16 a CPU takes four times as long.
        compute_dtype = torch.float32 if device == "cpu" else config.dtype or torch.float32
        arguments["quantization_config"] = quantizer(quantization, compute_dtype=compute_dtype, double=True)
    model = AutoModelForCausalLM.from_pretrained(location, **arguments)
    keep_layout(model)
    return CausalLM(model.eval().requires_grad_(requires_grad=False), AutoTokenizer.from_pretrained(location))
