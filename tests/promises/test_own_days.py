"""Days are the user's own: they begin and end in the user's time zone, in questions, in blocks and in times given."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from titans_core import Confidence, Recall, Recollection, Turn
from titans_core.errors import InvalidQueryError
from titans_core.retrieval.english import periods_in
from titans_core.validation import validate_now

ZONES = ["Asia/Tokyo", "America/Los_Angeles", "Europe/Berlin"]
NOON = datetime(2025, 6, 14, 12)
HOUR = 3600
FOOD = ["an omelette", "oatmeal", "toast", "waffles"]


def periods(query, now, first=2025):
    """The periods of a query on the clock of the user."""
    return [
        tuple(datetime.fromtimestamp(edge, now.tzinfo).replace(tzinfo=None) for edge in (period.start, period.end))
        for period in periods_in(query, now=now, first=first)
    ]


def recollection(*times, zone=None):
    recalls = tuple(Recall(Turn(f"at {at}", speaker="user", at=at), 1.0, 0.5, 0.5, "…", {}) for at in times)
    return Recollection("?", recalls, Confidence.HIGH, zone=zone)


def first_line(found):
    """The first recall in the block; under any label."""
    return replace(found, confidence=Confidence.HIGH).as_text().splitlines()[2]


@pytest.fixture
def machine(monkeypatch):
    """Sets the zone of this machine."""
    if not hasattr(time, "tzset"):
        pytest.skip("a program cannot set the zone of this system for itself")

    def set_zone(name):
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield set_zone
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def breakfasts(memory):
    """Fills a memory with the breakfasts of today and the days before, at half past seven on the user's clock."""

    def eat(zone, today=NOON):
        for days, food in enumerate(FOOD):
            at = (today - timedelta(days=days)).replace(hour=7, minute=30, tzinfo=ZoneInfo(zone))
            memory.memorize(f"For breakfast I had {food}.", speaker="user", session=f"{days}", at=at, id=food)
        return memory

    return eat


# ── days in a question ──


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("hour", [0, 7, 12, 23])
def test_a_day_begins_at_the_users_midnight(zone, hour):
    now = NOON.replace(hour=hour, minute=30, tzinfo=ZoneInfo(zone))
    assert periods("yesterday", now) == [(datetime(2025, 6, 13), datetime(2025, 6, 14))]
    assert periods("today", now) == [(datetime(2025, 6, 14), datetime(2025, 6, 15))]
    assert periods("this morning", now) == [(datetime(2025, 6, 14), datetime(2025, 6, 14, 12))]
    assert periods("last week", now) == [(datetime(2025, 6, 2), datetime(2025, 6, 9))]
    assert periods("in May", now) == [(datetime(2025, 5, 1), datetime(2025, 6, 1))]
    assert periods("on 2025-06-03", now) == [(datetime(2025, 6, 3), datetime(2025, 6, 4))]
    assert periods("in 2024", now) == [(datetime(2024, 1, 1), datetime(2025, 1, 1))]


@pytest.mark.parametrize(
    ("day_after", "hours"), [(datetime(2025, 3, 31, 9), 23), (datetime(2025, 10, 27, 9), 25), (NOON, 24)]
)
@pytest.mark.parametrize("zone", ["Europe/Berlin", None])
def test_a_day_on_which_the_clock_changes_is_whole(day_after, hours, zone, machine):
    machine("Europe/Berlin")
    now = validate_now(day_after, zone)
    [yesterday] = periods_in("yesterday", now=now, first=2025)
    [last_days] = periods_in("the last 3 days", now=now, first=2025)
    assert yesterday.end - yesterday.start == hours * HOUR
    assert last_days.end - last_days.start == (3 * 24 + hours) * HOUR
    assert periods("yesterday", now)[0][1] == day_after.replace(hour=0)


def test_the_day_in_another_zone_may_be_another():
    moment = datetime(2025, 6, 14, 22, 30, tzinfo=UTC)
    days = [periods("today", moment.astimezone(ZoneInfo(zone)))[0][0].day for zone in ZONES]
    assert days == [15, 14, 15]


# ── days in a block ──


@pytest.mark.parametrize(
    ("zone", "day"),
    [("Asia/Tokyo", "2025-06-15"), ("America/Los_Angeles", "2025-06-14"), ("Europe/Berlin", "2025-06-15")],
)
def test_a_block_shows_the_users_day(zone, day):
    found = recollection(datetime(2025, 6, 14, 22, 30, tzinfo=UTC), zone=ZoneInfo(zone))
    assert f"- user, {day}: " in found.as_text()
    assert f"[{day}]" in found.as_text("[{date}]")


def test_without_a_zone_a_block_shows_the_machines_day(machine):
    for zone, day in (("Asia/Tokyo", "2025-06-15"), ("America/Los_Angeles", "2025-06-14")):
        machine(zone)
        assert f"[{day}]" in recollection(datetime(2025, 6, 14, 22, 30, tzinfo=UTC)).as_text("[{date}]")


def test_recalls_of_one_day_also_show_the_time():
    one_day = [datetime(2025, 6, 13, 22, 30, tzinfo=UTC), datetime(2025, 6, 14, 14, 59, tzinfo=UTC)]
    found = recollection(*one_day, datetime(2025, 6, 14, 15, 0, tzinfo=UTC), None, zone=ZoneInfo("Asia/Tokyo"))
    dates = found.as_text("[{date}]").splitlines()[2:-1]
    assert dates == ["[2025-06-14 07:30]", "[2025-06-14 23:59]", "[2025-06-15]", "[]"]
    assert "- user, 2025-06-14 07:30: " in found.as_text()


@pytest.mark.parametrize("zone", ZONES)
def test_the_ends_of_the_calendar_can_be_shown(zone):
    ends = [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
    assert recollection(*ends, zone=ZoneInfo(zone)).as_text().count("- user, ") == 2


# ── times without a zone ──


@pytest.mark.parametrize("zone", ZONES)
def test_a_time_without_a_zone_is_the_machines_local_time(machine, memory, zone):
    machine(zone)
    memory.memorize("Noon.", at=NOON, id="noon")
    assert memory.get("noon").at == NOON.replace(tzinfo=ZoneInfo(zone))
    assert [turn.id for turn in memory.turns(since=NOON, until=NOON + timedelta(minutes=1))] == ["noon"]
    assert memory.turns(until=NOON) == memory.turns(since=NOON + timedelta(minutes=1)) == []


@pytest.mark.parametrize("change", [datetime(2025, 3, 30), datetime(2025, 10, 26), datetime(1950, 7, 1)])
def test_local_time_has_the_machines_clock_changes(machine, change):
    machine("Europe/Berlin")
    berlin, local = ZoneInfo("Europe/Berlin"), validate_now(NOON, None).tzinfo
    for minutes in range(-120, 360, 10):
        there = (change.replace(tzinfo=UTC) + timedelta(minutes=minutes)).astimezone(berlin)
        here = there.astimezone(local)
        assert (here.replace(tzinfo=None), here.fold) == (there.replace(tzinfo=None), there.fold)
        assert (here.utcoffset(), here.timestamp()) == (there.utcoffset(), there.timestamp())


def test_datetime_now_is_now(machine, memory):
    for zone in ZONES:
        machine(zone)
        receipt = memory.memorize(f"It is now in {zone}.", at=datetime.now())
        assert abs(memory.get(receipt.id).at - datetime.now(UTC)) < timedelta(minutes=1)


# ── when a query is asked ──


def test_a_query_is_asked_in_the_zone_that_is_named_or_that_of_now_or_the_machines(machine):
    machine("America/Los_Angeles")
    tokyo = ZoneInfo("Asia/Tokyo")
    aware = datetime(2025, 6, 14, 22, 30, tzinfo=UTC)
    assert validate_now(aware, None).tzinfo is UTC
    assert validate_now(aware, "Asia/Tokyo").isoformat() == "2025-06-15T07:30:00+09:00"
    assert validate_now(aware, tokyo).tzinfo is tokyo
    assert validate_now(NOON, None).isoformat() == "2025-06-14T12:00:00-07:00"
    assert validate_now(NOON, timezone(timedelta(hours=1))).isoformat() == "2025-06-14T20:00:00+01:00"
    for zone in (None, "Asia/Tokyo"):
        assert abs(validate_now(None, zone) - datetime.now(UTC)) < timedelta(minutes=1)
    assert validate_now(None, None).utcoffset() == datetime.now().astimezone().utcoffset()
    assert validate_now(None, "Asia/Tokyo").utcoffset() == timedelta(hours=9)


@pytest.mark.parametrize(
    "zone", ["Atlantis/Poseidonis", "America", "../etc/passwd", "/etc/localtime", "", "\0", "\ud800"]
)
def test_an_unknown_zone_is_refused_with_advice(zone):
    with pytest.raises(InvalidQueryError, match=r"IANA name, such as 'Europe/Berlin'.*pip install tzdata"):
        validate_now(None, zone)


@pytest.mark.parametrize(
    ("now", "zone", "message"),
    [
        ("2025-06-14", None, "`now` must be a datetime or None, not str"),
        (NOON.date(), None, "`now` must be a datetime or None, not date"),
        (None, 9, "`timezone` must be a name, a tzinfo or None, not int"),
        (datetime.max.replace(tzinfo=UTC), "Asia/Tokyo", "years 1 to 9999"),
    ],
)
def test_what_is_no_time_or_no_zone_is_refused(now, zone, message):
    with pytest.raises(InvalidQueryError, match=message):
        validate_now(now, zone)


# ── all of it, through a memory ──


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("hour", [8, 12, 23])
def test_yesterdays_breakfast_is_that_of_the_users_yesterday(breakfasts, zone, hour):
    memory = breakfasts(zone)
    now = NOON.replace(hour=hour, tzinfo=ZoneInfo(zone))
    for when in ({"now": now}, {"now": now.astimezone(UTC), "timezone": zone}):
        found = memory.recall("What did I have for breakfast yesterday?", **when)
        assert found.best.id == "oatmeal"
        assert first_line(found).startswith("- user, 2025-06-13: ")


@pytest.mark.parametrize("zone", ZONES)
def test_yesterdays_breakfast_is_that_of_the_machines_yesterday(machine, breakfasts, zone):
    machine(zone)
    memory = breakfasts(zone)
    found = memory.recall("What did I have for breakfast yesterday?", now=NOON)
    assert found.best.id == "oatmeal"
    assert first_line(found).startswith("- user, 2025-06-13: ")


@pytest.mark.parametrize("zone", ZONES)
def test_without_now_it_is_the_real_yesterday(breakfasts, zone):
    memory = breakfasts(zone, today=datetime.now(ZoneInfo(zone)).replace(tzinfo=None))
    assert memory.recall("What did I have for breakfast yesterday?", timezone=zone).best.id == "oatmeal"


def test_yesterday_is_right_on_the_days_around_a_clock_change(breakfasts):
    for today in (datetime(2025, 3, 31, 0, 30), datetime(2025, 10, 27, 0, 30)):
        memory = breakfasts("Europe/Berlin", today=today)
        now = today.replace(tzinfo=ZoneInfo("Europe/Berlin"))
        assert memory.recall("What did I have for breakfast yesterday?", now=now).best.id == "oatmeal"
        memory.forget(ids=FOOD)


def test_recall_refuses_what_is_no_time_and_no_zone(memory):
    with pytest.raises(InvalidQueryError, match="IANA name"):
        memory.recall("What did I have yesterday?", timezone="Atlantis/Poseidonis")
    with pytest.raises(InvalidQueryError, match="`now` must be a datetime"):
        memory.recall("What did I have yesterday?", now="today")
