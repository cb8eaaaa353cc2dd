"""What a plan says: per kept share the risk with and without distillation, the weight, and what could be dropped."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from kdtheory.advice import FOLDS, PARTITIONS, Measured, Strategy, choose
from kdtheory.checks import Array
from kdtheory.likelihood import NoiseEstimate

__all__ = ["Plan"]

LEARNED = 0.02  # of the labels' variance
NOTHING = "nothing is lost, for nothing was learned; centre the labels, scale the inputs or choose another kernel."
COMPARABLE = 1e-9  # of the noise or of the labels: a risk below has no per cent


@dataclass(frozen=True, eq=False)
class Plan:
    """Advice for every kept share.

    Attributes
    ----------
    keep_fractions, counts : (k,) arrays
        Shares, ascending, the last is 1; and the rows they keep.
    without, with_distillation : Strategy
    noise : NoiseEstimate
        Of largest marginal likelihood, whatever the method.
    teacher_ridge : float
        Absolute.
    labels_variance : float
        Mean over outputs.
    ridge_convention, method, bounds, tolerance, subsets
        As given.
    """

    keep_fractions: Array
    counts: Any
    without: Strategy
    with_distillation: Strategy
    noise: NoiseEstimate
    teacher_ridge: float
    labels_variance: float
    ridge_convention: str
    method: str
    bounds: tuple[float, float]
    tolerance: float
    subsets: int

    @classmethod
    def of(cls, measured: list[Measured], keep_fractions: Array, **settings: Any) -> Plan:
        """From the curves of every share; the last one is that of all rows."""
        counts = np.array([m.rows for m in measured])
        rng = np.random.default_rng(0)
        partitions = np.array([rng.permutation(int(counts[-1])) % FOLDS for _ in range(PARTITIONS)])
        bare = [choose(m, None, partitions) for m in measured]
        distilled = [choose(m, settings["bounds"], partitions) for m in measured]
        without, with_distillation = (Strategy.of(choices, bare, bare[-1]) for choices in (bare, distilled))
        return cls(keep_fractions, counts, without, with_distillation, **settings)

    @cached_property
    def advised_weight(self) -> Array:
        """The weight to use, (k,): the optimal one where it helps, else zero."""
        return np.where(self.with_distillation.helps, self.with_distillation.teacher_weight, 0.0)

    @cached_property
    def advised_ridge(self) -> Array:
        """The student's ridge that belongs to it, (k,), absolute."""
        return np.where(self.with_distillation.helps, self.with_distillation.ridge, self.without.ridge)

    def droppable(self, *, distilled: bool = True, surely: bool = False) -> float:
        """Largest share that could be dropped at a loss within the tolerance, among the shares asked for.

        Zero where the kernel has learned nothing, less than 2 % of the labels' variance: then every share is as bad.

        Parameters
        ----------
        distilled : bool
            With distillation at the optimal weight, or without any.
        surely : bool
            Whether the whole 95 % interval of the loss must be within the tolerance, not its estimate only.
        """
        if self.explained < LEARNED:
            return 0.0
        strategy = self.with_distillation if distilled else self.without
        loss = strategy.loss_interval[:, 1] if surely else strategy.loss
        costly = np.flatnonzero(loss[:-1] > self.tolerance * self.without.risk[-1])  # keeping all rows drops nothing
        return 1.0 - float(self.keep_fractions[costly[-1] + 1 if len(costly) else 0])

    def __str__(self) -> str:
        ridge = {
            "tuned": "the student's ridge tuned for every share (< or >: at the end of what was tried)",
            "absolute": "the same ridge for every share",
            "per_example": "the student's ridge in proportion to its rows",
        }[self.ridge_convention]
        how = "leave-one-out" if self.method == "loo" else "expected leave-one-out under the likeliest law"
        lines = [
            f"{self.counts[-1]} rows, teacher ridge {self.teacher_ridge:.3g} (absolute: K + ridge I),",
            f"{ridge};",
            f"{how}, {self.subsets} random subsets; risk is against labels, noise included",
            f"noise variance {self.noise.noise_variance:.3g} by marginal likelihood; "
            f"labels' variance {self.labels_variance:.3g}",
            "",
            "            without distillation      with distillation",
            " kept  rows    ridge    risk    loss    ridge teacher weight [95 %]   risk    loss [95 %]",
        ]
        lines += [self._row(i) for i in range(len(self.counts))]
        if self.explained < LEARNED:
            return "\n".join(
                [*lines, "", f"The kernel explains {100 * self.explained:.3g} % of the labels' variance: {NOTHING}"]
            )
        share = [[100 * self.droppable(distilled=d, surely=s) for s in (False, True)] for d in (False, True)]
        lines += [
            "",
            f"The kernel explains {100 * self.explained:.3g} % of the labels' variance.",
            f"At a loss of at most {100 * self.tolerance:.3g} % of the risk on all rows",
            f"{share[0][0]:.0f} % could be dropped without distillation and {share[1][0]:.0f} % with it",
            f"(by the upper ends of the 95 % intervals: {share[0][1]:.0f} % and {share[1][1]:.0f} %).",
            "`advised_weight` and `advised_ridge` hold what to use: labels only where there is no gain.",
        ]
        return "\n".join(lines)

    @property
    def explained(self) -> float:
        """Share of the labels' variance that the fit of all rows predicts, leave-one-out: at most 1; not above 0, nothing."""
        return 1.0 - float(self.without.risk[-1]) / self.labels_variance

    @property
    def _unit(self) -> tuple[float, str]:
        """Losses are per cent of the risk on all rows, if that is not zero."""
        base = float(self.without.risk[-1])
        return (100 / base, "%") if base > COMPARABLE * float(self.without.risk.max()) else (1.0, "")

    def _row(self, i: int) -> str:
        """One share; losses in per cent of the risk on all rows, if that is not zero."""
        a, b = self.without, self.with_distillation
        low, high = b.teacher_weight_interval[i]
        weight = f"{b.teacher_weight[i]:6.2f} [{low:.2f}, {high:.2f}]" if np.isfinite(low) else "  not identified"
        idle = ", no gain" if np.isfinite(low) and not b.helps[i] else ""
        unit, sign = self._unit
        lost = unit * np.array([a.loss[i], b.loss[i], *b.loss_interval[i]])
        left = f"{self.keep_fractions[i]:5.3g} {self.counts[i]:5d} {a.edge[i]:>1s}{a.ridge[i]:7.2g} {a.risk[i]:7.4g} "
        right = f"{b.edge[i]:>1s}{b.ridge[i]:7.2g} {weight:21s} {b.risk[i]:7.4g} "
        return f"{left}{lost[0]:+6.1f}{sign} {right}{lost[1]:+6.1f}{sign} [{lost[2]:+.1f}, {lost[3]:+.1f}]{idle}"

    def figure(self) -> Any:
        """Loss and optimal weight over the kept share, as a Matplotlib figure.

        Raises
        ------
        ImportError
            If Matplotlib is missing.
        """
        try:
            from matplotlib.figure import Figure  # noqa: PLC0415
            from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter  # noqa: PLC0415
        except ImportError as error:
            raise ImportError("`figure` needs Matplotlib: pip install 'kdtheory[figures]'.") from error
        figure = Figure(figsize=(7.0, 2.9), layout="constrained")
        loss, weight = figure.subplots(1, 2)
        kept, (unit, percent) = 100 * self.keep_fractions, self._unit
        style: dict[str, Any] = {"ms": 4, "mfc": "white", "capsize": 0, "lw": 1.0}
        both = ((self.without, "#222222", "o", "without", 0.98), (self.with_distillation, "#0072B2", "s", "with", 1.02))
        for strategy, color, marker, label, beside in both:
            gap = unit * np.abs(strategy.loss_interval.T - strategy.loss)
            line = loss.errorbar(beside * kept, unit * strategy.loss, gap, marker=marker, color=color, **style)
            line.set_label(f"{label} distillation")
        tolerated = unit * self.tolerance * float(self.without.risk[-1])
        loss.axhspan(0.0, tolerated, color="#009E73", alpha=0.3, lw=0, label="tolerated")
        loss.set(xlabel="kept share of the rows (%)", ylabel=f"loss against all rows{' (%)' if percent else ''}")
        loss.legend(frameon=False, fontsize=7)
        chosen = self.with_distillation
        for rows, color, label in ((chosen.helps, "#0072B2", "advised"), (~chosen.helps, "#999999", "no gain")):
            known = np.isfinite(chosen.teacher_weight) & rows
            if known.any():
                centre = chosen.teacher_weight[known]
                gap = np.abs(chosen.teacher_weight_interval[known].T - centre)
                weight.errorbar(kept[known], centre, gap, fmt="s", color=color, label=label, **style)
                weight.legend(frameon=False, fontsize=7, loc="lower left")
        weight.axhline(0.0, color="#999999", lw=0.6)
        weight.set(xlabel="kept share of the rows (%)", ylabel="optimal teacher weight")
        for axis in (loss, weight):
            axis.set(xscale="log", xlim=(0.9 * kept[0], 1.12 * kept[-1]))
            axis.xaxis.set_major_locator(FixedLocator([float(x) for x in kept]))
            axis.xaxis.set_minor_locator(NullLocator())
            axis.xaxis.set_major_formatter(ScalarFormatter())
        return figure
