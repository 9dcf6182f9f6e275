from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import firstgrad.store
from builders import make_case, make_environment, make_record
from firstgrad.case import Target
from firstgrad.codec import to_json
from firstgrad.columns import cells_of, samples_table
from firstgrad.errors import SchemaTooNewError, StoreError
from firstgrad.pose.spec import PoseSpec
from firstgrad.record import SCHEMA_VERSION, Status
from firstgrad.store import Store, StoreAddress, export_jsonl, import_into, import_jsonl
from firstgrad.store.database import make_engine, writing
from strategies import records, same, with_clocks_that_agree

NOBODY = 65534
ANY_RECORDS = st.lists(records(), max_size=3, unique_by=lambda record: record.record_id)


def record(record_id, *, label="", git_commit="", status=Status.OK, **case):
    return make_record(
        record_id=record_id,
        case=make_case(model=PoseSpec(), **case),
        status=status,
        environment=make_environment(label=label, git_commit=git_commit),
    )


def ids(found):
    return [each["record_id"] if isinstance(each, dict) else each.record_id for each in found]


def names_in(folder):
    return sorted(entry.name for entry in folder.iterdir())


def sql(path, *statements):
    connection = sqlite3.connect(path)
    rows = [connection.execute(*statement).fetchall() for statement in statements]
    connection.commit()
    connection.close()
    return rows


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "results.sqlite"


@pytest.fixture
def store(path):
    with Store.open(path) as opened:
        yield opened


# What goes in comes out


@settings(max_examples=30, deadline=None)
@given(ANY_RECORDS)
def test_any_records_come_back_equal_and_in_order(given_records):
    with Store.open("sqlite://") as store:
        for each in given_records:
            store.add(each)
        found = list(store.records())
        assert ids(found) == ids(given_records)
        assert all(same(one, other) for one, other in zip(found, given_records, strict=True))
        assert all(same(store.get(each.record_id), each) for each in given_records)
        assert len(store) == len(given_records)


def test_paths_and_urls_open_the_same_file_again(path):
    for name, place in {"one": path, "two": str(path), "three": f"sqlite:///{path}"}.items():
        with Store.open(place) as store:
            store.add(record(name))
            assert same(store.get("one"), record("one"))
    with Store.open(path) as store:
        assert ids(store.records()) == ["one", "two", "three"]


def test_more_records_than_a_page_keep_their_order(store, monkeypatch):
    monkeypatch.setattr("firstgrad.store.store._PAGE_DOCUMENTS", 10)
    names = [f"{number * 11 % 31:02}" for number in range(31)]
    for name in names:
        store.add(record(name, label="even" if int(name) % 2 == 0 else "odd"))
    assert ids(store.records()) == names
    assert ids(store.records(label="odd")) == [name for name in names if int(name) % 2]
    assert ids(store.cells()) == names
    assert ids(store.cells(label="odd")) == [name for name in names if int(name) % 2]


def test_records_added_while_reading_are_left_to_the_next_reading(store, monkeypatch):
    monkeypatch.setattr("firstgrad.store.store._PAGE_DOCUMENTS", 1)
    store.add(record("one"))
    for each in store.records():
        store.add(replace(each, record_id=each.record_id + "+"))
        assert len(store) < 5
    assert ids(store.records()) == ["one", "one+"]


def test_an_abandoned_reading_keeps_no_lock_and_leaks_no_connection(path):
    store = Store.open(path, busy_timeout_seconds=0)
    store.add(record("one"))
    store.add(record("two"))
    reading = store.records()
    next(reading)
    sql(path, ("BEGIN EXCLUSIVE",))
    store.close()
    assert names_in(path.parent) == [path.name]  # SQLite tidies up after the last connection


def test_a_record_is_durable_visible_to_others_and_in_the_columns_of_the_samples_table_when_add_returns(store, path):
    kept = record("one", label="main", status=Status.TIMEOUT)
    store.add(kept)
    assert sql(path, ("SELECT record_id, document FROM records",)) == [[("one", to_json(kept))]]
    cells = cells_of(kept)
    columns = ", ".join(cells)
    assert sql(path, (f"SELECT {columns} FROM samples",)) == [[tuple(cells.values())]]  # noqa: S608 - names of columns
    assert cells["model"] == "pose T=100 K=5 no HMM"
    assert (cells["status"], cells["label"], cells["case_id"]) == ("timeout", "main", kept.case.id)
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2  # FULL


def test_filters_are_equalities_that_all_hold(store):
    dlogp, both = record("x").case.id, record("x", target=Target.LOGP_DLOGP).case.id
    store.add(record("a", label="main"))
    store.add(record("b", label="main", status=Status.FAILED))
    store.add(record("c", label="", target=Target.LOGP_DLOGP))
    assert ids(store.records(case_id=dlogp)) == ["a", "b"]
    assert ids(store.records(case_id=both)) == ["c"]
    assert ids(store.records(label="main")) == ["a", "b"]
    assert ids(store.records(label="")) == ["c"]
    assert ids(store.records(label="mai_")) == []
    assert ids(store.records(status=Status.FAILED)) == ["b"]
    assert ids(store.records(dlogp, "main", Status.OK)) == ["a"]
    assert ids(store.records(both, "main")) == []


def test_records_are_found_by_their_commit_and_by_their_ids(store, monkeypatch):
    monkeypatch.setattr("firstgrad.store.store._MOST_NAMES", 2)
    for name in "abcdef":
        store.add(record(name, label="main", git_commit="1" * 40 if name in "ace" else "2" * 40))
    assert ids(store.records(git_commit="1" * 40)) == ["a", "c", "e"]
    assert ids(store.records(git_commit="1" * 39)) == []
    assert ids(store.records(record_ids=["f", "absent", "b", "a", "b"])) == ["a", "b", "f"]
    assert ids(store.records(git_commit="2" * 40, record_ids=iter("abc"))) == ["b"]
    assert ids(store.records(label="main", record_ids=[])) == []


@pytest.mark.parametrize("text", ["NUL \0", "half a pair \udcff", "' OR 1=1 --", "two\nlines", "ß\u2028😀"])
def test_any_text_is_kept_and_found(store, text):
    store.add(record(text, label=text))
    assert same(store.get(text), record(text, label=text))
    assert text in store
    assert ids(store.records(label=text)) == [text]
    assert ids(store.records(record_ids=[text])) == [text]
    assert len(store.samples(label=text)) == 1


def test_an_empty_store_is_true_and_names_what_it_does_not_have(store):
    assert store
    assert len(store) == 0
    assert list(store.records()) == []
    assert "nowhere" not in store
    with pytest.raises(StoreError, match="'nowhere'"):
        store.get("nowhere")


def test_a_closed_store_says_so(store):
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.add(record("one"))
    with pytest.raises(StoreError, match="closed"):
        list(store.records())


# Samples


@settings(max_examples=30, deadline=None)
@given(ANY_RECORDS)
def test_the_samples_of_any_records_are_there_in_order(given_records):
    with Store.open("sqlite://") as store:
        for each in given_records:
            store.add(each)
        read = store.samples()
        assert list(read.columns) == list(samples_table(given_records).columns)
        numbers = read.select_dtypes("float").columns
        pd.testing.assert_frame_equal(read[numbers], samples_table(given_records)[numbers], check_dtype=False)


def test_samples_are_read_without_their_documents(store, path):
    store.add(record("one"))
    sql(path, ("UPDATE records SET document = 'nothing'",))
    pd.testing.assert_frame_equal(store.samples(), samples_table([record("one")]))


def test_samples_are_filtered_like_records(store):
    more = {"evaluations": 7, "time_limit_seconds": 1.0}
    store.add(record("a", label="main", git_commit="1" * 40))
    store.add(record("b", label="main", git_commit="2" * 40, **more))
    store.add(record("c", target=Target.LOGP_DLOGP, git_commit="1" * 40))
    question, other = record("a").case.question, record("c", target=Target.LOGP_DLOGP).case.question
    assert ids(store.cells(question=question)) == ["a", "b"]
    assert ids(store.cells(question=other)) == ["c"]
    assert ids(store.cells(label="main", question=question, git_commit="2" * 40)) == ["b"]
    assert ids(store.cells(git_commit="1" * 40)) == ["a", "c"]
    assert ids(store.cells(label="main", question=other)) == []
    assert ids(store.cells(label="")) == ["c"]
    assert list(store.samples(scenario="cold", label="main").record_id) == ["a", "b"]


# Nothing is overwritten or lost


def test_an_existing_record_is_never_overwritten(store):
    store.add(record("one", label="first"))
    with pytest.raises(StoreError, match=r"'one' is already there"):
        store.add(record("one", label="second"))
    assert ids(store.records()) == ["one"]
    assert store.get("one").environment.label == "first"
    store.add(record("two"))  # the refusal left no transaction behind
    assert len(store) == 2


def test_threads_share_a_store(store):
    names = [f"{number:02}" for number in range(24)]
    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(lambda name: store.add(record(name)), names))
    assert sorted(ids(store.records())) == names


def test_a_writer_waits_for_another_one(store, path):
    other = sqlite3.connect(path, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.05, other.rollback)
    release.start()
    store.add(record("one"))
    release.join()
    other.close()
    assert "one" in store


def test_a_lock_that_stays_is_an_error_that_says_so(path):
    with Store.open(path, busy_timeout_seconds=0.01) as store:
        other = sqlite3.connect(path)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another program keeps it locked"):
            store.add(record("one"))
        other.close()
        store.add(record("one"))


def test_a_damaged_document_is_an_error_that_names_its_record(store, path):
    for name in ("good", "bad"):
        store.add(record(name))
    sql(path, ("UPDATE records SET document = substr(document, 1, 50) WHERE record_id = 'bad'",))
    reading = store.records()
    assert next(reading).record_id == "good"
    with pytest.raises(StoreError, match="record 'bad': not a Record"):
        next(reading)
    with pytest.raises(StoreError, match="record 'bad': not a Record"):
        store.get("bad")
    assert same(store.get("good"), record("good"))


@pytest.mark.parametrize("changes", [{}, {"field of tomorrow": 1}], ids=["same fields", "new field"])
def test_a_record_of_a_newer_firstgrad_says_to_upgrade(store, path, changes):
    store.add(record("one"))
    newer = json.loads(to_json(record("one"))) | {"schema_version": SCHEMA_VERSION + 1} | changes
    sql(path, ("UPDATE records SET document = ?", (json.dumps(newer),)))
    with pytest.raises(SchemaTooNewError, match=f"'one'.*version {SCHEMA_VERSION + 1}.*Upgrade firstgrad"):
        store.get("one")


def test_a_field_that_is_not_known_is_no_damage_but_of_a_newer_firstgrad(store, path):
    store.add(record("one"))
    sql(path, ("UPDATE records SET document = ?", (json.dumps(json.loads(to_json(record("one"))) | {"later": 1}),)))
    with pytest.raises(SchemaTooNewError, match=r"'one'.*\(later\).*newer firstgrad.*Upgrade firstgrad") as error:
        store.get("one")
    assert "damaged" not in str(error.value)


# Opening


def test_the_default_is_in_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Store.open() as store:
        store.add(record("one"))
    assert (tmp_path / ".firstgrad" / "results.sqlite").is_file()


def test_a_path_with_characters_of_urls_is_a_path(tmp_path):
    with Store.open(tmp_path / "50%20?mode=ro#ä.sqlite") as store:
        store.add(record("one"))
    assert names_in(tmp_path) == ["50%20?mode=ro#ä.sqlite"]


@pytest.mark.parametrize("url", ["mysql://user:secret@host/x", "postgresql://user:secret@host:port/x", "x://"])
def test_a_wrong_url_is_an_error_without_its_password(url):
    with pytest.raises(StoreError, match="Write sqlite:///PATH or postgresql://") as caught:
        Store.open(url)
    assert "secret" not in str(caught.value)


def test_a_missing_driver_is_an_error_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r"pip install 'psycopg\[binary\]'") as caught:
        Store.open("postgresql://user:secret@host/database")
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_stays_as_it_is(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("These are notes, and no database.\n" * 100)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"notes\.txt: not an SQLite file.*Give another path"):
        Store.open(path)
    assert path.read_bytes() == before


META, RECORDS = "CREATE TABLE meta (name TEXT, value TEXT)", "CREATE TABLE records (name TEXT)"


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE songs (name TEXT)"],
        [META],
        ["CREATE TABLE meta (key TEXT)", RECORDS],
        [META, RECORDS],
        [META, RECORDS, "INSERT INTO meta VALUES ('application', 'jukebox'), ('schema_version', '1')"],
        [META, RECORDS, "INSERT INTO meta VALUES ('application', 'firstgrad'), ('schema_version', 'one')"],
    ],
)
def test_a_database_of_another_program_stays_as_it_is(tmp_path, statements):
    path = tmp_path / "music.sqlite"
    sql(path, *((statement,) for statement in statements))
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"music\.sqlite: this database holds other tables"):
        Store.open(path)
    assert path.read_bytes() == before
    assert names_in(tmp_path) == ["music.sqlite"]


def test_a_path_that_cannot_be_a_store_is_named(tmp_path):
    with pytest.raises(StoreError, match=f"{tmp_path}: cannot be opened or created as a file"):
        Store.open(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=f"{tmp_path / 'file' / 'folder'}: this folder cannot be created"):
        Store.open(tmp_path / "file" / "folder" / "results.sqlite")


@pytest.fixture
def unprivileged():
    """A store in a folder where this process, no longer root, may write nothing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Store.open(folder / "results.sqlite") as store:
            store.add(record("one"))
        (folder / "results.sqlite").chmod(0o444)
        folder.chmod(0o555)
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(NOBODY)
        yield folder
        if is_root:
            os.seteuid(0)
        folder.chmod(0o755)


def test_what_is_read_only_is_an_error_that_says_so(unprivileged):
    with pytest.raises(StoreError, match=r"new\.sqlite: .* Check that you may write"):
        Store.open(unprivileged / "new.sqlite")
    with pytest.raises(StoreError, match="sub: this folder cannot be created"):
        Store.open(unprivileged / "sub" / "new.sqlite")
    with pytest.raises(StoreError, match=r"results\.sqlite: .* Check that you may write"):  # noqa: SIM117
        with Store.open(unprivileged / "results.sqlite") as store:
            store.add(record("two"))


# Creating


@pytest.fixture
def engine(path):
    with Store.open(path) as store:
        store.add(record("one", label="main"))
    made = make_engine(StoreAddress.of(path), busy_timeout_seconds=1)
    yield made
    made.dispose()


def test_a_writing_transaction_has_its_lock_from_the_start(engine, path):
    other = sqlite3.connect(path, timeout=0)
    with writing(engine), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.close()


@pytest.fixture
def creator(path):
    """Another process's connection, which prepares to create the tables."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield connection
    connection.close()


def test_a_new_store_waits_while_another_process_creates_it(creator, path, monkeypatch):
    waits = []

    def wait(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            creator.execute("COMMIT")

    monkeypatch.setattr("firstgrad.store.database.time.sleep", wait)
    with Store.open(path) as store:
        store.add(record("one"))
        assert ids(store.records()) == ["one"]
    assert len(waits) == 3
    assert sql(path, ("PRAGMA journal_mode",)) == [[("wal",)]]


@pytest.mark.usefixtures("creator")
def test_a_new_store_waits_no_longer_than_it_was_told(path):
    with pytest.raises(StoreError, match="another program keeps it locked"):
        Store.open(path, busy_timeout_seconds=0.05)


@pytest.mark.parametrize(
    ("change", "error", "expected"),
    [
        (
            1,
            SchemaTooNewError,
            rf"was written by a newer firstgrad; this one reads {SCHEMA_VERSION}\. Upgrade firstgrad",
        ),
        (-1, StoreError, r"is from before firstgrad's first release.*Measure again, into a store of another name"),
    ],
)
def test_a_store_of_another_version_is_refused_and_stays_as_it_is(engine, path, change, error, expected):
    engine.dispose()
    version = SCHEMA_VERSION + change
    sql(path, ("UPDATE meta SET value = ? WHERE name = 'schema_version'", (str(version),)))
    before = path.read_bytes()
    with pytest.raises(error, match=rf"results\.sqlite: schema version {version} {expected}"):
        Store.open(path)
    assert path.read_bytes() == before


# JSON lines


@settings(max_examples=30, deadline=None)
@given(ANY_RECORDS)
def test_any_records_survive_an_export(given_records):
    given_records = [with_clocks_that_agree(each) for each in given_records]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "export.jsonl"
        assert export_jsonl(given_records, path) == len(given_records)
        found = list(import_jsonl(path))
        assert len(path.read_bytes().splitlines()) == len(given_records)
    assert all(same(one, other) for one, other in zip(found, given_records, strict=True))


def test_an_import_adds_what_is_missing_and_skips_the_rest(store, tmp_path):
    store.add(record("two", label="mine"))
    export_jsonl([record("one"), record("two", label="theirs"), record("three")], tmp_path / "x.jsonl")
    assert import_into(store, tmp_path / "x.jsonl") == (2, 1)
    assert import_into(store, tmp_path / "x.jsonl") == (0, 3)
    assert ids(store.records()) == ["two", "one", "three"]
    assert store.get("two").environment.label == "mine"


def test_an_export_shows_nothing_of_itself_before_its_end_and_leaves_the_old_file_alone_where_it_fails(tmp_path):
    path = tmp_path / "folder" / "x.jsonl"

    def watched():
        yield record("one")
        assert not path.exists()
        yield record("two")

    def broken():
        yield record("new")
        raise StoreError("the store broke")

    assert export_jsonl(watched(), path) == 2
    before = path.read_bytes()
    with pytest.raises(StoreError, match="the store broke"):
        export_jsonl(broken(), path)
    assert path.read_bytes() == before
    assert names_in(path.parent) == ["x.jsonl"]


@pytest.mark.parametrize("bad", [b"{}", b"nonsense", b"\xff\xfe\xff", b'{"record_id":"two"', b"[" * 100_000])
def test_a_bad_line_is_named_with_its_number(store, tmp_path, bad):
    path = tmp_path / "x.jsonl"
    good = to_json(record("one")).encode()
    path.write_bytes(good + b"\n\n" + bad + b"\n" + good + b"\n")
    reading = import_jsonl(path)
    assert next(reading).record_id == "one"
    with pytest.raises(StoreError, match=r"x\.jsonl: line 3: not a Record") as caught:
        next(reading)
    assert len(str(caught.value)) < 1000
    with pytest.raises(StoreError, match="line 3"):
        import_into(store, path)
    assert ids(store.records()) == ["one"]
    # A long wrong name is not repeated.
    path.write_text(json.dumps(json.loads(good) | {"x" * 100_000: 1}))
    with pytest.raises(StoreError, match=r"line 1: not a Record: .*xxx\.\.\.") as caught:
        list(import_jsonl(path))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("change", "error", "expected"),
    [(1, SchemaTooNewError, "Upgrade firstgrad"), (-1, StoreError, "from before firstgrad's first release")],
)
def test_a_line_of_another_version_is_refused(tmp_path, change, error, expected):
    other = json.loads(to_json(record("one"))) | {"schema_version": SCHEMA_VERSION + change, "new": 1}
    (tmp_path / "x.jsonl").write_text(json.dumps(other))
    with pytest.raises(error, match=rf"x\.jsonl: line 1.*{expected}"):
        list(import_jsonl(tmp_path / "x.jsonl"))


def test_what_cannot_be_written_or_read_is_named(tmp_path):
    with pytest.raises(StoreError, match=f"{tmp_path}: cannot be written"):
        export_jsonl([record("one")], tmp_path)
    assert names_in(tmp_path) == []
    with pytest.raises(StoreError, match=r"absent\.jsonl: cannot be read \(No such file"):
        list(import_jsonl(tmp_path / "absent.jsonl"))


# The package


def test_public_names_are_complete_and_sorted():
    assert firstgrad.store.__all__ == sorted(firstgrad.store.__all__)
    assert all(hasattr(firstgrad.store, name) for name in firstgrad.store.__all__)
    assert not hasattr(firstgrad.store, "absent")


def test_the_package_is_light_until_a_store_is_opened():
    code = (
        "import sys, firstgrad.store as s; assert 'sqlalchemy' not in sys.modules; s.Store.open('sqlite://').close()\n"
        "print(*({'pymc', 'pytensor', 'jax', 'numba', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
