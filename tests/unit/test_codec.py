from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from firstgrad.case import BackendName, Case
from firstgrad.codec import DecodeError, from_json, to_json
from firstgrad.model import Model
from firstgrad.pose.spec import HmmSpec, PosePriors, PoseSpec
from firstgrad.record import Failure, MemoryPoint, Record
from strategies import cases, records, same

CASE = Case(model=PoseSpec(hmm=HmmSpec()), backend=BackendName.NUMBA)
EXTERNAL = Case(
    model=Model(reference="my.models:build", parameters=(("fast", True), ("n", 3), ("name", "ü"))),
    backend=BackendName.C,
)


def plain(value):
    return json.loads(to_json(value))


# There and back


@settings(max_examples=60, deadline=None)
@given(cases())
def test_cases_come_back_equal(case):
    back = from_json(to_json(case), Case)
    assert back == case
    assert type(back.model) is type(case.model)
    assert back.id == case.id
    assert hash(back) == hash(case)


@settings(max_examples=60, deadline=None)
@given(records())
def test_records_come_back_equal(record):
    back = from_json(to_json(record), Record)
    assert same(back, record)
    assert repr(back) == repr(record)  # unlike ==, holds for nan


@given(st.floats())
@example(math.nan)
@example(math.inf)
@example(-math.inf)
def test_floats_come_back_to_the_last_bit_those_that_json_lacks_too(number):
    back = from_json(to_json(MemoryPoint(at_seconds=number, rss_bytes=1)), MemoryPoint).at_seconds
    assert (
        math.isnan(back) if math.isnan(number) else (back, math.copysign(1, back)) == (number, math.copysign(1, number))
    )


def test_the_text_is_canonical_and_one_line():
    text = to_json(EXTERNAL)
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    assert text.isascii()
    assert "\n" not in to_json(Failure(kind="two\nlines", message="\u2028"))


# Ids


@pytest.mark.parametrize(
    "with_number",
    [
        lambda number: replace(CASE, time_limit_seconds=number(60)),
        lambda number: replace(CASE, model=PoseSpec(missed_fraction=number(0))),
        lambda number: replace(CASE, model=PoseSpec(priors=PosePriors(rho_sigma=number(2)))),
    ],
)
def test_equal_cases_have_equal_ids_whichever_number_type_was_given(with_number):
    assert with_number(int) == with_number(float)
    assert with_number(int).id == with_number(float).id


@settings(max_examples=60, deadline=None)
@given(cases(), cases())
def test_different_cases_have_different_ids(one, other):
    assume(one != other)
    assert one.id != other.id


@pytest.mark.parametrize("case", [CASE, EXTERNAL], ids=["pose", "external"])
def test_every_field_of_a_case_is_in_its_id(case):
    changed = [
        replace(case, backend=BackendName.JAX),
        replace(case, target="logp_dlogp"),
        replace(case, scenario="warm"),
        replace(case, evaluations=7),
        replace(case, time_limit_seconds=None),
        replace(case, memory_limit_bytes=1),
        replace(case, model=PoseSpec(seed=1)),
        replace(case, model=PoseSpec(priors=PosePriors(logits_sigma=1.5))),
        replace(case, model=replace(EXTERNAL.model, parameters=(("n", 3),))),
    ]
    assert len({case.id, *(each.id for each in changed)}) == 1 + len(changed)


@pytest.mark.parametrize("seed", ["0", "1"])
def test_ids_are_the_same_in_another_process(seed):
    code = (
        "import sys; from firstgrad.case import Case; from firstgrad.codec import from_json\n"
        "print(*(from_json(line, Case).id for line in sys.stdin), hash('firstgrad'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=f"{to_json(CASE)}\n{to_json(EXTERNAL)}\n",
        env=os.environ | {"PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    *ids, their_hash = done.stdout.split()
    assert ids == [CASE.id, EXTERNAL.id]
    assert int(their_hash) != hash("firstgrad"), "the other process was meant to hash differently"


def test_ids_are_what_they_have_always_been():
    # Stored records are found by these: a change here cuts every store off from its past
    assert (CASE.id, EXTERNAL.id) == ("d20a963a65aab97a", "2662c5d9d4f74bfb")


# What does not fit


def changed(value, *path, to):
    document = plain(value)
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    return json.dumps(document)


WRONG_PARAMETERS = [
    [["colour", "red"]],
    *([["timesteps", value]] for value in (3.0, "3", True, 0, None)),
    *([["missed_fraction", value]] for value in ("0.5", False, 1, 10**400)),
    [["force_unrolled", 1]],
    [["skeleton", "custom"]],
    [["hmm", []]],
    [["hmm", 1]],
    [["states", 3]],
    [["hmm", True], ["states", 0]],
]


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (["colour"], "red"),
        (["model", "colour"], "red"),
        (["model", "reference"], "ghost"),
        (["model", "reference"], None),
        *((["model", "parameters"], parameters) for parameters in WRONG_PARAMETERS),
        (["model"], None),
        (["model"], []),
        (["backend"], "fortran"),
        (["backend"], None),
        (["backend"], ["c"]),
        (["evaluations"], -1),
        (["time_limit_seconds"], "nan"),
        (["memory_limit_bytes"], 1.5),
    ],
)
def test_a_case_with_a_wrong_field_is_refused(path, to):
    with pytest.raises(DecodeError, match="not a Case"):
        from_json(changed(CASE, *path, to=to), Case)


@pytest.mark.parametrize("field", ["model", "backend"])
def test_a_case_without_a_needed_field_is_refused(field):
    document = plain(CASE)
    del document[field]
    with pytest.raises(DecodeError, match=field):
        from_json(json.dumps(document), Case)


@pytest.mark.parametrize(
    "to", [None, "n", {}, [1], [None], [["n", None]], [["n", []]], [["n"]], [["n", 1, 2]], [[1, 1]], ["nm"]]
)
def test_an_external_model_with_wrong_parameters_is_refused(to):
    with pytest.raises(DecodeError, match="not a Case"):
        from_json(changed(EXTERNAL, "model", "parameters", to=to), Case)


@pytest.mark.parametrize("to", ["last words", {"last": "words"}, 1, None, ["last", 1]])
def test_a_tuple_is_made_of_a_list_only(to):
    failure = Failure(kind="SIGSEGV", message="crashed", stderr_tail=("last", "words"))
    with pytest.raises(DecodeError, match="not a Failure"):
        from_json(changed(failure, "stderr_tail", to=to), Failure)


def test_a_wrong_field_is_named():
    with pytest.raises(DecodeError, match=r"n_states"):
        from_json(changed(CASE, "model", "parameters", to=[["hmm", True], ["states", "two"]]), Case)


GARBAGE = ["", " ", "garbage", "{", "{}", "[]", "null", "1", '"text"', "{} {}", '{"a":', "\0", b"\xff", b"\x80abc"]
TOO_MUCH = ["[" * 200_000, '{"model":' * 200_000, "[" * 500 + "]" * 500, "9" * 10_000]


@pytest.mark.parametrize("text", GARBAGE + TOO_MUCH, ids=lambda text: repr(text[:9]))
@pytest.mark.parametrize("kind", [Case, Record])
def test_garbage_is_refused(text, kind):
    with pytest.raises(DecodeError, match=f"not a {kind.__name__}"):
        from_json(text, kind)


@pytest.mark.parametrize("depth", [50, 5_000])
@pytest.mark.parametrize("path", [["backend"], ["model"], ["model", "parameters"], ["model", "reference"]])
def test_a_deeply_nested_field_is_refused(path, depth):
    text = changed(CASE, *path, to="NESTED").replace('"NESTED"', "[" * depth + "]" * depth)
    with pytest.raises(DecodeError, match="not a Case"):
        from_json(text, Case)


def decodes_or_refuses(text, kind):
    try:
        value = from_json(text, kind)
    except DecodeError:
        return
    assert isinstance(value, kind)


@settings(max_examples=300, deadline=None)
@given(st.text() | st.binary())
def test_any_text_raises_nothing_but_decode_error(text):
    decodes_or_refuses(text, Case)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from([CASE, EXTERNAL]), json_values)
def test_any_value_in_any_place_raises_nothing_but_decode_error(data, case, value):
    document = inner = plain(case)
    while True:
        key = data.draw(st.sampled_from(sorted(inner)))
        if not isinstance(inner[key], dict) or data.draw(st.booleans()):
            break
        inner = inner[key]
    inner[key] = value
    decodes_or_refuses(json.dumps(document), Case)


@settings(max_examples=60, deadline=None)
@given(st.data(), records())
def test_any_damage_to_a_record_raises_nothing_but_decode_error(data, record):
    text = to_json(record)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(start + 20, len(text))))
    decodes_or_refuses(text[:start] + data.draw(st.text(max_size=3)) + text[end:], Record)


def test_a_nan_limit_cannot_be_made_into_a_case():
    with pytest.raises(ValueError, match="time_limit_seconds"):
        replace(CASE, time_limit_seconds=math.nan)
