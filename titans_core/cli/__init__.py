"""The `titans` command. It needs the extra `cli`: `pip install 'titans-core[cli]'`."""

from titans_core.cli.app import build_app, main

__all__ = ["build_app", "main"]
