"""Kept profiles: written once, found again, refused by name."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from firstgrad.codec import to_json
from firstgrad.errors import RecordExistsError, SchemaTooNewError, StoreError
from firstgrad.profiling.make import PROFILES
from firstgrad.record import SCHEMA_VERSION
from planted_profile import failed_profile, planted_profile


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_kept_profile_is_read_back_as_it_was():
    profile = planted_profile()
    path = PROFILES.keep(profile)
    assert path == Path(PROFILES.default_folder) / "a1b2c3d4.json"
    assert PROFILES.read(path) == profile
    assert [each.name for each in path.parent.iterdir()] == ["a1b2c3d4.json"]  # no half file beside it


def test_nothing_is_overwritten():
    path = PROFILES.keep(planted_profile())
    before = path.read_bytes()
    with pytest.raises(RecordExistsError, match=r"a1b2c3d4\.json: this profile is already there"):
        PROFILES.keep(failed_profile("a1b2c3d4"))
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["a1b2c3d4.json"]


def test_a_file_of_a_chosen_name_is_replaced(tmp_path):
    PROFILES.write(planted_profile(), tmp_path / "new" / "profile.json")
    PROFILES.write(failed_profile(), tmp_path / "new" / "profile.json")
    assert PROFILES.read(tmp_path / "new" / "profile.json") == failed_profile()


def test_a_write_that_fails_leaves_nothing(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"a1b2c3d4\.json: cannot be written \(No space left on device\)"):
        PROFILES.keep(planted_profile())
    assert list(Path(PROFILES.default_folder).iterdir()) == []


@pytest.mark.parametrize("record_id", ["", "../up", "a/b", ".hidden"])
def test_a_record_id_that_is_no_file_name_is_refused(record_id):
    with pytest.raises(StoreError, match="makes no file name"):
        PROFILES.keep(planted_profile(record_id))


def test_a_profile_is_found_by_path_and_by_the_beginning_of_its_id():
    path = PROFILES.keep(planted_profile("a1b2c3d4"))
    PROFILES.keep(planted_profile("a1ffffff"))
    for what in (str(path), "a1b2c3d4", "a1b"):
        assert PROFILES.find(what) == path
    elsewhere = PROFILES.write(planted_profile(), "no_ending")
    assert PROFILES.find("no_ending") == elsewhere
    path = PROFILES.keep(planted_profile("a1"))
    assert PROFILES.find("a1") == path  # though it begins the other ones


def test_several_and_none_list_the_candidates():
    for record_id in ("a1b2c3d4", "a1ffffff", "b0"):
        PROFILES.keep(planted_profile(record_id))
    with pytest.raises(StoreError, match="'a1' begins 2 record ids") as several:
        PROFILES.find("a1")
    assert "a1b2c3d4 (some/file.py:build, fake, dlogp, cold)" in str(several.value)
    assert "b0" not in str(several.value)
    for what in ("c", ""):
        with pytest.raises(StoreError, match="no kept profile's record id begins") as none:
            PROFILES.find(what)
        assert all(record_id in str(none.value) for record_id in ("a1b2c3d4", "a1ffffff", "b0"))
    with pytest.raises(StoreError, match=r"nowhere\.json: there is no such file.*a1b2c3d4"):
        PROFILES.find("nowhere.json")


def test_an_empty_folder_says_what_to_do():
    with pytest.raises(StoreError, match=r"profiles has none\. Make one: firstgrad profile"):
        PROFILES.find("a1")
    with pytest.raises(StoreError, match="no kept profile's record id begins"):
        PROFILES.find("a" * 300)  # too long for a file's name


def test_of_many_candidates_the_latest_ten_are_listed():
    for number in range(12):
        path = PROFILES.keep(planted_profile(f"a{number:02}"))
        os.utime(path, (number, number))
    assert [each.stem for each in PROFILES.files()][:2] == ["a11", "a10"]
    with pytest.raises(StoreError, match="and 2 older ones") as error:
        PROFILES.find("a")
    assert "a11" in str(error.value)
    assert "a01" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (1, SchemaTooNewError, "was written by a newer firstgrad.*pip install --upgrade"),
        (-1, StoreError, "is from before firstgrad's first release.*Profile it again"),
    ],
)
def test_another_version_is_refused_by_name(tmp_path, change, kind, message):
    document = json.loads(to_json(planted_profile()))
    document["record"]["schema_version"] = SCHEMA_VERSION + change
    document["new_field"] = 1  # what a decoder would complain of first
    path = tmp_path / "other.json"
    path.write_text(json.dumps(document))
    with pytest.raises(kind, match=rf"other\.json: schema version {SCHEMA_VERSION + change} {message}"):
        PROFILES.read(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"record": {"schema_version": "1"}}', "\udcff"])
def test_a_file_that_is_no_profile_is_refused_by_name(tmp_path, text):
    path = tmp_path / "odd.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(StoreError, match=r"odd\.json: not a Profile.*Give a file that firstgrad profile wrote"):
        PROFILES.read(path)


def test_a_place_that_cannot_be_read_or_made_is_named(tmp_path):
    with pytest.raises(StoreError, match="cannot be read"):
        PROFILES.read(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="below: this folder cannot be created"):
        PROFILES.keep(planted_profile(), tmp_path / "file" / "below")
