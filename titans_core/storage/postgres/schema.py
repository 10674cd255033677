"""The PostgreSQL schema, as numbered migrations: a database is brought up to date when it is opened.

Every table with turns in it has row-level security, also for the role that owns it: a statement sees and writes only
the rows of the tenant whose number stands in the setting `titans.tenant`, and none without it. It guards against
mistakes in SQL. Whoever can log in can change the setting, and superusers and roles with BYPASSRLS see all rows: open
a memory with neither. The names of the tenants can be read by everyone who may open the database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.types import TypeInfo

from titans_core.errors import ForeignFileError, UnsupportedUrlError

if TYPE_CHECKING:
    from psycopg import Connection

LOCKS = 0x54495441 << 32
"""Advisory locks: this plus a tenant's number is held by its writer, this alone by who migrates or registers one."""

_TENANTS_OWN = ("turns", "passages", "keys", "snapshots", "rehearsals")

# Indexed texts have the collation "C": an upgrade of the operating system may change any other one under its index.
# Vectors have no fixed length: it is the reader's, which is known when the first log is opened.
# Keys and weights do not shrink: EXTERNAL spares the attempt.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE SEQUENCE positions",  # never gives one twice, also after forgetting
        "CREATE TABLE readers (fingerprint text NOT NULL, dim bigint NOT NULL)",
        """CREATE TABLE tenants (
            number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- never given twice: to no other tenant
            name text COLLATE "C" NOT NULL UNIQUE,
            identity bigint NOT NULL,  -- checksum of the name
            epoch bigint NOT NULL DEFAULT 0,  -- +1 when turns are forgotten or updated: weights start anew
            turns bigint NOT NULL DEFAULT 0,
            checksum bigint NOT NULL DEFAULT 0  -- the sum of those of its records and rehearsals
        )""",
        """CREATE TABLE turns (
            tenant bigint NOT NULL,
            position bigint NOT NULL,
            id text COLLATE "C" NOT NULL,
            text text NOT NULL,
            speaker text,
            session text,
            source text COLLATE "C",
            at bigint NOT NULL,  -- microseconds since 1970, UTC
            stored bigint NOT NULL,  -- when it was written, likewise
            metadata text NOT NULL,
            digest bytea NOT NULL,  -- of speaker and text, to find duplicates
            checksum bigint NOT NULL,  -- of what was said: the columns above but the digest
            record bigint NOT NULL,  -- checksum of what the index knows, passages included
            PRIMARY KEY (tenant, position)
        )""",
        "CREATE UNIQUE INDEX turns_by_id ON turns (tenant, id)",
        "CREATE INDEX turns_by_digest ON turns (tenant, digest)",
        "CREATE INDEX turns_by_source ON turns (tenant, source, stored) WHERE source IS NOT NULL",
        """CREATE TABLE passages (
            tenant bigint NOT NULL,
            position bigint NOT NULL,
            number bigint NOT NULL,
            "start" bigint NOT NULL,
            "end" bigint NOT NULL,
            "column" halfvec NOT NULL,
            pooled halfvec NOT NULL,
            checksum bigint NOT NULL,
            PRIMARY KEY (tenant, number)
        )""",
        "CREATE INDEX passages_of_turn ON passages (tenant, position)",
        # Apart from the passages, so that opening a memory does not read past them.
        """CREATE TABLE keys (
            tenant bigint NOT NULL,
            passage bigint NOT NULL,
            packed bytea STORAGE EXTERNAL NOT NULL,
            checksum bigint NOT NULL,
            PRIMARY KEY (tenant, passage)
        )""",
        """CREATE TABLE snapshots (
            tenant bigint PRIMARY KEY,
            position bigint NOT NULL,
            epoch bigint NOT NULL,
            spec text NOT NULL,
            sha256 bytea NOT NULL,
            state bytea STORAGE EXTERNAL NOT NULL
        )""",
        """CREATE TABLE rehearsals (  -- of the last consolidation: the weights learn these turns once more
            tenant bigint PRIMARY KEY,
            "after" bigint NOT NULL,  -- the last turn that was there when it happened
            positions text NOT NULL,  -- a JSON array
            checksum bigint NOT NULL
        )""",
        *(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY" for table in _TENANTS_OWN),
        *(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY" for table in _TENANTS_OWN),
        # A setting that was local to a transaction is an empty text after it.
        *(
            f"CREATE POLICY own_rows ON {table} USING "
            "(tenant = (SELECT nullif(current_setting('titans.tenant', true), '')::bigint))"
            for table in _TENANTS_OWN
        ),
    ),
)


def prepare(connection: Connection[Any], url: str, *, patience: int) -> TypeInfo:
    """Bring the database's schema up to date, or create it.

    Args:
        connection: in autocommit mode, as it connects by default: pgvector goes where the role's search path says.
        url: for messages.
        patience: milliseconds to wait for another process that does the same.

    Returns:
        The type of the vectors.

    Raises:
        ForeignFileError: the schema `titans` is another program's, or of a newer version.
        UnsupportedUrlError: the database has another encoding than UTF-8, or no pgvector.
    """
    if connection.info.parameter_status("server_encoding") != "UTF8":
        raise UnsupportedUrlError(f"{url!r} does not hold every text; create a database with ENCODING 'UTF8'.")
    version = stored_version(connection, url)
    if version < len(MIGRATIONS):
        with connection.transaction():
            connection.execute(
                "SELECT set_config('lock_timeout', %s, true), pg_advisory_xact_lock(%s)", (str(patience), LOCKS)
            )
            _migrate(connection, url)
    return _vectors(connection, url)


def stored_version(connection: Connection[Any], url: str) -> int:
    """The number of the last migration that was run; 0 for none.

    Raises:
        ForeignFileError: this version does not know it.
    """
    # The catalog itself: functions like `to_regclass` may not know yet what another process has just created.
    if not _value(connection, "SELECT 1 FROM pg_tables WHERE schemaname = 'titans' AND tablename = 'migrations'"):
        return 0
    version: int = _value(connection, "SELECT coalesce(max(number), 0) FROM titans.migrations")
    if version > len(MIGRATIONS):
        raise ForeignFileError(
            f"{url!r} was written by a newer version (schema {version}, this one knows {len(MIGRATIONS)}); "
            "upgrade titans-core."
        )
    return version


def _migrate(connection: Connection[Any], url: str) -> None:
    # Asked again under the lock: another process may just have done it.
    version = stored_version(connection, url)
    if not version:
        _begin(connection, url)
    _vectors(connection, url)
    schema = sql.Identifier(_vectors_schema(connection, url))
    connection.execute(sql.SQL("SET LOCAL search_path = titans, {}").format(schema))
    for number, migration in enumerate(MIGRATIONS[version:], version + 1):
        for statement in migration:
            connection.execute(statement.encode())
        connection.execute("INSERT INTO migrations (number) VALUES (%s)", (number,))


def _begin(connection: Connection[Any], url: str) -> None:
    """An empty schema, whoever created it, and pgvector."""
    if not _value(connection, "SELECT 1 FROM pg_namespace WHERE nspname = 'titans'"):
        connection.execute("CREATE SCHEMA titans")
    elif _value(connection, "SELECT count(*) FROM pg_class WHERE relnamespace = 'titans'::regnamespace"):
        raise ForeignFileError(f"The schema `titans` of {url!r} is another program's; use a database of its own.")
    connection.execute(
        "CREATE TABLE titans.migrations (number bigint PRIMARY KEY, run timestamptz NOT NULL DEFAULT now())"
    )
    try:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except (psycopg.errors.InsufficientPrivilege, psycopg.NotSupportedError, psycopg.OperationalError) as error:
        raise _without_vectors(url) from error


def _vectors_schema(connection: Connection[Any], url: str) -> str:
    query = "SELECT nspname FROM pg_extension JOIN pg_namespace AS n ON n.oid = extnamespace WHERE extname = 'vector'"
    if (schema := _value(connection, query)) is None:
        raise _without_vectors(url)
    return str(schema)


def _vectors(connection: Connection[Any], url: str) -> TypeInfo:
    found = TypeInfo.fetch(connection, sql.Identifier(_vectors_schema(connection, url), "halfvec"))
    if found is None:
        raise _without_vectors(url)
    return found


def _value(connection: Connection[Any], query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def _without_vectors(url: str) -> UnsupportedUrlError:
    return UnsupportedUrlError(
        f"{url!r} needs pgvector 0.7 or newer, and this role may not or cannot set it up. Have it installed on the "
        "server and `CREATE EXTENSION vector` run in this database by someone who may."
    )
