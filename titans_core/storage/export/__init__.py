"""Exported turns: a file of JSON lines, and a file of their readings beside it."""

from titans_core.storage.export.readings import Readings, ReadingsWriter
from titans_core.storage.export.turns import inspect_export, read_turns, readings_path, write_export

__all__ = ["Readings", "ReadingsWriter", "inspect_export", "read_turns", "readings_path", "write_export"]
