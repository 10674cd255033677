"""Values for tests of a LangGraph store."""

ALICE = ("memories", "alice")

FACTS = {
    "code": {"text": "The secret code is X-8-DELTA-9.", "kind": "secret"},
    "color": {"text": "Alice's favorite color is turquoise.", "kind": "taste"},
    "meeting": {"text": "The meeting is scheduled for 3pm on Friday.", "kind": "date"},
    "bruno": {"text": "Bruno has moved to Lisbon with two cats.", "kind": "people"},
}
"""Values for queries, by key."""

ITEMS = {
    "one": {"n": 1, "tags": ["a", "b"], "place": {"city": "Rome", "zip": "00118"}},
    "two": {"n": 2, "tags": ["a"], "place": {"city": "Oslo"}},
    "many": {"n": "10", "tags": [], "day": "2026-03-02"},
    "none": {"n": None, "day": "2025-12-31"},
}
"""Values for filters, by key."""


def keys(items):
    """Return the keys of items, in their order."""
    return [item.key for item in items]
