"""Record a real compile under `compile_progress`: a cast file for asciinema's player, and one screen as a picture.

The compile runs in a pseudo terminal of its own; what it writes is the recording. Usage:
``python record.py [--backend jax] [--timesteps 10] [--directions 2] [--at 0.6]``; `--at` chooses the moment of the
picture, as a part of the whole.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import struct
import sys
import tempfile
import termios
import time
from pathlib import Path

import pyte

from firstgrad.measuring.private import PrivateCaches, worker_variables

ROOT = Path(__file__).parents[2]
COLUMNS, ROWS = 100, 8
PROMPT = "$ python first_gradient.py\r\n"
PROGRAM = """
import firstgrad
from firstgrad.pose.data import generate

spec = firstgrad.PoseSpec(n_timesteps={timesteps}, n_directions={directions})
data = generate(spec)
model = firstgrad.build_pose_model(spec, data)
model.initial_point()
print("the model is built")
with firstgrad.compile_progress(model, title="pose", history={history!r}):
    function = model.compile_dlogp(mode={mode!r})
    gradient = function(data.initial)
print("gradient of", gradient.size, "values")
"""


def run(program: str, environment: dict[str, str]) -> list[tuple[float, bytes]]:
    """Run a program in a pseudo terminal; return what it wrote and when."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-c", program], environment)  # noqa: S606 - our own interpreter
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    began, written = time.monotonic(), []
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # everyone has left
            break
        if not part:
            break
        written.append((time.monotonic() - began, part))
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    if status:
        sys.exit("".join(part.decode(errors="replace") for _, part in written))
    return written


def without_start(written: list[tuple[float, bytes]]) -> list[tuple[float, bytes]]:
    """Let the recording begin with the first output: imports show nothing."""
    zero = written[0][0] - 1.0
    return [(0.0, PROMPT.encode()), *((when - zero, part) for when, part in written)]


def write_cast(path: Path, written: list[tuple[float, bytes]]) -> None:
    """Write an asciicast of version 2."""
    head = {"version": 2, "width": COLUMNS, "height": ROWS, "title": "firstgrad.compile_progress()"}
    lines = [json.dumps(head)]
    lines += [json.dumps([round(when, 3), "o", part.decode(errors="replace")]) for when, part in written]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def screen_at(written: list[tuple[float, bytes]], seconds: float) -> list[str]:
    """Return the rows of the terminal at a moment."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    for when, part in written:
        if when <= seconds:
            stream.feed(part)
    return [row.rstrip() for row in screen.display]


def draw(rows: list[str], path: Path) -> None:
    """Draw a screen as PNG and SVG, light on dark as in a terminal."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "firstgrad"
    from matplotlib import pyplot as plt

    figure = plt.figure(figsize=(COLUMNS * 0.085, ROWS * 0.2), facecolor="#16181d")
    for number, row in enumerate(rows):
        place = 1 - (number + 0.5) / ROWS
        colour = "#9aa3b2" if number == ROWS - 1 else "#e6e9ef"
        figure.text(
            0.012,
            place,
            row,
            family=["DejaVu Sans Mono", "DejaVu Sans"],
            size=9,
            color=colour,
            va="center",
            parse_math=False,
        )
    for suffix in (".png", ".svg"):
        metadata = {"Date": None} if suffix == ".svg" else None
        figure.savefig(path.with_suffix(suffix), dpi=150, facecolor=figure.get_facecolor(), metadata=metadata)
    plt.close(figure)


def main() -> None:
    """Record, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backend", default="jax", choices=["numba", "jax"])
    parser.add_argument("--timesteps", type=int, default=10)
    parser.add_argument("--directions", type=int, default=2)
    parser.add_argument("--at", type=float, default=0.6)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        program = PROGRAM.format(
            timesteps=chosen.timesteps,
            directions=chosen.directions,
            mode=chosen.backend.upper(),
            history=str(Path(folder) / "compiles.jsonl"),
        )
        for _ in range(2):  # the first one teaches how long the second takes
            with PrivateCaches() as private:
                environment = worker_variables(private.folder, os.environ) | {"TERM": "xterm-256color"}
                for name in ("COLUMNS", "LINES", "NO_COLOR"):
                    environment.pop(name, None)
                written = without_start(run(program, environment))
    write_cast(ROOT / "docs" / "data" / "compile-progress.cast", written)
    rows = screen_at(written, chosen.at * written[-1][0])
    draw(rows, ROOT / "plots" / "compile-progress")
    print("\n".join(rows))
    print(f"{len(written)} writes in {written[-1][0]:.1f} s; the screen is left as:")
    print("\n".join(row for row in screen_at(written, written[-1][0]) if row))


if __name__ == "__main__":
    main()
