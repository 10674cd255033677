"""The `titans` command. It needs the extra `cli`; without it, the command says how to install it."""

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from titans_core import __version__
from titans_core.cli.doctor import Check, Status, examine
from titans_core.cli.files import CommandLine, add_maintenance_commands, add_transfer_commands
from titans_core.errors import TitansError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import typer
    from rich.console import Console

    from titans_core.recitation.exam import Outcome

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
    """Build the command line as a typer app.

    Raises:
        ModuleNotFoundError: The package rich or typer is not installed.
    """
    # These imports are here so that `main` can report a missing package.
    import typer
    from rich.console import Console

    app = typer.Typer(no_args_is_help=True, add_completion=False)
    console = Console(highlight=False)

    def show_version(*, requested: bool) -> None:
        if requested:
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
        """Check whether this machine can run the memory. For each problem it says what to do."""
        problems = 0
        for check in examine():
            problems += check.status is Status.PROBLEM
            console.print(_line(check), soft_wrap=True)
        if problems:
            console.print(f"{problems} to solve: the lines above say what to do.")
            raise typer.Exit(1)
        console.print("Everything that the memory needs works.")

    @app.command()
    def figures(
        directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write the pictures to.")],
        *,
        url: Annotated[str, typer.Option(help="File of the memory.")],
        tenant: Annotated[str, typer.Option(help="Tenant: the name of the memory's owner.")],
        query: Annotated[
            str | None, typer.Option(help="Question to recall; by default a question from the memory itself.")
        ] = None,
        last: Annotated[
            int, typer.Option(min=1, help="Number of turns to show, the newest ones. Each takes a tenth of a second.")
        ] = 500,
        retention: Annotated[float, typer.Option(help="Retention of the memory, as in TitansMemory.open.")] = 1.0,
        reader: Annotated[str | None, typer.Option(help="Model that reads, as in TitansMemory.open.")] = None,
    ) -> None:
        """Draw what happened in a memory: pictures of surprise, updates, momentum, forgetting and recall."""
        with _explain_errors():
            for path in _draw(
                console, directory, url=url, tenant=tenant, query=query, last=last, retention=retention, reader=reader
            ):
                console.print(str(path), soft_wrap=True, markup=False)

    _add_llm_commands(app, console)
    line = CommandLine(app, console, _explain_errors)
    add_transfer_commands(line)
    add_maintenance_commands(line)
    return app


def _add_llm_commands(app: "typer.Typer", console: "Console") -> None:
    """Add the commands that use a language model."""
    import typer

    @app.command()
    def chat(
        *,
        url: Annotated[str, typer.Option(help="File of the memory; a missing file is created.")] = "titans-chat.db",
        tenant: Annotated[str, typer.Option(help="Tenant: the name of the memory's owner.")] = "me",
        mode: Annotated[str, typer.Option(help="Mode of the memory: context, recite or soft_prompt.")] = "context",
        model: Annotated[
            str | None, typer.Option(help="Language model: a folder or a name; by default SmolLM2-135M-Instruct.")
        ] = None,
        max_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of a reply.")] = 64,
    ) -> None:
        """Chat with a small language model that remembers, all on this machine."""
        with _explain_errors():
            _chat(console, url=url, tenant=tenant, mode=mode, model=model, max_tokens=max_tokens)

    @app.command("total-recall")
    def total_recall(
        *,
        facts: Annotated[
            list[int] | None,
            typer.Option(min=1, max=1024, help="Number of facts; repeat the option for more rows. By default 4."),
        ] = None,
        seeds: Annotated[
            int, typer.Option(min=1, help="Number of runs, each with other facts; the table shows means.")
        ] = 1,
        questions: Annotated[int, typer.Option(min=1, help="Number of facts to ask about.")] = 48,
        baseline_steps: Annotated[
            int,
            typer.Option(
                min=0, help="Steps to train a soft prompt too; tutorials use 600 a fact, each takes half a second."
            ),
        ] = 0,
        model: Annotated[
            str | None, typer.Option(help="Language model: a folder or a name; by default SmolLM2-135M-Instruct.")
        ] = None,
    ) -> None:
        """Teach facts, clear the context, then ask in the same and in other words: what do the weights alone know?"""
        with _explain_errors():
            _total_recall(console, facts or [4], seeds, questions, baseline_steps, model)


@contextmanager
def _explain_errors() -> "Iterator[None]":
    """End the command with a message instead of a traceback if the user can solve the error."""
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
    retention: float,
    reader: str | None,
) -> list[Path]:
    """Draw the pictures and show a progress bar."""
    from rich.progress import Progress

    from titans_core.figures.draw import check_memory, draw
    from titans_core.memory.memory import TitansMemory

    check_memory(url, tenant)
    with (
        Progress(console=console, transient=True, disable=not console.is_terminal) as bar,
        TitansMemory.open(url, tenant=tenant, retention=retention, reader=reader) as memory,
    ):
        task = bar.add_task("replaying", total=None)
        return draw(
            memory,
            directory,
            query=query,
            last=last,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


def _chat(console: "Console", *, url: str, tenant: str, mode: str, model: str | None, max_tokens: int) -> None:
    """Load the model, open the memory, and chat."""
    with console.status(f"loading {model or 'SmolLM2-135M-Instruct'} …"):
        from titans_core.cli.chat import Chat
        from titans_core.memory.memory import TitansMemory
        from titans_core.readers import DEFAULT_LANGUAGE_MODEL, CausalReader

        llm = CausalReader(model or DEFAULT_LANGUAGE_MODEL)
        memory = TitansMemory.open(url, tenant=tenant)
    with memory:
        Chat(llm, memory, console, mode=mode, max_new_tokens=max_tokens).run()


def _total_recall(
    console: "Console", facts: list[int], seeds: int, questions: int, baseline_steps: int, model: str | None
) -> None:
    """Run the exams and print the tables."""
    from rich.box import SIMPLE
    from rich.table import Table

    with console.status("loading the models …") as status:
        from titans_core.readers import DEFAULT_LANGUAGE_MODEL, CausalReader, load_reader
        from titans_core.recitation.exam import total_recall
        from titans_core.recitation.exam.table import COLUMNS, GATE_COLUMNS, gate_rows, loss_curve, rows

        llm, encoder = CausalReader(model or DEFAULT_LANGUAGE_MODEL), load_reader()
        outcomes: list[Outcome] = []
        for count in facts:
            for seed in range(seeds):

                def show_step(step: str, run: str = f"{count} facts, seed {seed}") -> None:
                    status.update(f"{run}: {step} …")

                outcomes += total_recall(
                    llm,
                    encoder,
                    facts=count,
                    seed=seed,
                    questions=questions,
                    baseline_steps=baseline_steps,
                    report=show_step,
                )
    tables = (("Total recall", COLUMNS, rows(outcomes)), ("The gate", GATE_COLUMNS, gate_rows(outcomes)))
    for title, columns, lines in tables:
        table = Table(*columns, title=title, box=SIMPLE, padding=0)
        for line in lines:
            table.add_row(*line)
        console.print(table)
    for outcome in outcomes:
        if outcome.losses:
            console.print(f"losses of the soft prompt, {len(outcome.losses)} steps: {loss_curve(outcome.losses)}")


def _line(check: Check) -> str:
    from rich.markup import escape

    status = f"[{STYLES[check.status]}]{check.status:<8}[/]"
    text = f"{check.detail}. {check.advice}" if check.advice else check.detail
    return f"{status} {check.name:<13} {escape(text)}"
