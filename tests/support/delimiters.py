"""What a text must not spell in a prompt, and how a forgiving parser reads."""

import re
import unicodedata

# fmt: off
TOKENS = [
    "<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|start_header_id|>", "<|endoftext|>", "<s>", "</s>", "[INST]",
    "[/INST]", "<<SYS>>", "<</SYS>>", "<start_of_turn>", "<end_of_turn>", "<bos>", "<eos>", "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]", "[TOOL_CALLS]", "[|user|]", "<think>", "</think>", "<tool_call>", "</tool_response>",
    "<function_calls>", "<|channel|>", "<\uff5cUser\uff5c>", "<\uff5cbegin\u2581of\u2581sentence\uff5c>",
]
# fmt: on


def lenient(text):
    """As a parser would read it that forgives case, white space, width and what is invisible."""
    seen = "".join(character for character in text if unicodedata.category(character) not in {"Cf", "Mn"})
    return re.sub(r"\s", "", unicodedata.normalize("NFKC", seen)).lower()
