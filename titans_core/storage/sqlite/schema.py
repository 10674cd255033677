"""The SQLite schema as numbered migrations. Opening a file runs the migrations that it does not have yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from titans_core.storage.checksum import checksum

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

APPLICATION_ID = 0x54495441  # "TITA"; distinguishes the files of this package from other SQLite databases


def _drop_words(connection: sqlite3.Connection) -> None:
    """Drop the full-text index of each tenant. SQLite drops the tables that belong to an index too."""
    for (number,) in connection.execute("SELECT number FROM tenants").fetchall():
        connection.execute(f"DROP TABLE IF EXISTS words_{int(number)}")


def _sum_records(connection: sqlite3.Connection) -> None:
    """Fill in the checksums that cover several rows: one for each turn with its passages, and one for each tenant."""
    for (tenant,) in connection.execute("SELECT number FROM tenants").fetchall():
        records = []
        turns = "SELECT position, speaker, session, at FROM turns WHERE tenant = ?"
        for position, *rest in connection.execute(turns, (tenant,)).fetchall():
            passages = "SELECT checksum FROM passages WHERE tenant = ? AND position = ? ORDER BY number"
            sums = [passage_checksum for (passage_checksum,) in connection.execute(passages, (tenant, position))]
            records.append(checksum(tenant, position, *rest, *sums))
            connection.execute("UPDATE turns SET record = ? WHERE position = ?", (records[-1], position))
        rehearsed = connection.execute("SELECT checksum FROM rehearsals WHERE tenant = ?", (tenant,)).fetchall()
        totals = (len(records), sum(records) + sum(list_checksum for (list_checksum,) in rehearsed), tenant)
        connection.execute("UPDATE tenants SET turns = ?, checksum = ? WHERE number = ?", totals)


# `_migrate` makes the Python function `checksum` available in SQL under the same name.
MIGRATIONS: tuple[tuple[str | Callable[[sqlite3.Connection], None], ...], ...] = (
    (
        """CREATE TABLE readers (
            fingerprint TEXT NOT NULL,
            dim INTEGER NOT NULL
        ) STRICT""",
        """CREATE TABLE tenants (
            number INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            epoch INTEGER NOT NULL DEFAULT 0  -- +1 when turns are forgotten or updated: weights start anew
        ) STRICT""",
        """CREATE TABLE turns (
            position INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice, also after forgetting
            tenant INTEGER NOT NULL REFERENCES tenants,
            id TEXT NOT NULL,
            text TEXT NOT NULL,
            speaker TEXT,
            session TEXT,
            at REAL NOT NULL,  -- seconds since 1970, UTC
            metadata TEXT NOT NULL,
            digest BLOB NOT NULL,  -- of speaker and text, to find duplicates
            UNIQUE (tenant, id)
        ) STRICT""",
        "CREATE INDEX turns_in_order ON turns (tenant, position)",
        "CREATE INDEX turns_by_digest ON turns (tenant, digest)",
        """CREATE TABLE passages (
            number INTEGER PRIMARY KEY,
            position INTEGER NOT NULL REFERENCES turns ON DELETE CASCADE,
            "start" INTEGER NOT NULL,
            "end" INTEGER NOT NULL,
            "column" BLOB NOT NULL,
            pooled BLOB NOT NULL
        ) STRICT""",
        "CREATE INDEX passages_of_turn ON passages (position)",
        # Keys have their own table, so that opening a memory does not have to read over them.
        """CREATE TABLE keys (
            passage INTEGER PRIMARY KEY REFERENCES passages ON DELETE CASCADE,
            packed BLOB NOT NULL
        ) STRICT""",
        """CREATE TABLE snapshots (
            tenant INTEGER PRIMARY KEY REFERENCES tenants,
            position INTEGER NOT NULL,
            epoch INTEGER NOT NULL,
            spec TEXT NOT NULL,
            sha256 BLOB NOT NULL,
            state BLOB NOT NULL
        ) STRICT""",
    ),
    (
        """CREATE TABLE rehearsals (  -- of the last consolidation: the weights learn these turns once more
            position INTEGER PRIMARY KEY REFERENCES turns ON DELETE CASCADE,
            tenant INTEGER NOT NULL REFERENCES tenants,
            "after" INTEGER NOT NULL  -- the last turn that was there when it happened
        ) STRICT""",
        "CREATE INDEX rehearsals_of_tenant ON rehearsals (tenant)",
    ),
    (
        # This version adds checksums to the rows, exact times, and the source of a turn. It drops the full-text
        # indexes, because words are now indexed in memory.
        "DELETE FROM snapshots",
        "DROP INDEX turns_in_order",
        "DROP INDEX turns_by_digest",
        "DROP INDEX passages_of_turn",
        "DROP INDEX rehearsals_of_tenant",
        *(
            f"ALTER TABLE {table} RENAME TO old_{table}"
            for table in ("tenants", "turns", "passages", "keys", "snapshots", "rehearsals")
        ),
        """CREATE TABLE tenants (
            number INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice: to no other tenant
            name TEXT NOT NULL UNIQUE,
            identity INTEGER NOT NULL,  -- checksum of the name
            epoch INTEGER NOT NULL DEFAULT 0,  -- +1 when turns are forgotten or updated: weights start anew
            turns INTEGER NOT NULL DEFAULT 0,
            checksum INTEGER NOT NULL DEFAULT 0  -- the sum of those of its turns' records and of its rehearsals
        ) STRICT""",
        """CREATE TABLE turns (
            position INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice, also after forgetting
            tenant INTEGER NOT NULL,
            id TEXT NOT NULL,
            text TEXT NOT NULL,
            speaker TEXT,
            session TEXT,
            source TEXT,
            at INTEGER NOT NULL,  -- microseconds since 1970, UTC
            stored INTEGER NOT NULL,  -- when it was written, likewise
            metadata TEXT NOT NULL,
            digest BLOB NOT NULL,  -- of speaker and text, to find duplicates
            checksum INTEGER NOT NULL,  -- of what was said: the columns above but the digest
            record INTEGER NOT NULL  -- checksum of what the index knows, passages included
        ) STRICT""",
        "CREATE UNIQUE INDEX turns_by_id ON turns (tenant, id)",
        "CREATE INDEX turns_in_order ON turns (tenant, position)",
        "CREATE INDEX turns_by_digest ON turns (tenant, digest)",
        "CREATE INDEX turns_by_source ON turns (tenant, source, stored) WHERE source IS NOT NULL",
        """CREATE TABLE passages (
            number INTEGER PRIMARY KEY,
            tenant INTEGER NOT NULL,
            position INTEGER NOT NULL,
            "start" INTEGER NOT NULL,
            "end" INTEGER NOT NULL,
            "column" BLOB NOT NULL,
            pooled BLOB NOT NULL,
            checksum INTEGER NOT NULL
        ) STRICT""",
        "CREATE INDEX passages_of_turn ON passages (tenant, position)",
        # Keys have their own table, so that opening a memory does not have to read over them.
        """CREATE TABLE keys (
            passage INTEGER PRIMARY KEY,
            tenant INTEGER NOT NULL,
            packed BLOB NOT NULL,
            checksum INTEGER NOT NULL
        ) STRICT""",
        "CREATE INDEX keys_of_tenant ON keys (tenant)",
        """CREATE TABLE snapshots (
            tenant INTEGER PRIMARY KEY,
            position INTEGER NOT NULL,
            epoch INTEGER NOT NULL,
            spec TEXT NOT NULL,
            sha256 BLOB NOT NULL,
            state BLOB NOT NULL
        ) STRICT""",
        """CREATE TABLE rehearsals (  -- of the last consolidation: the weights learn these turns once more
            tenant INTEGER PRIMARY KEY,
            "after" INTEGER NOT NULL,  -- the last turn that was there when it happened
            positions TEXT NOT NULL,  -- a JSON array
            checksum INTEGER NOT NULL
        ) STRICT""",
        """INSERT INTO tenants (number, name, identity, epoch)
            SELECT number, name, checksum(name), epoch FROM old_tenants""",
        """INSERT INTO passages SELECT number, tenant, position, "start", "end", "column", pooled,
            checksum(tenant, number, "start", "end", "column", pooled)
            FROM old_passages JOIN old_turns USING (position)""",
        """INSERT INTO keys SELECT passage, tenant, packed, checksum(tenant, passage, packed)
            FROM old_keys JOIN passages ON number = passage""",
        """INSERT INTO turns
            SELECT position, tenant, id, text, speaker, session, NULL, moment, moment, metadata, digest,
            checksum(tenant, position, id, text, speaker, session, NULL, moment, moment, metadata), 0
            FROM (SELECT *, min(CAST(round(at * 1e6) AS INTEGER), 253402300799999999) AS moment FROM old_turns)""",
        """INSERT INTO rehearsals SELECT tenant, "after", listed, checksum(tenant, "after", listed) FROM (
            SELECT tenant, "after", json_group_array(position) AS listed
            FROM (SELECT * FROM old_rehearsals ORDER BY position) GROUP BY tenant, "after")""",
        _sum_records,
        "DELETE FROM sqlite_sequence WHERE name = 'turns'",
        "INSERT INTO sqlite_sequence SELECT 'turns', seq FROM sqlite_sequence WHERE name = 'old_turns'",
        _drop_words,
        *(f"DROP TABLE old_{table}" for table in ("keys", "passages", "rehearsals", "snapshots", "turns", "tenants")),
    ),
)
