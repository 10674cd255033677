"""The commands for the file of a memory: `verify`, `repair`, `backup`, `export` and `import`."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

if TYPE_CHECKING:
    import typer
    from rich.console import Console

    from titans_core.memory.maintenance import Report


class CommandLine(NamedTuple):
    """The command line that commands are added to.

    Attributes:
        app: The typer app.
        console: The console for the output.
        explain_errors: Makes a context for a command's body that ends the command with a message after an error.
    """

    app: "typer.Typer"
    console: "Console"
    explain_errors: Callable[[], AbstractContextManager[None]]


def add_maintenance_commands(line: CommandLine) -> None:
    """Add the commands `verify`, `repair` and `backup`.

    Args:
        line: The command line.
    """
    import typer

    app, console, explain_errors = line

    file_argument = typer.Argument(help="File of the memory.")

    @app.command()
    def verify(file: Annotated[str, file_argument]) -> None:
        """Check every row, checksum and index of a file. The exit code is 1 if anything is damaged."""
        with explain_errors(), _bar(console, "verifying") as progress:
            from titans_core.memory import maintenance

            report = maintenance.verify(file, progress=progress)
        _print(console, report, f"{report.turns} turns checked in {file}")
        if report.damage:
            console.print("Restore a backup, or copy what is whole into a new file with `titans repair`.")
            raise typer.Exit(1)
        console.print("Everything is whole.")

    @app.command()
    def repair(
        file: Annotated[str, file_argument],
        into: Annotated[Path, typer.Argument(help="Path of the new file; it must not exist.")],
        *,
        reader: Annotated[str | None, typer.Option(help="Model that read the turns of the file.")] = None,
    ) -> None:
        """Copy what is whole into a new file. The exit code is 1 if anything was lost or had to be read again."""
        with explain_errors(), _bar(console, "copying") as progress:
            from titans_core.memory import maintenance

            report = maintenance.repair(file, into, reader=reader, progress=progress)
        _print(console, report, f"{report.turns} turns copied to {into}")
        if report.damage:
            raise typer.Exit(1)

    @app.command()
    def backup(
        file: Annotated[str, file_argument],
        path: Annotated[Path, typer.Argument(help="Path of the copy; it must not exist.")],
    ) -> None:
        """Copy a file in the state of one moment. Other processes may write to it meanwhile."""
        with explain_errors(), _bar(console, "copying") as progress:
            from titans_core.memory import maintenance

            maintenance.backup(file, path, progress=progress)
        console.print(f"{file} is copied to {path}", soft_wrap=True, markup=False)


@contextmanager
def _bar(console: "Console", description: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar. Yields a function that takes the number of steps done and the number of all steps."""
    from rich.progress import Progress

    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print(console: "Console", report: "Report", summary: str) -> None:
    console.print(summary, soft_wrap=True, markup=False)
    for damage in report.damage:
        owner = "the file" if damage.tenant is None else repr(damage.tenant)
        console.print(f"problem  {owner}: {damage.what} ({damage.count})", soft_wrap=True, markup=False)


def add_transfer_commands(line: CommandLine) -> None:
    """Add the commands `export` and `import`.

    Args:
        line: The command line.
    """
    import typer

    app, console, explain_errors = line

    url_argument = typer.Argument(help="File of the memory, or a postgresql:// URL.")
    tenant_option = typer.Option(help="Tenant: the name of the memory's owner.")
    retention_option = typer.Option(help="Retention of the memory, as in TitansMemory.open.")
    reader_option = typer.Option(help="Model that reads, as in TitansMemory.open.")

    @app.command("export")
    def export(
        url: Annotated[str, url_argument],
        file: Annotated[Path, typer.Argument(help="File for the turns. A second file beside it gets their readings.")],
        *,
        tenant: Annotated[str, tenant_option],
        retention: Annotated[float, retention_option] = 1.0,
        reader: Annotated[str | None, reader_option] = None,
    ) -> None:
        """Write the turns of a memory to a file of JSON lines, and their readings to a second file beside it."""
        with explain_errors():
            _export(console, url, file, tenant, retention, reader)

    @app.command("import")
    def import_(
        url: Annotated[str, url_argument],
        file: Annotated[Path, typer.Argument(help="File of turns that `titans export` wrote.")],
        *,
        tenant: Annotated[str, tenant_option],
        workers: Annotated[
            int, typer.Option(min=0, help="Number of processes that read; 0 reads in this process.")
        ] = 0,
        retention: Annotated[float, retention_option] = 1.0,
        reader: Annotated[str | None, reader_option] = None,
    ) -> None:
        """Memorize the turns of an exported file. After an interruption, the same command continues the import."""
        with explain_errors():
            _import(console, url, file, tenant, retention, reader, workers)


def _export(console: "Console", url: str, file: Path, tenant: str, retention: float, reader: str | None) -> None:
    from titans_core.errors import InvalidTenantError
    from titans_core.memory.memory import TitansMemory
    from titans_core.storage import stored_tenants
    from titans_core.storage.export.turns import readings_path

    if tenant not in stored_tenants(url):  # opening the memory would create the tenant
        raise InvalidTenantError(f"{url!r} has no turns of a tenant {tenant!r}; check the spelling of both.")
    with TitansMemory.open(url, tenant=tenant, retention=retention, reader=reader) as memory:
        turns = memory.export(file, progress=console.is_terminal)
    readings = readings_path(file)
    console.print(f"{turns} turns in {file}, their readings in {readings}", soft_wrap=True, markup=False)


def _import(
    console: "Console", url: str, file: Path, tenant: str, retention: float, reader: str | None, workers: int
) -> None:
    from titans_core.memory.memory import TitansMemory

    with TitansMemory.open(url, tenant=tenant, retention=retention, reader=reader) as memory:
        start = time.perf_counter()
        new = memory.import_(file, workers=workers, progress=console.is_terminal)
        seconds, turns = time.perf_counter() - start, memory.stats().turns
    console.print(f"{new} new turns in {seconds:.1f} s; {tenant!r} has {turns}", soft_wrap=True, markup=False)
