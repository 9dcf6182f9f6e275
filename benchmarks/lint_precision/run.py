"""Lint every example and the catalogue of models here: ``python -m benchmarks.lint_precision.run``.

One process, no compiler: every model is built, must have a finite log-density at its start point, and is looked at. All
findings go to ``docs/data/lint-precision.json``; ``verdicts.toml`` has, of each, whether one would tell it a colleague,
judged by hand, and what lint should have said and didn't.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import inspect
import itertools
import json
import math
import sys
import time
import tomllib
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstgrad.store.files import write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
DATA = ROOT / "docs" / "data" / "lint-precision.json"
VERDICTS = HERE / "verdicts.toml"
CATALOGUE = ("regression", "hierarchical", "time", "processes", "first_tries", "reported")
SIDES = ("cured", "dense", "discrete", "frozen", "imputed", "centered")
"""Parameters of examples that choose between two ways of writing a model: both are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A model to look at."""

    name: str  # cases/own_op cured=True
    build: Callable[[], Any]


def entries() -> Iterator[Entry]:
    """List every model: the examples with both of their sides, and the catalogue."""
    for path in sorted((ROOT / "examples").glob("[cm]*/*.py")):
        spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        parameters = inspect.signature(module.build).parameters
        sides = [name for name in SIDES if name in parameters]
        for values in itertools.product((False, True), repeat=len(sides)):
            chosen = dict(zip(sides, values, strict=True))
            given = [f"{name}={value}" for name, value in chosen.items() if value is not parameters[name].default]
            name = " ".join([f"{path.parent.name}/{path.stem}", *given])
            yield Entry(name=name, build=lambda build=module.build, chosen=chosen: build(**chosen))  # type: ignore[misc]
    for theme in CATALOGUE:
        module = importlib.import_module(f"benchmarks.lint_precision.models_{theme}")
        for name, function in list(vars(module).items()):
            if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_"):
                yield Entry(name=f"{theme}/{name}", build=function)


def look(entry: Entry) -> dict[str, Any]:
    """Build a model, evaluate it at its start point, and lint it."""
    from firstgrad.linting.engine import lint_model
    from firstgrad.observe.lines import deep_traces

    began = time.perf_counter()
    with deep_traces():
        model = entry.build()
        built = time.perf_counter()
        report = lint_model(model, name=entry.name)
    findings = [
        {
            "name": str(finding.name),
            "harm": str(finding.harm),
            "is_hint": finding.is_hint,
            "line": finding.lines[0].text.strip() if finding.lines else "",
            "number": finding.lines[0].line if finding.lines else 0,
            "variables": list(finding.variables),
            "count": finding.count,
            "fact": finding.fact,
            "instead": finding.instead,
        }
        for finding in report.findings
    ]
    try:
        logp: float | str = round(log_density(model), 6)
    except Exception as error:  # noqa: BLE001 - told in the table, as whatever a model raises
        logp = type(error).__name__
    return {
        "model": entry.name,
        "nodes": report.nodes,
        "build_seconds": round(built - began, 2),
        "lint_seconds": round(report.seconds, 2),
        "logp": logp if isinstance(logp, str) or math.isfinite(logp) else str(logp),
        "skipped": [f"{one.rule}: {one.reason}" for one in report.skipped],
        "findings": findings,
    }


def log_density(model: Any) -> float:
    """Evaluate the log-density at the start point, without a compiler."""
    from firstgrad.linting.values import Density, fast_run, without_compiler

    with without_compiler(fast_run()):
        point = model.initial_point()
    return sum(Density(model)(point).values())


def read_verdicts() -> tuple[dict[tuple[str, str, str], dict[str, Any]], list[dict[str, Any]]]:
    """Read what was judged by hand: of each finding, and what is missed."""
    document = tomllib.loads(VERDICTS.read_text())
    judged = {(one["model"], one["finding"], one.get("line", "")): one for one in document["verdicts"]}
    return judged, document["missed"]


def judge(rows: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]]:
    """Give every finding its verdict, or none: by its line where several have one name."""
    judged, _ = read_verdicts()
    found = []
    for row in rows:
        for finding in row["findings"]:
            key = row["model"], finding["name"]
            found.append((row, finding, judged.get((*key, finding["line"])) or judged.get((*key, ""))))
    return found


def page() -> str:
    """Write the table: what was found, how much of it is worth telling, what is missed."""
    document = json.loads(DATA.read_text())
    rows = document["models"]
    found, (_, missed) = judge(rows), read_verdicts()
    useful = sum(verdict is not None and verdict["tell"] for _, _, verdict in found)
    longest = max(rows, key=lambda row: row["lint_seconds"])
    lines = [
        f"{len(rows)} models, {sum(not row['findings'] for row in rows)} of them without a finding; {len(found)} "
        f"findings, of which {len(found) - useful} would not be told a colleague; {len(missed)} missed. Looking took "
        f"{sum(row['lint_seconds'] for row in rows):.1f} s in all, at most {longest['lint_seconds']:.2f} s "
        f"({longest['model']}, {longest['nodes']:,} nodes). {document['with']}.",
        "",
        "| finding | findings | models | worth telling |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, count in Counter(finding["name"] for _, finding, _ in found).most_common():
        own = [(row, verdict) for row, finding, verdict in found if finding["name"] == name]
        worth = sum(verdict is not None and verdict["tell"] for _, verdict in own)
        lines.append(f"| [{name}](lint/{name}.md) | {count} | {len({row['model'] for row, _ in own})} | {worth} |")
    lines += ["", *(f"Missed: {one['finding']} in `{one['model']}`, {one['why']}." for one in missed)]
    return "\n".join(lines)


def main() -> None:
    """Look at all of them, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="models with this in their names; nothing is written")
    given = parser.parse_args()
    rows = []
    for entry in entries():
        if given.only in entry.name:
            try:
                rows.append(look(entry))
            except Exception as error:  # noqa: BLE001 - one broken model must not end the others
                print(f"{entry.name}: {type(error).__name__}: {error}", flush=True)
                continue
            _tell(rows[-1])
    print(Counter(finding["name"] for row in rows for finding in row["findings"]))
    if given.only:
        return
    packages = ", ".join(f"{name} {version(name)}" for name in ("pymc", "pytensor", "jax", "numba"))
    write_file(DATA, f"{json.dumps({'with': packages, 'models': rows}, indent=1)}\n".encode())
    print(page())


def _tell(row: dict[str, Any]) -> None:
    print(f"{row['model']}: {row['nodes']} nodes, {row['lint_seconds']} s, logp {row['logp']}", flush=True)
    for finding, _ in itertools.groupby(row["findings"]):
        print(f"    {finding['name']} [{finding['number']}: {finding['line']}] {finding['fact']}", flush=True)
    for reason in row["skipped"]:
        print(f"    skipped {reason}", flush=True)


if __name__ == "__main__":
    main()
