from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

from firstgrad.codec import from_json, to_json
from firstgrad.doubts import describe_mismatch, why_unusable
from firstgrad.phase import Phase
from firstgrad.record import CacheUse, Check, Doubt, Failure, Mismatch, Status, Verdict
from helpers import make_record
from strategies import records

PROVEN = CacheUse(entries_before=3, entries_read=3, entries_written=0, bytes_written=0)
CONTRADICTED = replace(PROVEN, contradiction="3 were read")
WRONG = Mismatch(group="rho", index=(1,), expected=2.0, got=3.0)


def disagreeing(*mismatches):
    return {"status": Status.MISMATCH, "check": Check(verdict=Verdict.DISAGREES, mismatches=mismatches)}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, ""),
        ({"doubts": (Doubt.HIGH_LOAD, Doubt.NOT_FINITE)}, ""),
        ({"caches": PROVEN}, ""),
        (
            {"status": Status.FAILED, "failure": Failure(kind="ModelError", message="\ng++ said no\nand more")},
            "failed: ModelError: g++ said no",
        ),
        (
            {"status": Status.CRASHED, "failure": Failure(kind="SIGKILL", message="ended", phase=Phase.LINK)},
            "crashed in link: SIGKILL: ended",
        ),
        ({"status": Status.FAILED, "failure": Failure(kind="KeyError", message="")}, "failed: KeyError:"),
        (disagreeing(WRONG), "mismatch: the oracle expected 2.0 for rho[1], and it is 3.0"),
        (disagreeing(), "mismatch"),
        ({"status": Status.TIMEOUT}, "timeout"),
        ({"caches": CONTRADICTED, "doubts": (Doubt.SCENARIO_CONTRADICTED,)}, "this was no cold compile: 3 were read"),
        ({"caches": CONTRADICTED}, "this was no cold compile: 3 were read"),
        ({"doubts": (Doubt.SCENARIO_CONTRADICTED,)}, "this was no cold compile"),
        (
            {"doubts": (Doubt.SUSPENDED,), "suspended_seconds": 8.0},
            "it stood still for 8.00 s (stopped, or the machine slept)",
        ),
    ],
)
def test_the_reason_names_what_went_wrong(fields, reason):
    assert why_unusable(make_record(**fields)) == reason


@pytest.mark.parametrize(
    ("mismatch", "text"),
    [
        (
            Mismatch(group="logp", index=(), expected=1.0, got=1.0000000001),
            "the oracle expected 1.0 for logp, and it is 1.0000000001",
        ),
        (replace(WRONG, n_different=2), "the oracle expected 2.0 for rho[1], and it is 3.0 (2 values differ)"),
    ],
)
def test_a_mismatch_has_its_place_and_all_its_digits(mismatch, text):
    assert describe_mismatch(mismatch) == text


@settings(max_examples=200, deadline=None)
@given(records())
def test_the_reason_is_one_line_and_empty_only_for_good_records(record):
    reason = why_unusable(record)
    contradiction = record.caches.contradiction if record.caches else None
    is_bad = (
        record.status is not Status.OK
        or record.failure is not None
        or contradiction is not None
        or {Doubt.SCENARIO_CONTRADICTED, Doubt.SUSPENDED} & set(record.doubts)
    )
    assert bool(reason) == bool(is_bad)
    assert len(reason.splitlines()) == bool(is_bad)


def test_what_nobody_can_read_is_cut_wherever_a_failure_comes_from():
    huge = "begins " + "x" * 2_000_000 + " ends"
    failure = Failure(kind=huge, message=huge, stderr_tail=(*["first"] * 60, huge))
    for text in (failure.kind, failure.message, failure.stderr_tail[-1]):
        assert text.startswith("begins xxx")
        assert text.endswith("xxx ends")
        assert "characters left out" in text
    assert (len(failure.kind), len(failure.stderr_tail)) == (len(failure.stderr_tail[-1]), 40)
    assert len(failure.kind) < 1_000 < len(failure.message) < 20_000
    assert from_json(to_json(failure), Failure) == failure == replace(failure)
