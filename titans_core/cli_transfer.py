"""The commands `titans export` and `titans import`."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

if TYPE_CHECKING:
    import typer
    from rich.console import Console


def add_transfer_commands(
    app: "typer.Typer", console: "Console", explained: Callable[[], AbstractContextManager[None]]
) -> None:
    """Add the commands to the command line.

    Args:
        app: the command line.
        console: what is said is printed there.
        explained: ends a command whose body fails with a sentence.
    """
    import typer

    url_argument = typer.Argument(help="The memory's file, or a postgresql:// URL.")
    tenant_option = typer.Option(help="Whose memory.")
    keep_option = typer.Option(help="The retention that the memory is opened with.")
    reader_option = typer.Option(help="The model that it is opened with.")

    @app.command("export")
    def export(
        url: Annotated[str, url_argument],
        file: Annotated[Path, typer.Argument(help="The file of turns to write; what was read of them goes beside it.")],
        *,
        tenant: Annotated[str, tenant_option],
        keep: Annotated[float, keep_option] = 1.0,
        reader: Annotated[str | None, reader_option] = None,
    ) -> None:
        """Write a memory's turns to a file of JSON lines, and what was read of them to another beside it."""
        with explained():
            _export(console, url, file, tenant, keep, reader)

    @app.command("import")
    def import_(
        url: Annotated[str, url_argument],
        file: Annotated[Path, typer.Argument(help="The file of turns.")],
        *,
        tenant: Annotated[str, tenant_option],
        workers: Annotated[int, typer.Option(min=0, help="Processes that read; 0 reads in this one.")] = 0,
        keep: Annotated[float, keep_option] = 1.0,
        reader: Annotated[str | None, reader_option] = None,
    ) -> None:
        """Memorize the turns of an exported file; when it was cut short, the same command goes on from there."""
        with explained():
            _import(console, url, file, tenant, keep, reader, workers)


def _export(console: "Console", url: str, file: Path, tenant: str, keep: float, reader: str | None) -> None:
    from titans_core.episodes import stored_tenants
    from titans_core.errors import InvalidTenantError
    from titans_core.memory import TitansMemory
    from titans_core.transfer import readings_beside

    if tenant not in stored_tenants(url):  # or opening it would begin one
        raise InvalidTenantError(f"{url!r} has no turns of a tenant {tenant!r}; look at the spelling of both.")
    with TitansMemory.open(url, tenant=tenant, keep=keep, reader=reader) as memory:
        turns = memory.export(file, progress=console.is_terminal)
    readings = readings_beside(file)
    console.print(f"{turns} turns in {file}, their readings in {readings}", soft_wrap=True, markup=False)


def _import(
    console: "Console", url: str, file: Path, tenant: str, keep: float, reader: str | None, workers: int
) -> None:
    from titans_core.memory import TitansMemory

    with TitansMemory.open(url, tenant=tenant, keep=keep, reader=reader) as memory:
        begun = time.perf_counter()
        new = memory.import_(file, workers=workers, progress=console.is_terminal)
        seconds, turns = time.perf_counter() - begun, memory.stats().turns
    said = f"{new} new turns in {seconds:.1f} s; {tenant!r} has {turns}"
    console.print(said, soft_wrap=True, markup=False)
