"""The PostgreSQL schema as numbered migrations. Opening a database runs the migrations that it does not have yet.

Every table with rows of a tenant has row-level security, which also applies to the role that owns the table. A
statement sees and writes only the rows of the tenant whose number is the value of the setting `titans.tenant`. Without
this setting it sees no rows.

Row-level security guards against mistakes in SQL, not against attackers: every role that can log in can change the
setting. Superusers and roles with BYPASSRLS see all rows, so open a memory with neither. Every role that can open the
database can read the names of the tenants.
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
"""Numbers of the advisory locks: this plus a tenant's number locks the tenant for its writer.

This number alone locks the database for a migration or for the registration of a tenant.
"""

_TENANT_TABLES = ("turns", "passages", "keys", "snapshots", "rehearsals")

# Indexed texts have the collation "C". An upgrade of the operating system may change any other collation, which damages
# the index. Vectors have no fixed length in the schema: the reader sets it, when the first log is opened. Keys and
# weights cannot be compressed; EXTERNAL saves the attempt.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE SEQUENCE positions",  # a sequence gives each number only once, so a forgotten position is not reused
        "CREATE TABLE readers (fingerprint text NOT NULL, dim bigint NOT NULL)",
        """CREATE TABLE tenants (
            number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- is not reused for another tenant
            name text COLLATE "C" NOT NULL UNIQUE,
            identity bigint NOT NULL,  -- checksum of the name
            epoch bigint NOT NULL DEFAULT 0,  -- +1 when turns are forgotten or updated: the weights are rebuilt
            turns bigint NOT NULL DEFAULT 0,
            checksum bigint NOT NULL DEFAULT 0  -- sum of the checksums of its turns' records and of its rehearsals
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
            stored bigint NOT NULL,  -- time at which it was written, in microseconds since 1970, UTC
            metadata text NOT NULL,
            digest bytea NOT NULL,  -- digest of speaker and text, to find duplicates
            checksum bigint NOT NULL,  -- checksum of the columns above except the digest
            record bigint NOT NULL,  -- checksum of what the index uses of the turn and its passages
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
        # Keys have their own table, so that opening a memory does not read them.
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
        """CREATE TABLE rehearsals (  -- the turns that the last consolidation chose: the weights learn them once more
            tenant bigint PRIMARY KEY,
            "after" bigint NOT NULL,  -- position of the last turn at the time of the consolidation
            positions text NOT NULL,  -- a JSON array
            checksum bigint NOT NULL
        )""",
        *(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY" for table in _TENANT_TABLES),
        *(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY" for table in _TENANT_TABLES),
        # A setting that was local to a transaction is an empty text after the transaction.
        *(
            f"CREATE POLICY own_rows ON {table} USING "
            "(tenant = (SELECT nullif(current_setting('titans.tenant', true), '')::bigint))"
            for table in _TENANT_TABLES
        ),
    ),
)


def prepare(connection: Connection[Any], url: str, *, patience: int) -> TypeInfo:
    """Bring the database's schema up to date, or create it.

    Args:
        connection: A connection in autocommit mode, with the role's own search path: pgvector is created in the
            first schema of that path.
        url: URL of the database, for messages; a `ServerUrl`, which hides its password in them.
        patience: Milliseconds to wait for another process that migrates the database.

    Returns:
        The type of the vectors.

    Raises:
        ForeignFileError: The schema `titans` belongs to another program, or to a newer version of this one.
        UnsupportedUrlError: The encoding of the database is not UTF-8, or pgvector is missing.
    """
    if connection.info.parameter_status("server_encoding") != "UTF8":
        raise UnsupportedUrlError(f"{url!r} cannot store every text; create a database with ENCODING 'UTF8'.")
    version = stored_version(connection, url)
    if version < len(MIGRATIONS):
        with connection.transaction():
            connection.execute(
                "SELECT set_config('lock_timeout', %s, true), pg_advisory_xact_lock(%s)", (str(patience), LOCKS)
            )
            _migrate(connection, url)
    return _vector_type(connection, url)


def stored_version(connection: Connection[Any], url: str) -> int:
    """Return the number of the last migration that was run on a database; 0 for none.

    Args:
        connection: A connection to the database.
        url: URL of the database, for messages; a `ServerUrl`, which hides its password in them.

    Raises:
        ForeignFileError: This version does not know the migration.
    """
    # Query the catalog itself: functions such as `to_regclass` may not yet see a table that another process has just
    # created.
    if not _fetch_value(connection, "SELECT 1 FROM pg_tables WHERE schemaname = 'titans' AND tablename = 'migrations'"):
        return 0
    version: int = _fetch_value(connection, "SELECT coalesce(max(number), 0) FROM titans.migrations")
    if version > len(MIGRATIONS):
        raise ForeignFileError(
            f"{url!r} was written by a newer version of titans-core (schema {version}; this version knows "
            f"{len(MIGRATIONS)}); upgrade titans-core."
        )
    return version


def _migrate(connection: Connection[Any], url: str) -> None:
    # Read the version again under the lock, because another process may have just migrated the database.
    version = stored_version(connection, url)
    if not version:
        _create_schema(connection, url)
    _vector_type(connection, url)
    schema = sql.Identifier(_pgvector_schema(connection, url))
    connection.execute(sql.SQL("SET LOCAL search_path = titans, {}").format(schema))
    for number, migration in enumerate(MIGRATIONS[version:], version + 1):
        for statement in migration:
            connection.execute(statement.encode())
        connection.execute("INSERT INTO migrations (number) VALUES (%s)", (number,))


def _create_schema(connection: Connection[Any], url: str) -> None:
    """Create the schema, the table of migrations and pgvector. An empty schema that exists already is used."""
    if not _fetch_value(connection, "SELECT 1 FROM pg_namespace WHERE nspname = 'titans'"):
        connection.execute("CREATE SCHEMA titans")
    elif _fetch_value(connection, "SELECT count(*) FROM pg_class WHERE relnamespace = 'titans'::regnamespace"):
        raise ForeignFileError(f"The schema `titans` of {url!r} belongs to another program; use another database.")
    connection.execute(
        "CREATE TABLE titans.migrations (number bigint PRIMARY KEY, run timestamptz NOT NULL DEFAULT now())"
    )
    try:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except (psycopg.errors.InsufficientPrivilege, psycopg.NotSupportedError, psycopg.OperationalError) as error:
        raise _no_pgvector_error(url) from error


def _pgvector_schema(connection: Connection[Any], url: str) -> str:
    query = "SELECT nspname FROM pg_extension JOIN pg_namespace AS n ON n.oid = extnamespace WHERE extname = 'vector'"
    if (schema := _fetch_value(connection, query)) is None:
        raise _no_pgvector_error(url)
    return str(schema)


def _vector_type(connection: Connection[Any], url: str) -> TypeInfo:
    found = TypeInfo.fetch(connection, sql.Identifier(_pgvector_schema(connection, url), "halfvec"))
    if found is None:
        raise _no_pgvector_error(url)
    return found


def _fetch_value(connection: Connection[Any], query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def _no_pgvector_error(url: str) -> UnsupportedUrlError:
    return UnsupportedUrlError(
        f"{url!r} needs pgvector 0.7 or newer, and this role cannot set it up. Ask an administrator to install it on "
        "the server, and to run `CREATE EXTENSION vector` in this database."
    )
