"""Students of pruned data in closed form against refitting: whole families of risk curves, and leave-one-out of teacher and student.

``python benchmarks/pruning.py`` prints ratios of process CPU time, medians of interleaved repetitions. What is compared:
`risk_curves` over shares x subsets, weighed at many teacher weights and noise levels, against the same risks from a
student's smoother for every weight by Cholesky solves; `held_out_pairs` for a grid of ridges, as `plan` uses it, against n
refits of teacher and student.
"""

from __future__ import annotations

import argparse

import numpy as np
import scipy.linalg
from refitting import compare

import kdtheory as kd
from kdtheory import pruning
from kdtheory.kept import random_orders
from kdtheory.pruned_leave_one_out import held_out_pairs
from kdtheory.pruned_students import KeptStudent, Teacher

SHARES, WEIGHTS, NOISES = (0.05, 0.1, 0.2, 0.5), np.linspace(0, 1, 21), np.array([0.1, 0.3, 1.0])
SUBSETS, RIDGE, RIDGES = 3, 0.3, np.logspace(-3, 1, 9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=800, help="training points (default: 800)")
    parser.add_argument("--repetitions", type=int, default=3, help="interleaved repetitions (default: 3)")
    options = parser.parse_args()
    X = np.random.default_rng(0).normal(size=(options.n, 5))
    K, f = kd.kernels.rbf(X, gamma=0.1), np.sin(X[:, 0])
    models = len(SHARES) * SUBSETS * len(WEIGHTS) * len(NOISES)
    print(f"n = {options.n}; CPU seconds, median (least, most)")
    compare(
        f"risk_curves, {len(SHARES)} shares x {SUBSETS} subsets x {len(WEIGHTS)} weights x {len(NOISES)} noises = {models} risks",
        lambda: ours(K, f),
        "a smoother per share, subset and weight",
        lambda: by_smoothers(K, f),
        options.repetitions,
    )
    small = K[:200, :200], f[:200]
    compare(
        f"held_out_pairs, {len(RIDGES)} ridges, n = 200, 60 kept",
        lambda: left_out(*small),
        "200 refits of teacher and student per ridge",
        lambda: left_out_by_refits(*small),
        options.repetitions,
    )


def ours(K, f):
    family = pruning.risk_curves(
        K, f, noise_variance=1.0, keep_fractions=SHARES, ridge=RIDGE, ridge_convention="absolute", subsets=SUBSETS
    )
    return np.array([family.with_noise(v).curves(WEIGHTS) for v in NOISES])


def by_smoothers(K, f):
    n = len(K)
    G = K @ scipy.linalg.cho_solve(scipy.linalg.cho_factor(K + RIDGE * np.eye(n)), np.eye(n))
    risks = np.empty((len(NOISES), len(SHARES), SUBSETS, len(WEIGHTS)))
    for j, order in enumerate(random_orders(n, SUBSETS, 0)):
        for i, share in enumerate(SHARES):
            kept = order[: round(share * n)]
            factor = scipy.linalg.cho_factor(K[np.ix_(kept, kept)] + RIDGE * np.eye(len(kept)))
            for k, w in enumerate(WEIGHTS):
                targets = w * G[kept]
                targets[np.arange(len(kept)), kept] += 1 - w
                smoother = K[:, kept] @ scipy.linalg.cho_solve(factor, targets)
                bias, variance = np.mean((f - smoother @ f) ** 2), np.sum(smoother**2) / n
                risks[:, i, j, k] = bias + NOISES * variance
    return risks


def left_out(K, y):
    teacher = Teacher.ridge(K, ridge=RIDGE, ridge_convention="absolute")
    student = KeptStudent.of(K, np.arange(60))
    return np.array([[pair.on_labels, pair.change] for pair in held_out_pairs(student, y[:, None], teacher, RIDGES)])


def left_out_by_refits(K, y):
    values = np.empty((len(RIDGES), 2, len(y), 1))
    for i in range(len(y)):
        seen, kept = np.delete(np.arange(len(y)), i), np.delete(np.arange(60), i) if i < 60 else np.arange(60)
        factor = scipy.linalg.cho_factor(K[np.ix_(seen, seen)] + RIDGE * np.eye(len(seen)))
        heard = K[np.ix_(kept, seen)] @ scipy.linalg.cho_solve(factor, y[seen])
        for j, ridge in enumerate(RIDGES):
            factor = scipy.linalg.cho_factor(K[np.ix_(kept, kept)] + ridge * np.eye(len(kept)))
            ends = [K[i, kept] @ scipy.linalg.cho_solve(factor, targets) for targets in (y[kept], heard)]
            values[j, :, i, 0] = ends[0], ends[1] - ends[0]
    return values


if __name__ == "__main__":
    main()
