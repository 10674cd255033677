"""The commands on a memory's file: `verify`, `repair`, `backup`, `export` and `import`."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

if TYPE_CHECKING:
    import typer
    from rich.console import Console

    from titans_core.memory.maintenance import Report


def add_maintenance_commands(
    app: "typer.Typer", console: "Console", explained: Callable[[], AbstractContextManager[None]]
) -> None:
    """Add the commands to the command line.

    Args:
        app: the command line.
        console: what is said is printed there.
        explained: ends a command whose body fails with a sentence.
    """
    import typer

    file_argument = typer.Argument(help="The memory's file.")

    @app.command()
    def verify(file: Annotated[str, file_argument]) -> None:
        """Check every row, checksum and index of a file; ends with 1 if anything is damaged."""
        with explained(), _bar(console, "verifying") as progress:
            from titans_core.memory import maintenance

            report = maintenance.verify(file, progress=progress)
        _print(console, report, f"{report.turns} turns looked at in {file}")
        if report.damage:
            console.print("Restore a backup, or keep what is whole with `titans repair`.")
            raise typer.Exit(1)
        console.print("Everything is whole.")

    @app.command()
    def repair(
        file: Annotated[str, file_argument],
        into: Annotated[Path, typer.Argument(help="The new file.")],
        *,
        reader: Annotated[str | None, typer.Option(help="The model that the file was written with.")] = None,
    ) -> None:
        """Copy what is whole into a new file; ends with 1 if anything was lost or had to be read again."""
        with explained(), _bar(console, "copying") as progress:
            from titans_core.memory import maintenance

            report = maintenance.repair(file, into, reader=reader, progress=progress)
        _print(console, report, f"{report.turns} turns copied to {into}")
        if report.damage:
            raise typer.Exit(1)

    @app.command()
    def backup(
        file: Annotated[str, file_argument],
        path: Annotated[Path, typer.Argument(help="The copy; it must not exist.")],
    ) -> None:
        """Copy a file as it is at one moment, while others may write to it."""
        with explained(), _bar(console, "copying") as progress:
            from titans_core.memory import maintenance

            maintenance.backup(file, path, progress=progress)
        console.print(f"{file} is copied to {path}", soft_wrap=True, markup=False)


@contextmanager
def _bar(console: "Console", what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar; yields what is to be told how far it is."""
    from rich.progress import Progress

    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print(console: "Console", report: "Report", said: str) -> None:
    console.print(said, soft_wrap=True, markup=False)
    for found in report.damage:
        whose = "the file" if found.tenant is None else repr(found.tenant)
        console.print(f"problem  {whose}: {found.what} ({found.count})", soft_wrap=True, markup=False)


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
    retention_option = typer.Option(help="The retention that the memory is opened with.")
    reader_option = typer.Option(help="The model that it is opened with.")

    @app.command("export")
    def export(
        url: Annotated[str, url_argument],
        file: Annotated[Path, typer.Argument(help="The file of turns to write; what was read of them goes beside it.")],
        *,
        tenant: Annotated[str, tenant_option],
        retention: Annotated[float, retention_option] = 1.0,
        reader: Annotated[str | None, reader_option] = None,
    ) -> None:
        """Write a memory's turns to a file of JSON lines, and what was read of them to another beside it."""
        with explained():
            _export(console, url, file, tenant, retention, reader)

    @app.command("import")
    def import_(
        url: Annotated[str, url_argument],
        file: Annotated[Path, typer.Argument(help="The file of turns.")],
        *,
        tenant: Annotated[str, tenant_option],
        workers: Annotated[int, typer.Option(min=0, help="Processes that read; 0 reads in this one.")] = 0,
        retention: Annotated[float, retention_option] = 1.0,
        reader: Annotated[str | None, reader_option] = None,
    ) -> None:
        """Memorize the turns of an exported file; when it was cut short, the same command goes on from there."""
        with explained():
            _import(console, url, file, tenant, retention, reader, workers)


def _export(console: "Console", url: str, file: Path, tenant: str, retention: float, reader: str | None) -> None:
    from titans_core.errors import InvalidTenantError
    from titans_core.memory.memory import TitansMemory
    from titans_core.storage import stored_tenants
    from titans_core.storage.export.turns import readings_path

    if tenant not in stored_tenants(url):  # or opening it would begin one
        raise InvalidTenantError(f"{url!r} has no turns of a tenant {tenant!r}; look at the spelling of both.")
    with TitansMemory.open(url, tenant=tenant, retention=retention, reader=reader) as memory:
        turns = memory.export(file, progress=console.is_terminal)
    readings = readings_path(file)
    console.print(f"{turns} turns in {file}, their readings in {readings}", soft_wrap=True, markup=False)


def _import(
    console: "Console", url: str, file: Path, tenant: str, retention: float, reader: str | None, workers: int
) -> None:
    from titans_core.memory.memory import TitansMemory

    with TitansMemory.open(url, tenant=tenant, retention=retention, reader=reader) as memory:
        begun = time.perf_counter()
        new = memory.import_(file, workers=workers, progress=console.is_terminal)
        seconds, turns = time.perf_counter() - begun, memory.stats().turns
    said = f"{new} new turns in {seconds:.1f} s; {tenant!r} has {turns}"
    console.print(said, soft_wrap=True, markup=False)
