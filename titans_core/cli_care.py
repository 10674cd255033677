"""The commands `titans verify`, `titans repair` and `titans backup`."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

if TYPE_CHECKING:
    import typer
    from rich.console import Console

    from titans_core.care import Report


def add_care_commands(
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
            from titans_core import care

            report = care.verify(file, progress=progress)
        _print(console, report, f"{report.turns} turns looked at in {file}")
        if report.findings:
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
            from titans_core import care

            report = care.repair(file, into, reader=reader, progress=progress)
        _print(console, report, f"{report.turns} turns copied to {into}")
        if report.findings:
            raise typer.Exit(1)

    @app.command()
    def backup(
        file: Annotated[str, file_argument],
        path: Annotated[Path, typer.Argument(help="The copy; it must not exist.")],
    ) -> None:
        """Copy a file as it is at one moment, while others may write to it."""
        with explained(), _bar(console, "copying") as progress:
            from titans_core import care

            care.backup(file, path, progress=progress)
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
    for found in report.findings:
        whose = "the file" if found.tenant is None else repr(found.tenant)
        console.print(f"problem  {whose}: {found.what} ({found.count})", soft_wrap=True, markup=False)
