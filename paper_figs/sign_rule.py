"""The teacher deserves a positive weight exactly where more ridge would help: w* = -ridge R'/(2D), R the risk over the ridge.

Varied: the ridge, and the data.
Tuned: the teacher weight. On white features the simulated round uses the weight that the theory predicts, nothing is tuned
on the draws, and the simulated weight is the vertex of the seeds' mean parabola; on diabetes it is tuned on the mean test
risk.
Seeds: 200 draws of white features; 10 random splits of diabetes, which overlap, so that their intervals are indicative.
Means with 95 % t-intervals, of a weight by linearising the ratio that it is.
Sizes: left, 200 points, 100 features, risk on new labels known exactly given the fit; right, 300 training and 142 test
points.

Above, the risk of ridge regression and of one round at the optimal teacher weight; below, that weight. Left, white Gaussian
features, signal and noise of variance 1. Lines are the deterministic equivalents, points the simulation. Diamonds are the
limits kept in ``isotropic_weights.csv`` for this population: derived here, not published numbers. Right, scikit-learn's
diabetes data, RBF kernel with gamma 0.01, standardised by the training points. Points: two scikit-learn students. Lines:
the ridge path alone, no student. The two are the same identity by two routes, not a prediction and its test. All settings
are chosen here.
"""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import kdtheory as kd
from paper_figs.style import GREY, INK, OKABE_ITO, PAGE, Table, half_width, plain, stack, where
from paper_figs.toy import DATA

N, P = 200, 100
NOISE_VARIANCE = 1.0
PENALTIES = np.logspace(-1.5, 1.0, 61)  # per example; ridge = N times this
EVERY = 5  # of them one is simulated
SEEDS = 200
TRAIN, SPLITS, GAMMA = 300, 10, 0.01  # diabetes
RIDGES = np.logspace(-2, 2, 49)
STEP = 1e-3  # of log ridge, for the derivative along the ridge path

Floats = NDArray[np.float64]


def compute() -> Table:
    """Risk without distillation, risk of the round, optimal weight and half-widths, per data set, kind and ridge."""
    return stack([*_white(), *_diabetes()])


def _row(data: str, kind: str, ridge: Any, values: tuple[Any, Any, Any], intervals: tuple[Any, Any, Any]) -> dict[str, Any]:
    """One block of the table."""
    names = ("risk", "risk_of_round", "teacher_weight")
    row: dict[str, Any] = {"data": data, "kind": kind, "ridge": ridge, **dict(zip(names, values, strict=True))}
    return row | {f"{name}_interval": half for name, half in zip(names, intervals, strict=True)}


def _white() -> list[dict[str, Any]]:
    """Theory, simulation and the reference values for white features."""
    population = kd.asymptotics.Population(np.ones(P), np.full(P, P**-0.5), NOISE_VARIANCE)
    ridges = N * PENALTIES
    curves = [kd.asymptotics.risk_curve(population, n=N, ridge=ridge) for ridge in ridges.tolist()]
    w = np.array([curve.optimal_weight for curve in curves])
    values = (np.array([curve(0.0) for curve in curves]), np.array([curve.minimum for curve in curves]), w)
    rows = [_row("white", "theory", ridges, values, (0.0, 0.0, 0.0))]
    simulated, predicted = ridges[::EVERY], w[::EVERY]
    ends = np.array([_ends(population, simulated, seed) for seed in range(SEEDS)])
    for i, (ridge, weight) in enumerate(zip(simulated, predicted, strict=True)):
        risk, slope, bend = ends[:, :, i].T
        of_round = risk + weight * slope + weight**2 * bend
        optimum, half = _vertex(slope, bend)
        means = (risk.mean(), of_round.mean(), optimum)
        rows.append(_row("white", "measured", ridge, means, (float(half_width(risk)), float(half_width(of_round)), half)))
    with (DATA / "isotropic_weights.csv").open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            given = [float(line[name]) for name in ("features_per_point", "signal_square", "noise_variance")]
            if given == [P / N, 1.0, NOISE_VARIANCE]:  # else they belong to another population
                ridge, weight = N * float(line["penalty_per_example"]), float(line["teacher_weight"])
                rows.append(_row("white", "reference", ridge, (np.nan, np.nan, weight), (0.0, 0.0, 0.0)))
    return rows


def _ends(population: Any, ridges: Floats, seed: int) -> Floats:
    """R(0), slope and curvature in the weight, (3, ridges), of one draw: exact risk of its linear predictors."""
    X, y = population.sample(N, np.random.default_rng(seed))
    ends = []
    for ridge in ridges.tolist():
        matrix = X.T @ X + ridge * np.eye(P)
        on_labels = np.linalg.solve(matrix, X.T @ y)
        on_teacher = np.linalg.solve(matrix, X.T @ (X @ on_labels))
        risk, other, middle = population.error(np.column_stack([on_labels, on_teacher, (on_labels + on_teacher) / 2]))
        bend = 2 * (risk + other - 2 * middle)
        ends.append((risk, other - risk - bend, bend))
    return np.array(ends).T


def _diabetes() -> list[dict[str, Any]]:
    """The two routes to the weight on real data, from the mean over splits."""
    X, y = load_diabetes(return_X_y=True)
    path, students = [], []
    for split in range(SPLITS):
        X_train, X_test, y_train, y_test = train_test_split(X, y, train_size=TRAIN, random_state=split)
        scale, center, spread = StandardScaler().fit(X_train), y_train.mean(), y_train.std()
        data = (
            scale.transform(X_train),
            scale.transform(X_test),
            (y_train - center) / spread,
            (y_test - center) / spread,
        )
        path.append(_along_the_path(*data))
        students.append([_two_students(*data, ridge) for ridge in RIDGES[::4].tolist()])
    risk, slope, bend = np.mean(path, axis=0)  # along log ridge
    rows = [_row("diabetes", "theory", RIDGES, (risk, risk - slope**2 / (4 * bend), -slope / (2 * bend)), (0.0, 0.0, 0.0))]
    for ridge, ends in zip(RIDGES[::4], np.swapaxes(students, 0, 1), strict=True):
        risk, slope, bend = ends.T
        weight, half = _vertex(slope, bend)
        of_round = risk + weight * slope + weight**2 * bend
        means = (risk.mean(), of_round.mean(), weight)
        rows.append(_row("diabetes", "measured", ridge, means, (float(half_width(risk)), float(half_width(of_round)), half)))
    return rows


def _along_the_path(X: Floats, X_test: Floats, y: Floats, y_test: Floats) -> Floats:
    """R, ridge R' and D over `RIDGES`, (3, ridges), by central differences of ridge regression in log ridge."""
    spectrum = kd.Spectrum.from_gram(kd.kernels.rbf(X, gamma=GAMMA))
    basis, z = kd.kernels.rbf(X_test, X, gamma=GAMMA) @ spectrum.eigenvectors, spectrum.project(y)
    below, here, above = (
        basis @ (z[:, None] / (spectrum.eigenvalues[:, None] + RIDGES * np.exp(shift))) for shift in (-STEP, 0.0, STEP)
    )
    risks = [np.mean((fit - y_test[:, None]) ** 2, axis=0) for fit in (below, here, above)]
    slope, bend = (risks[2] - risks[0]) / (2 * STEP), np.mean((above - below) ** 2, axis=0) / (2 * STEP) ** 2
    return np.stack([risks[1], slope, bend])


def _two_students(X: Floats, X_test: Floats, y: Floats, y_test: Floats, ridge: float) -> tuple[float, float, float]:
    """R(0), slope and curvature in the weight on the test set, from two fits of scikit-learn."""
    teacher = KernelRidge(alpha=ridge, kernel="rbf", gamma=GAMMA).fit(X, y)
    student = KernelRidge(alpha=ridge, kernel="rbf", gamma=GAMMA).fit(X, teacher.predict(X))
    curve = kd.RiskCurve.from_predictions(teacher.predict(X_test), student.predict(X_test), y_test)
    return float(curve(0.0)), -2 * curve.curvature * curve.optimal_weight, curve.curvature


def _vertex(slope: Floats, bend: Floats) -> tuple[float, float]:
    """Vertex of the mean parabola and its half-width, the ratio of means linearised."""
    weight = -slope.mean() / (2 * bend.mean())
    return float(weight), float(half_width(-(slope / 2 + weight * bend) / bend.mean()))


def draw(table: Table) -> Figure:
    """Risk above, weight below; white features left, diabetes right."""
    figure, axes = plt.subplots(2, 2, figsize=(PAGE, 4.3), sharex="col", height_ratios=(1, 1))
    titles = (f"white features, {N} points, {P} features", f"diabetes, {TRAIN} training points, {SPLITS} splits")
    for column, data, title in zip(axes.T, ("white", "diabetes"), titles, strict=True):
        line, points = where(table, data=data, kind="theory"), where(table, data=data, kind="measured")
        best = _lowest(line["ridge"], line["risk"])
        for name, color, marker in (("risk", INK, "o"), ("risk_of_round", OKABE_ITO[0], "s")):
            column[0].plot(line["ridge"], line[name], color=color)
            _points(column[0], points, name, color, marker)
        column[1].plot(line["ridge"], line["teacher_weight"], color=OKABE_ITO[1])
        _points(column[1], points, "teacher_weight", OKABE_ITO[1], "o")
        column[1].axhline(0.0, color=GREY, lw=0.6)
        for axis in column:
            axis.axvline(best, color=GREY, lw=0.8, ls="--")
            axis.set_xscale("log")
        column[0].set_title(title)
        column[1].set_xlabel("ridge")
        plain(column[1].xaxis)
    given = where(table, kind="reference")
    axes[1, 0].plot(given["ridge"], given["teacher_weight"], "D", ms=6, mfc="none", mec=INK, mew=0.7)
    axes[0, 0].set_ylabel("risk / noise variance")
    axes[0, 1].set_ylabel("test error / label variance")
    for axis in axes[1]:
        axis.set_ylabel("optimal teacher weight")
    _legend(axes, given=bool(np.any(table["kind"] == "reference")))
    return figure


def _lowest(ridge: Floats, risk: Floats) -> float:
    """Ridge of least risk: the vertex, in log ridge, of a parabola through the least value and its neighbours."""
    i = int(np.clip(risk.argmin(), 1, len(risk) - 2))
    bend, slope, _ = np.polyfit(np.log(ridge[i - 1 : i + 2] / ridge[i]), risk[i - 1 : i + 2], 2)
    return float(ridge[i] * np.exp(-slope / (2 * bend)))


def _points(axis: Any, points: Table, name: str, color: str, marker: str) -> None:
    """Measured values with their intervals."""
    axis.errorbar(
        points["ridge"], points[name], points[f"{name}_interval"], fmt=marker, ms=3, color=color, mfc="white", mew=0.8, lw=0.8
    )


def _legend(axes: Any, *, given: bool) -> None:
    """What lines, points, diamonds and the dashed line are."""
    white: dict[str, Any] = {"frameon": True, "framealpha": 1.0, "edgecolor": "none"}
    for color, marker, label in ((INK, "o", "no distillation"), (OKABE_ITO[0], "s", "one round, optimal weight")):
        axes[0, 0].plot([], [], marker=marker, ms=3, mfc="white", mew=0.8, color=color, label=label)
    axes[0, 0].legend(loc="upper center", **white)
    axes[1, 0].plot([], [], color=OKABE_ITO[1], label="deterministic equivalent")
    axes[1, 0].plot([], [], "o", ms=3, mfc="white", mew=0.8, color=OKABE_ITO[1], label=f"simulation, {SEEDS} seeds")
    if given:
        axes[1, 0].plot([], [], "D", ms=6, mfc="none", mec=INK, mew=0.7, label="limit, derived here")
    axes[1, 0].legend(loc="lower left", **white)
    axes[1, 1].plot([], [], color=OKABE_ITO[1], label=r"ridge path: $-$ridge $R'/(2D)$")
    axes[1, 1].plot([], [], "o", ms=3, mfc="white", mew=0.8, color=OKABE_ITO[1], label="vertex of two students")
    axes[1, 1].plot([], [], color=GREY, lw=0.8, ls="--", label="ridge of least risk")
    axes[1, 1].legend(loc="lower left", **white)
