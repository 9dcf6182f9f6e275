from __future__ import annotations

import os
from importlib.util import module_from_spec, spec_from_file_location

import pytest

from firstgrad.backends import cache_entries
from firstgrad.case import Scenario
from firstgrad.observe.disk_cache import CacheWatch, arm, contradiction, keeps_access_times
from firstgrad.record import CacheUse


def use(before=0, read=0, written=0):
    return CacheUse(entries_before=before, entries_read=read, entries_written=written, bytes_written=written)


@pytest.mark.parametrize(
    ("scenario", "proof"),
    [
        (Scenario.COLD, use(written=3)),
        (Scenario.WARM, use(before=3, read=3)),
        (Scenario.WARM, use(before=3, read=1)),
        (Scenario.HOT, use(before=3)),
        (Scenario.HOT, use(before=3, read=3)),
        (Scenario.HOT, use()),
    ],
)
def test_counts_that_prove_a_scenario(scenario, proof):
    assert contradiction(scenario, proof) is None


@pytest.mark.parametrize(
    ("scenario", "counts", "reason"),
    [
        (Scenario.COLD, use(before=2, written=3), "cold, but 2 entries were there at the start"),
        (Scenario.COLD, use(read=1, written=3), "cold, but 1 entries were read"),
        (Scenario.COLD, use(), "cold, but nothing was written"),
        (Scenario.WARM, use(before=3), "warm, but nothing was read"),
        (Scenario.WARM, use(before=3, read=2, written=1), "warm, but 1 entries were written"),
        (Scenario.HOT, use(before=3, written=4), "hot, but 4 entries were written"),
    ],
)
def test_counts_that_contradict_a_scenario(scenario, counts, reason):
    assert contradiction(scenario, counts).startswith(reason)


def test_where_not_all_is_kept_nothing_need_be_written_but_in_a_full_cache_something_is_read():
    nothing = use()
    assert contradiction(Scenario.COLD, nothing, keeps_all=False) is None
    assert contradiction(Scenario.COLD, use(before=1), keeps_all=False).startswith("cold, but 1 entries were there")
    assert contradiction(Scenario.WARM, nothing, keeps_all=False) == "warm, but nothing was read from the cache"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "numba").mkdir()
    for name, size in (("a.1.nbc", 10), ("b.1.nbc", 20), ("c.2.nbc", 30)):
        (tmp_path / "numba" / name).write_bytes(b"x" * size)
    for name in ("a", "b", "c", "d", "new", "index"):
        (tmp_path / "numba" / f"{name}.nbi").write_bytes(b"not an entry")
    return tmp_path


@pytest.fixture(params=["access times", "audit events"])
def how(request, monkeypatch):
    """Both ways of counting: a file system without access times must give the same numbers."""
    if request.param == "audit events":
        monkeypatch.setattr("firstgrad.observe.disk_cache.keeps_access_times", lambda _: False)


def watch_of(folder, between=lambda: None):
    """A watch that remembered what is there, and whose window has begun after what is done between."""
    watch = CacheWatch(folder, cache_entries())
    watch.remember()
    between()
    watch.begin()
    return watch


@pytest.mark.usefixtures("how")
def test_each_entry_read_counts_once_and_each_written_one_with_its_size(folder):
    watch = CacheWatch(folder, cache_entries())
    assert watch.remember() == 3
    (folder / "numba" / "c.2.nbc").read_bytes()  # before the window
    watch.begin()
    for _ in range(3):
        (folder / "numba" / "a.1.nbc").read_bytes()
    with (folder / "numba" / "b.1.nbc").open("rb") as file:
        file.read()
    (folder / "numba" / "index.nbi").read_bytes()
    (folder / "jax").mkdir()
    (folder / "jax" / f"jit_f-{'9a' * 32}-cache").write_bytes(b"y" * 500)
    (folder / "numba" / "new.1.nbc").write_bytes(b"z" * 7)
    (folder / "numba" / "new.1.nbc").read_bytes()  # its own: no proof of a warm cache
    (folder / "numba" / "new.tmp").write_bytes(b"not an entry")
    counted = watch.end(Scenario.WARM)
    (folder / "numba" / "c.2.nbc").read_bytes()  # after the window
    assert counted == CacheUse(
        entries_before=3,
        entries_read=2,
        entries_written=2,
        bytes_written=507,
        contradiction="warm, but 2 entries were written: the cache was not complete",
    )
    assert not counted.is_proven


def test_reading_alone_proves_a_warm_cache(folder):
    watch = watch_of(folder)
    (folder / "numba" / "a.1.nbc").read_bytes()
    counted = watch.end(Scenario.WARM)
    assert counted == use(before=3, read=1)
    assert counted.is_proven


def test_this_file_system_keeps_access_times(tmp_path):
    assert keeps_access_times(tmp_path)
    assert not list(tmp_path.iterdir())


def test_arming_leaves_contents_and_modification_alone(folder):
    path = folder / "numba" / "a.1.nbc"
    modified = path.stat().st_mtime_ns
    arm(str(path))
    assert path.stat().st_mtime_ns == modified
    assert 0 < modified - path.stat().st_atime_ns < 5e9  # PyTensor deletes what was not used for weeks


@pytest.mark.usefixtures("how")
def test_reads_are_seen_however_the_path_is_opened(folder):
    watch = watch_of(folder)
    descriptor = os.open(folder / "numba" / "a.1.nbc", os.O_RDONLY)
    os.read(descriptor, 1)
    os.close(descriptor)
    with open(str(folder / "numba" / "b.1.nbc"), "rb") as file:  # noqa: PTH123 - as Numba does it
        file.read()
    assert watch.end(Scenario.HOT).entries_read == 2


@pytest.mark.usefixtures("how")
@pytest.mark.parametrize("replaces", [False, True])
def test_writing_a_remembered_entry_is_no_reading_but_a_writing(folder, replaces):
    watch = watch_of(folder)
    entry = folder / "numba" / "a.1.nbc"
    written = entry.with_suffix(".tmp") if replaces else entry  # Numba replaces: entries of another Numba, say
    written.write_bytes(b"again")
    written.replace(entry)
    use = watch.end(Scenario.WARM)
    assert (use.entries_read, use.entries_written, use.bytes_written) == (0, 1, 5)


@pytest.mark.usefixtures("how")
def test_loading_a_remembered_extension_module_is_reading_it(folder):
    module = folder / "pytensor"
    module.mkdir()
    (module / "not_really_c.so").write_bytes(b"no machine code")
    (module / "mod.cpp").touch()
    watch = watch_of(folder)
    with pytest.raises(ImportError):
        module_from_spec(spec_from_file_location("not_really_c", module / "not_really_c.so"))
    assert watch.end(Scenario.WARM) == use(before=4, read=1)


def test_what_was_remembered_before_the_window_is_not_what_a_silent_compile_wrote(folder):
    # As for `hot`: what the first, silent compile wrote was there before the window began.
    watch = watch_of(folder, lambda: (folder / "numba" / "d.1.nbc").write_bytes(b"by the silent compile"))
    assert watch.end(Scenario.HOT) == use(before=3)


def test_a_folder_that_is_a_symbolic_link_is_watched_too(folder, tmp_path_factory):
    link = tmp_path_factory.mktemp("links") / "caches"
    link.symlink_to(folder)
    watch = CacheWatch(link, cache_entries())
    assert watch.remember() == 3
    watch.begin()
    (folder / "numba" / "a.1.nbc").read_bytes()
    assert watch.end(Scenario.WARM).entries_read == 1


@pytest.mark.usefixtures("how")
def test_a_second_window_starts_from_nothing(folder):
    watch = watch_of(folder)
    (folder / "numba" / "a.1.nbc").read_bytes()
    watch.end(Scenario.WARM)
    watch.begin()
    assert watch.end(Scenario.HOT).entries_read == 0


@pytest.mark.parametrize(
    "name",
    [
        "foreign.nbc",
        "foreign.1.nbc",
        "module.so",
        "a-cache",
        f"jit_f-{'z' * 64}-cache",
        "index.nbi",
        "a.1.nbc.tmp",
        "b.3.nbc",
    ],
)
def test_what_no_compiler_keeps_like_that_was_not_written_by_one(folder, name):
    watch = watch_of(folder)
    (folder / "numba" / name).write_bytes(b"" if name == "b.3.nbc" else b"foreign")
    assert watch.end(Scenario.COLD).entries_written == 0


def test_a_cold_compile_is_not_proven_by_a_file_that_the_model_plants(tmp_path):
    watch = watch_of(tmp_path)
    (tmp_path / "foreign.nbc").write_bytes(b"foreign")
    (tmp_path / "foreign.so").write_bytes(b"foreign")
    assert watch.end(Scenario.COLD).contradiction.startswith("cold, but nothing was written")
