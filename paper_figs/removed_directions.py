r"""Eigenvalue decay of three kernels on digits, and the eigen-directions that each round of distillation removes.

1,000 images, 20 % of the labels flipped to another class, NTK of 3 hidden ReLU layers, ridge 1, teacher weights w = 1 and
0.75; nothing is tuned. Lines are closed forms. Points are measured by a chain of linear solves: the part of the fit along an
eigenvector over that of the labels. With a = d/(d + ridge) round t of pure distillation removes a^t (1 - a) of a direction,
most where d = t ridge (dotted), so each round cuts nearer to the leading directions. The last panel splits the energy that a
round removes into that of the clean labels and that of the flips, each as a share of its own total: at this ridge the teacher
alone removes most of the flips, and every student takes a larger share of the clean labels than of the flips.
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
from paper_figs.style import GREY, INK, OKABE_ITO, PAGE, Table, round_colors, stack, where

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
    figure, axes = plt.subplots(1, 4, figsize=(PAGE, 2.5), width_ratios=(1.0, 1.15, 1.15, 1.25))
    _decay(axes[0], table)
    for axis, weight in zip(axes[1:3], WEIGHTS, strict=True):
        _multipliers(axis, table, weight)
    axes[2].tick_params(labelleft=False)
    _energies(axes[3], table)
    for axis, letter in zip(axes, "abcd", strict=True):
        axis.text(0.0, 1.04, f"({letter})", transform=axis.transAxes, ha="right")
    return figure


def _decay(axis: Any, table: Table) -> None:
    for (name, _), color in zip(KERNELS.items(), OKABE_ITO, strict=False):
        line = where(table, kernel=name)
        line = {key: column[np.isnan(line["round"])] for key, column in line.items()}
        axis.plot(line["direction"], line["eigenvalue"] / line["eigenvalue"][0], color=color, label=name)
    axis.set(xscale="log", yscale="log", xlabel="direction $i$", ylabel=r"eigenvalue $d_i / d_1$", title="decay")
    axis.legend(loc="lower left")


def _multipliers(axis: Any, table: Table, weight: float) -> None:
    for t, color in enumerate(round_colors(ROUNDS + 1)):
        line = where(table, teacher_weight=weight, round=t)
        axis.plot(line["direction"], line["kept"], color=color, label=f"round {t}")
        axis.plot(line["direction"], line["measured"], "o", ms=2.2, color=color, mfc="white", mew=0.7)
        if weight == 1.0 and t:
            where_most = np.interp(-t * RIDGE, -line["eigenvalue"], line["direction"])
            axis.axvline(where_most, color=color, ls=":", lw=0.7)
    axis.set(xscale="log", xlabel="direction $i$", title=f"$w = {weight:g}$", ylim=(-0.02, 1.02))
    if weight == WEIGHTS[0]:
        axis.set_ylabel(r"kept, $u_i^\top f_t / u_i^\top y$")
        axis.legend(loc="lower left", fontsize=6, handlelength=1.0, labelspacing=0.2)


def _energies(axis: Any, table: Table) -> None:
    for weight, marker, face in zip(WEIGHTS, "os", (True, False), strict=True):
        for (energy, label), color in zip(
            (("noise_energy", "flips"), ("clean_energy", "clean labels")), (GREY, INK), strict=True
        ):
            shares = [removed(table, weight, t, energy).sum() for t in range(ROUNDS + 1)]
            axis.plot(
                range(ROUNDS + 1), shares, f"{marker}-", ms=3, lw=0.8, color=color, mfc=color if face else "white",
                label=f"{label}, $w = {weight:g}$",
            )  # fmt: skip
    axis.set(yscale="log", xlabel="round $t$", ylabel="energy removed by it", title="what goes")
    axis.legend(fontsize=6, loc="upper right", handlelength=1.4)
