"""A store whose server is away: nothing is lost, and nothing is kept twice."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from firstgrad.errors import RecordExistsError, StoreError, StoreUnreachableError
from firstgrad.store import Keeper, Store, StoreAddress, import_into
from firstgrad.store.database import explained
from helpers import FakeClock, make_environment, make_record
from strategies import same

RECORD = make_record(record_id="one")


def refused(text="connection failed: Connection refused"):
    return OperationalError("INSERT", {}, psycopg.OperationalError(text))


class FlakyEngine:
    """An engine whose n-th transaction does what the plan says: 'away', 'answer lost', or an error to raise."""

    def __init__(self, engine, plan):
        self._engine, self._plan = engine, iter(plan)
        self.attempts = 0

    def execution_options(self, **_):
        return self

    @contextmanager
    def begin(self):
        self.attempts += 1
        trouble = next(self._plan, None)
        if trouble == "away":
            raise refused()
        if isinstance(trouble, BaseException):
            raise trouble
        with self._engine.begin() as connection:
            yield connection
        if trouble == "answer lost":
            raise OperationalError("COMMIT", {}, psycopg.OperationalError("server closed the connection"))

    def __getattr__(self, name):
        return getattr(self._engine, name)


@pytest.fixture
def flaky(tmp_path):
    """Makes a store that fails by plan."""
    with Store.open(tmp_path / "results.sqlite") as store:

        def make(*plan):
            store._engine = FlakyEngine(store._engine, plan)
            return store

        yield make


@pytest.fixture
def add(tmp_path):
    """Keeps a record by a clock that goes on only while it waits; `waits` has the pauses, `told` what was said."""
    clock = FakeClock()

    def sleep(seconds):
        run.waits.append(seconds)
        clock.tick(seconds)

    def run(store, record=RECORD, **options):
        known = {"folder": tmp_path / "spill", "clock": clock, "sleep": sleep, "tell": run.told.append}
        Keeper(store, **known | options).keep(record)

    run.waits, run.told = [], []
    return run


def test_a_store_that_is_there_is_asked_once(flaky, add, tmp_path):
    store = flaky()
    add(store)
    assert (store._engine.attempts, add.waits) == (1, [])
    assert same(store.get("one"), RECORD)
    assert not (tmp_path / "spill").exists()


def test_it_tries_again_with_growing_pauses_until_the_server_is_back(flaky, add):
    store = flaky(*["away"] * 9)
    add(store)
    assert add.waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert "its server is not reached, or went away (connection failed: Connection refused)" in add.told[0]
    assert [each.record_id for each in store.records()] == ["one"]


@pytest.mark.parametrize("plan", [["answer lost"], ["away", "answer lost", "away"], ["answer lost", "answer lost"]])
def test_a_record_whose_answer_was_lost_is_kept_once(flaky, add, plan):
    store = flaky(*plan)
    add(store)
    assert [each.record_id for each in store.records()] == ["one"]
    assert len(store.samples()) == 1


def test_another_record_of_the_same_id_is_refused_as_ever(flaky, add, tmp_path):
    store = flaky(None, "away")
    store.add(make_record(record_id="one", environment=make_environment(label="first")))
    with pytest.raises(RecordExistsError, match="'one' is already there"):
        add(store)
    assert store.get("one").environment.label == "first"
    assert not (tmp_path / "spill").exists()


def test_after_its_patience_the_record_is_in_a_file_that_can_be_imported(flaky, add, tmp_path):
    store = flaky(*["away"] * 6)
    path = tmp_path / "spill" / "unsaved-one.jsonl"
    with pytest.raises(StoreUnreachableError, match=r"Connection refused.*1 sample of this run: safe in ") as caught:
        add(store, patience_seconds=10)
    assert str(caught.value).endswith(f": firstgrad import {path} --store {store.address}")
    assert add.waits == [0.5, 1.0, 2.0, 4.0, 2.5]  # the last try is at the very end
    assert store._engine.attempts == 6
    assert import_into(store, path) == (1, 0)
    assert same(store.get("one"), RECORD)
    add(store)  # and who tries once more finds it there


@pytest.mark.parametrize("record_id", ["../../escape", "a" * 300, "", "half \udcff\0"])
def test_the_file_is_in_its_folder_whatever_the_id_is(flaky, add, tmp_path, record_id):
    record = make_record(record_id=record_id)
    with pytest.raises(StoreUnreachableError):
        add(flaky("away"), record, patience_seconds=0)
    (path,) = (tmp_path / "spill").iterdir()
    with Store.open("sqlite://") as other:
        assert import_into(other, path) == (1, 0)
        assert same(other.get(record_id), record)


def test_without_a_folder_the_file_is_beside_the_projects_store(flaky, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreUnreachableError):
        Keeper(flaky("away"), patience_seconds=0).keep(RECORD)
    assert (tmp_path / ".firstgrad" / "unsaved-one.jsonl").is_file()


def test_who_stops_the_waiting_keeps_the_record(flaky, add, tmp_path):
    def interrupted(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        add(flaky("away"), sleep=interrupted)
    path = tmp_path / "spill" / "unsaved-one.jsonl"
    assert path.is_file()
    assert f"safe in {path}" in add.told[-1]


def test_who_is_stopped_while_a_record_is_stored_keeps_it_all_the_same(flaky, add, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        add(flaky(KeyboardInterrupt()))
    assert f"safe in {tmp_path / 'spill' / 'unsaved-one.jsonl'}" in add.told[-1]
    with Store.open(tmp_path / "other.sqlite") as other:
        assert import_into(other, tmp_path / "spill" / "unsaved-one.jsonl") == (1, 0)


def test_what_waiting_does_not_cure_is_told_at_once_and_the_record_is_safe(flaky, add, tmp_path):
    full = OperationalError("INSERT", {}, psycopg.errors.DiskFull("could not extend file"))
    with pytest.raises(StoreError, match=r"could not extend file.*safe in .*unsaved-one\.jsonl") as caught:
        add(flaky(full))
    assert not isinstance(caught.value, StoreUnreachableError)
    assert add.waits == []
    assert (tmp_path / "spill" / "unsaved-one.jsonl").is_file()


def with_state(state):
    return psycopg.errors.lookup(state)("it says no")


@pytest.mark.parametrize(
    ("error", "is_away"),
    [
        (refused(), True),
        (refused("FATAL:  the database system is starting up"), True),
        (refused("FATAL:  the database system is shutting down"), True),
        (refused("FATAL:  sorry, too many clients already"), True),
        (refused("failed to resolve host 'nowhere.invalid'"), True),
        (OperationalError("", {}, with_state("57P01")), True),  # admin_shutdown
        (OperationalError("", {}, with_state("57P03")), True),  # cannot_connect_now
        (OperationalError("", {}, with_state("08006")), True),  # connection_failure
        (DBAPIError("", {}, psycopg.InterfaceError("the connection is lost"), connection_invalidated=True), True),
        (refused('FATAL:  password authentication failed for user "x"'), False),
        (refused('FATAL:  database "x" does not exist'), False),
        (OperationalError("", {}, with_state("53100")), False),  # disk_full
        (OperationalError("", {}, with_state("40P01")), False),  # deadlock_detected
        (IntegrityError("", {}, with_state("23505")), False),  # unique_violation
        (OperationalError("", {}, sqlite3.OperationalError("database is locked")), False),
        (OperationalError("", {}, sqlite3.OperationalError("something new")), False),
    ],
    ids=lambda value: str(getattr(value, "orig", value))[:40],
)
def test_a_server_that_is_away_is_told_from_one_that_says_no(error, is_away):
    with pytest.raises(StoreError) as caught, explained(StoreAddress.of("here")):
        raise error
    assert isinstance(caught.value, StoreUnreachableError) == is_away
