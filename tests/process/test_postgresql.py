"""The store on a real PostgreSQL server: its contract, several writers, and a server that goes away."""

from __future__ import annotations

import itertools
import math
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pandas as pd
import psutil
import psycopg
import pytest
import store_writer
from test_store_kill import begin, whole_lines, writer

from builders import FIRSTGRAD
from firstgrad.columns import samples_table
from firstgrad.errors import RecordExistsError, StoreError, StoreUnreachableError
from firstgrad.store import Keeper, Store, database, import_into
from helpers import FakeClock, make_environment, make_record, wait_for, write_model
from strategies import same

START_SECONDS = 60.0


def find_binaries():
    """The folder of `postgres` and `initdb`: on PATH, else the newest of Debian's."""
    on_path = shutil.which("initdb")
    if on_path and shutil.which("postgres"):
        return Path(on_path).resolve().parent
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def find_user():
    """Who the server runs as: it refuses to be root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    pytest.skip("PostgreSQL doesn't run as root, and there is neither a user postgres nor nobody")


class Server:
    """A server with a folder of its own, reached by a Unix socket in there."""

    def __init__(self, binaries, folder):
        self._binaries, self._folder, self._user = binaries, folder, find_user()
        self._process = None
        self._databases = itertools.count()
        if self._user is not None:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        done = self._start("initdb", "-D", "data", "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync")
        assert done.wait() == 0, self._log()

    def start(self):
        # Without fsync: what a process wrote survives the process, and these tests cut no power
        settings = {"listen_addresses": "", "unix_socket_directories": self._folder, "fsync": "off"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._process = self._start("postgres", "-D", "data", *options)
        wait_for(self._answers, seconds=START_SECONDS, what="PostgreSQL's start")

    def stop(self, how=signal.SIGQUIT):
        """Stop as ``pg_ctl stop -m immediate`` does: no connection is told, and the next start has to recover."""
        if self._process is not None:
            self._process.send_signal(how)
            try:
                self._process.wait(timeout=START_SECONDS)
            finally:
                self._process.kill()
                self._process.wait()
            self._process = None

    def restart(self):
        self.stop()
        self.start()

    @contextmanager
    def stopped(self):
        """Stop the server and all that serves its clients, as with a paused container, while the block runs."""
        here = psutil.Process(self._process.pid)
        here.suspend()  # first: then it makes no more of them
        processes = [here, *here.children(recursive=True)]
        for process in processes[1:]:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()

    def make_database(self):
        """URL of a new, empty database."""
        name = f"test{next(self._databases)}"
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self._url(name)

    @property
    def socket(self):
        return self._folder / ".s.PGSQL.5432"

    def _url(self, name):
        return f"postgresql://tester@/{name}?host={self._folder}"

    def _answers(self):
        assert self._process.poll() is None, f"PostgreSQL ended: {self._log()}"
        with suppress(psycopg.OperationalError), psycopg.connect(self._url("postgres")):
            return True
        return False

    def _start(self, name, *arguments):
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [self._binaries / name, *arguments],
                cwd=self._folder,
                env=os.environ | {"LC_ALL": "C", "PGPORT": "5432"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **{"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []} if self._user else {},
            )

    def _log(self):
        return (self._folder / "log").read_text(errors="replace")[-2000:]


@pytest.fixture(scope="module")
def server():
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server here: apt-get install postgresql")
    # Not pytest's own folder: that one is closed to the user whom the server runs as; and sockets need short names
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as folder:
        made = Server(binaries, Path(folder))
        try:
            made.start()
            yield made
        finally:
            made.stop()


@pytest.fixture
def url(server):
    return server.make_database()


@pytest.fixture
def store(url):
    with Store.open(url) as opened:
        yield opened


def ids(found):
    return [each["record_id"] if isinstance(each, dict) else each.record_id for each in found]


def sql(url, *statements):
    with psycopg.connect(url) as connection:
        done = [connection.execute(each) for each in statements]
        return [each.fetchall() for each in done if each.description]


# The store's contract


def test_what_goes_in_comes_out_in_order(store, url):
    kept = [store_writer.sample(f"{number * 7 % 5}") for number in range(5)]
    for each in kept:
        store.add(each)
    assert len(store) == 5
    assert "3" in store
    assert "absent" not in store
    assert same(store.get("3"), kept[4])
    with Store.open(url) as again:
        assert all(same(one, other) for one, other in zip(again.records(), kept, strict=True))
        pd.testing.assert_frame_equal(again.samples(), samples_table(kept))


def test_an_existing_record_is_never_overwritten(store):
    store.add(make_record(record_id="one", environment=make_environment(label="first")))
    with pytest.raises(RecordExistsError, match="'one' is already there"):
        store.add(make_record(record_id="one", environment=make_environment(label="second")))
    store.add(make_record(record_id="two"))
    assert ids(store.records()) == ids(store.cells()) == ["one", "two"]
    assert store.get("one").environment.label == "first"


@pytest.mark.parametrize("text", ["NUL \0", "half a pair \udcff", "' OR 1=1 --", "%(x)s %s", "two\nlines", "ß\u2028😀"])
def test_any_text_is_kept_and_found(store, text):
    kept = make_record(record_id=text, environment=make_environment(label=text, git_commit=text))
    store.add(kept)
    assert same(store.get(text), kept)
    assert len(store.samples(label=text, git_commit=text)) == 1
    assert ids(store.records(label=text, git_commit=text, record_ids=[text])) == [text]


def test_numbers_that_are_none_come_back(store):
    store.add(make_record(evaluation_seconds=(float("inf"),), time_to_first_gradient_seconds=float("nan")))
    pd.testing.assert_frame_equal(store.samples(), samples_table([store.get("r1")]))
    assert math.isnan(store.samples().time_to_first_gradient[0])
    assert math.isinf(store.samples().evaluation[0])


def test_filters_are_equalities_that_all_hold(store):
    for name in "abc":
        label, commit = ("main" if name != "b" else ""), ("1" * 40 if name != "c" else "2" * 40)
        store.add(make_record(record_id=name, environment=make_environment(label=label, git_commit=commit)))
    assert ids(store.cells(label="main")) == ids(store.records(label="main")) == ["a", "c"]
    assert ids(store.cells(git_commit="1" * 40)) == ids(store.records(git_commit="1" * 40)) == ["a", "b"]
    assert ids(store.records(label="main", record_ids=["c", "b"])) == ["c"]
    assert ids(store.cells(question=make_record().case.question)) == ["a", "b", "c"]
    assert ids(store.cells(question="another")) == []


def test_a_database_of_another_program_stays_as_it_is(url):
    sql(url, "CREATE TABLE songs (name TEXT)")
    with pytest.raises(StoreError, match="holds other tables"):
        Store.open(url)
    assert sql(url, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'") == [[("songs",)]]


def test_a_name_that_the_server_does_not_know_is_told_at_once(url):
    with pytest.raises(StoreError, match="does not exist") as caught:
        Store.open(url.replace("/test", "/absent"))
    assert not isinstance(caught.value, StoreUnreachableError)


# Several writers


def test_many_writers_at_once_lose_nothing(url):
    count, prefixes = 25, ("a", "b", "c", "d")
    with ExitStack() as stack:
        # The database is empty: they also race to create the tables
        writers = [stack.enter_context(writer(url, prefix, count)) for prefix in prefixes]
        for each in writers:
            begin(each)
        saved = [whole_lines(each.stdout.read()) for each in writers]
        assert [each.wait() for each in writers] == [0] * len(writers)
    assert saved == [[f"{prefix}-{number}" for number in range(count)] for prefix in prefixes]
    with Store.open(url) as store:
        found = list(store.records())
        pd.testing.assert_frame_equal(store.samples(), samples_table(found))
    assert sorted(ids(found)) == sorted(itertools.chain.from_iterable(saved))
    for prefix, names in zip(prefixes, saved, strict=True):
        assert [name for name in ids(found) if name.startswith(prefix)] == names
    assert all(same(each, store_writer.sample(each.record_id)) for each in found)
    (((positions,),),) = sql(url, "SELECT array_agg(position) FROM records")
    assert len(positions) == len(set(positions)) == len(prefixes) * count


# A server that goes away


def test_restarts_in_the_middle_of_writing_lose_nothing_and_keep_nothing_twice(server, url, tmp_path):
    names = [f"{number}" for number in range(200)]
    waits, added = [], []

    def write():
        how = {"patience_seconds": 60, "folder": tmp_path, "tell": waits.append}
        with Keeper(url, **how, sleep=lambda _: time.sleep(0.02)) as keeper:
            for name in names:
                keeper.keep(store_writer.sample(name))
                added.append(name)

    with ThreadPoolExecutor(max_workers=1) as pool:
        writing = pool.submit(write)
        for restart in range(1, 4):
            wait_for(lambda: len(added) >= 20 * restart or writing.done(), seconds=60, what="some records")  # noqa: B023
            server.restart()
        writing.result(timeout=120)
    assert added == names
    assert waits, "no restart met the writer: this run proves nothing"
    with Store.open(url) as store:
        found = list(store.records())
        assert ids(found) == ids(store.cells()) == names
    assert all(same(each, store_writer.sample(each.record_id)) for each in found)
    assert list(tmp_path.iterdir()) == []


class CuttingProxy:
    """Stands before the server; it passes some commits on, and instead of passing on their answers cuts the line."""

    def __init__(self, target):
        self._target, self.cuts = str(target), 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        # Not close() alone: that leaves the thread in its accept()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with suppress(OSError), client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self._target)
            while True:
                for one in select.select([client, server], [], [])[0]:
                    data = one.recv(1 << 16)
                    if not data:
                        return
                    (server if one is client else client).sendall(data)
                    if one is client and b"COMMIT" in data and self.cuts:
                        server.recv(1 << 16)
                        self.cuts -= 1
                        return


def test_a_commit_whose_answer_was_lost_counts_and_is_not_repeated(server, url, tmp_path):
    proxy, waits = CuttingProxy(server.socket), []
    name = url.partition("?")[0].rpartition("/")[2]
    through = f"postgresql://tester@127.0.0.1:{proxy.port}/{name}?sslmode=disable&gssencmode=disable"
    try:
        with Keeper(through, folder=tmp_path, sleep=lambda _: None, tell=waits.append) as keeper:
            keeper.store.cells()
            proxy.cuts = 3
            for number in range(5):
                keeper.keep(store_writer.sample(f"{number}"))
    finally:
        proxy.close()
    assert (len(waits), proxy.cuts) == (3, 0)
    with Store.open(url) as store:
        assert ids(store.records()) == ids(store.cells()) == ["0", "1", "2", "3", "4"]


def test_a_server_that_stays_away_leaves_a_file_that_can_be_imported(server, url, tmp_path):
    clock, kept = FakeClock(), store_writer.sample("one")
    with Store.open(url) as store:
        store.add(make_record(record_id="before"))
        server.stop()
        try:
            with pytest.raises(StoreUnreachableError, match=r"unsaved-one\.jsonl"):
                Keeper(store, patience_seconds=60, folder=tmp_path, clock=clock, sleep=clock.tick).keep(kept)
            with pytest.raises(StoreUnreachableError, match="See that it runs"):
                store.get("before")
            with pytest.raises(StoreUnreachableError, match="See that it runs"):
                Store.open(url)
        finally:
            server.start()
        assert clock.now == 100.0 + 60
        assert ids(store.records()) == ["before"]
        assert import_into(store, tmp_path / "unsaved-one.jsonl") == (1, 0)
        assert same(store.get("one"), kept)


def test_a_server_that_is_stopped_is_not_waited_for_without_end(server, url, monkeypatch):
    monkeypatch.setattr(database, "_ANSWER_SECONDS", 0.5)
    began = time.monotonic()
    with Store.open(f"{url}&connect_timeout=2") as store:
        with server.stopped(), pytest.raises(StoreUnreachableError, match="not reached, or went away"):
            store.add(make_record())
        assert time.monotonic() - began < 20
        wait_for(server._answers, seconds=START_SECONDS, what="PostgreSQL's going on")
        monkeypatch.undo()
        store.add(make_record())
        assert len(store) == 1


def test_a_lock_that_somebody_keeps_is_not_waited_for_without_end(url, monkeypatch):
    monkeypatch.setattr(database, "_LOCK_WAIT", "300ms")
    with Store.open(url) as store, psycopg.connect(url) as other:
        other.execute("LOCK TABLE records IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreUnreachableError, match="lock timeout"):
            store.add(make_record())
        other.rollback()
        store.add(make_record())


# What is said of it


def start(folder, *words):
    """Start the command line; what it says goes to a file."""
    with (folder / "said").open("wb") as said:
        return subprocess.Popen([FIRSTGRAD, *words, "--backend", "fake"], cwd=folder, stdout=said, stderr=said)


@pytest.fixture
def held(tmp_path):
    """A model that says that it is being built, and waits for a file before it goes on."""
    body = f"""
folder = Path({str(tmp_path)!r})
(folder / "begun").touch()
until = time.monotonic() + 60
while not (folder / "go").exists() and time.monotonic() < until: time.sleep(0.01)
return Model()
"""
    return write_model(tmp_path, body)


def test_an_interrupted_wait_says_where_the_sample_is_and_not_the_password(server, url, tmp_path, held):
    process = start(tmp_path, "measure", held, "--store", url.replace("tester@", "tester:s3cret@"))
    said = tmp_path / "said"
    try:
        wait_for((tmp_path / "begun").exists, seconds=60)
        server.stop()
        (tmp_path / "go").touch()
        wait_for(lambda: "its server is not reached" in said.read_text(), seconds=60)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
        process.wait()
        server.start()
    (unsaved,) = (tmp_path / ".firstgrad").glob("unsaved-*.jsonl")
    text = said.read_text()
    assert f"safe in {unsaved}" in text
    assert "interrupted after 1 of 1 samples, in postgresql://tester:***@" in text
    assert "s3cret" not in text
    with Store.open(url) as store:
        assert len(store) == 0
        assert import_into(store, unsaved) == (1, 0)


@pytest.mark.parametrize("words", [("compare", ".", "."), ("sweep",)])
def test_interrupted_it_says_how_to_go_on_and_not_the_password(url, tmp_path, held, words):
    process = start(tmp_path, *words, held, "--store", url.replace("tester@/", "tester:s3cret@/"))
    try:
        wait_for((tmp_path / "begun").exists, seconds=60)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
        process.wait()
    text = (tmp_path / "said").read_text()
    assert "postgresql://tester:***@/" in text
    assert "s3cret" not in text
