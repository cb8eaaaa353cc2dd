r"""What a teacher's own share of the data is worth to a pruned student, and how often a teacher that saw more teaches worse.

Varied: above: the teacher's share of the rows, the student's kept share, the teacher weight, and the ridge; below: the
claim.
Tuned: one ridge, absolute, for student and teacher, on the expected held-out risk of the student without a teacher (right:
ten times that); "best" weights on the expected risk, mean over subsets; below: "tuned ridge" is the noise variance.
Seeds: above: 20 random subsets, 20 draws of the labels on each; bands and intervals: 95 % t over subsets; below: 100,000
random designs; 95 % Wilson intervals of a share (smaller than the dot).
Sizes: above: 310 training rows of the diabetes data of scikit-learn, 10 or 30 % kept, 132 held out; below: 8 rows of 3
features, 4 kept, the error is that of the parameters.

Above: risk at held-out points; the student's rows are all among the teacher's. RBF kernel of gamma 0.1 on standardised
features; signal: the ridge-3 fit of the real labels, scaled to mean square 1; noise variance 1. Lines: expected risk in
closed form (``kdtheory.pruning.teacher_shares``), mean over subsets. Points: simulated labels, both fits by linear solves.
Middle: the risk at weight 1, split into squared bias and variance. With the ridge too large the best weight is far below
zero, and there a teacher that saw less, which shrinks more, is the better one to be moved away from.

Below: how often "a teacher that saw more makes the error smaller" fails, from a teacher on the student's own 4 rows to one
on all 8, same ridge. Chosen here: Gaussian entries, the first 4 rows kept, Gaussian true parameters, ridge and noise
variance log-uniform over six decades around 1. Commuting designs share their right singular vectors between kept and other
rows. Arrows: no failure, from the upper end of the interval. Right: the count, and the largest ratio of the errors. "Mean":
averaged over the true parameters, N(0, I).

Theorems, marked by a star: commuting designs, where each factor of the bias falls with the teacher's eigenvalue; and the
tuned ridge, where the teacher enters the mean error as -tr[(2wP - w²P²)G], P the student's smoother, I >= P >= 0, and G the
covariance of the teacher's parameters, which more data enlarge, so that it falls for weights in [0, 2], and the best one
lies there. The mean bias at weight 1 is no theorem: it fails here with 2 rows kept instead of 4, by less than 0.1 %.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

import kdtheory as kd
from kdtheory import pruning
from kdtheory.kept import random_orders
from kdtheory.problem import Problem, diabetes
from kdtheory.risk_curves import RiskCurves
from paper_figs.style import GREY, INK, OKABE_ITO, PAGE, Table, half_width, stack, where

GAMMA, SMOOTHING, NOISE = 0.1, 3.0, 1.0
RIDGES = np.logspace(-2, 1, 13)
PANELS = ((0.1, 1.0), (0.3, 1.0), (0.3, 10.0))  # kept share, multiple of the tuned ridge
SUBSETS, DRAWS = 20, 20
SEEN, MEASURED = 7, 2  # shares of the teacher, every second is simulated
WEIGHTS = {"weight 0.5": (0.5, 0.5), "weight 1": (1.0, 1.0), "best in [0, 1]": (0.0, 1.0), "best of all": (-np.inf, np.inf)}
ROWS, FEATURES, KEPT = 8, 3, 4
CHUNK, CHUNKS = 20_000, 5
RISE = 1 + 1e-9  # a ratio above this is a rise and not rounding

Array = NDArray[np.float64]


def compute() -> Table:
    """Curves over the teacher's share, simulated points, and counts of failures."""
    rows = [row for keep, multiple in PANELS for row in _sweep(keep, multiple)]
    return stack([_row(**row) for row in rows + list(_failures())])


def _row(kind: str, **values: Any) -> dict[str, Any]:
    """One block of the table; what does not apply is nan, empty or zero."""
    numbers = ("keep_fraction", "ridge", "multiple", "seen", "teacher_weight", "value", "low", "high", "worst_ratio")
    return {"kind": kind, "line": "", "count": 0, "designs": 0} | dict.fromkeys(numbers, np.nan) | values


def setting() -> tuple[Array, Array, Array, Array]:
    """Kernel and signal at the training points, and where the error counts."""
    X, y = diabetes()
    problem = Problem.split("diabetes", X, y, kernel=lambda *points: kd.kernels.rbf(*points, gamma=GAMMA), ridge=SMOOTHING)
    smooth = kd.Ridge(problem.ridge)
    signal, new = (problem.spectrum.predict(smooth, problem.y, k)[:, 0] for k in (problem.gram, problem.cross))
    scale = np.sqrt(np.mean(signal**2))
    return problem.gram, signal / scale, problem.cross, new / scale


def _sweep(keep: float, multiple: float) -> Iterator[dict[str, Any]]:
    """Theory and simulation of one panel."""
    gram, signal, cross, new = setting()
    how: dict[str, Any] = {"noise_variance": NOISE, "ridge_convention": "absolute", "subsets": SUBSETS}
    how |= {"cross": cross, "signal_new": new}
    on_labels = [pruning.risk_curves(gram, signal, keep_fractions=[keep], ridge=r, **how).mean(0.0)[0] for r in RIDGES]
    ridge = float(RIDGES[int(np.argmin(on_labels))]) * multiple
    seen = np.geomspace(keep, 1.0, SEEN)
    found = pruning.teacher_shares(gram, signal, keep_fraction=keep, seen_fractions=seen, ridge=ridge, **how)
    here = {"keep_fraction": keep, "ridge": ridge, "multiple": multiple}
    mean = found.mean
    for line, (lowest, highest) in WEIGHTS.items():
        w = np.clip(np.asarray(mean.vertex), lowest, highest)
        low, high = found.risk_interval(w).T
        yield dict(kind="risk", line=line, seen=seen, teacher_weight=w, value=mean.at(w), low=low, high=high, **here)
    yield dict(kind="risk", line="no teacher", seen=seen, teacher_weight=0.0, value=mean(0.0), **here)
    for line, part in (("squared bias", found.bias), ("variance", found.variance.scaled(NOISE))):
        for w in (0.0, 1.0):
            yield dict(kind="part", line=line, seen=seen, teacher_weight=w, value=part.mean(axis=1)(w), **here)
    for share in seen[::MEASURED]:
        for line in ("weight 0.5", "weight 1"):
            w = WEIGHTS[line][0]
            errors = simulated(gram, signal, cross, new, keep, float(share), ridge, w)
            centre, half = errors.mean(), float(half_width(errors))
            spread = {"value": centre, "low": centre - half, "high": centre + half}
            yield {"kind": "simulated", "line": line, "seen": share, "teacher_weight": w} | spread | here


def simulated(
    gram: Array, signal: Array, cross: Array, new: Array, keep: float, seen: float, ridge: float, weight: float
) -> Array:
    """Mean held-out error per subset over simulated labels: two linear solves, no closed form."""
    errors, n = [], len(gram)
    for subset, order in enumerate(random_orders(n, SUBSETS, 0)):
        F, T = order[: round(keep * n)], order[: round(seen * n)]
        noise = np.random.default_rng(subset).normal(size=(n, DRAWS)) * np.sqrt(NOISE)
        y = signal[:, None] + noise
        teacher = gram[np.ix_(F, T)] @ np.linalg.solve(gram[np.ix_(T, T)] + ridge * np.eye(len(T)), y[T])
        targets = (1 - weight) * y[F] + weight * teacher
        fit = cross[:, F] @ np.linalg.solve(gram[np.ix_(F, F)] + ridge * np.eye(len(F)), targets)
        errors.append(np.mean((fit - new[:, None]) ** 2))
    return np.array(errors)


def designs(count: int, seed: int, commuting: bool = False) -> tuple[Array, Array, Array, Array]:
    """Random designs (count, rows, features), true parameters (count, features, 1), ridges and noise variances."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(count, ROWS, FEATURES))
    theta = rng.normal(size=(count, FEATURES, 1))
    ridge, noise = 10.0 ** rng.uniform(-3, 3, size=(2, count))
    if commuting:
        U, s, _ = np.linalg.svd(X[:, KEPT:], full_matrices=False)
        X[:, KEPT:] = (U * s[:, None]) @ np.linalg.svd(X[:, :KEPT], full_matrices=False)[2]
    return X, theta, ridge, noise


def errors(X: Array, theta: Array, ridge: Array, seen: int, kept: int = KEPT) -> tuple[RiskCurves, RiskCurves]:
    r"""Squared bias :math:`|\lambda S_F(I + w A_F S_T)\theta|^2` and variance per unit noise of the parameters, batched.

    With :math:`\theta = I` the bias is its mean over :math:`\theta \sim N(0, I)`. The first rows are kept, the first `seen`
    rows are the teacher's.
    """
    eye = np.eye(X.shape[-1])
    A, A_T = (np.swapaxes(X[:, :rows], 1, 2) @ X[:, :rows] for rows in (kept, seen))
    S, S_T = (np.linalg.solve(a + ridge[:, None, None] * eye, np.broadcast_to(eye, a.shape)) for a in (A, A_T))
    heard = S @ A @ S_T
    start, change = (ridge[:, None, None] * (part @ theta) for part in (S, heard))
    bias = RiskCurves(_dot(start, start), 2 * _dot(start, change), _dot(change, change), _dot(theta - start, theta - start))
    labels, own = _dot(S @ A, S), _dot(heard @ A_T, heard)
    both = _dot(heard @ A, S)
    return bias, RiskCurves(labels, 2 * (both - labels), labels + own - 2 * both, labels)


def _dot(a: NDArray[Any], b: NDArray[Any]) -> Array:
    return np.asarray(np.sum(a * b, axis=(1, 2)))


def ratios(seed: int) -> Iterator[tuple[str, Array]]:
    """Per claim the error under the teacher of all rows over that under the teacher of the kept rows, design by design."""
    X, theta, ridge, noise = designs(CHUNK, seed)
    average = np.broadcast_to(np.eye(FEATURES), (CHUNK, FEATURES, FEATURES))

    def ratio(bounds: tuple[float, float], X: Array, theta: Array, lam: Array, variance: Array | None = None) -> Array:
        risks = []
        for seen in (KEPT, ROWS):
            bias, unit = errors(X, theta, lam, seen)
            total = bias if variance is None else bias + unit.scaled(variance)
            risks.append(np.asarray(total.at(np.clip(np.asarray(total.vertex), *bounds))))
        return np.asarray(risks[1] / risks[0])

    commuting = designs(CHUNK, seed, commuting=True)[0]
    half, one = (0.5, 0.5), (1.0, 1.0)
    yield "bias², weight 1, commuting designs ★", ratio(one, commuting, theta, ridge)
    yield "bias², weight 1", ratio(one, X, theta, ridge)
    yield "mean bias², weight 1", ratio(one, X, average, ridge)
    yield "risk, weight 0.5", ratio(half, X, theta, ridge, noise)
    yield "risk, weight 1", ratio(one, X, theta, ridge, noise)
    for name, bounds in list(WEIGHTS.items())[2:]:
        yield f"mean risk, {name.replace('best', 'best weight')}", ratio(bounds, X, average, ridge, noise)
        yield f"mean risk, {name.replace('best', 'best weight')}, tuned ridge ★", ratio(bounds, X, average, noise, noise)


def wilson(count: int, total: int) -> tuple[float, float]:
    """95 % interval of a share."""
    z = 1.959964
    share = count / total
    centre, half = share + z**2 / (2 * total), z * np.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    scale = 1 + z**2 / total
    return float((centre - half) / scale), float((centre + half) / scale)


def _failures() -> Iterator[dict[str, Any]]:
    """Per claim how many designs break it, the share with its interval, and the worst ratio."""
    counts: dict[str, int] = {}
    worst: dict[str, float] = {}
    for seed in range(CHUNKS):
        for claim, ratio in ratios(seed):
            counts[claim] = counts.get(claim, 0) + int(np.sum(ratio > RISE))
            worst[claim] = max(worst.get(claim, 0.0), float(ratio.max()))
    total = CHUNK * CHUNKS
    for claim, count in counts.items():
        low, high = wilson(count, total)
        found = {"count": count, "designs": total, "worst_ratio": worst[claim]}
        yield {"kind": "failures", "line": claim, "value": count / total, "low": low, "high": high} | found


def draw(table: Table) -> Figure:
    """Risk and its parts (above), failures of the claims (below)."""
    figure = plt.figure(figsize=(PAGE, 6.9))
    space = figure.add_gridspec(2, 1, height_ratios=[2.1, 1.0])
    above, below = (figure.add_subfigure(space[i]) for i in range(2))
    axes = above.subplots(2, len(PANELS), sharex="col", height_ratios=[1.25, 1.0])
    for (top, low), (keep, multiple) in zip(axes.T, PANELS, strict=True):
        rows = where(table, keep_fraction=keep, multiple=multiple)
        _risks(top, rows)
        _parts(low, rows)
        times = "tuned" if multiple == 1 else f"{multiple:g} × tuned"
        top.set_title(f"{100 * keep:.0f} % of the rows kept\nridge {rows['ridge'][0]:.2g}, {times}")
        low.set_xlabel("teacher's share of the data")
        for axis in (top, low):
            axis.locator_params(axis="y", nbins=5)
    axes[0, 0].set_ylabel("risk")
    axes[1, 0].set_ylabel("parts of the risk")
    places: tuple[Any, Any] = ("outside upper center", "outside lower center")
    for place, axis in zip(places, axes[:, 0], strict=True):
        handles, labels = axis.get_legend_handles_labels()
        above.legend(handles, labels, loc=place, ncols=5)
    axis, beside = below.subplots(1, 2, sharey=True, width_ratios=(4, 1))
    _claims(axis, beside, where(table, kind="failures"))
    return figure


def _risks(axis: Axes, rows: Table) -> None:
    nothing = where(rows, line="no teacher")
    axis.plot(nothing["seen"], nothing["value"], color=INK, ls=":", lw=1.0, label="no teacher")
    top = max(np.nanmax(where(rows, kind=kind)["high"]) for kind in ("risk", "simulated"))
    for line, color, marker in zip(WEIGHTS, OKABE_ITO, "os^D", strict=False):
        curve, points = where(rows, kind="risk", line=line), where(rows, kind="simulated", line=line)
        axis.plot(curve["seen"], curve["value"], color=color, label=line, ls="--" if line == "best of all" else "-")
        axis.fill_between(curve["seen"], curve["low"], curve["high"], color=color, alpha=0.15, lw=0)
        spread = [points["value"] - points["low"], points["high"] - points["value"]]
        axis.errorbar(points["seen"], points["value"], spread, fmt=marker, ms=3, mfc="white", color=color, lw=0.8)
    axis.set_ylim(0, 1.05 * top)


def _parts(axis: Axes, rows: Table) -> None:
    for line, color, styles in (("squared bias", OKABE_ITO[3], ("-", ":")), ("variance", OKABE_ITO[4], ("--", "-."))):
        for w, style in zip((1.0, 0.0), styles, strict=True):
            part = where(rows, kind="part", line=line, teacher_weight=w)
            axis.plot(part["seen"], part["value"], color=color, ls=style, label=f"{line}, {'weight 1' if w else 'no teacher'}")
    axis.set_ylim(0, 1.05 * where(rows, kind="part")["value"].max())


def _claims(axis: Axes, beside: Axes, rows: Table) -> None:
    beside.axis("off")
    for k, count in enumerate(rows["count"].tolist()):
        share, low, high = (float(rows[name][k]) for name in ("value", "low", "high"))
        if count:
            axis.errorbar(share, k, xerr=[[share - low], [high - share]], fmt="o", ms=3.5, color=OKABE_ITO[1], lw=1.0)
        else:
            axis.annotate("", (high / 5, k), (high, k), arrowprops={"arrowstyle": "->", "color": OKABE_ITO[0], "lw": 1.0})
            axis.plot(high, k, "|", color=OKABE_ITO[0], ms=6)
        columns = ((0.35, f"{count:,}"), (1.0, f"{rows['worst_ratio'][k]:.2f}" if count else "< 1"))
        for place, note in columns:
            beside.text(place, k, note, transform=beside.get_yaxis_transform(), va="center", ha="right", fontsize=7, color=INK)
    for place, head in ((0.35, f"of {rows['designs'][0]:,}"), (1.0, "worst ratio")):
        beside.text(place, -1.0, head, transform=beside.get_yaxis_transform(), va="center", ha="right", fontsize=7, color=INK)
    axis.set_yticks(range(len(rows["line"])), rows["line"].tolist())
    axis.set(xscale="log", xlim=(5e-6, 1.0), ylim=(len(rows["line"]) - 0.5, -0.5))
    axis.set(xlabel="share of designs", title="A teacher that saw more makes the error larger")
    axis.grid(axis="y", color=GREY, lw=0.3, alpha=0.5)
