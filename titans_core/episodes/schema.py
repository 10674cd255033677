"""The SQLite schema, as numbered migrations: a file is brought up to date when it is opened."""

APPLICATION_ID = 0x54495441  # "TITA": tells our files from other SQLite databases

MIGRATIONS: tuple[tuple[str, ...], ...] = (
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
        # Apart from the passages, so that opening a memory does not read past them.
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
)


def words_table(tenant: int) -> str:
    """SQL for the tenant's own full-text index, with Porter stems.

    One for each tenant: in a shared one, the word counts of others would move a tenant's ranking, and show in it.
    It is contentless, the text stands in `turns` once.
    """
    return (
        f"CREATE VIRTUAL TABLE words_{tenant} USING fts5("
        "text, content='', tokenize='porter unicode61 remove_diacritics 2')"
    )
