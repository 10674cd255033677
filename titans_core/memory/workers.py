"""Reading, which takes most of the time of an import, in processes of its own."""

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
        turns: checked turns, in order.
        unread: those of them that have to be read.
        passages: what was read of the others, by id; not needed for those that are stored.
    """

    turns: list[Turn]
    unread: list[Turn]
    passages: dict[str, list[PassageRecord]]

    def with_read(self, passages: list[list[PassageRecord]]) -> Batch:
        """The batch with nothing left to read."""
        ids = [turn.id or "" for turn in self.unread]
        return Batch(self.turns, [], self.passages | dict(zip(ids, passages, strict=True)))


def in_batches(turns: Iterable[Turn], size: int, readings: Readings | None = None) -> Iterator[Batch]:
    """Cut turns into batches.

    Args:
        turns: checked turns.
        size: of a batch, at least 1.
        readings: what was read of them, if that is known.
    """
    ahead = iter(turns)
    for first in count(0, size):
        if not (batch := list(islice(ahead, size))):
            return
        passages = {} if readings is None else readings.of(batch, first)
        yield Batch(batch, [turn for turn in batch if turn.id not in passages], passages)


def read_batches(reader: Reader, batches: Iterable[Batch], *, workers: int) -> Generator[Batch]:
    """Read batches, in their order.

    Args:
        reader: reads here, or says which reader each worker loads.
        batches: are asked for one by one: as many as there are workers before the first comes back.
        workers: how many processes read; 0 to read in this one.

    Raises:
        ReaderError: the reader cannot be given to another process, or a worker has died.
        InvalidQueryError: `workers` is below 0.
    """
    if workers < 0:
        raise InvalidQueryError(f"`workers` is a number of processes, or 0 to read in this one. Got {workers}.")
    if not workers:
        yield from (batch.with_read(read_passages(reader, batch.unread)) for batch in batches)
        return
    with _Workers(reader, workers) as readers:
        yield from readers.read(iter(batches))


class _Workers(Closeable):
    """Processes with a reader each. They end with this object, and with the process that made them."""

    def __init__(self, reader: Reader, number: int) -> None:
        self._workers: list[_Worker] = []
        try:
            for _ in range(number):
                self._workers.append(_Worker(reader))
        except BaseException:
            self.close()
            raise

    def read(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Read batches, one at a time in each worker."""
        reading = deque[tuple[_Worker, Batch]]()
        for worker, batch in zip(self._workers, batches):  # noqa: B905 - there may be fewer or more
            worker.send(batch.unread)
            reading.append((worker, batch))
        while reading:
            worker, batch = reading.popleft()
            passages = worker.receive()
            # Sent only now: two processes that send to each other at once would wait for each other.
            if (following := next(batches, None)) is not None:
                worker.send(following.unread)
                reading.append((worker, following))
            yield batch.with_read(passages)

    def close(self) -> None:
        """End the processes, whatever they are at."""
        for worker in self._workers:
            worker.end()


class _Worker:
    """One process and the pipe to it."""

    def __init__(self, reader: Reader) -> None:
        # Spawned and not forked: a forked process would lack the threads of this one, and wait for their locks.
        context = get_context("spawn")
        self._pipe, far_end = context.Pipe()
        self._process = context.Process(
            target=_work, args=(far_end, _loading(reader), reader.fingerprint), daemon=True, name="titans-reader"
        )
        try:
            with _undisturbed():
                self._process.start()
        except (TypeError, AttributeError, ImportError) as error:  # pickle has no error of its own for most of it
            raise ReaderError(
                f"This reader cannot be given to another process ({error}); import with `workers=0`."
            ) from error
        finally:
            far_end.close()  # else nobody would notice that the worker has died

    def send(self, turns: list[Turn]) -> None:
        """Have turns read.

        Raises:
            ReaderError: the worker has died.
        """
        try:
            self._pipe.send(turns)
        except OSError as error:
            raise self._died() from error

    def receive(self) -> list[list[PassageRecord]]:
        """Wait for what was read.

        Raises:
            ReaderError: the worker has died, or could not read.
        """
        try:
            read = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise self._died() from error
        if isinstance(read, TitansError):
            raise read
        return cast("list[list[PassageRecord]]", read)

    def end(self) -> None:
        """End the process, whatever it is at, and wait until it is gone."""
        self._pipe.close()
        if self._process.pid is not None:
            self._process.terminate()
            self._process.join()
            self._process.close()

    def _died(self) -> ReaderError:
        self._process.join()
        return ReaderError(
            f"A process that was reading has died (exit code {self._process.exitcode}); was it killed, for want of "
            "memory perhaps? What was committed is stored: repeat the call, with fewer workers, and it goes on from "
            "there. A script that imports with workers needs its `if __name__ == '__main__':`."
        )


def _work(pipe: Connection, load: Callable[[], Reader], fingerprint: str) -> None:
    """What a worker does until its parent hangs up."""
    torch.set_num_threads(1)  # as many workers as cores: threads would only wait for each other
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
    """A function to be sent to a worker: loads the same model there. A reader of another kind is sent itself."""
    if not isinstance(reader, EncoderReader):
        return partial(_itself, reader)
    transformer: Any = reader.model[0]
    quantization = reader.fingerprint.partition(":")[0]
    return partial(
        load_reader,
        transformer.auto_model.name_or_path,
        quantization=None if quantization == "float" else cast("Quantization", quantization),
        device=str(reader.model.device),
    )


def _itself(reader: Reader) -> Reader:
    return reader


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Processes that are started inside leave Ctrl-C to this one, which ends them; a terminal tells all of them."""
    if os.name != "posix":
        yield
        return
    # Python's own helper process; starting it would let Ctrl-C through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
