"""The application: its verbs, and how it ends."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from firstgrad.cli import (
    advise,
    bisect,
    cache,
    carry,
    check,
    compare,
    doctor,
    init,
    lint,
    measure,
    precompile,
    profile,
    report,
    sample,
    scaling,
    show,
    sweep,
    trace,
)
from firstgrad.cli.console import ExitCode, own_process, say, say_notes
from firstgrad.cli.defaults import read_defaults
from firstgrad.cli.options import FILE, ModelCommand, Quiet, Verb, Verbose, spread
from firstgrad.errors import FirstgradError
from firstgrad.units import shorten_middle

_LONGEST_MESSAGE = 4000

_GROUPS = {
    "Understand a model": {
        "lint": "Which lines are slow or wrong; what to write instead.",
        "check": "Are log-density and gradient right and finite?",
        "profile": "Where the seconds go, line by line.",
        "trace": "Every compile of a script, and what is needless.",
        "advise": "Which sampler and backend; the lines to paste.",
    },
    "Measure": {
        "measure": "Time to first gradient or draw, memory, verdict.",
        "sample": "A short run: compile, tuning, drawing.",
        "sweep": "A grid of cases; continues after interruptions.",
        "scaling": "What grows with what, from sweeps.",
    },
    "Compare": {
        "compare": "Commits, releases, options: what changed?",
        "bisect": "Which commit or release changed it?",
        "report": "All that is stored, as one page.",
    },
    "Start sooner": {
        "precompile": "Fill PyTensor's cache by several processes.",
        "cache": "What the next process finds; caches that travel.",
    },
    "Data": {
        "show": "What is stored, a line a sample; or one of them whole.",
        "export": "Records as JSON lines, or samples as a table.",
        "import": "Records of a file into a store.",
    },
    "Project and machine": {
        "init": "A suite file, a workflow, ignore lines.",
        "doctor": "Is this machine fit to measure?",
    },
}
"""What the first help says of each verb."""


class Verbs(TyperGroup):
    """The verbs, in groups."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Name the verbs in the groups' order."""
        grouped = [name for names in _GROUPS.values() for name in names]
        return [*grouped, *(name for name in super().list_commands(ctx) if name not in grouped)]

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - Click's
        """Write a section a group."""
        widest = max(map(len, self.commands))
        for title, verbs in _GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(widest), text) for name, text in verbs.items()])


app = typer.Typer(
    name="firstgrad",
    cls=Verbs,
    no_args_is_help=True,
    # Plain help: Rich's own takes a quarter of a second to import.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="How long until the first gradient of a PyMC model, how fast the next ones, how much memory, and why.",
    epilog="Start with your own model: firstgrad lint study.py. Without one: firstgrad measure pose --backend jax",
)
app.command("measure", cls=ModelCommand, epilog=measure.EPILOG)(measure.measure)
app.command("profile", cls=ModelCommand, epilog=profile.EPILOG)(profile.profile)
app.command("trace", cls=Verb, epilog=trace.EPILOG, context_settings={"allow_interspersed_args": False})(trace.trace)
app.command("lint", cls=ModelCommand, epilog=lint.EPILOG)(lint.lint)
app.command("check", cls=ModelCommand, epilog=check.EPILOG)(check.check)
app.command("sample", cls=ModelCommand, epilog=sample.EPILOG)(sample.sample)
app.command("sweep", cls=ModelCommand, epilog=sweep.EPILOG)(sweep.sweep)
app.command("scaling", cls=Verb, epilog=scaling.EPILOG)(scaling.scaling)
app.command("advise", cls=ModelCommand, epilog=advise.EPILOG)(advise.advise)
app.command("precompile", cls=ModelCommand, epilog=precompile.EPILOG)(precompile.precompile)
app.command("compare", cls=ModelCommand, epilog=compare.EPILOG)(compare.compare)
app.command("bisect", cls=ModelCommand, epilog=bisect.EPILOG)(bisect.bisect)
app.command("report", cls=Verb, epilog=report.EPILOG)(report.report)
app.command("show", cls=Verb, epilog=show.EPILOG)(show.show)
app.command("export", cls=Verb, epilog=carry.EXPORT_EPILOG)(spread(carry.export_records))
app.command("import", cls=Verb, epilog=carry.IMPORT_EPILOG)(spread(carry.import_records))
app.add_typer(cache.app)
app.command("doctor", cls=Verb)(doctor.doctor)
app.command("init", cls=Verb, epilog=init.EPILOG)(init.init)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        say(f"firstgrad {version('firstgrad')}", out=True)
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    quiet: Quiet = False,  # noqa: ARG001 - the verb asks for it
    verbose: Verbose = False,  # noqa: ARG001 - the verb asks for it
) -> None:
    context.meta[FILE], context.default_map = read_defaults(context.command, context)


def run() -> None:
    """Run the application; errors that a person can act on end it with a message, not with a traceback."""
    with own_process():
        try:
            sys.exit(app(standalone_mode=False))
        except FirstgradError as error:
            say(f"firstgrad: {shorten_middle(str(error), _LONGEST_MESSAGE)}")
            say_notes(error)
        except OSError as error:
            if not (lack := _lack(error)):
                raise
            say(f"firstgrad: {lack}")
        except Exception as error:
            # What Typer raises for wrong use has this method; it has brought its own Click since 0.20.
            explain, context = getattr(error, "format_message", None), getattr(error, "ctx", None)
            if explain is None:
                raise
            if type(error).__name__ == "NoArgsIsHelpError":
                say(explain())
                sys.exit(ExitCode.WRONG_USE)
            if context is not None:
                say(f"{context.get_usage()}\nTry '{context.command_path} {context.help_option_names[0]}' for help.\n")
            say(f"Error: {shorten_middle(explain(), _LONGEST_MESSAGE)}")
        sys.exit(ExitCode.WRONG_USE)


def _lack(error: OSError) -> str:
    """Say what the surroundings lack; '' where that isn't the reason."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "this shell lets a process open too few files (ulimit -n). Raise it: ulimit -n 1024"
    if error.errno == errno.EAGAIN:
        return "this shell lets a user start too few processes (ulimit -u). End some, or raise it"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        place = error.filename or "a disk"
        return (
            f"{place}: {error.strerror}. Free some space (df shows bytes, df -i files), or set TMPDIR to another disk"
        )
    try:
        Path.cwd()
    except OSError:
        return "the working folder is gone. Go to one that is there (cd)"
    return ""
