"""A disk that fails, or takes the process with it, at its n-th operation.

SQLite asks a VFS for its files. The one here hands everything on to the system's, and counts what changes a watched
file: each write, sync, truncation and deletion. It is made with ctypes, for the SQLite that Python uses.
"""

import _sqlite3
import ctypes
import os
import signal
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p

SQLITE_OK = 0

_Open = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_Delete = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)
_Write = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_Truncate = CFUNCTYPE(c_int, c_void_p, c_int64)
_Sync = CFUNCTYPE(c_int, c_void_p, c_int)


class _Methods(Structure):
    """sqlite3_io_methods, version 3: what can be done with an open file."""

    _fields_ = (
        ("version", c_int), ("close", c_void_p), ("read", c_void_p),
        ("write", _Write), ("truncate", _Truncate), ("sync", _Sync),
        ("others", c_void_p * 13),
    )  # fmt: skip


class _Vfs(Structure):
    """sqlite3_vfs, version 3."""

    _fields_ = (
        ("version", c_int), ("file_size", c_int), ("longest_path", c_int),
        ("next", c_void_p), ("name", c_char_p), ("data", c_void_p),
        ("open", _Open), ("delete", _Delete), ("others", c_void_p * 14),
    )  # fmt: skip


_sqlite = ctypes.CDLL(_sqlite3.__file__)
_sqlite.sqlite3_vfs_find.restype = POINTER(_Vfs)
_sqlite.sqlite3_vfs_register.argtypes = [c_void_p, c_int]
_sqlite.sqlite3_vfs_unregister.argtypes = [c_void_p]

_kept = []  # SQLite holds pointers to these as long as a connection is open, whoever else has let go of them


@contextmanager
def faulty_disk(path):
    """The disk below a database and its journals, for all connections that are opened meanwhile."""
    system = _sqlite.sqlite3_vfs_find(None)
    disk = FaultyDisk(path, system)
    _kept.append(disk)
    _sqlite.sqlite3_vfs_register(ctypes.addressof(disk.vfs), 1)
    try:
        yield disk
    finally:
        disk.heal()
        _sqlite.sqlite3_vfs_unregister(ctypes.addressof(disk.vfs))
        _sqlite.sqlite3_vfs_register(ctypes.cast(system, c_void_p), 1)


class FaultyDisk:
    """Counts operations, and does to the n-th what it was told.

    Attributes:
        operations: "write", "sync", "truncate" and "delete" since `fail_at`, `kill_at` or `heal` was called, in order.
    """

    def __init__(self, path, system):
        """Use `faulty_disk`."""
        self.heal()
        self._watched = os.fsencode(os.path.realpath(path))
        self._system = system
        self._methods = {}  # by the address of the system's: it has others for a database than for its journal
        self.vfs = _Vfs.from_buffer_copy(system.contents)
        self.vfs.name = b"faulty"
        self.vfs.open, self.vfs.delete = _Open(self._open), _Delete(self._delete)

    def heal(self):
        """Nothing fails from here on."""
        self.operations = []
        self._is_faulty = lambda n: False
        self._fault = None

    def fail_at(self, number, code, *, forever=False):
        """Let the operation of this number, counted from 1, fail with an SQLite error code; a write fails half-way.

        Args:
            number: at least 1.
            code: as of `sqlite3.SQLITE_FULL`.
            forever: whether all operations after it fail as well, until `heal`.
        """
        self.operations = []
        self._torn = True
        self._is_faulty = (lambda n: n >= number) if forever else (lambda n: n == number)
        self._fault = lambda: code

    def kill_at(self, number, *, torn):
        """Let the operation of this number kill the process before it happens; if torn, half of a write does happen."""
        self.operations = []
        self._torn = torn
        self._is_faulty = lambda n: n == number
        self._fault = lambda: os.kill(os.getpid(), signal.SIGKILL)

    def _open(self, _vfs, name, file, flags, flags_out):
        code = self._system.contents.open(ctypes.cast(self._system, c_void_p), name, file, flags, flags_out)
        if code == SQLITE_OK and self._watches(name):
            methods = c_void_p.from_address(file)  # the first member of every sqlite3_file
            if methods.value not in self._methods:
                self._methods[methods.value] = self._faulty(_Methods.from_address(methods.value))
            methods.value = ctypes.addressof(self._methods[methods.value])
        return code

    def _watches(self, name):
        return bool(name) and ctypes.string_at(name).startswith(self._watched)

    def _delete(self, _vfs, name, sync):
        if self._watches(name) and self._is_next_faulty("delete"):
            return self._fault()
        return self._system.contents.delete(ctypes.cast(self._system, c_void_p), name, sync)

    def _faulty(self, system):
        def write(file, data, count, offset):
            if self._is_next_faulty("write"):
                if self._torn:
                    system.write(file, data, count // 2, offset)
                return self._fault()
            return system.write(file, data, count, offset)

        def truncate(file, size):
            return self._fault() if self._is_next_faulty("truncate") else system.truncate(file, size)

        def sync(file, flags):
            return self._fault() if self._is_next_faulty("sync") else system.sync(file, flags)

        methods = _Methods.from_buffer_copy(system)
        methods.write, methods.truncate, methods.sync = _Write(write), _Truncate(truncate), _Sync(sync)
        return methods

    def _is_next_faulty(self, operation):
        self.operations.append(operation)
        return self._is_faulty(len(self.operations))
