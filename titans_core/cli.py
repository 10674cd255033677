"""The `titans` command. It needs the extra `cli`, and says so where that is missing."""

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from titans_core import __version__
from titans_core.doctor import Finding, Status, examine
from titans_core.errors import TitansError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import typer
    from rich.console import Console

STYLES = {Status.OK: "green", Status.INFO: "cyan", Status.PROBLEM: "bold red"}


def main() -> None:
    """Run the command line."""
    try:
        app = build_app()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in {"rich", "typer"}:
            raise
        sys.exit(f"The titans command needs {missing}; run: pip install 'titans-core[cli]'")
    app()


def build_app() -> "typer.Typer":
    """The command line as a typer app.

    Raises:
        ModuleNotFoundError: rich or typer is not installed.
    """
    # Here and not above, so that `main` can say what is missing.
    import typer
    from rich.console import Console

    app = typer.Typer(no_args_is_help=True, add_completion=False)
    console = Console(highlight=False)

    def show_version(*, asked: bool) -> None:
        if asked:
            console.print(f"titans-core {__version__}")
            raise typer.Exit

    @app.callback()
    def titans(
        *,
        version: Annotated[
            bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
        ] = False,
    ) -> None:
        """Long-term memory that learns each conversation turn on your machine."""

    @app.command()
    def doctor() -> None:
        """Check this machine: each line is ok, or says what to do."""
        problems = 0
        for finding in examine():
            problems += finding.status is Status.PROBLEM
            console.print(_line(finding), soft_wrap=True)
        if problems:
            console.print(f"{problems} to solve: the lines above say how.")
            raise typer.Exit(1)
        console.print("Everything that is needed works.")

    @app.command()
    def figures(
        directory: Annotated[Path, typer.Argument(metavar="DIR", help="The folder for the pictures.")],
        *,
        url: Annotated[str, typer.Option(help="The memory's file.")],
        tenant: Annotated[str, typer.Option(help="Whose memory.")],
        query: Annotated[str | None, typer.Option(help="What to recall; by default a question it heard.")] = None,
        last: Annotated[
            int, typer.Option(min=1, help="How many turns to show, the last ones; a tenth of a second each.")
        ] = 500,
        keep: Annotated[float, typer.Option(help="The retention that the memory is opened with.")] = 1.0,
        reader: Annotated[str | None, typer.Option(help="The model that it is opened with.")] = None,
    ) -> None:
        """Draw what happened in a memory: pictures of surprise, updates, momentum, forgetting and recall."""
        with _explained():
            for path in _draw(
                console, directory, url=url, tenant=tenant, query=query, last=last, keep=keep, reader=reader
            ):
                console.print(str(path), soft_wrap=True, markup=False)

    return app


@contextmanager
def _explained() -> "Iterator[None]":
    """Errors that a user can do something about end the command with their sentence, not with a traceback."""
    import typer

    try:
        yield
    except (TitansError, ModuleNotFoundError) as error:
        if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] != "matplotlib":
            raise
        typer.echo(f"problem  {error}", err=True)
        raise typer.Exit(1) from error


def _draw(
    console: "Console",
    directory: Path,
    *,
    url: str,
    tenant: str,
    query: str | None,
    last: int,
    keep: float,
    reader: str | None,
) -> list[Path]:
    """Draw under a progress bar."""
    from rich.progress import Progress

    from titans_core.figures import check_memory, draw
    from titans_core.memory import TitansMemory

    check_memory(url, tenant)
    with (
        Progress(console=console, transient=True, disable=not console.is_terminal) as bar,
        TitansMemory.open(url, tenant=tenant, keep=keep, reader=reader) as memory,
    ):
        task = bar.add_task("replaying", total=None)
        return draw(
            memory,
            directory,
            query=query,
            last=last,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


def _line(finding: Finding) -> str:
    from rich.markup import escape

    status = f"[{STYLES[finding.status]}]{finding.status:<8}[/]"
    text = f"{finding.detail}. {finding.advice}" if finding.advice else finding.detail
    return f"{status} {finding.name:<13} {escape(text)}"
