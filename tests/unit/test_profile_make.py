"""Sites of allocations: added up by Python frame, the native cause named, paths without the machine's folders."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from firstgrad.errors import WorkerError
from firstgrad.profiling import make
from firstgrad.profiling.make import MAX_SITES, add_up, draw_flame_graph, shorten_path
from helpers import make_case, make_record

OURS = ("compile_kernel", "/home/me/venv/lib/python3.13/site-packages/llvmlite/binding/executionengine.py", 40)
MALLOC, NEW = ("malloc", "<unknown>", 0), ("operator new(unsigned long)", "<unknown>", 0)
LLVM = ("llvm::SelectionDAG::init()", "<unknown>", 0)


DOOR = ("__call__", "/home/me/venv/lib/python3.13/site-packages/llvmlite/binding/ffi.py", 212)
TEMPLATE = "std::enable_if<!(is_same_v<int, F>), void>::type addPass<F>"
SITES = {
    "the native cause is the innermost function that is no plumbing": (
        [NEW, MALLOC, LLVM, ("outer()", "", 0), OURS],
        [OURS],
        ("compile_kernel", "llvm::SelectionDAG::init"),
    ),
    "native frames above the Python frame are not its cause": ([MALLOC, OURS, LLVM], [OURS], ("compile_kernel", "")),
    "memory without a Python frame is native": ([MALLOC, LLVM], [], ("(native code)", "llvm::SelectionDAG::init")),
    "parentheses of a template are no arguments": (
        [(f"{TEMPLATE}(F&&)", "", 0), OURS],
        [OURS],
        ("compile_kernel", TEMPLATE),
    ),
    "a mere door to native code is not the site": (
        [MALLOC, LLVM, DOOR, OURS],
        [DOOR, OURS],
        ("compile_kernel", "llvm::SelectionDAG::init"),
    ),
    "but where there is nothing else": ([MALLOC, LLVM, DOOR], [DOOR], ("__call__", "llvm::SelectionDAG::init")),
}


@pytest.mark.parametrize(("frames", "python", "expected"), SITES.values(), ids=SITES)
def test_a_site_has_its_python_function_and_its_native_cause(frames, python, expected):
    (site,) = add_up([(frames, python, 100, 1)])
    assert (site.function, site.native) == expected


def test_what_one_python_frame_asked_for_is_one_site():
    (site,) = add_up([([MALLOC, LLVM, OURS], [OURS], 100, 2), ([NEW, OURS], [OURS], 50, 1)])
    assert (site.size_bytes, site.allocations, site.line, site.function) == (150, 3, 40, "compile_kernel")


def test_the_largest_sites_come_first_and_the_tail_is_cut():
    frames = [(f"f{number}", "x.py", number) for number in range(MAX_SITES + 5)]
    sites = add_up([([frame], [frame], number + 1, 1) for number, frame in enumerate(frames)])
    assert len(sites) == MAX_SITES
    assert [site.size_bytes for site in sites] == sorted((site.size_bytes for site in sites), reverse=True)
    assert sites[0].size_bytes == MAX_SITES + 5


@pytest.mark.parametrize(
    ("file", "short"),
    [
        (OURS[1], "llvmlite/binding/executionengine.py"),
        ("/usr/lib/python3/dist-packages/numpy/x.py", "numpy/x.py"),
        ("/opt/python/lib/python3.12/json/decoder.py", "json/decoder.py"),
        ("/home/me/secret/model.py", "model.py"),
        ("Objects/call.c", "Objects/call.c"),
    ],
)
def test_paths_lose_the_machines_own_folders(file, short):
    assert shorten_path(file) == short


def test_arenas_of_small_objects_are_nobodys_but_pythons():
    other = ("getlines", "linecache.py", 41)
    arena = ("new_arena", "Objects/obmalloc.c", 7)
    (site,) = add_up([([arena, OURS], [OURS], 2**20, 1), ([arena, other], [other], 2**20, 1)])
    assert (site.function, site.size_bytes) == ("(Python objects)", 2 * 2**20)


def test_names_of_templates_are_cut():
    endless = ("robin_hash<" + "x" * 500 + ">::grow(int)", "", 0)
    (site,) = add_up([([endless, OURS], [OURS], 1, 1)])
    assert len(site.native) == 100
    assert site.native.endswith("...")


@pytest.mark.parametrize(("stderr", "said"), [("Traceback\nno file\n", ": no file$"), ("", ": exit code 9$")])
def test_memrays_last_word_is_told(monkeypatch, tmp_path, stderr, said):
    monkeypatch.setattr(make.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=9, stderr=stderr))
    with pytest.raises(WorkerError, match=said):
        draw_flame_graph(Path("none"), tmp_path / "page.html")


@pytest.mark.parametrize("error", [WorkerError("memray drew no flame graph: disk full"), OSError("disk full")])
def test_a_memray_that_fails_costs_only_its_sites(monkeypatch, tmp_path, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(make, "run_worker", lambda *_: None)
    monkeypatch.setattr(make, "conclude", lambda *_: make_record())
    monkeypatch.setattr(make, "_summarise_allocations", fail)
    private = SimpleNamespace(folder=tmp_path, caches=tmp_path)
    sites, problems = make._allocation_sites(make_case(), private, lambda _: None, 1, tmp_path)
    assert sites == ()
    assert problems == (f"allocations: {error}",)
