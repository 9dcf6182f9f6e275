"""Bundles of caches: packed and proven by real processes, and refused where they are not what they say."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest

from builders import firstgrad, make_case
from firstgrad import bundles
from firstgrad.bundles import (
    BundledCase,
    BundledEntry,
    explain,
    find_misfits,
    key_of,
    pack,
    place_here,
    read_manifest,
    require_fitting,
    unpack,
    variables_for,
    verify,
)
from firstgrad.case import BackendName
from firstgrad.codec import to_json
from firstgrad.errors import FirstgradError, SpecError
from firstgrad.observe.numba_functions import NUMBA_REFUSED
from firstgrad.observe.units import NO_ENTRY
from firstgrad.show.caches import explained_result
from firstgrad.show.result import Form, render
from helpers import linux_only, small_disk, write_model

pytestmark = linux_only
ENTRY = "numba/fake.1.nbc"


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    good = make_case(write_model(folder, "return Model()", name="good"), backend=BackendName.FAKE, evaluations=0)
    bad = make_case(write_model(folder, "raise ValueError('no data')", name="bad"), backend=BackendName.FAKE)
    return pack([good, bad], folder / "caches.tar.gz")


@pytest.fixture
def bundle(packed):
    return Path(packed.file)


def rewritten(bundle, folder, change=lambda manifest: manifest, members=lambda members: members):
    """A copy of a bundle with another manifest, or with other members after it."""
    with tarfile.open(bundle) as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive}
    manifest = to_json(change(read_manifest(bundle))).encode()
    copy = folder / "changed.tar.gz"
    with tarfile.open(copy, "w:gz") as archive:
        for member, content in [
            plain("manifest.json", manifest),
            *members([plain(name, content) for name, content in files.items() if name != "manifest.json"]),
        ]:
            archive.addfile(member, io.BytesIO(content))
    return copy


def plain(name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    return member, content


def test_what_was_packed(packed):
    (case,), manifest = packed.manifest.cases, packed.manifest
    assert manifest.units == 1
    assert {entry.path for entry in manifest.entries} == {ENTRY, "numba/fake.nbi"}
    assert (case.units_read, case.units_written) == (1, 0)
    assert case.answer_digest
    assert manifest == read_manifest(packed.file)
    (failed,) = packed.failed
    assert "no data" in failed.failure


def test_a_fresh_process_finds_all_of_it(bundle):
    (verified,) = verify(bundle)
    assert verified.problem == ""
    assert verified.is_same
    assert verified.record.caches.entries_read == 1


def test_what_it_does_not_find(bundle, tmp_path):
    def without_units(manifest):
        return replace(manifest, entries=tuple(entry for entry in manifest.entries if entry.path != ENTRY))

    def no_unit(members):
        return [pair for pair in members if pair[0].name != f"caches/{ENTRY}"]

    (verified,) = verify(rewritten(bundle, tmp_path, without_units, no_unit))
    assert verified.problem == "nothing was read from it"
    ended = firstgrad("cache", "verify", tmp_path / "changed.tar.gz")
    assert (ended.code, ended.out.splitlines()[0]) == (1, "1 of 1 case not as promised")


def test_other_results_are_told(bundle, tmp_path):
    def other_answer(manifest):
        return replace(manifest, cases=tuple(replace(one, answer_digest="0" * 16) for one in manifest.cases))

    (verified,) = verify(rewritten(bundle, tmp_path, other_answer))
    assert "differ" in verified.problem


def test_unpacked(bundle, tmp_path):
    folder, began = tmp_path / "new" / "caches", time.time()
    manifest = unpack(bundle, folder)
    for entry in manifest.entries:
        status = (folder / entry.path).stat()
        assert status.st_size == entry.size_bytes
        # PyTensor deletes C modules that nobody used for 24 days, however old the bundle is
        assert min(status.st_atime, status.st_mtime) > began - 5
        assert status.st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in folder.parent.iterdir()] == ["caches"]
    variables = variables_for(folder)
    assert variables["NUMBA_CACHE_DIR"] == str(folder / "numba")
    assert variables["PYTENSOR_FLAGS"] == f"base_compiledir={folder / 'pytensor'}"
    assert len(variables) == 4
    with pytest.raises(SpecError, match="isn't empty"):
        unpack(bundle, folder)


def altered(members):
    return [plain(one.name, content[::-1] or content) for one, content in members]


def more(members):
    return [*members, plain("caches/numba/more.nbc", b"x")]


def twice(members):
    return [*members, members[0]]


def fewer(members):
    return members[1:]


def linked(members):
    link = tarfile.TarInfo(members[0][0].name)
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return [(link, b""), *members[1:]]


@pytest.mark.parametrize(
    ("members", "message"),
    [(altered, "isn't what"), (more, "more.nbc"), (twice, "isn't so"), (fewer, "lacks"), (linked, "isn't so")],
)
def test_a_bundle_that_is_not_what_it_says_writes_nothing(bundle, tmp_path, members, message):
    folder = tmp_path / "caches"
    changed = rewritten(bundle, tmp_path, members=members)
    with pytest.raises(FirstgradError, match=message):
        unpack(changed, folder)
    assert list(tmp_path.iterdir()) == [changed]


@pytest.mark.parametrize("path", ["../out", "/out", "a/../../out", "a\\b", "", "a\nb", "a\0b", "a\x1b[2J", "\ud800"])
def test_nothing_is_written_outside_the_folder(bundle, tmp_path, path):
    def elsewhere(manifest):
        return replace(manifest, entries=tuple(replace(entry, path=path) for entry in manifest.entries[:1]))

    def moved(members):
        return [plain("caches/out", members[0][1])]

    changed = rewritten(bundle, tmp_path, elsewhere, moved)
    with pytest.raises(FirstgradError, match="no file of a cache"):
        unpack(changed, tmp_path / "caches")
    assert list(tmp_path.iterdir()) == [changed]


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, SpecError, "there is no"),
        (b"no tar", FirstgradError, "can't be read"),
        (b"", FirstgradError, "can't be read"),
    ],
)
def test_what_is_no_bundle(tmp_path, content, error, message):
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(error, match=message):
        read_manifest(file)


def bundle_of(folder, *members):
    """A file with these members, whatever they are."""
    file = folder / "made.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        for name, content in members:
            archive.addfile(plain(name, content)[0], io.BytesIO(content))
    return file


@pytest.mark.parametrize("text", [b'{"format":' * 100_000, b"[]", b"\xff", b'{"format": 2}', b'{"format": 1e999}'])
def test_a_manifest_that_is_none(tmp_path, text):
    with pytest.raises(FirstgradError, match=r"manifest\.json|format"):
        read_manifest(bundle_of(tmp_path, ("manifest.json", text)))


def test_no_more_is_read_than_the_manifest_announces(bundle, tmp_path):
    def bomb(members):
        link = tarfile.TarInfo("././@LongLink")  # GNU's way to write a long name, which readers hold in memory
        link.type, link.size = tarfile.GNUTYPE_LONGNAME, 2**24
        return [(link, bytes(2**24)), *members]

    with pytest.raises(FirstgradError, match="unpacks to more"):
        unpack(rewritten(bundle, tmp_path, members=bomb), tmp_path / "caches")
    large = tmp_path / "large.tar.gz"
    with gzip.open(large, "wb") as stream:
        member = tarfile.TarInfo("manifest.json")
        member.size = 2**40
        stream.write(member.tobuf() + bytes(2**20))
    with pytest.raises(FirstgradError, match="doesn't begin"):
        read_manifest(large)


def test_a_disk_that_is_too_small(bundle, tmp_path, monkeypatch):
    def huge(manifest):
        return replace(manifest, entries=tuple(replace(entry, size_bytes=2**60) for entry in manifest.entries))

    with pytest.raises(FirstgradError, match="are free there, and the bundle takes"):
        unpack(rewritten(bundle, tmp_path, huge), tmp_path / "caches")
    monkeypatch.setattr(bundles, "_require_room", lambda *_: None)  # others write there at the same time
    with small_disk(tmp_path / "disk", kib=64) as disk:
        disk.fill()
        with pytest.raises(FirstgradError, match="No space left"):
            unpack(bundle, disk / "caches")
        assert [path.name for path in disk.iterdir()] == ["fill"]


def test_where_it_may_be_unpacked(bundle, tmp_path):
    own, link = tmp_path / "own", tmp_path / "link"
    own.mkdir(mode=0o700)
    link.symlink_to(own)
    unpack(bundle, link)  # also a volume that is mounted there: the folder itself stays
    assert (own / ENTRY).is_file()
    assert link.is_symlink()
    nowhere, file, shared = tmp_path / "nowhere", tmp_path / "file", tmp_path / "shared"
    nowhere.symlink_to(tmp_path / "gone")
    file.touch()
    shared.mkdir()
    shared.chmod(0o777)
    refused = [(nowhere, "isn't empty"), (file, "isn't empty"), (file / "below", "can't be made"), (shared, "others")]
    if os.geteuid() == 0:
        other = tmp_path / "other"
        other.mkdir(mode=0o700)
        os.chown(other, 12345, -1)
        refused.append((other, "others"))
    for folder, why in refused:
        with pytest.raises(SpecError, match=why):
            unpack(bundle, folder)
    assert list(shared.iterdir()) == []


def test_an_interrupt_leaves_nothing(bundle, tmp_path, monkeypatch):
    read = bundles._content
    seen = []

    def interrupted(archive, member):
        seen.append(member.name)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return read(archive, member)

    monkeypatch.setattr(bundles, "_content", interrupted)
    with pytest.raises(KeyboardInterrupt):
        unpack(bundle, tmp_path / "caches")
    assert list(tmp_path.iterdir()) == []


def test_two_at_once_in_one_folder(bundle, tmp_path):
    start = Barrier(4)

    def one(_):
        start.wait(timeout=60)
        try:
            return unpack(bundle, tmp_path / "caches")
        except SpecError as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(one, range(4)))
    assert sum(not isinstance(end, SpecError) for end in ended) == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["caches", "fake.1.nbc", "fake.nbi", "numba"]


def test_two_names_that_are_one_here(bundle, tmp_path):
    def below(manifest):
        first = manifest.entries[0]
        return replace(manifest, entries=(first, replace(first, path=f"{first.path}/more")))

    def members(members):
        content = members[0][1]
        return [members[0], plain(f"{members[0][0].name}/more", content)]

    with pytest.raises(FirstgradError, match="can't be written"):
        unpack(rewritten(bundle, tmp_path, below, members), tmp_path / "caches")
    assert not (tmp_path / "caches").exists()


def test_half_a_bundle_and_one_of_another_format(bundle, tmp_path):
    half = tmp_path / "half.tar.gz"
    half.write_bytes(bundle.read_bytes()[:-40])
    with pytest.raises(FirstgradError):
        unpack(half, tmp_path / "caches")
    with pytest.raises(FirstgradError, match="has the format 7"):
        read_manifest(rewritten(bundle, tmp_path, lambda manifest: replace(manifest, format=7)))
    assert not (tmp_path / "caches").exists()


def test_it_fits_where_it_was_made(packed):
    assert find_misfits(packed.manifest.place, place_here([BackendName.FAKE])) == ()
    require_fitting(packed.manifest, "file")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"machine": "riscv64"}, "machine riscv64"),
        ({"processor": "Another 9000"}, "processor Another 9000"),
        ({"features": ("sse9",)}, "sse9"),
        ({"libc": "glibc 9.9"}, "C library glibc 9.9"),
        ({"python": "3.99.0"}, "Python 3.99.0"),
        ({"flags": "floatX=float32"}, "floatX=float32"),
        ({"options": (("XLA_FLAGS", "--a"),)}, "options XLA_FLAGS=--a, here none"),
        ({"cores": 99}, "cores 99"),
        ({"compiler": "g++ 99"}, "compiler g++ 99"),
        ({"packages": (("numba", "0.1"),)}, "numba 0.1"),
        ({"packages": (("jax", "0.1"), ("pytensor", "9.9"))}, "pytensor 9.9"),
    ],
)
def test_each_difference_is_named(packed, bundle, tmp_path, change, named):
    def elsewhere(manifest):
        return replace(manifest, place=replace(manifest.place, **change))

    assert any(named in misfit for misfit in find_misfits(replace(packed.manifest.place, **change), place_here()))
    with pytest.raises(FirstgradError, match="made for another place"):
        unpack(rewritten(bundle, tmp_path, elsewhere), tmp_path / "caches")
    assert not (tmp_path / "caches").exists()
    assert key_of(replace(packed.manifest.place, **change)) != key_of(packed.manifest.place)


def test_what_a_key_hangs_on(monkeypatch):
    monkeypatch.delenv("NUMBA_OPT", raising=False)
    place = place_here([BackendName.NUMBA, BackendName.JAX_DIRECT])
    assert (place.cores, place.compiler) == (len(os.sched_getaffinity(0)), "")
    assert place_here([BackendName.NUMBA]).cores == 0
    assert key_of(place) == key_of(place_here([BackendName.JAX_DIRECT, BackendName.NUMBA]))
    monkeypatch.setenv("NUMBA_OPT", "1")
    assert place_here([BackendName.NUMBA]).options == (("NUMBA_OPT", "1"),)
    ended = firstgrad("cache", "key", "--backend", "numba")
    assert ended.out.strip() == key_of(place_here([BackendName.NUMBA]))


@pytest.mark.parametrize(
    ("release", "name"),
    [("6.11.0-1018-azure", "6.11--azure"), ("5.15.0-91-generic", "5.15--generic"), ("6.18-fc-v509", "6.18-fc-v509")],
)
def test_a_kernels_patch_level_is_no_difference(monkeypatch, release, name):
    monkeypatch.setattr(bundles.platform, "release", lambda: release)
    monkeypatch.setattr(bundles.platform, "platform", lambda: f"Linux-{release}-x86_64-with-glibc2.36")
    from pytensor.configdefaults import short_platform

    assert bundles._system() == short_platform(release, bundles.platform.platform())
    assert bundles._system() == f"Linux-{name}-x86_64-with-glibc2.36"


@pytest.mark.parametrize("output", ["-", "file/below.tar.gz", "link.tar.gz"])
def test_an_output_that_can_not_be_is_told_at_once(tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("link.tar.gz").symlink_to("gone")
    monkeypatch.setattr(bundles, "use_twice", lambda *_: pytest.fail("compiled first"))
    with pytest.raises(FirstgradError):
        pack([make_case(write_model(tmp_path, "return Model()"), backend=BackendName.FAKE)], output)


@pytest.mark.compiles
def test_why_a_second_process_compiles_again(tmp_path):
    (tmp_path / "study.py").write_text(
        "import numpy as np, pymc as pm\n"
        "def build():\n"
        "    with pm.Model() as model:\n"
        "        pm.Normal('y', pm.Normal('b'), 1.0, observed=np.arange(150_000.0))\n"
        "    return model\n"
    )
    use = explain(make_case(f"{tmp_path / 'study.py'}:build", backend=BackendName.NUMBA, evaluations=0))
    (again,) = use.again
    assert (again.reason, again.units, again.seconds > 0) == (NUMBA_REFUSED, 1, True)
    assert "pm.Data" in seen(use)
    unseeded = seen(replace(use, again=(replace(again, reason=NO_ENTRY),)))
    assert "Give random data in the model's file a seed" in unseeded
    assert "pm.Data" not in unseeded
    assert "firstgrad.sample()" in seen(replace(use, again=(replace(again, purpose="wrapper"),)))


def seen(use):
    return render(explained_result([use]), Form.TERMINAL, width=500)


def test_nothing_to_pack(tmp_path):
    bad = make_case(write_model(tmp_path, "raise ValueError('no data')"), backend=BackendName.FAKE)
    with pytest.raises(FirstgradError, match="no data"):
        pack([bad], tmp_path / "caches.tar.gz")
    assert [path.suffix for path in tmp_path.iterdir() if path.is_file()] == [".py"]


def test_on_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path, "return Model()", name="study")
    told = firstgrad("cache", "explain", "study.py:build", "--backend", "fake")
    assert (told.code, "compiled nothing" in told.out) == (0, True)
    made = firstgrad("cache", "pack", "study.py:build", "--backend", "fake", "-o", "b.tar.gz", "--json")
    assert (made.code, json.loads(made.out)["manifest"]["cases"][0]["units_read"]) == (0, 1)
    again = firstgrad("cache", "pack", "study.py:build", "--backend", "fake", "-o", "b.tar.gz")
    assert (again.code, "is there already" in again.err) == (2, True)
    assert firstgrad("cache", "verify", "b.tar.gz").code == 0
    out = firstgrad("cache", "unpack", "b.tar.gz", "--into", "caches").out
    assert f"export NUMBA_CACHE_DIR={tmp_path / 'caches' / 'numba'}" in out
    Path("study.py").write_text(Path("study.py").read_text() + "\n# another day\n")
    (verified,) = json.loads(firstgrad("cache", "verify", "b.tar.gz", "--json").out)
    assert verified["model_changed"] is True


def test_the_manifest_knows_what_it_is_of(packed):
    assert isinstance(packed.manifest.cases[0], BundledCase)
    assert all(isinstance(entry, BundledEntry) and len(entry.sha256) == 64 for entry in packed.manifest.entries)
