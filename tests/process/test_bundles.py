"""Bundles of caches: packed and proven by real processes, and refused where they are not what they say."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from builders import firstgrad, make_case
from firstgrad.bundles import (
    BundledCase,
    BundledEntry,
    find_misfits,
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
from helpers import linux_only, write_model

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
    folder = tmp_path / "new" / "caches"
    manifest = unpack(bundle, folder)
    for entry in manifest.entries:
        file = folder / entry.path
        assert (file.stat().st_size, file.stat().st_mtime_ns) == (entry.size_bytes, entry.modified_ns)
        assert file.stat().st_mode & 0o777 == 0o600
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


@pytest.mark.parametrize("path", ["../out", "/out", "a/../../out", "a\\b", ""])
def test_nothing_is_written_outside_the_folder(bundle, tmp_path, path):
    def elsewhere(manifest):
        return replace(manifest, entries=tuple(replace(entry, path=path) for entry in manifest.entries[:1]))

    def moved(members):
        return [plain(f"caches/{path}", members[0][1])]

    changed = rewritten(bundle, tmp_path, elsewhere, moved)
    with pytest.raises(FirstgradError, match="isn't so"):
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


def test_nothing_to_pack(tmp_path):
    bad = make_case(write_model(tmp_path, "raise ValueError('no data')"), backend=BackendName.FAKE)
    with pytest.raises(FirstgradError, match="no data"):
        pack([bad], tmp_path / "caches.tar.gz")
    assert [path.suffix for path in tmp_path.iterdir() if path.is_file()] == [".py"]


def test_on_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path, "return Model()", name="study")
    told = firstgrad("cache", "explain", "study.py:build", "--backend", "fake")
    assert (told.code, "found by the next process" in told.out) == (0, True)
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
