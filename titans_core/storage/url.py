"""Which storage a URL names."""

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
    """Open a tenant's log, or begin one.

    Args:
        url: a path, ":memory:", or "postgresql://…".
        tenant: the tenant's name.
        reader: fingerprint of the reader; a storage takes the keys of one reader only.
        dim: length of its keys.

    Raises:
        StorageError: the storage cannot be used; the subclass says why.
        ReaderMismatchError: it holds the keys of another reader.
    """
    if is_postgres(url):
        from titans_core.storage.postgres import PostgresLog

        return PostgresLog(str(url), tenant, reader=reader, dim=dim)
    return SqliteLog(_path(url), tenant, reader=reader, dim=dim)


def stored_tenants(url: str | Path) -> list[str]:
    """The names of the tenants of a storage that have a turn; none if there is no file.

    Raises:
        StorageError: the storage cannot be used; the subclass says why.
    """
    if is_postgres(url):
        from titans_core.storage.postgres import stored_tenants as stored_on_server

        return stored_on_server(str(url))
    return stored_in_file(_path(url))


def is_postgres(url: str | Path) -> bool:
    """Whether a URL names a PostgreSQL database."""
    return str(url).startswith(("postgresql://", "postgres://"))


def lasting_url(url: str | Path) -> str:
    """Where a storage is, for another process on this machine: a path in full, a server without the password.

    What is written down for later shall hold no password: libpq finds it in `PGPASSWORD` or `~/.pgpass`.
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
    except UnicodeEncodeError:  # SQLite takes names in UTF-8
        unusable = True
    if unusable:
        raise UnsupportedUrlError(f"{str(url)!r} is no path: it holds a NUL character or is no valid Unicode.")
    if "://" in str(url):
        raise UnsupportedUrlError(f"Give a path, {IN_MEMORY!r} or a postgresql:// URL; {url!r} is none of them.")
    return url
