"""A disk that fails, or kills the process, at its n-th operation.

SQLite opens its files through a VFS. The VFS of this module passes every call on to the VFS of the system, and counts
the operations that change a watched file: writes, syncs, truncations and deletions. It is made with ctypes, for the
SQLite library that Python uses.
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
    """sqlite3_io_methods, version 3: the methods of an open file."""

    _fields_ = (
        ("version", c_int), ("close", c_void_p), ("read", c_void_p),
        ("write", _Write), ("truncate", _Truncate), ("sync", _Sync),
        ("others", c_void_p * 13),
    )  # fmt: skip


class _Vfs(Structure):
    """sqlite3_vfs, version 3: the methods of a file system."""

    _fields_ = (
        ("version", c_int), ("file_size", c_int), ("longest_path", c_int),
        ("next", c_void_p), ("name", c_char_p), ("data", c_void_p),
        ("open", _Open), ("delete", _Delete), ("others", c_void_p * 14),
    )  # fmt: skip


_sqlite = ctypes.CDLL(_sqlite3.__file__)
_sqlite.sqlite3_vfs_find.restype = POINTER(_Vfs)
_sqlite.sqlite3_vfs_register.argtypes = [c_void_p, c_int]
_sqlite.sqlite3_vfs_unregister.argtypes = [c_void_p]

_kept = []  # disks that must stay in memory: SQLite holds pointers to them as long as a connection is open


@contextmanager
def faulty_disk(path):
    """Yield the disk of a database and its journals. All connections that are opened inside the block use it.

    Args:
        path: Path of the database.
    """
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
    """Counts operations, and lets the n-th operation fail or kill the process.

    Attributes:
        operations: Names of the operations since the last call of `fail_at`, `kill_at` or `heal`, in order: "write",
            "sync", "truncate" and "delete".
    """

    def __init__(self, path, system):
        """Use `faulty_disk`."""
        self.heal()
        self._watched = os.fsencode(os.path.realpath(path))
        self._system = system
        # By the address of the system's methods, because a database has other methods than its journal.
        self._methods = {}
        self.vfs = _Vfs.from_buffer_copy(system.contents)
        self.vfs.name = b"faulty"
        self.vfs.open, self.vfs.delete = _Open(self._open), _Delete(self._delete)

    def heal(self):
        """Let all operations succeed from now on."""
        self.operations = []
        self._is_faulty = lambda n: False
        self._fault = None

    def fail_at(self, number, code, *, forever=False):
        """Let one operation fail with an SQLite error code. A write fails after half of its bytes.

        Args:
            number: Number of the operation, counted from 1.
            code: Error code, for example `sqlite3.SQLITE_FULL`.
            forever: Whether all later operations fail too, until `heal` is called.
        """
        self.operations = []
        self._torn = True
        self._is_faulty = (lambda n: n >= number) if forever else (lambda n: n == number)
        self._fault = lambda: code

    def kill_at(self, number, *, torn):
        """Kill the process before one operation.

        Args:
            number: Number of the operation, counted from 1.
            torn: Whether half of the bytes are written first, if the operation is a write.
        """
        self.operations = []
        self._torn = torn
        self._is_faulty = lambda n: n == number
        self._fault = lambda: os.kill(os.getpid(), signal.SIGKILL)

    def _open(self, _vfs, name, file, flags, flags_out):
        code = self._system.contents.open(ctypes.cast(self._system, c_void_p), name, file, flags, flags_out)
        if code == SQLITE_OK and self._watches(name):
            methods = c_void_p.from_address(file)  # the first member of every sqlite3_file
            if methods.value not in self._methods:
                self._methods[methods.value] = self._wrap(_Methods.from_address(methods.value))
            methods.value = ctypes.addressof(self._methods[methods.value])
        return code

    def _watches(self, name):
        return bool(name) and ctypes.string_at(name).startswith(self._watched)

    def _delete(self, _vfs, name, sync):
        if self._watches(name) and self._is_next_faulty("delete"):
            return self._fault()
        return self._system.contents.delete(ctypes.cast(self._system, c_void_p), name, sync)

    def _wrap(self, system):
        """Return methods that count, and then call the methods of the system or fail."""

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
