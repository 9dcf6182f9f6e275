"""What must be equal before numbers may be put together: the device and bytecode are conditions, as packages are."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from firstgrad.backends import facts_of, load_backend
from firstgrad.case import BackendName
from firstgrad.columns import cells_of
from firstgrad.comparing.sides import condition_fields
from firstgrad.measuring import environment
from firstgrad.measuring.environment import has_bytecode, is_expected_device, measured_here
from firstgrad.measuring.events import Conditions
from firstgrad.measuring.launch import conclude, with_conditions
from firstgrad.measuring.session import Transcript
from firstgrad.sweep.plan import Durations
from helpers import make_case, make_environment, make_record, make_task

H100 = "cuda, NVIDIA H100"


def test_a_record_of_before_counts_as_one_of_the_processor_with_bytecode():
    before = make_environment().conditions
    assert make_environment(device="cpu", bytecode=True).conditions == before
    assert make_environment(device="cpu", bytecode=None).conditions == before


def test_unlike_devices_and_missing_bytecode_are_unlike_conditions():
    unlike = [
        make_environment(),
        make_environment(device=H100),
        make_environment(device="cuda, NVIDIA A100"),
        make_environment(bytecode=False),
        make_environment(device=H100, bytecode=False),
    ]
    assert len({one.conditions for one in unlike}) == len(unlike)
    assert len({tuple(condition_fields(one)) for one in unlike}) == len(unlike), "a comparison names what differs"


@pytest.mark.parametrize("sent", [True, False])
def test_what_the_worker_sees_is_in_its_record_however_it_ended(sent):
    conditions = Conditions(device=H100, bytecode=True)
    last_word = make_record() if sent else None
    record = conclude(make_task(), Transcript(conditions=conditions, record=last_word, return_code=-9))
    assert (record.environment.device, record.environment.bytecode) == (H100, True)
    assert cells_of(record)["device"] == H100
    assert conclude(make_task(), Transcript(return_code=-9)).environment.device == ""
    assert with_conditions(make_environment(), Transcript()) == make_environment()


@pytest.mark.parametrize(
    ("platforms", "device", "expected"),
    [
        (None, "cpu", True),
        (None, "", True),
        (None, H100, False),
        ("cpu", H100, False),
        ("cuda", H100, True),
        ("cuda,cpu", H100, True),
        ("cuda", "cpu", False),
        ("gpu", H100, True),
        ("gpu", "cpu", False),
        ("", H100, True),  # JAX takes what it finds
        ("", "cpu", True),
    ],
)
def test_jax_is_expected_where_its_variable_says(platforms, device, expected):
    variables = {} if platforms is None else {"JAX_PLATFORMS": platforms}
    for name in BackendName:
        by_jax = facts_of(name).compiler is BackendName.JAX
        assert is_expected_device(device, name, inherited=variables) is (expected if by_jax else device != H100)


def test_only_samples_of_here_and_of_this_platform_count_as_measured_here(monkeypatch):
    here = make_environment(device="")
    monkeypatch.setattr(environment, "describe_environment", lambda **_: here)
    monkeypatch.setattr(environment, "has_bytecode", lambda _: False)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")

    def counts(backend, **fields):
        sample = cells_of(make_record(case=make_case(backend=backend), environment=make_environment(**fields)))
        return measured_here()(backend, sample["device"], sample["conditions"])

    assert counts(BackendName.JAX, device=H100, bytecode=False)
    assert counts(BackendName.JAX, device="cuda, NVIDIA A100", bytecode=False), "the kind isn't known beforehand"
    assert counts(BackendName.C, device="cpu", bytecode=False)
    assert counts(BackendName.FAKE, device="cpu"), "it imports nothing of which there may be bytecode"
    assert not counts(BackendName.JAX, device=H100, bytecode=True)
    assert not counts(BackendName.JAX, device="cpu", bytecode=False)
    assert not counts(BackendName.JAX, device=H100, bytecode=False, python="3.12.0")


def test_a_duration_on_another_device_is_no_promise(monkeypatch):
    case = make_case(backend=BackendName.JAX_DIRECT)
    sample = cells_of(
        make_record(case=case, environment=make_environment(device=H100), time_to_first_gradient_seconds=9.0)
    )
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    assert Durations([sample]).of(case) is None
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    assert Durations([sample]).of(case) is not None


def test_a_jax_backend_names_the_device_that_jax_takes(monkeypatch):
    kind = SimpleNamespace(device_kind="NVIDIA H100")
    kind.client = SimpleNamespace(platform="cuda", local_devices=lambda: [kind])
    monkeypatch.setattr("firstgrad.backends.find_spec", lambda _: True)
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(local_devices=lambda: [kind]))
    assert load_backend(BackendName.JAX).device() == H100
    assert load_backend(BackendName.FAKE).device() == "cpu"


def test_bytecode_is_looked_for_before_anything_is_imported(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "a_package_of_nobody.py").write_text("")
    assert not has_bytecode("a_package_of_nobody")
    assert not has_bytecode("no_such_package_at_all")
    cached = tmp_path / "__pycache__" / f"a_package_of_nobody.{sys.implementation.cache_tag}.pyc"
    cached.parent.mkdir()
    cached.touch()
    assert has_bytecode("a_package_of_nobody")
    assert "a_package_of_nobody" not in sys.modules
