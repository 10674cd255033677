"""The `titans` command. It needs the extra `cli`, and says so where that is missing."""

import sys
from typing import TYPE_CHECKING, Annotated

from titans_core import __version__
from titans_core.doctor import Finding, Status, examine

if TYPE_CHECKING:
    import typer

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

    return app


def _line(finding: Finding) -> str:
    from rich.markup import escape

    status = f"[{STYLES[finding.status]}]{finding.status:<8}[/]"
    text = f"{finding.detail}. {finding.advice}" if finding.advice else finding.detail
    return f"{status} {finding.name:<13} {escape(text)}"
