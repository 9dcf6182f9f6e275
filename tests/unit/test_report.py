"""The page: the planted numbers are in it, texts stay texts, and nothing comes from outside."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from functools import partial
from html.parser import HTMLParser

import pytest

import builders
import planted
from builders import git, make_record, store_of
from firstgrad.growth.series import commit_axis, release_axis
from firstgrad.show.page import render_page
from firstgrad.show.series import make_page
from firstgrad.store import export_jsonl

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Reader(HTMLParser):
    """Collects what a page loads, runs and says."""

    def __init__(self):
        super().__init__()
        self.loads, self.tags, self.open, self.ids, self.anchors, self.texts = [], [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), f"{tag} {name}={value}"
            if name in ("src", "href", "xlink:href", "srcset", "data", "action", "poster"):
                (self.anchors if value.startswith("#") else self.loads).append(value)
            if name == "id":
                self.ids.append(value)
            if name == "style" and "url(" in value:
                assert "url(#" in value

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data.strip())


def read(page):
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def page_of(records, commits=()):
    return render_page(make_page(records, commit_axis(records, commits)))


def test_the_planted_numbers_are_in_the_page():
    commits = {digest: f"subject of {digest[0]}" for digest in planted.COMMITS}
    said = read(page_of(planted.along_commits(), commits)).texts
    for text in ("3.25 s [3.00 s, 3.50 s]", "4.25 s [4.00 s, 4.50 s]", "5.25 s [5.00 s, 5.50 s]", "75%"):
        assert text in said
    assert "325 MiB [300 MiB, 350 MiB]" in said
    assert "12,345 [12,345, 12,345]" in said
    assert "subject of b" in said
    assert "a" * 10 in said
    assert any(text.startswith("18 samples of 2 cases at 3 commits, from aaaaaaaaaa to cccccccccc") for text in said)


def test_failures_doubts_and_environments_have_their_sections():
    page = page_of(planted.along_commits())
    said = read(page).texts
    assert "3 samples gave no numbers that count." in said
    assert "failed in link: CompileError: g++ ended with 1" in said
    assert "3\N{MULTIPLICATION SIGN} failed in link: CompileError: g++ ended with 1" in said
    assert "the last line" in said
    assert "high_load" in said
    assert "the machine was busy before the sample; compare processor seconds, or measure again" in said
    assert any("a processor, 4 cores, 8.00 GiB, Linux" in text for text in said)
    assert "planted" in said  # the label


def test_each_metric_that_was_measured_has_a_figure_and_others_have_no_section():
    reader = read(page_of(planted.along_commits()))
    for name in ("time_to_first_gradient", "phase_link", "evaluation", "peak_memory", "nodes"):
        assert f"metric-{name}" in reader.ids
        assert f"figure-{name}" in reader.ids
    assert "metric-phase_import" not in reader.ids


def test_releases_have_their_overview_first():
    records = planted.along_releases()
    page = make_page(records, release_axis(records))
    assert [section.id for section in page.sections][:2] == ["releases", "metric-time_to_first_gradient"]
    said = read(render_page(page)).texts
    assert "2.50 s [2.00 s, 3.00 s]" in said
    assert {"5.28.5", "6.0.0", "6.4.0"} <= set(said)


@pytest.mark.parametrize("records", [planted.along_commits(), planted.hostile()], ids=["good", "hostile"])
def test_nothing_comes_from_outside_and_every_link_within_has_its_end(records):
    reader = read(page_of(records))
    assert reader.loads == ["data:,"]
    (script,) = re.findall(r"<script>(.*?)</script>", page_of(records), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"img-src data:; script-src 'sha256-{digest}'\"" in page_of(records)
    assert reader.tags.count("script") == 1
    assert not {"iframe", "object", "embed", "img", "base", "form"} & set(reader.tags)
    assert {anchor.removeprefix("#") for anchor in reader.anchors} <= set(reader.ids)
    assert len(reader.ids) == len(set(reader.ids))


def test_a_page_of_good_names_has_no_address_at_all():
    page = page_of(planted.along_commits())
    assert "http://" not in page
    assert "https://" not in page
    assert "url(#figure-" in page
    assert "default-src 'none'" in page


def test_hostile_texts_stay_texts():
    page = page_of(planted.hostile(), {planted.COMMITS[0]: planted.HOSTILE})
    assert page.count("<script") == 1
    assert "<img" not in page
    reader = read(page)
    assert "svg" in reader.tags
    assert planted.HOSTILE in reader.texts  # the subject line, the label, the last lines
    assert f"failed in link: CompileError: {planted.HOSTILE}" in reader.texts


def test_what_has_no_place_is_left_out_and_counted():
    records = [*planted.along_commits(), make_record()]
    assert "1 sample without a commit left out." in page_of(records)
    with pytest.raises(ValueError, match="nothing to report"):
        page_of([make_record()])


@pytest.fixture
def firstgrad(tmp_path, monkeypatch):
    """Run `firstgrad report` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return partial(builders.firstgrad, "report")


def test_the_verb_reads_a_store_and_says_where_the_page_is(firstgrad, tmp_path):
    store_of(planted.along_commits())
    code, out, err = firstgrad("--axis", "commit")
    assert (code, out, err) == (0, ".firstgrad/report.html\n", "")
    assert "3.25 s [3.00 s, 3.50 s]" in (tmp_path / out.strip()).read_text()
    assert "commit, by the first record" in (tmp_path / out.strip()).read_text()


def test_the_verb_reads_an_export_along_releases(firstgrad, tmp_path):
    export_jsonl(planted.along_releases(), "records.jsonl")
    code, _, err = firstgrad("--from", "records.jsonl", "--axis", "release", "--output", tmp_path / "new" / "page.html")
    assert (code, err) == (0, "")
    assert "PyMC releases at a glance" in (tmp_path / "new" / "page.html").read_text()


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_the_verb_asks_git_for_order_and_subjects(firstgrad, tmp_path):
    git(tmp_path, "init", "--quiet")
    digests = []
    for subject in ("first <b>\ttabbed", "second"):
        git(tmp_path, "-c", "commit.gpgsign=false", "commit", "--quiet", "--allow-empty", "-m", subject)
        digests.append(git(tmp_path, "rev-parse", "HEAD"))
    # The newer commit was measured first.
    records = [planted.sample(1.0, number=n, git_commit=digest) for n, digest in enumerate(reversed(digests))]
    export_jsonl(records, "records.jsonl")
    assert firstgrad("--from", "records.jsonl", "--axis", "commit", "--output", "page.html").code == 0
    page = (tmp_path / "page.html").read_text()
    assert "first &lt;b&gt;\ttabbed" in page
    assert f"from {digests[0][:10]} to {digests[1][:10]}" in page
    assert "commit, in git" in page


def test_wrong_use_is_told(firstgrad):
    assert firstgrad("--store", "x", "--from", "y").code == 2
    assert "expected commit or release, got 'branch'" in firstgrad("--axis", "branch").err
    code, _, err = firstgrad("--store", "nowhere.sqlite")
    assert code == 2
    assert "there is no store here" in err
    export_jsonl([make_record()], "records.jsonl")
    code, _, err = firstgrad("--from", "records.jsonl", "--axis", "commit")
    assert code == 2
    assert "no record of 1 tells its commit. Measure first, or --axis release" in err
    export_jsonl(planted.along_commits()[:1], "good.jsonl")
    code, _, err = firstgrad("--from", "good.jsonl", "--output", "good.jsonl/page.html")
    assert code == 2
    assert "good.jsonl: this folder cannot be created (File exists)" in err
