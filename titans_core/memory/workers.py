"""Reading in other processes; reading takes most of the time of an import."""

from __future__ import annotations

import os
import signal
from collections import deque
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count, islice
from multiprocessing import get_context, resource_tracker
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch

from titans_core._utils.closeable import Closeable
from titans_core.errors import InvalidQueryError, ReaderError, TitansError
from titans_core.memory.ingest import read_passages
from titans_core.readers import EncoderReader, load_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from multiprocessing.connection import Connection

    from titans_core.readers import Reader
    from titans_core.readers.quantization import Quantization
    from titans_core.storage import PassageRecord
    from titans_core.storage.export.readings import Readings
    from titans_core.types import Turn


class Batch(NamedTuple):
    """Turns that are committed together.

    Attributes:
        turns: Valid turns, in order.
        unread: The turns that must still be read.
        passages: The passages of turns that were read, by the turn's id. Stored turns need none.
    """

    turns: list[Turn]
    unread: list[Turn]
    passages: dict[str, list[PassageRecord]]

    def with_read(self, passages: list[list[PassageRecord]]) -> Batch:
        """The batch after its unread turns were read.

        Args:
            passages: The passages of each unread turn.
        """
        ids = [turn.id or "" for turn in self.unread]
        return Batch(self.turns, [], self.passages | dict(zip(ids, passages, strict=True)))


def in_batches(turns: Iterable[Turn], size: int, readings: Readings | None = None) -> Iterator[Batch]:
    """Cut turns into batches.

    Args:
        turns: Valid turns.
        size: The number of turns in a batch, at least 1.
        readings: Exported readings of the turns; None if there are none.
    """
    ahead = iter(turns)
    for first in count(0, size):
        if not (batch := list(islice(ahead, size))):
            return
        passages = {} if readings is None else readings.of(batch, first)
        yield Batch(batch, [turn for turn in batch if turn.id not in passages], passages)


def read_batches(reader: Reader, batches: Iterable[Batch], *, workers: int) -> Generator[Batch]:
    """Read batches, and yield them in their order.

    Args:
        reader: The reader; each worker process loads the same model.
        batches: The batches; they are taken one by one, as many as there are workers before the first is yielded.
        workers: The number of worker processes; 0 to read in this process.

    Raises:
        ReaderError: The reader cannot be sent to another process, or a worker has died.
        InvalidQueryError: `workers` is below 0.
    """
    if workers < 0:
        raise InvalidQueryError(
            f"`workers` is the number of processes that read, or 0 to read in this process. Got {workers}."
        )
    if not workers:
        yield from (batch.with_read(read_passages(reader, batch.unread)) for batch in batches)
        return
    with _Workers(reader, workers) as readers:
        yield from readers.read(iter(batches))


class _Workers(Closeable):
    """Worker processes, each with its own reader. They end when this is closed, and with their parent process."""

    def __init__(self, reader: Reader, number: int) -> None:
        self._workers: list[_Worker] = []
        try:
            for _ in range(number):
                self._workers.append(_Worker(reader))
        except BaseException:
            self.close()
            raise

    def read(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Read batches; each worker reads one batch at a time."""
        reading = deque[tuple[_Worker, Batch]]()
        for worker, batch in zip(self._workers, batches):  # noqa: B905 - there may be fewer or more
            worker.send(batch.unread)
            reading.append((worker, batch))
        while reading:
            worker, batch = reading.popleft()
            passages = worker.receive()
            # Sent after `receive`: two processes that send at the same time would wait for each other.
            if (following := next(batches, None)) is not None:
                worker.send(following.unread)
                reading.append((worker, following))
            yield batch.with_read(passages)

    def close(self) -> None:
        """End all processes at once, also while they read."""
        for worker in self._workers:
            worker.end()


class _Worker:
    """One worker process, and the pipe to it."""

    def __init__(self, reader: Reader) -> None:
        # Spawned and not forked: a forked process has no other threads, and would wait forever for their locks.
        context = get_context("spawn")
        self._pipe, far_end = context.Pipe()
        self._process = context.Process(
            target=_work, args=(far_end, _loading(reader), reader.fingerprint), daemon=True, name="titans-reader"
        )
        try:
            with _ctrl_c_blocked():
                self._process.start()
        except (
            TypeError,
            AttributeError,
            ImportError,
        ) as error:  # pickle raises these for most objects that it cannot send
            raise ReaderError(f"This reader cannot be sent to another process ({error}); use `workers=0`.") from error
        finally:
            far_end.close()  # otherwise `recv` would not end when the worker dies

    def send(self, turns: list[Turn]) -> None:
        """Send turns to be read.

        Raises:
            ReaderError: The worker has died.
        """
        try:
            self._pipe.send(turns)
        except OSError as error:
            raise self._died() from error

    def receive(self) -> list[list[PassageRecord]]:
        """Wait for the passages of the turns that were sent.

        Raises:
            ReaderError: The worker has died, or could not read.
        """
        try:
            read = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise self._died() from error
        if isinstance(read, TitansError):
            raise read
        return cast("list[list[PassageRecord]]", read)

    def end(self) -> None:
        """End the process at once, and wait until it has ended."""
        self._pipe.close()
        if self._process.pid is not None:
            self._process.terminate()
            self._process.join()
            self._process.close()

    def _died(self) -> ReaderError:
        self._process.join()
        return ReaderError(
            f"A worker process has died (exit code {self._process.exitcode}); perhaps it was killed because memory ran "
            "out. Committed batches are stored: repeat the call with fewer workers, and it continues from there. A "
            "script that uses workers needs `if __name__ == '__main__':`."
        )


def _work(pipe: Connection, load: Callable[[], Reader], fingerprint: str) -> None:
    """Run a worker until its parent closes the pipe."""
    torch.set_num_threads(1)  # with a worker for each core, more threads would only wait for each other
    with suppress(EOFError, ConnectionError):
        try:
            reader = load()
            if reader.fingerprint != fingerprint:
                raise ReaderError(f"A worker has loaded the reader {reader.fingerprint}, and not {fingerprint}.")
            while True:
                pipe.send(read_passages(reader, pipe.recv()))
        except TitansError as error:
            pipe.send(error)


def _loading(reader: Reader) -> Callable[[], Reader]:
    """A function that loads the same model in a worker. A reader of another class is sent as it is."""
    if not isinstance(reader, EncoderReader):
        return partial(_identity, reader)
    transformer: Any = reader.model[0]
    quantization = reader.fingerprint.partition(":")[0]
    return partial(
        load_reader,
        transformer.auto_model.name_or_path,
        quantization=None if quantization == "float" else cast("Quantization", quantization),
        device=str(reader.model.device),
    )


def _identity(reader: Reader) -> Reader:
    return reader


@contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """Block Ctrl-C in the processes that are started inside: a terminal sends it to all, but the parent ends them."""
    if os.name != "posix":
        yield
        return
    # Python's resource tracker; starting it inside the block would unblock Ctrl-C again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
