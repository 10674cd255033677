"""Opens the storage of a URL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from titans_core.errors import UnsupportedUrlError
from titans_core.storage.sqlite import IN_MEMORY, SqliteLog
from titans_core.storage.sqlite import stored_tenants as stored_in_file

if TYPE_CHECKING:
    from titans_core.storage.log import TurnLog


def open_log(url: str | Path, tenant: str, *, reader: str, dim: int) -> TurnLog:
    """Open a tenant's log, or create it.

    Args:
        url: Path of a file, ":memory:", or "postgresql://…".
        tenant: Name of the tenant.
        reader: Fingerprint of the reader. A storage holds the keys of one reader only.
        dim: Length of the reader's keys.

    Returns:
        The open log. Close it after use.

    Raises:
        StorageError: The storage cannot be used; the subclass says why.
        ReaderMismatchError: The storage holds the keys of another reader.
    """
    if is_postgres(url):
        from titans_core.storage.postgres import PostgresLog

        return PostgresLog(str(url), tenant, reader=reader, dim=dim)
    return SqliteLog(_path(url), tenant, reader=reader, dim=dim)


def stored_tenants(url: str | Path) -> list[str]:
    """Return the names of all tenants in a storage that have at least one turn.

    Args:
        url: Path of a file, or "postgresql://…".

    Returns:
        The names; empty if the file does not exist or the database has no memory.

    Raises:
        StorageError: The storage cannot be used; the subclass says why.
    """
    if is_postgres(url):
        from titans_core.storage.postgres import stored_tenants as stored_on_server

        return stored_on_server(str(url))
    return stored_in_file(_path(url))


def is_postgres(url: str | Path) -> bool:
    """Return whether a URL names a PostgreSQL database."""
    return str(url).startswith(("postgresql://", "postgres://"))


def lasting_url(url: str | Path) -> str:
    """Return a URL that can be saved, so that another process on this machine can open the storage.

    Args:
        url: URL or path of the storage.

    Returns:
        A full path, ":memory:", or a server's URL without the password. A URL that is saved must contain no password;
        libpq reads the password from `PGPASSWORD` or `~/.pgpass`.
    """
    if not is_postgres(url):
        return str(url) if str(url) == IN_MEMORY else str(Path(url).absolute())
    parts = urlsplit(str(url))
    user, at, host = parts.netloc.rpartition("@")
    query = "&".join(field for field in parts.query.split("&") if not field.lower().startswith("password="))
    return parts._replace(netloc=f"{user.partition(':')[0]}{at}{host}", query=query).geturl()


def _path(url: str | Path) -> str | Path:
    try:
        unusable = b"\0" in str(url).encode()
    except UnicodeEncodeError:  # SQLite needs names in UTF-8
        unusable = True
    if unusable:
        raise UnsupportedUrlError(f"{str(url)!r} is no path: it holds a NUL character or is no valid Unicode.")
    if "://" in str(url):
        raise UnsupportedUrlError(f"Give a path, {IN_MEMORY!r} or a postgresql:// URL; {url!r} is none of them.")
    return url
