"""The interface on the site: a page per public module, its names in one table, then each in full."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterable
from types import GenericAlias, ModuleType

INTERFACE = {
    "Kernels, and networks of infinite width": (
        "kdtheory.kernels", "kdtheory.activations", "kdtheory.infinite", "kdtheory.architectures", "kdtheory.infinite_depth",
        "kdtheory.dynamics", "kdtheory.early_stopping",
    ),
    "The eigenbasis and its filters": (
        "kdtheory.spectrum", "kdtheory.filters", "kdtheory.distillation", "kdtheory.constrained",
    ),
    "Weights and risk": (
        "kdtheory.weights", "kdtheory.risk", "kdtheory.likelihood",
    ),
    "Pruned data": ("kdtheory.pruning",),
    "Many points, without data": ("kdtheory.asymptotics", "kdtheory.two_stage", "kdtheory.eigenframework"),
    "Many points, with data": ("kdtheory.scale", "kdtheory.arrays"),
    "scikit-learn": ("kdtheory.estimators",),
    "Claims and how they are checked": (
        "kdtheory.theorems", "kdtheory.problem", "kdtheory.verify", "kdtheory.testing",
    ),
    "Trained networks": (
        "empirical.data", "empirical.label_noise", "empirical.networks", "empirical.convolutional", "empirical.recipe",
        "empirical.training", "empirical.ensembles", "empirical.losses", "empirical.scores", "empirical.subsets",
        "empirical.pruned", "empirical.ntk", "empirical.linear", "empirical.kernel_students",
    ),
    "From trained networks to a weight": (
        "empirical.bridge", "empirical.pairs", "empirical.rules", "empirical.suggest", "empirical.verdict", "empirical.store",
    ),
}  # fmt: skip


COMMANDS = {("empirical.suggest", "add_arguments"), ("empirical.suggest", "run")}  # what the command line is made of


def interface() -> dict[str, str]:
    """A page per public module: its text, its names in one table, then each in full."""
    files = {f"api/{name}.md": _module(name) for names in INTERFACE.values() for name in names}
    lines = ["# API", "", "`import kdtheory as kd` gives the names below; submodules hold the rest.", ""]
    lines += ["| name | what it is |", "|---|---|", *map(_shortcut, _shortcuts()), ""]
    for title, names in INTERFACE.items():
        lines += [f"## {title}", "", "| module | what it is |", "|---|---|"]
        for name in names:
            first = (importlib.import_module(name).__doc__ or "").strip().partition("\n")[0]
            lines.append(f"| [`{name}`]({name}.md) | {_inline(first)} |")
        lines += ["", "```{toctree}", ":hidden:", "", *names, "```", ""]
    return files | {"api/index.md": "\n".join(lines) + "\n"}


def _inline(text: str) -> str:
    """Inline reStructuredText of a docstring's first line as Markdown."""
    text = re.sub(r":math:`([^`]*)`", r"$\1$", text)
    return re.sub(r"(?<!`)`{1,2}([^`]+)`{1,2}", r"`\1`", text).replace("|", r"\|")


def _shortcuts() -> list[str]:
    kd = importlib.import_module("kdtheory")
    return [name for name in kd.__all__ if not isinstance(getattr(kd, name), ModuleType)]


def _shortcut(name: str) -> str:
    """A row that leads to where a name of `kdtheory` itself is explained."""
    modules = (module for names in INTERFACE.values() for module in names)
    home = next(module for module in modules if name in importlib.import_module(module).__all__)
    first = (inspect.getdoc(getattr(importlib.import_module("kdtheory"), name)) or "").partition("\n\n")[0].replace("\n", " ")
    return f"| [`kd.{name}`](#{home}.{name}) | {_inline(first)} |"


def _summary(module: str, names: Iterable[str]) -> list[str]:
    return [
        f".. currentmodule:: {module}",
        "",
        ".. autosummary::",
        "   :nosignatures:",
        "",
        *(f"   {name}" for name in names),
        "",
    ]


def _module(name: str) -> str:
    module = importlib.import_module(name)
    public = [each for each in module.__all__ if (name, each) not in COMMANDS]
    documented = [each for each in public if _is_documented(getattr(module, each))]
    lines = [f"# {name}", "", "```{eval-rst}", f".. automodule:: {name}", "   :no-members:", "", *_summary(name, documented)]
    for each in public:
        if isinstance(getattr(module, each), GenericAlias):  # a name for a type, without a text of its own
            continue
        if each not in documented:
            lines += _constant(module, each)
        elif inspect.isclass(getattr(module, each)):
            lines += [f".. autoclass:: {each}", "   :members:", "   :exclude-members: set_fit_request, set_score_request", ""]
        else:
            lines += [f".. autofunction:: {each}", ""]
    return "\n".join([*lines, "```"]) + "\n"


def _is_documented(value: object) -> bool:
    return inspect.isclass(value) or inspect.isroutine(value)


def _constant(module: ModuleType, name: str) -> list[str]:
    """A constant or a type's name, with what its line in the source says of it."""
    value, source = repr(getattr(module, name)), inspect.getsource(module)
    home = re.search(rf"^from (\w+\.\w+) import (?:\([^)]*|[^(\n]*)\b{name}\b", source, re.MULTILINE)
    source = inspect.getsource(importlib.import_module(home[1])) if home else source
    said = re.search(rf"^{name}\b[^#\n]*#:? (.+)$|^#: (.+)\n{name}\b", source, re.MULTILINE)
    shown = [f"   :value: {value}"] if len(value) < 70 and " at 0x" not in value else []
    text = next(filter(None, said.groups()), "") if said else ""
    return [f".. py:data:: {name}", *shown, "", f"   {text}", ""]
