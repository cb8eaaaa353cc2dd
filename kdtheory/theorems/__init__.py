r"""Theorems: every result stated once, computed by two routes, and checked on any problem.

One module per paper, each with a tuple `THEOREMS`. ``python -m kdtheory verify`` checks them on data; the tests hold them
as properties of random problems; the tables in the documentation list them. A new one takes 30 lines: docs/extending.md.

Examples
--------
>>> import numpy as np
>>> from kdtheory import kernels, theorems
>>> from kdtheory.problem import Problem
>>> X = np.linspace(0, 3, 40)[:, None]
>>> problem = Problem.split("sine", X, np.sin(4 * X), kernel=kernels.rbf, ridge=0.1)
>>> limit = theorems.find("limit is ridge")[0]
>>> limit.statement
'\\hat f_\\infty(x) = k(x)^\\top\\left(K + \\tfrac{\\lambda}{1-w} I\\right)^{-1} y, \\quad 0 \\le w < 1'
>>> limit.check(problem).holds
True
"""

from __future__ import annotations

from types import ModuleType

from kdtheory.theorems import (
    ali,
    ben_baruch,
    ben_baruch_large,
    ben_baruch_orthogonal,
    borup_andersen,
    borup_andersen_shrinkage,
    buhlmann_yu,
    constant_chains,
    dang,
    das_sanghavi,
    deterministic_equivalents,
    filter_algebra,
    ildiz,
    jacot,
    jacot_networks,
    mobahi,
    pareek,
    simon,
)
from kdtheory.theorems.statement import Assumption, Check, Source, Theorem

__all__ = ["PAPERS", "Assumption", "Check", "Source", "Theorem", "all", "find", "heading", "home"]

#: The modules of theorems, in the order of the tables.
PAPERS: tuple[ModuleType, ...] = (
    mobahi,
    borup_andersen,
    borup_andersen_shrinkage,
    das_sanghavi,
    pareek,
    dang,
    deterministic_equivalents,
    filter_algebra,
    constant_chains,
    jacot,
    jacot_networks,
    ali,
    buhlmann_yu,
    ildiz,
    simon,
    ben_baruch,
    ben_baruch_orthogonal,
    ben_baruch_large,
)


def all() -> tuple[Theorem, ...]:
    """Every theorem, paper by paper."""
    return tuple(theorem for paper in PAPERS for theorem in paper.THEOREMS)


def home(theorem: Theorem) -> ModuleType:
    """The module that states a theorem."""
    return next(module for module in PAPERS if any(each is theorem for each in module.THEOREMS))


def heading(theorem: Theorem) -> str:
    """The paper of a theorem; in the module that gathers several, the module's subject too."""
    subject = (home(theorem).__doc__ or "").partition(":")[0]
    here = theorem.source.reference
    return here if subject.endswith(")") else f"{here}: {subject[:1].lower()}{subject[1:]}"


def find(name: str = "", *, paper: str = "") -> tuple[Theorem, ...]:
    """Theorems whose name, and paper (authors, year, arXiv number or module), contain these texts, in any case.

    Raises
    ------
    ValueError
        If there is none.
    """
    found = tuple(
        theorem
        for module in PAPERS
        for theorem in module.THEOREMS
        if paper.lower() in f"{module.__name__.rpartition('.')[2]} {theorem.source.reference}".lower()
        and name.lower() in theorem.name.lower()
    )
    if not found:
        asked = " and ".join(f"`{key}` containing {text!r}" for key, text in (("paper", paper), ("name", name)) if text)
        papers = ", ".join(module.__name__.rpartition(".")[2] for module in PAPERS)
        raise ValueError(
            f"No theorem has {asked}; the papers are {papers}, and `python -m kdtheory theorems` lists the names."
        )
    return found
