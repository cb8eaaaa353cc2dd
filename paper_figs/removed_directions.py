"""Each round of distillation removes eigendirections nearer to the leading ones; the teacher alone removes most label flips.

Varied: the kernel (a); the teacher weight, w = 1 and 0.75, and the round, 0 to 5 (b to d).
Tuned: nothing; the ridge is 1.
Seeds: one draw, seed 0, of the training images and of the flips.
Sizes: 1,000 training images of the digits, 20 % of the labels flipped to another class; no validation or test images.

(a) Eigenvalues of three kernels, over the largest: NTK of 3 hidden ReLU layers, which b to d have, RBF with gamma 0.25 and
Laplace with gamma 0.5. (b, d) Lines are closed forms; points are measured by a chain of linear solves, the part of the fit
along an eigenvector over that of the labels, without noise and so without intervals. With a = d/(d + ridge) round t of pure
distillation removes a^t (1 - a) of a direction, most where d = t ridge (dotted), so each round cuts nearer to the leading
directions. (c) The energy that a round removes, split into that of the clean labels and that of the flips, each as a share
of its own total: at this ridge the teacher alone, round 0, removes most of the flips, and every student takes a larger
share of the clean labels than of the flips. All settings are chosen here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

import kdtheory as kd
from paper_figs.digits import Array, Split
from paper_figs.style import INK, OKABE_ITO, PAGE, Table, plain, round_colors, stack, where

KERNELS: dict[str, Callable[..., Array]] = {
    "NTK": lambda X: kd.kernels.ntk(X, depth=3),
    "RBF": lambda X: kd.kernels.rbf(X, gamma=0.25),
    "Laplace": lambda X: kd.kernels.laplace(X, gamma=0.5),
}
SPLIT, NOISE = 0, 0.2
RIDGE, WEIGHTS, ROUNDS = 1.0, (1.0, 0.75), 5
SHOWN = 14  # directions whose coefficients are measured


def compute() -> Table:
    """Eigenvalues per kernel; per weight, round and direction what is kept and removed, by formula and by solves."""
    split = Split.draw("ntk", SPLIT)
    clean, noisy = split.labels, split.noisy(NOISE)[0]
    rows = [_kept(split.spectrum, clean, noisy, weight) for weight in WEIGHTS]
    for name, kernel in KERNELS.items():
        d = kd.Spectrum.from_gram(kernel(split.images)).eigenvalues
        rows.append(_row(kernel=name, direction=np.arange(1, len(d) + 1), eigenvalue=d))
    return stack(rows)


def _row(**columns: Any) -> dict[str, Any]:
    empty = dict.fromkeys(
        ("teacher_weight", "round", "eigenvalue", "kept", "measured", "clean_energy", "noise_energy"), np.nan
    )
    return {"kernel": "NTK", "direction": 0} | empty | columns


def _kept(s: kd.Spectrum, clean: Array, noisy: Array, weight: float) -> Table:
    d, n = s.eigenvalues, s.n
    K = (s.eigenvectors * d) @ s.eigenvectors.T
    factor = scipy.linalg.cho_factor(K + RIDGE * np.eye(n))
    z, z_clean, z_noise = s.project(noisy), s.project(clean), s.project(noisy - clean)
    shown = np.unique(np.geomspace(1, n, SHOWN).astype(int)) - 1
    fit, rows = noisy, []
    for t in range(ROUNDS + 1):
        fit = K @ scipy.linalg.cho_solve(factor, noisy if t == 0 else (1 - weight) * noisy + weight * fit)
        measured = np.full(n, np.nan)
        measured[shown] = np.sum(s.project(fit)[shown] * z[shown], axis=1) / np.sum(z[shown] ** 2, axis=1)
        rows.append(
            _row(
                teacher_weight=weight,
                round=t,
                direction=np.arange(1, n + 1),
                eigenvalue=d,
                kept=kd.Distilled.constant(ridge=RIDGE, teacher_weight=weight, rounds=t).fit(d),
                measured=measured,
                clean_energy=np.sum(z_clean**2, axis=1),
                noise_energy=np.sum(z_noise**2, axis=1),
            )
        )
    return stack(rows)


def removed(table: Table, weight: float, t: int, energy: str) -> Array:
    """Share of an energy that round t removes, direction by direction: (b_{t-1}^2 - b_t^2) z^2 over the sum of z^2."""
    before = where(table, teacher_weight=weight, round=t - 1)["kept"] if t else 1.0
    now = where(table, teacher_weight=weight, round=t)
    return np.asarray((before**2 - now["kept"] ** 2) * now[energy] / now[energy].sum())


def draw(table: Table) -> Figure:
    """Decay; multipliers by direction with measured points; removed shares of signal and noise."""
    figure, axes = plt.subplots(2, 2, figsize=(PAGE, 4.6))
    (decay, one), (energies, other) = axes
    _decay(decay, table)
    for axis, letter, weight in zip((one, other), "bd", WEIGHTS, strict=True):
        _multipliers(axis, table, weight)
        axis.set_title(f"({letter}) kept of each direction, teacher weight $w = {weight:g}$")
    _energies(energies, table)
    one.legend(loc="lower left", handlelength=1.4, labelspacing=0.15)
    return figure


def _decay(axis: Any, table: Table) -> None:
    for (name, _), color, dash in zip(KERNELS.items(), OKABE_ITO, ("-", "--", "-."), strict=False):
        line = where(table, kernel=name)
        line = {key: column[np.isnan(line["round"])] for key, column in line.items()}
        axis.plot(line["direction"], line["eigenvalue"] / line["eigenvalue"][0], dash, color=color, label=name)
    axis.set(xscale="log", yscale="log", xlabel="eigendirection $i$", ylabel=r"eigenvalue $d_i / d_1$")
    axis.set_title(f"(a) decay, {len(line['direction']):,} images")
    plain(axis.xaxis)
    plain(axis.yaxis)
    axis.legend(loc="lower left")


def _multipliers(axis: Any, table: Table, weight: float) -> None:
    for t, color in enumerate(round_colors(ROUNDS + 1)):
        line = where(table, teacher_weight=weight, round=t)
        axis.plot(line["direction"], line["kept"], color=color, label=f"round {t}")
        axis.plot(line["direction"], line["measured"], "o", ms=2.5, color=color, mfc="white", mew=0.7)
        if weight == 1.0 and t:
            where_most = np.interp(-t * RIDGE, -line["eigenvalue"], line["direction"])
            axis.axvline(where_most, color=color, ls=":", lw=0.8)
    axis.plot([], [], "o", ms=2.5, color=INK, mfc="white", mew=0.7, label="by solves")
    if weight == 1.0:
        axis.plot([], [], ":", color=INK, lw=0.8, label=r"$d_i = t \cdot$ ridge")
    axis.set(xscale="log", xlabel="eigendirection $i$", ylim=(-0.02, 1.02), ylabel=r"share kept, $u_i^\top f_t / u_i^\top y$")
    plain(axis.xaxis)


def _energies(axis: Any, table: Table) -> None:
    for weight, dash in zip(WEIGHTS, ("-", "--"), strict=True):
        looks = (("noise_energy", "flips", OKABE_ITO[1]), ("clean_energy", "clean labels", OKABE_ITO[0]))
        for energy, label, color in looks:
            shares = [removed(table, weight, t, energy).sum() for t in range(ROUNDS + 1)]
            axis.plot(range(ROUNDS + 1), shares, dash, color=color, label=f"{label}, $w = {weight:g}$")
    axis.set(yscale="log", xlabel="round $t$", ylabel="energy removed by it (share)", title="(c) energy that a round removes")
    plain(axis.yaxis)
    axis.legend(loc="upper right")
