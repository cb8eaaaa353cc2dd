"""Worst relative errors of filters, weights and limits against mpmath, over the ranges that the documentation states.

``python benchmarks/precision.py`` prints the table; ``--write`` puts it into docs/precision.md. References carry 50 digits
more than the problem can lose. `worst_errors()` is what the tests compare with the table.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import warnings
from pathlib import Path

import mpmath as mp
import numpy as np

import kdtheory as kd
from kdtheory.asymptotics import Population, implicit_ridge, pruned_risk_curves, risk_curve
from kdtheory.constrained import constrained_rounds
from kdtheory.weights import expected_curve, one_shot_weight, optimal_polynomial

TABLE = Path(__file__).parents[1] / "docs" / "precision.md"
RATIOS = np.logspace(-16, 16, 33)
DIGITS = 120


def _worst(got, exact):
    """Largest relative error, where the reference is a normal double."""
    pairs = [(mp.mpf(float(g)), e) for g, e in zip(np.ravel(got), exact, strict=True) if abs(e) > mp.mpf("1e-290")]
    return max(float(abs((g - e) / e)) for g, e in pairs)


def _chain(d, ridges, weights):
    """(fit, dual, residual) of the last round by the recursion."""
    d, fit = mp.mpf(float(d)), mp.mpf(1)
    for ridge, weight in zip(ridges, [0.0, *weights], strict=True):
        dual = ((1 - mp.mpf(weight)) + mp.mpf(weight) * fit) / (d + mp.mpf(ridge))
        fit = d * dual
    return fit, dual, 1 - fit


def _filter(filter, exact):
    """Worst error of fit, dual and residual over d / ridge from 1e-16 to 1e16 at ridge 0.3."""
    d = 0.3 * RATIOS
    references = [exact(value) for value in d]
    return max(
        _worst(getattr(filter, name)(d), [r[i] for r in references]) for i, name in enumerate(("fit", "dual", "residual"))
    )


def _ridge(d):
    d, ridge = mp.mpf(float(d)), mp.mpf(0.3)
    return d / (d + ridge), 1 / (d + ridge), ridge / (d + ridge)


def _flow(d):
    decay = mp.exp(-mp.mpf(10) * mp.mpf(float(d)))
    return 1 - decay, (1 - decay) / mp.mpf(float(d)), decay


def chains():
    """Constant and mixed schedules in [0, 1]."""
    worst = 0.0
    for w, T in itertools.product((0.0, 1e-12, 0.3, 0.75, 1 - 1e-12, 1.0), (1, 3, 20)):
        worst = max(worst, _filter(kd.Distilled(0.3, [w] * T), lambda d, w=w, T=T: _chain(d, [0.3] * (T + 1), [w] * T)))
    mixed = [1.0, 0.5, 1 - 1e-12, 0.0, 0.9]
    return max(worst, _filter(kd.Distilled(0.3, mixed), lambda d: _chain(d, [0.3] * 6, mixed)))


def long_chain():
    """A million rounds at weights up to one, by the geometric sum."""

    def exact(d, w):
        d, ridge, w = mp.mpf(float(d)), mp.mpf(0.3), mp.mpf(w)
        a, r = d / (d + ridge), w * d / (d + ridge)
        powers = lambda m: mp.mpf(m) if r == 1 else (1 - r**m) / (1 - r)  # noqa: E731
        fit, teacher = ((1 - w) * a * powers(m) + r**m for m in (10**6 + 1, 10**6))
        return fit, ((1 - w) + w * teacher) / (d + ridge), ridge / (d + ridge) * powers(10**6 + 1)

    constant = lambda w: kd.Distilled.constant(ridge=0.3, teacher_weight=w, rounds=10**6)  # noqa: E731
    return max(_filter(constant(w), lambda d, w=w: exact(d, w)) for w in (0.75, 1 - 1e-6, 1 - 1e-12, 1.0))


def limits():
    """Ridge / (1 - w) for w in [-1, 1)."""
    worst = 0.0
    for w in (-1.0, -0.5, 0.0, 0.5, 0.75, 1 - 1e-9):
        ridge = mp.mpf(0.3) / (1 - mp.mpf(w))
        exact = lambda d, ridge=ridge: (d / (d + ridge), 1 / (d + ridge), ridge / (d + ridge))  # noqa: E731
        worst = max(worst, _filter(kd.Distilled.limit(ridge=0.3, teacher_weight=w), lambda d, e=exact: e(mp.mpf(float(d)))))
    return worst


def _spectra():
    """Diagonal problems: eigenvalues over twelve decades, signal, ridge from 1e-6 to 100."""
    rng = np.random.default_rng(0)
    for ridge in (1e-6, 1e-3, 0.1, 1.0, 100.0):
        d = 10.0 ** -np.sort(rng.uniform(0, 12, size=9))
        d[0] = 1.0
        yield kd.Spectrum(d, np.eye(9)), rng.normal(size=9), ridge


def expected_weights():
    """Vertex of the expected error, both metrics; the terms of its numerator cancel near zero, so that is left out."""
    worst = 0.0
    for s, f, ridge in _spectra():
        for noise, error in itertools.product((0.0, 1.0, 1e6), ("prediction", "parameters")):
            top = bottom = size = mp.mpf(0)
            for d, theta in zip(s.eigenvalues, f, strict=True):
                x, e, v = mp.mpf(float(d)), mp.mpf(float(theta)) ** 2, mp.mpf(noise)
                a, u, m = x / (x + ridge), ridge / (x + ridge), 1 / x if error == "parameters" else 1
                top, bottom = top + m * a * u * (a * v - u * e), bottom + m * (a * u) ** 2 * (e + v)
                size += m * a * u * (a * v + u * e)
            if abs(top) > size / 1000:
                got = expected_curve(s, f, noise_variance=noise, ridge=ridge, error=error).optimal_weight
                worst = max(worst, _worst([got], [top / bottom]))
    return worst


def one_shot_weights():
    """Leave-one-out and both GCV forms on a kernel matrix of 12 points, ridge from 1e-3 to 100."""
    worst, x = 0.0, np.linspace(0, 1, 12)[:, None]
    K, y = kd.kernels.rbf(x, gamma=8.0), np.sin(5 * x[:, 0]) + np.cos(40 * x[:, 0])
    s = kd.Spectrum.from_gram(K)
    for ridge in (1e-3, 0.1, 1.0, 100.0):
        M = mp.inverse(mp.matrix(K.tolist()) + ridge * mp.eye(12))
        left = ridge * M
        moved = left - left * left  # S - S^2
        r0, m0 = left * mp.matrix(y.tolist()), moved * mp.matrix(y.tolist())
        tr = lambda A: sum(A[i, i] for i in range(12)) / 12  # noqa: E731
        for method in ("leave-one-out", "gcv-derivative", "gcv"):
            r, step = [], []
            for i in range(12):
                h, c = (left[i, i], moved[i, i]) if method == "leave-one-out" else (tr(left), tr(moved))
                r.append(r0[i] / h)
                q = (r0[i] + m0[i]) / (h + c) if method == "gcv" else r[-1] + m0[i] / h - r[-1] * c / h
                step.append(q - r[-1])
            exact = -sum(a * b for a, b in zip(r, step, strict=True)) / sum(b**2 for b in step)
            worst = max(worst, _worst([one_shot_weight(s, y, ridge=ridge, method=method)], [exact]))
    return worst


def free_polynomials():
    """Multipliers of the best k rounds, k = 1 .. 5, against the normal equations; eigenvalues within three decades."""
    worst, d = 0.0, np.array([1.0, 0.5, 0.2, 0.05, 0.01, 0.001])
    f, noise, s = np.array([1.0, -0.5, 0.3, 0.8, 0.1, 0.4]), 0.05, kd.Spectrum(d, np.eye(6))
    for ridge, k in itertools.product((0.01, 0.1, 1.0), range(1, 6)):
        h = [mp.mpf(float(v)) / (mp.mpf(float(v)) + mp.mpf(ridge)) for v in d]
        energy = [mp.mpf(float(v)) ** 2 for v in f]
        columns = [[x * (1 - x ** (i + 1)) for x in h] for i in range(k)]
        M, m = mp.matrix(k, k), mp.matrix(k, 1)
        for i, j in itertools.product(range(k), range(k)):
            M[i, j] = sum((e + noise) * a * b for e, a, b in zip(energy, columns[i], columns[j], strict=True))
        for i in range(k):
            m[i] = sum(a * ((1 - x) * e - x * noise) for e, a, x in zip(energy, columns[i], h, strict=True))
        free = mp.lu_solve(M, -m)
        exact = [x - sum(free[i] * columns[i][j] for i in range(k)) for j, x in enumerate(h)]
        got = optimal_polynomial(s, f, noise_variance=noise, ridge=ridge, rounds=k).fit(d)
        scale = max(abs(e) for e in exact)
        worst = max(worst, *(float(abs(mp.mpf(float(g)) - e) / scale) for g, e in zip(got, exact, strict=True)))
    return worst


def asymptotic_quantities():
    """Implicit ridge, risk and optimal weight of a power-law population, against the explicit traces."""
    worst = 0.0
    e, v = np.arange(1, 41.0) ** -1.5, np.arange(1, 41.0) ** -1.0
    population = Population(e, v, 0.3)
    for ridge in (1e-6, 1e-2, 1.0, 1e3):
        n, exact_e = 30, [mp.mpf(float(x)) for x in e]
        equation = lambda k, ridge=ridge: k * (n - sum(x / (x + k) for x in exact_e)) - mp.mpf(ridge)  # noqa: E731
        got = implicit_ridge(population, n=n, ridge=ridge)
        k = mp.findroot(equation, mp.mpf(got))
        worst = max(worst, _worst([got], [k]))
        value = lambda ell: _risk_at(exact_e, v, mp.mpf(0.3), n, ell)  # noqa: E731
        curve = risk_curve(population, n=n, ridge=ridge)
        worst = max(worst, _worst([curve(0.0)], [value(mp.mpf(ridge))]))
        slope = mp.diff(value, mp.mpf(ridge), h=mp.mpf(ridge) * mp.mpf("1e-20"))
        worst = max(worst, _worst([-2 * curve.curvature * curve.optimal_weight], [mp.mpf(ridge) * slope]))
    return worst


def pruned_limits():
    """Start, slope and curvature of the risk on a random subset, from the two-point risk, differences taken in mpmath."""
    e, v, noise, n = np.arange(1, 41.0) ** -1.5, np.arange(1, 41.0) ** -1.0, 0.3, 60
    population, exact_e, worst = Population(e, v, noise), [mp.mpf(float(x)) for x in e], 0.0
    energy = [mp.mpf(float(s)) ** 2 for s in v]
    for m, own, other in itertools.product((6, 30, 60), (1e-6, 1e-2, 1.0, 1e3), (1e-6, 1.0, 1.0 + 1e-9)):
        curves = pruned_risk_curves(
            population, n=n, keep_fraction=m / n, ridge=own, teacher_ridge=other, ridge_convention="absolute"
        )
        k, t = (_implicit(exact_e, size, mp.mpf(ridge)) for size, ridge in ((m, own), (n, other)))
        t = t if t != k else k * (1 + mp.mpf("1e-40"))  # the differences are limits
        R = {}
        for name, a, b in (("kk", k, k), ("kt", k, t), ("tt", t, t)):
            both = [x / (x + a) * x / (x + b) for x in exact_e]
            learned = sum(a * b / ((x + a) * (x + b)) * s for x, s in zip(exact_e, energy, strict=True))
            R[name, "left"] = 1 - sum(both) / n
            R[name] = (mp.mpf(noise) + learned) / R[name, "left"]
        first, second = (R["kt"] - R["kk"]) / (t - k), (R["tt"] - 2 * R["kt"] + R["kk"]) / (t - k) ** 2
        tau = mp.mpf(other) / n / R["kt", "left"]
        C = R["kk", "left"] / (1 - sum((x / (x + k)) ** 2 for x in exact_e) / m) - 1
        slope = 2 * tau * first + 2 * C * tau / t * (k * first - R["kk"])
        bend = tau**2 * second + C * (tau / t) ** 2 * (k**2 * second - 2 * k * first + R["kk"])
        worst = max(worst, _worst([curves.start, curves.slope, curves.curvature], [R["kk"] * (1 + C), slope, bend]))
    return worst


def _implicit(e, n, ridge):
    """Root of k (n - df_1) = ridge, from the double-precision one."""
    start = implicit_ridge(Population([float(x) for x in e], np.ones(len(e)), 0.0), n=n, ridge=float(ridge))
    return mp.findroot(lambda k: k * (n - sum(x / (x + k) for x in e)) - ridge, mp.mpf(start))


def _risk_at(e, v, noise, n, ridge):
    start = ridge / n + sum(e) / n
    k = mp.findroot(lambda k: k * (n - sum(x / (x + k) for x in e)) - ridge, start)
    bias = sum((k / (x + k) * mp.mpf(float(s))) ** 2 for x, s in zip(e, v, strict=True))
    return (noise + bias) / (1 - sum((x / (x + k)) ** 2 for x in e) / n)


def constrained_ridges():
    """Ridges at a fixed training error, by root finding with 50 digits."""
    worst = 0.0
    d, y = np.array([2.0, 0.7, 0.1, 1e-3]), np.array([1.0, -0.8, 0.6, 0.3])
    result = constrained_rounds(kd.Spectrum(d, np.eye(4)), y, tolerance=0.06)
    z = [mp.mpf(float(value)) for value in y]
    for got in result.ridges:
        gap = lambda c, z=z: sum((c / (mp.mpf(float(x)) + c) * t) ** 2 for x, t in zip(d, z, strict=True)) - 4 * mp.mpf(0.06)  # noqa: E731
        c = mp.findroot(gap, mp.mpf(float(got)))
        worst = max(worst, _worst([got], [c]))
        z = [t * mp.mpf(float(x)) / (mp.mpf(float(x)) + c) for x, t in zip(d, z, strict=True)]
    return worst


QUANTITIES = (
    ("ridge: fit, dual, residual", "d / ridge from 1e-16 to 1e16", lambda: _filter(kd.Ridge(0.3), _ridge)),
    ("gradient flow: fit, dual, residual", "the same, time 10", lambda: _filter(kd.GradientFlow(10.0), _flow)),
    ("chains: fit, dual, residual", "the same; weights in [0, 1], up to 20 rounds", chains),
    ("a million rounds", "the same; weights 0.75 to 1", long_chain),
    ("the limit ridge / (1 - w)", "the same; w in [-1, 1)", limits),
    ("expected optimal weight", "eigenvalues over 12 decades, ridge 1e-6 to 100, noise 0 to 1e6", expected_weights),
    ("one-shot weight, three forms", "kernel matrix of 12 points, ridge 1e-3 to 100", one_shot_weights),
    ("best k rounds: multipliers", "k up to 5, eigenvalues over 3 decades; relative to the largest", free_polynomials),
    ("implicit ridge, risk, slope of the risk", "power law, 30 points, ridge 1e-6 to 1e3", asymptotic_quantities),
    ("random subset: risk, its slope and curvature", "6 to 60 of 60 points, ridges 1e-6 to 1e3", pruned_limits),
    ("constrained ridges", "4 eigenvalues over 3 decades, until collapse", constrained_ridges),
)


def worst_errors():
    """Worst relative error of each quantity."""
    with warnings.catch_warnings(), mp.workdps(DIGITS):
        warnings.simplefilter("ignore")
        return {name: measure() for name, _, measure in QUANTITIES}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true", help=f"write {TABLE.name}")
    write, errors = parser.parse_args().write, worst_errors()
    rows = [f"| {name} | {over} | {errors[name]:.0e} |" for name, over, _ in QUANTITIES]
    text = (
        "# Precision\n\nWorst relative errors against mpmath (120 digits), over the ranges stated; the unit roundoff is 2e-16.\n"
        "`python benchmarks/precision.py` measures them again; the tests hold them within a factor of ten.\n\n"
        "| quantity | over | worst relative error |\n|---|---|---|\n" + "\n".join(rows) + "\n"
    )
    print(text)
    if write:
        TABLE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
