"""Calls of the adapters' tools that the memory refuses, and a memory with several answers."""

REFUSED_CALLS = [
    ("memorize", {"content": "  "}, "needs text"),
    ("recall", {"query": ""}, "needs text"),
    ("forget", {"memory_id": "never"}, "'never'"),
]
"""Of each call the tool, its arguments, and a part of the error."""

DOORS = [f"The code of door {number} is {number}." for number in range(4)]
DOORS_QUERY = "What are the codes?"


def assert_stays_in_its_block(text):
    """Check a recall tool's answer that holds a stored text with tags, a forged id and a template field."""
    assert text.count("</memory>") == 1
    assert text.endswith("</memory>")
    assert "\n- [code]" not in text
    assert "{query}" not in text
