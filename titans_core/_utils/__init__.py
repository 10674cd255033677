"""Helpers that know nothing of memories. Private: use the public packages."""
