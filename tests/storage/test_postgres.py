"""Tests of a log on PostgreSQL beyond the contract: isolation, shared connections, and a server that fails."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager

import psycopg
import pytest

from support.postgres import PASSWORD
from titans_core.errors import (
    CorruptMemoryError,
    ForeignFileError,
    InvalidTenantError,
    InvalidTurnError,
    StorageBusyError,
    StorageError,
    TitansError,
    UnsupportedUrlError,
    UnwritableError,
)
from titans_core.storage import Filters, Snapshot, open_log, stored_tenants
from titans_core.storage.postgres import database, schema
from titans_core.testing.samples import DIM, append, passage, turn

TENANT_TABLES = ("turns", "passages", "keys", "snapshots", "rehearsals")


def open_tenant(url, tenant="alice"):
    """Open a tenant's log."""
    return open_log(url, tenant, reader="a reader", dim=DIM)


@pytest.fixture
def log(postgres_url):
    with closing(open_tenant(postgres_url)) as log:
        yield log


@contextmanager
def plain_connection(url, **options):
    """Connect as the role that owns the tables, without the code of the package."""
    with psycopg.connect(url, autocommit=True, options="-c search_path=titans", **options) as connection:
        yield connection


# ── row-level security ──


def test_without_a_tenant_the_role_sees_no_row(log, postgres_url):
    numbers = []
    for name in ("alice", "bob"):
        with closing(open_tenant(postgres_url, name)) as each:
            [record] = append(each, turn("a", f"A secret of {name}."))
            with each.transaction():
                each.rehearse([record.position])
                each.save_snapshot(_snapshot(each))
            numbers.append(each._number)
    with plain_connection(postgres_url) as connection:
        for table in TENANT_TABLES:
            count = f"SELECT count(*), min(tenant), max(tenant) FROM {table}"  # noqa: S608 - only constants
            assert connection.execute(count).fetchone()[0] == 0
            for number in numbers:
                with connection.transaction():
                    connection.execute("SELECT set_config('titans.tenant', %s, true)", (str(number),))
                    assert connection.execute(count).fetchone() == (1, number, number)
            assert connection.execute(count).fetchone()[0] == 0  # the setting ended with the transaction
            assert connection.execute(f"DELETE FROM {table}").rowcount == 0  # noqa: S608
    assert log.find("a").text == "A secret of alice."


def test_a_tenant_can_write_no_row_of_another(log, postgres_url):
    append(log, turn("a"))
    with plain_connection(postgres_url) as connection, connection.transaction(force_rollback=True):
        connection.execute("SELECT set_config('titans.tenant', %s, true)", (str(log._number),))
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            connection.execute("UPDATE turns SET tenant = tenant + 1")


def test_a_connection_that_is_shared_remembers_no_tenant(log):
    append(log, turn("a"))
    with log._database.connection() as connection:
        assert connection.execute("SELECT count(*) FROM titans.turns").fetchone() == (0,)


def test_every_table_with_a_tenant_is_guarded(log, postgres_url):
    with plain_connection(postgres_url) as connection:
        found = connection.execute(
            "SELECT relname, relrowsecurity AND relforcerowsecurity FROM pg_class JOIN pg_attribute ON attrelid = "
            "pg_class.oid WHERE attname = 'tenant' AND relkind = 'r' AND relnamespace = 'titans'::regnamespace"
        ).fetchall()
    assert dict(found) == dict.fromkeys(TENANT_TABLES, True)


def _snapshot(log):
    """Return a snapshot that fits the log."""
    return Snapshot(log.head().position, log.head().epoch, "a spec", b"weights")


# ── writers ──


def test_a_second_writer_waits_and_is_told_when_it_takes_too_long(log, postgres_url, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.5)
    with closing(open_tenant(postgres_url)) as other, closing(open_tenant(postgres_url, "bob")) as bob:
        with log.transaction():
            append(bob, turn("another tenant's"))  # a write of another tenant does not wait
            with pytest.raises(StorageBusyError, match="repeat"):
                append(other, turn("a"))
        append(other, turn("a"))
    assert log.find("a")


def test_a_failed_statement_cannot_be_committed_in_silence(log):
    with pytest.raises(StorageError, match="nothing of it was written"), log.transaction():  # noqa: PT012
        log.append(turn("a"), [passage("a")])
        with pytest.raises(StorageError):
            log.append(turn("a"), [passage("a")])
    assert log.select(Filters()) == []


# ── connections ──


def test_many_logs_share_few_connections(postgres, postgres_url):
    logs = [open_tenant(postgres_url, f"tenant {number}") for number in range(30)]
    for each in logs:
        append(each, turn("a"))
    assert postgres.connections() <= 2
    threads = [threading.Thread(target=append, args=(each, turn("b"))) for each in logs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(each.head().turns == 2 for each in logs)
    assert postgres.connections() <= database.CONNECTIONS
    for each in logs[1:]:
        each.close()
    assert logs[0].find("a")  # closing the others has not closed its connections
    logs[0].close()
    _wait_until(lambda: postgres.connections() == 0)


def test_a_forked_process_uses_connections_of_its_own(log, postgres_url):
    append(log, turn("before"))
    children = [_forked(_append_many, log, name) for name in "ab"]
    for number in range(20):
        append(log, turn(f"parent {number}"))
    assert [_exit_code(child) for child in children] == [0, 0]
    assert log.head().turns == len(log.select(Filters())) == 61


def _append_many(log, name):
    for number in range(20):
        append(log, turn(f"{name} {number}"))
    log.close()


def test_a_fork_in_a_transaction_leaves_it_to_the_parent(log):
    with log.transaction():
        log.append(turn("a"), [passage("a")])
        assert _exit_code(_forked(_find_nothing, log)) == 0
        log.append(turn("b"), [passage("b")])
    assert log.head().turns == 2


def _find_nothing(log):
    assert log.find("a") is None


def _forked(target, *args):
    child = multiprocessing.get_context("fork").Process(target=target, args=args, daemon=True)
    child.start()
    return child


def _exit_code(child):
    child.join(30)
    return child.exitcode


# ── a server that fails ──


def test_after_a_crash_of_the_server_every_acknowledged_turn_is_there(postgres, postgres_url, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", 2.0)
    log, acknowledged = open_tenant(postgres_url), []

    def write():
        for number in range(100_000):
            try:
                append(log, turn(str(number)))
            except UnwritableError:
                return
            acknowledged.append(str(number))

    writer = threading.Thread(target=write)
    writer.start()
    _wait_until(lambda: len(acknowledged) >= 20)
    postgres.stop()
    writer.join(30)
    with pytest.raises(UnwritableError, match="cannot be reached"):
        log.head()
    postgres.start()
    ids = [found.id for found in log.select(Filters())]  # the same object works again
    assert ids[: len(acknowledged)] == acknowledged
    assert len(ids) <= len(acknowledged) + 1  # the last turn may be stored although its acknowledgement was lost
    assert len(list(log.records(after=0, keys=True))) == log.head().turns
    append(log, turn("after"))
    log.close()


def test_a_connection_that_is_lost_in_a_transaction_writes_nothing(postgres, log):
    with pytest.raises(UnwritableError), log.transaction():  # noqa: PT012
        log.append(turn("a"), [passage("a")])
        _disconnect(postgres)
        log.append(turn("b"), [passage("b")])
    assert log.select(Filters()) == []
    append(log, turn("c"))


def test_idle_connections_that_were_lost_cost_nobody_an_error(postgres, log):
    append(log, turn("a"))
    _disconnect(postgres)
    assert log.find("a")


def _disconnect(postgres):
    """Let the server end all connections of the ordinary role."""
    postgres.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ordinary'")
    _wait_until(lambda: postgres.connections() == 0)


def test_a_row_that_is_no_json_any_more_is_damage(log):
    append(log, turn("a", metadata={"n": 1}))
    with log.transaction():
        log._rows("UPDATE turns SET metadata = '{'")
    with pytest.raises(CorruptMemoryError):
        log.select(Filters(where={"n": 1}))


# ── what cannot be stored ──


@pytest.mark.parametrize("changes", [{"text": "a\0b"}, {"speaker": "\0"}, {"metadata": {"a": ["\0"]}}, {"id": "i\0"}])
def test_a_nul_is_refused_before_anything_is_written(log, changes):
    with log.transaction():
        with pytest.raises(InvalidTurnError, match="NUL"):
            log.append(turn(**{"id": "a", **changes}), [passage("a")])
        log.append(turn("b"), [passage("b")])
    assert [found.id for found in log.select(Filters())] == ["b"]


def test_a_backslash_before_u0000_is_no_nul(log):
    appended = turn("a", metadata={"path": "\\u0000", "n": 1})
    append(log, appended)
    assert log.select(Filters(where={"path": "\\u0000", "n": 1})) == [appended]


def test_a_tenant_with_a_nul_is_refused(postgres_url):
    with pytest.raises(InvalidTenantError, match="NUL"):
        open_tenant(postgres_url, "a\0b")


def test_numbers_are_compared_exactly(log):
    [record] = append(log, turn("a", metadata={"n": 2.0**53}))
    assert log.positions(Filters(where={"n": 2**53})) == [record.position]
    assert log.positions(Filters(where={"n": 2**53 + 1})) == []


# ── the password ──


def test_the_password_is_in_no_error_and_no_sentence(postgres, postgres_url, log):
    assert PASSWORD not in f"{log.url} {log.url!r}"
    assert str(log.url) == postgres_url  # needed to open the log again
    append(log, turn("a"))
    messages = [f"{log.url} {log.url!r}"]
    quoted = str(log.url).split(":")[2].split("@")[0]
    for url in (
        postgres_url.replace(str(postgres.folder), "/nowhere"),
        postgres_url.replace("/memories", "/nothing"),
        postgres_url.replace("ordinary", "nobody"),
        postgres_url.replace(quoted, PASSWORD),  # not quoted, so parts of it are taken for the host or the port
        postgres_url.replace(quoted, "s3cr?t/p%ss"),
        "postgresql://ordinary:s3cr@mallory@localhost:1/memories",
        postgres_url + "&nonsense=1",
    ):
        for call in (open_tenant, stored_tenants):
            with pytest.raises(StorageError) as caught:
                call(url)
            messages.append(f"{caught.value} {caught.value!r} {caught.value.__cause__}")
    with pytest.raises(TitansError) as caught:
        open_log(postgres_url, "alice", reader="another reader", dim=DIM)
    messages.append(str(caught.value))
    for secret in (PASSWORD, quoted, "s3cr", "p%ss", "mallory"):
        assert not [message for message in messages if secret in message]


# ── opening ──


def test_four_processes_may_open_a_new_database_at_once(postgres_url):
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as processes:
        numbers = processes.map(_open_and_append, [(postgres_url, name) for name in ("a", "b", "a", "c")])
    assert numbers[0] == numbers[2]
    assert len(set(numbers)) == 3
    assert sorted(stored_tenants(postgres_url)) == ["a", "b", "c"]


def _open_and_append(job):
    url, name = job
    with closing(open_tenant(url, name)) as log:
        append(log, turn(f"{time.time_ns()} {os.getpid()}"))
        return log._number


def test_a_schema_of_a_newer_version_is_refused(log, postgres_url):
    log.close()
    with plain_connection(postgres_url) as connection:
        connection.execute("INSERT INTO migrations VALUES (999)")
    for call in (open_tenant, stored_tenants):
        with pytest.raises(ForeignFileError, match="upgrade titans-core"):
            call(postgres_url)


def test_only_the_migrations_that_a_database_lacks_are_run(log, postgres_url, monkeypatch):
    append(log, turn("a"))
    log.close()
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("CREATE TABLE remarks (id text)",)))
    for _ in range(2):  # the second time there is nothing to do
        with closing(open_tenant(postgres_url)) as reopened:
            assert reopened.find("a")
            assert reopened._rows("SELECT * FROM remarks") == []
    broken = ("CREATE TABLE more (id text)", "this is no SQL")
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, broken))
    with pytest.raises(StorageError):
        open_tenant(postgres_url)
    with plain_connection(postgres_url) as connection:
        assert connection.execute("SELECT to_regclass('more'), max(number) FROM migrations").fetchone() == (None, 2)


def test_another_programs_schema_is_left_alone(postgres_url):
    with plain_connection(postgres_url) as connection:
        connection.execute("CREATE SCHEMA titans")
        connection.execute("CREATE TABLE titans.moons (name text)")
        with pytest.raises(ForeignFileError, match="another program"):
            open_tenant(postgres_url)
        tables = connection.execute("SELECT relname FROM pg_class WHERE relnamespace = 'titans'::regnamespace")
        assert tables.fetchall() == [("moons",)]
        assert stored_tenants(postgres_url) == []
        connection.execute("DROP TABLE moons")
    open_tenant(postgres_url).close()  # an administrator may have created an empty schema for the memory


def test_a_database_without_pgvector_says_what_to_do(postgres_url):
    with pytest.raises(UnsupportedUrlError, match="CREATE EXTENSION vector"):
        open_tenant(postgres_url.replace("/memories", "/bare"))


def test_a_database_that_cannot_hold_every_text_is_refused(postgres_url):
    with pytest.raises(UnsupportedUrlError, match="UTF8"):
        open_tenant(postgres_url.replace("/memories", "/latin"))


def test_a_database_without_a_memory_has_no_tenants(postgres_url):
    assert stored_tenants(postgres_url) == []
    with plain_connection(postgres_url) as connection:
        assert connection.execute("SELECT to_regnamespace('titans')").fetchone() == (None,)


def test_tables_that_are_gone_are_an_error(log, postgres_url):
    with plain_connection(postgres_url) as connection:
        connection.execute("DROP TABLE turns")
    with pytest.raises(ForeignFileError, match="not a memory's"):
        log.find("a")


@pytest.mark.parametrize("missing", ["psycopg", "psycopg_pool", "pgvector"])
def test_without_the_extra_the_error_names_it(missing):
    program = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from titans_core.storage import open_log\n"
        "open_log('postgresql://nobody@/nothing', 'alice', reader='r', dim=8)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=100)
    assert "pip install 'titans-core[postgres]'" in done.stderr


# ── forgetting ──


def test_scrubbing_frees_the_room_of_what_was_deleted(log):
    [record, _] = append(log, turn("a"), turn("b"))
    query = "SELECT ctid::text FROM turns WHERE id = ?"
    before = log._rows(query, ("a",))
    with log.transaction():
        log.delete([record.position])
    append(log, turn("c"))
    assert log._rows(query, ("c",)) != before  # the deleted row still occupies its place
    log.scrub()
    append(log, turn("d"))
    assert log._rows(query, ("d",)) == before


def _wait_until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
