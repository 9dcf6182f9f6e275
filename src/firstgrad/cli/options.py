"""Options that verbs share: made from declarations, spread over a command, replaced for another side."""

from __future__ import annotations

import functools
import inspect
import json
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, get_type_hints

import typer
from typer.core import TyperCommand

from firstgrad.case import MOST_SAMPLES, BackendName, Case, Counting, GradientBackend, Sampler, Scenario, Target
from firstgrad.cli.console import begin
from firstgrad.errors import SpecError
from firstgrad.model import POSE, Model, make_model
from firstgrad.pose.spec import PARAMETERS
from firstgrad.units import parse_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import StrEnum

    import pandas as pd

    from firstgrad.columns import Column
    from firstgrad.pose.spec import Parameter, Scalar
    from firstgrad.suite import Suite
    from firstgrad.sweep.grid import OmittedModel

MEASURE = "The measurement"
FILE = "firstgrad.defaults"
"""In a context's `meta`: the file that gives defaults."""

_MODEL = "pose, or your own: file.py:function, script.py:variable, script.py, package.module:function"
_Models = Annotated[
    list[str] | None,
    typer.Argument(help=f"{_MODEL}. Several: 'models/*.py', a folder, firstgrad.toml or suite.", metavar="MODEL"),
]
_OPTIONS = {name: parameter for name, parameter in PARAMETERS.items() if parameter.text}
SWITCHES = frozenset(name for name, parameter in _OPTIONS.items() if parameter.kind is bool)
"""Options of the pose model that are on or off."""


def option_of(name: str) -> str:
    """Return the option of a parameter."""
    return f"--{name.replace('_', '-')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """Which model: a reference, the pose model's own options, and ``--param`` for any parameter of any model."""

    panel: ClassVar[str] = "The pose model (only for MODEL pose)"
    param_help: ClassVar[tuple[str, str]] = ("NAME=VALUE", "A parameter of the model; may be repeated.")

    words: tuple[str, ...] = (POSE,)
    """What was typed: one model, or several."""
    typed: frozenset[str] = field(default=frozenset(), compare=False)
    """The options of the whole command that were typed, by their names here: they go before those of a suite file."""
    from_file: frozenset[str] = field(default=frozenset(), compare=False)
    """Those that a project's file gives: they go after those of a suite file."""
    given: Mapping[str, str] = field(default_factory=dict)
    """Options of the pose model as they were written, by the parameter's name."""
    param: Sequence[str] = ()  # ``NAME=VALUE`` each

    @classmethod
    def option_parameters(cls) -> list[inspect.Parameter]:
        """Return what Typer is told of any model: the argument and ``--param``."""
        metavar, text = cls.param_help
        param = Annotated[list[str] | None, typer.Option("--param", metavar=metavar, help=text)]
        return [_keyword("model", _Models, [POSE]), _keyword("param", param, None)]

    @classmethod
    def last_parameters(cls) -> list[inspect.Parameter]:
        """Return an option for each declared parameter of the pose model: they stand last in each verb's help."""
        return [_keyword(name, cls._option(parameter), None) for name, parameter in _OPTIONS.items()]

    @classmethod
    def _option(cls, parameter: Parameter) -> Any:
        default = parameter.write(parameter.default)
        text = f"{parameter.text}{f' {parameter.symbol}' * bool(parameter.symbol)}{f' [{default}]' * bool(default)}"
        if parameter.needs:
            text += f"; with {option_of(parameter.needs)}"
        kinds = {int: "N", float: "X", str: "N,N,..."}
        metavar = "|".join(parameter.choices) or kinds[parameter.kind]
        declared = typer.Option(option_of(parameter.name), help=f"{text}.", metavar=metavar, rich_help_panel=cls.panel)
        return Annotated[str | None, declared]

    @classmethod
    def from_options(cls, values: dict[str, Any], context: typer.Context) -> Self:
        """Make the options of what Typer read; takes its own values out of `values`."""
        words, param = tuple(values.pop("model") or [POSE]), values.pop("param")
        typed, from_file = (
            frozenset(name for name in context.params if _source(context, name) == source)
            for source in ("COMMANDLINE", "DEFAULT_MAP")
        )
        given = {name: value for name in _OPTIONS if (value := values.pop(name)) is not None}
        if words != (POSE,):  # what a file says of the pose model is nothing to another
            given = {name: value for name, value in given.items() if name not in from_file}
        return cls(words=words, typed=typed, from_file=from_file, given=given, param=tuple(param or ()))

    @property
    def is_several(self) -> bool:
        """Whether the words may be several models: those of a suite."""
        from firstgrad.suite import is_several

        return is_several(self.words)

    @property
    def model(self) -> str:
        """The one model that the words name; raises SpecError where they may name several."""
        from firstgrad.suite import find_models

        if self.is_several:
            raise SpecError(
                "MODEL",
                f"expected one, got {' '.join(self.words)}. measure, sweep, lint, check and compare take several",
            )
        (word,) = self.words
        return find_models(self.words)[0][0] if word.endswith(".py") and Path(word).is_file() else word

    def to_suite(self, options: CaseOptions | Any = None, tier: str | None = None) -> Suite:
        """Make the suite that the words name, or a tier of it, with what was given beside them in place of its own.

        Options of a case or a sweep go before those of a suite file where they were typed. Raises SpecError naming the
        option, or the key of the suite's file, that doesn't fit.
        """
        from firstgrad.suite import POSE_TIERS, is_suite_file, read_suite, suite_of

        usual = {} if options is None else suite_fields(options, self.from_file)
        suite = read_suite(POSE_TIERS) if self.words == (POSE,) else suite_of(self.words, usual)
        suite = suite.tier(tier).with_parameters(self.axes())
        if options is None:
            return suite
        return replace(suite, **suite_fields(options, self.typed if is_suite_file(self.words[0]) else None))

    def to_models_once(self, tier: str | None) -> tuple[tuple[Model, ...], tuple[OmittedModel, ...]]:
        """Make the model, or each of a suite (or of its tier) with the first value of each of its parameters."""
        self.refuse_tier(tier)
        return self.to_suite(tier=tier).once().make_models() if self.is_several else ((self.to_model(),), ())

    def refuse_tier(self, tier: str | None) -> None:
        """Raise a `SpecError` where a tier is asked of one model."""
        from firstgrad.suite import is_suite_file

        if tier is not None and not is_suite_file(self.words[0]):
            raise SpecError("--tier", "is of a suite file: give suite, or the file, as MODEL")

    def to_model(self) -> Model:
        """Make the model; raises SpecError naming the option that doesn't fit."""
        model = self.model
        if model != POSE:
            self._refuse_pose_options()
            return make_model(model, {name: read_scalar(text) for name, text in self._params().items()})
        values: dict[str, Scalar] = {}
        for name, several in self._pose_axes().items():
            if len(several) > 1:
                raise SpecError(self._place(name), "expected one value; firstgrad sweep takes several")
            (values[name],) = several
        return make_model(POSE, values)

    def axes(self) -> dict[str, tuple[Scalar, ...]]:
        """Return every value of each parameter that was given; raises SpecError naming the option that doesn't fit."""
        if self.words == (POSE,):
            return self._pose_axes()
        self._refuse_pose_options()
        axes: dict[str, tuple[Scalar, ...]] = {}
        for name, text in self._params().items():
            parts = [part.strip() for part in text.split(",")]
            if len(parts) > 1 and not all(parts):
                raise SpecError("--param", f"a value is empty in '{name}={text}'")
            axes[name] = _distinct("--param", text, [read_scalar(part) for part in parts])
        return axes

    def _pose_axes(self) -> dict[str, tuple[Scalar, ...]]:
        written = {name: text for name, text in self._params().items() if name not in self.given}
        if len(written) < len(self.param):
            name = next(name for name in self._params() if name in self.given)
            raise SpecError(f"{option_of(name)}, --param {name}", "give one of them")
        axes: dict[str, tuple[Scalar, ...]] = {}
        for name, text in (*self.given.items(), *written.items()):
            parameter = PARAMETERS.get(name)
            if parameter is None:
                raise SpecError("--param", f"the pose model has no {name!r}. It has: {', '.join(PARAMETERS)}")
            parts = text.split(";") if parameter.kind is str else text.split(",")
            try:
                values = [parameter.read(part.strip()) for part in parts]
            except ValueError as error:
                raise SpecError(self._place(name), str(error)) from None
            axes[name] = _distinct(self._place(name), text, values)
        for parameter in PARAMETERS.values():
            if parameter.needs and parameter.name in axes and True not in axes.get(parameter.needs, ()):
                options = ", ".join(option_of(one.name) for one in _OPTIONS.values() if one.needs == parameter.needs)
                raise SpecError(options, f"need {option_of(parameter.needs)}")
        return axes

    def _place(self, name: str) -> str:
        return option_of(name) if name in self.given else f"--param {name}"

    def _params(self) -> dict[str, str]:
        params: dict[str, str] = {}
        for text in self.param:
            name, equals, value = text.partition("=")
            if not (equals and name.isidentifier()):
                raise SpecError("--param", f"expected {self.param_help[0]}, got {text!r}")
            if name in params:
                raise SpecError("--param", f"{name!r} is given twice")
            params[name] = value
        return params

    def _refuse_pose_options(self) -> None:
        for name in self.given:
            raise SpecError(option_of(name), "belongs to the pose model; give your own model's arguments with --param")


class AxesOptions(ModelOptions):
    """The same with several values each, for a sweep."""

    panel = "Axes of the pose model (only for MODEL pose; the first of each is the base)"
    param_help = ("NAME=A,B,...", "A parameter of the model, an axis where it has several values; may be repeated.")


class Verb(TyperCommand):
    """A command whose help has its options by panel, that of the pose model last, and says what a file gives."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write a section a panel."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if record := parameter.get_help_record(ctx):
                name, text = record
                panel = getattr(parameter, "rich_help_panel", None) or f"{parameter.param_type_name}s".capitalize()
                is_given = parameter.name in (ctx.default_map or ())
                panels.setdefault(panel, []).append((name, text + f" [from {ctx.meta[FILE]}]" * is_given))
        for title, rows in panels.items():
            with formatter.section(title):
                formatter.write_dl(rows)


class ModelCommand(Verb):
    """A command whose switches of the model may stand alone: ``--hmm`` is ``--hmm on``, ``--no-hmm`` is off."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Write switches out, then parse as ever."""
        switches = {option_of(name): name for name in SWITCHES}
        taking = {text for option in self.params if not getattr(option, "is_flag", True) for text in option.opts}
        written: list[str] = []
        is_value = False
        for word, following in zip(args, [*args, ""][1:], strict=False):
            if not is_value and word in switches and not set(following.split(",")) <= {"on", "off"}:
                written.append(f"{word}=on")
            elif not is_value and (name := word.removeprefix("--no-").replace("-", "_")) in switches.values():
                written.append(f"{option_of(name)}=off")
            else:
                written.append(word)
            is_value = not is_value and word in taking and written[-1] == word
        return super().parse_args(ctx, written)


def declare(name: str, text: str, *, panel: str | None = None, short: str = "", **known: Any) -> Any:
    """Declare an option: its name, its help, the panel it stands in, and what else Typer is to know."""
    return typer.Option(*filter(None, (short, name)), help=text, rich_help_panel=panel, **known)


TierOfSuite = Annotated[str | None, declare("--tier", "A tier of the suite file, by its name.", metavar="NAME")]
StoreToRead = Annotated[str | None, declare("--store", "File or URL [.firstgrad/results.sqlite].")]
ExportToRead = Annotated[str | None, declare("--from", "An export, instead of a store.", metavar="FILE.jsonl")]
LabelToRead = Annotated[str | None, declare("--label", "Only records of this label.")]

ModelsToRead = Annotated[
    list[str] | None,
    typer.Argument(help="Only these models, as measure takes them, or a suite's [all].", metavar="MODEL"),
]


def of_models(samples: pd.DataFrame, words: Sequence[str] | None) -> pd.DataFrame:
    """Take the samples of the models that words name, whatever their parameters; of all models where none is named.

    A file names all models that it makes.
    """
    from firstgrad.suite import find_models, suite_of

    if not words:
        return samples
    suite = suite_of(words)
    references, _ = find_models(suite.models, suite.folder, are_here=False)
    asked = samples["reference"]
    chosen = samples[asked.isin(references) | asked.str.rpartition(":")[0].isin(references)]
    if chosen.empty:
        raise SpecError("MODEL", f"there are no records of {' '.join(words)}. Measure first")
    return chosen


_option = functools.partial(declare, panel=MEASURE)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseOptions:
    """What is asked of the model."""

    backend: Annotated[BackendName, _option("--backend", "What the graph is compiled to.")] = BackendName.NUMBA
    device: Annotated[
        str,
        _option("--device", "Where JAX's backends run: cpu, cuda, ... [JAX_PLATFORMS, else cpu].", metavar="PLATFORM"),
    ] = ""
    target: Annotated[
        Target, _option("--target", "Gradient alone, value and gradient as NUTS uses, or the first draw.")
    ] = Target.DLOGP
    scenario: Annotated[Scenario, _option("--scenario", "cold: empty caches; warm: filled; hot: compiled twice.")] = (
        Scenario.COLD
    )
    sampler: Annotated[
        Sampler, _option("--sampler", "The sampler, with --target first_draw; auto: the one that pm.sample takes.")
    ] = Sampler.AUTO
    gradient_backend: Annotated[
        GradientBackend | None, _option("--gradient-backend", "What differentiates for nutpie with jax [pytensor].")
    ] = None
    chains: Annotated[int, _option("--chains", "Number of chains, with --target first_draw.", min=1)] = 1
    evaluations: Annotated[int, _option("--evaluations", "Timed steady-state calls.", min=0)] = 200
    time_limit: Annotated[float, _option("--time-limit", "Seconds after which a sample is stopped.")] = 3600.0
    memory_limit: Annotated[
        str | None, _option("--memory-limit", "Memory limit of the process tree, such as 4GiB.")
    ] = None
    label: Annotated[str, _option("--label", "Your name for this run.")] = ""

    def to_case(self, model: Model) -> Case:
        """Make the case that these options ask for; raises SpecError naming the option that doesn't fit."""
        return Case(
            model=model,
            backend=self.backend,
            device=self.device,
            target=self.target,
            scenario=self.scenario,
            sampler=self.sampler,
            gradient_backend=self.gradient_backend,
            chains=self.chains,
            evaluations=self.evaluations,
            time_limit_seconds=self.time_limit,
            memory_limit_bytes=memory_limit_bytes(self.memory_limit),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureOptions(CaseOptions):
    """How to measure, and where records go."""

    counting: Annotated[
        Counting, _option("--counting", "Also count calls, or instructions with Valgrind; seconds are then not used.")
    ] = Counting.PLAIN
    samples: Annotated[int, _option("--samples", "Number of processes to measure.", min=1, max=MOST_SAMPLES)] = 1
    tier: TierOfSuite = None
    store: Annotated[str | None, _option("--store", "File, database URL, or none [.firstgrad/results.sqlite].")] = None

    def to_case(self, model: Model) -> Case:
        """Make the case, with what it counts."""
        return replace(CaseOptions.to_case(self, model), counting=self.counting)


_AXES: Mapping[str, type[StrEnum]] = {
    "backend": BackendName,
    "scenario": Scenario,
    "target": Target,
    "sampler": Sampler,
}
_NOT_OF_A_SUITE = ("label", "store", "tier")


def suite_fields(options: Any, typed: Collection[str] | None = None) -> dict[str, Any]:
    """Return the fields of a suite that options of a case or a sweep give: all that aren't none, or those typed."""
    made: dict[str, Any] = {}
    for entry in fields(options):
        name, value = entry.name, getattr(options, entry.name)
        if value is None or name in _NOT_OF_A_SUITE or not (typed is None or name in typed):
            continue
        if name in _AXES:
            made[f"{name}s"] = _members(option_of(name), value, _AXES[name])
        elif name == "device":
            made |= {"devices": _split("--device", value), "devices_from": "--device"}
        elif name == "memory_limit":
            made["memory_limit_bytes"] = memory_limit_bytes(value)
        else:
            made["time_limit_seconds" if name == "time_limit" else name] = value
    return made


def _split(option: str, text: str) -> tuple[str, ...]:
    return _distinct(option, text, tuple(part.strip() for part in text.split(",")))


def _members[T: StrEnum](option: str, text: str, kind: type[T]) -> tuple[T, ...]:
    parts = _split(option, text)
    if unknown := [part for part in parts if part not in kind]:
        raise SpecError(option, f"expected some of {', '.join(kind)}, got {unknown[0]!r}")
    return tuple(kind(part) for part in parts)


def memory_limit_bytes(text: str | None) -> int | None:
    """Read ``--memory-limit``; raise SpecError, naming the option, where the text is no size."""
    if text is None:
        return None
    try:
        return parse_bytes(text)
    except SpecError as error:
        raise SpecError("--memory-limit", error.problem) from None


def read_scalar(text: str) -> Scalar:
    """Read a number, true or false, as Python writes them, too; anything else is a text, also a list, however deep."""
    if text in ("True", "False"):
        return text == "True"
    if text.lstrip()[:1] in {"[", "{"}:
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float | str) else text


def choose_metrics(names: Sequence[str]) -> tuple[Column, ...]:
    """Find metrics, in the order of their list; no names, or ``all``, are all of them; raises SpecError for others."""
    from firstgrad.columns import METRICS, require_metrics

    require_metrics(names, "--metric", "all")
    return tuple(metric for metric in METRICS if not names or "all" in names or metric.name in names)


Quiet = Annotated[bool, declare("--quiet", "Results and errors only: no progress, no notes.", short="-q")]
Verbose = Annotated[bool, declare("--verbose", "Also what is done and why: workers, caches, limits.", short="-v")]
_VOICE = {"quiet": Quiet, "verbose": Verbose}


def spread(function: Callable[..., None], *, is_verb: bool = True) -> Callable[..., None]:
    """Return a command whose dataclass parameters are replaced by their fields, so that Typer sees plain options.

    A verb has ``--quiet`` and ``--verbose``, too; those before the verb are heard as well.
    """
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, type[Any]] = {}
    parameters: list[inspect.Parameter] = [_keyword("context", typer.Context, None)]
    last: list[inspect.Parameter] = [_keyword(name, kind, False) for name, kind in _VOICE.items() if is_verb]
    for name, parameter in inspect.signature(function).parameters.items():
        kind = hints[name]
        if not (isinstance(kind, type) and is_dataclass(kind)):
            parameters.append(parameter.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        groups[name] = kind
        if issubclass(kind, ModelOptions):
            parameters += kind.option_parameters()
            last += kind.last_parameters()
        else:
            parameters += _field_parameters(kind)
    parameters += last

    @functools.wraps(function)
    def command(**values: Any) -> None:
        context = values.pop("context")
        if is_verb:
            _begin(context, **{name: values.pop(name) for name in _VOICE})
        made = {
            name: kind.from_options(values, context)
            if issubclass(kind, ModelOptions)
            else kind(**{entry.name: values.pop(entry.name) for entry in fields(kind)})
            for name, kind in groups.items()
        }
        function(**made, **values)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by Typer
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _begin(context: typer.Context, *, quiet: bool, verbose: bool) -> None:
    """Begin a verb: how much is told, and what a file gives."""
    before = context.find_root().params
    typed = {name for name in _VOICE if before.get(name) or _source(context, name) == "COMMANDLINE"}
    asked = {"quiet": quiet or before.get("quiet"), "verbose": verbose or before.get("verbose")}
    voice = {name: bool(asked[name]) and (name in typed or not typed) for name in _VOICE}
    given = [one for one in context.command.params if _source(context, one.name) == "DEFAULT_MAP"]
    words = tuple(word for one in given for word in _write_option(one, context.lookup_default(str(one.name))))
    begin(**voice, from_file=words)
    if words and voice["verbose"]:
        import logging

        logging.getLogger(__name__).info("%s gives %s", context.meta[FILE], shlex.join(words))


def _write_option(option: Any, value: Any) -> list[str]:
    """Write an option as it would be typed."""
    name = max(option.opts, key=len)
    if isinstance(value, bool):
        return [name] if value else option.secondary_opts[:1]
    return [f"{name}={one}" for one in (value if isinstance(value, list) else [value])]


def _source(context: typer.Context, name: Any) -> str:
    """Name where a parameter's value is from."""
    source = context.get_parameter_source(name)
    return "" if source is None else source.name


def replace_options(
    words: Sequence[str], model: ModelOptions, case: CaseOptions, *, where: str, hint_on_extra: str = ""
) -> tuple[ModelOptions, CaseOptions]:
    """Read options with a command's own as defaults, for another side of the same question.

    Another model family takes over nothing of the model's own options. Of the same one, what belongs to a part that
    isn't there any more (states without an HMM, the parents of another skeleton) isn't taken over either.

    `where` is what the user calls these words, for errors; `hint_on_extra` is added to the one about more arguments
    than one model. Raises SpecError naming `where`, where the words are no such options.
    """
    values = {entry.name: getattr(case, entry.name) for entry in fields(case)}
    plain = {name: str(value) if isinstance(value, str) else value for name, value in values.items()}
    defaults = {name: value for name, value in plain.items() if value is not None} | {"model": list(model.words)}
    other, asked = _parse(words, defaults, where=where)
    if len(other.words) > 1 and other.words != model.words:
        raise SpecError(where, f"expected one model, got {' '.join(other.words)}{hint_on_extra}")
    if other.words != model.words and (POSE,) in (other.words, model.words):
        return other, asked
    param = {text.partition("=")[0]: text for text in (*model.param, *other.param)}
    given = {**model.given, **other.given}
    if given.get("hmm", "off") == "off":
        given = {name: text for name, text in given.items() if name in other.given or not PARAMETERS[name].needs}
    if other.given.get("skeleton", model.given.get("skeleton")) != model.given.get("skeleton"):
        given = {name: text for name, text in given.items() if name in other.given or name != "parents"}
    return replace(other, given=given, param=tuple(param.values())), asked


def _parse(words: Sequence[str], defaults: dict[str, Any], *, where: str) -> tuple[ModelOptions, CaseOptions]:
    from typer.main import get_command

    taken: list[tuple[ModelOptions, CaseOptions]] = []

    def take(model: ModelOptions, case: CaseOptions) -> None:
        taken.append((model, case))

    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    # The annotations are given as types: strings would be looked up among this module's own names.
    take.__annotations__ = {"model": ModelOptions, "case": CaseOptions, "return": None}
    app.command(add_help_option=False, cls=ModelCommand)(spread(take, is_verb=False))
    try:
        get_command(app).main(list(words), prog_name=where, standalone_mode=False, default_map=defaults)
    except Exception as error:
        # What Typer raises for wrong use has this method; it has brought its own Click since 0.20.
        explain = getattr(error, "format_message", None)
        if explain is None:
            raise
        raise SpecError(where, explain().rstrip(".")) from None
    return taken[0]


def _field_parameters(kind: type[Any]) -> list[inspect.Parameter]:
    annotations = get_type_hints(kind, include_extras=True)
    return [
        _keyword(
            entry.name, annotations[entry.name], inspect.Parameter.empty if entry.default is MISSING else entry.default
        )
        for entry in fields(kind)
    ]


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _distinct[T: Scalar](place: str, text: str, values: Sequence[T]) -> tuple[T, ...]:
    if len(set(values)) < len(values):
        raise SpecError(place, f"a value is given twice in {text!r}")
    return tuple(values)
