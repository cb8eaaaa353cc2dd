"""What every theorem must survive, whatever its paper."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings

from kdtheory import kernels, theorems
from kdtheory.problem import Problem
from kdtheory.testing import problems

WILD = problems()
TAME = problems(least=5, condition=1e3, ties=False, zeros=False, smallest_ridge=1e-2, largest_ridge=10.0)


def typical():
    """Forty noisy points on a line: well conditioned, nothing special."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, size=(60, 2))
    clean = Problem.split("typical", X, np.sin(2 * X[:, 0]) + 0.3 * X[:, 1], kernel=kernels.rbf, ridge=0.3)
    return replace(clean, y=clean.signal + 0.5 * rng.normal(size=clean.signal.shape))


def never_fails(theorem):
    """On problems of any conditioning, with ties and zeros: the law holds, or the reason why it cannot be told is given."""
    share = 10 if theorem.simulated else 1

    @settings(max_examples=max(5, settings.default.max_examples // share))
    @given(WILD)
    def law(problem):
        check = theorem.check(problem)
        assert not check.fails, str(check)
        assert not check.reason.startswith("not computed"), str(check)

    law()


def holds_where_it_applies(theorem):
    """On problems without extremes a verdict is due: at most two in five may be out of reach."""
    verdicts = []
    share = 10 if theorem.simulated else 1

    @settings(max_examples=max(5, settings.default.max_examples // share))
    @given(TAME)
    def law(problem):
        check = theorem.check(problem)
        verdicts.append(check.holds)
        assert not check.fails, str(check)

    law()
    assert np.mean(verdicts) >= 0.6, f"{theorem.name}: a verdict on {np.mean(verdicts):.0%} of tame problems only"


def can_fail(theorem):
    """The check is worth something: it holds on a typical problem, and a wrong side does not pass."""
    problem = typical()
    check = theorem.check(problem)
    assert check.holds, str(check)
    change = max(2e-3, 3 * check.tolerance)
    if theorem.at_most:
        wrong = replace(theorem, right=lambda p: check.left - change * np.abs(check.left).max())
    else:
        wrong = replace(theorem, right=lambda p: (1 + change) * check.right)
    assert wrong.check(problem).fails, f"{theorem.name} passes a wrong right side"


def is_documented(theorem):
    """Name, source and statement can be printed in a table and read in LaTeX."""
    assert len(theorem.name) <= 64
    assert "|" not in theorem.name
    assert theorem.statement.count("{") == theorem.statement.count("}")
    assert theorem.statement.count(r"\left") >= theorem.statement.count(r"\right")
    assert theorem.source.year > 1900
    assert all(assumption.words for assumption in theorem.assumptions)


LAWS = (never_fails, holds_where_it_applies, can_fail, is_documented)


def of(module):
    """Arguments of pytest.mark.parametrize: every law of every theorem of a paper."""
    found = [t for t in theorems.all() if t in module.THEOREMS]
    pairs = [(law, theorem) for theorem in found for law in LAWS]
    return {
        "argnames": ("law", "theorem"),
        "argvalues": pairs,
        "ids": [f"{law.__name__}: {theorem.name}" for law, theorem in pairs],
    }
