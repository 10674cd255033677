"""Control tokens that a stored text must not form in a prompt, and how a lenient parser reads a text."""

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
    """Return a text as a parser reads it that ignores case, white space, width and invisible characters."""
    visible = "".join(character for character in text if unicodedata.category(character) not in {"Cf", "Mn"})
    return re.sub(r"\s", "", unicodedata.normalize("NFKC", visible)).lower()
