"""Calls of the adapters' tools: accepted and refused ones, and texts that answer one query."""

CODE = "The secret code is X-8-DELTA-9."
ASKED = "What is the secret code?"
CALLS = [("memorize", {"content": CODE}), ("recall", {"query": ASKED}), ("forget", {"memory_id": "code"})]
"""The name of each tool, and arguments that it accepts."""

REFUSED_CALLS = [
    ("memorize", {"content": "  "}, "needs text"),
    ("recall", {"query": ""}, "needs text"),
    ("forget", {"memory_id": "never"}, "'never'"),
]
"""For each call the name of the tool, its arguments, and a part of the error."""

DOORS = [f"The code of door {number} is {number}." for number in range(4)]
DOORS_QUERY = "What are the codes?"


def assert_stays_in_its_block(text):
    """Check a recall tool's answer that holds a stored text with tags, a forged id and a template field."""
    assert text.count("</memory>") == 1
    assert text.endswith("</memory>")
    assert "\n- [code]" not in text
    assert "{query}" not in text
