r"""Where the kernel theory ends: of a network that learns a square, it describes large output scales; small ones generalise.

Varied: the output scale, 1/32 to 512; time; the width, 500 neurons or infinitely many; the output at the start, taken away
("from zero") or kept.
Tuned: nothing.
Seeds: 3 draws of data and network, 1 at infinite width; geometric means, with 95 % t-intervals where scales are compared.
Sizes: 550 training and 1,000 test points in 100 dimensions.

The network is f(x) = (scale/500) sum of phi(w·x/10), phi(h) = h + 0.25 h²/2, the target (beta·x)²/100, x and beta from N(0,
I); only the w are trained, by gradient descent on the loss over scale². Time t counts steps of size 250. The experiment
trains the second moment of the weights: the same steps exactly. Losses are over the mean square of the targets, so that
predicting zero costs 1. Black lines: ``kdtheory.GradientDescent`` with the network's own tangent kernel at the start, at
the same t, mean of the same draws; for a network whose output starts at zero it is the same for every scale. Grey: the same
for an infinitely wide network, by ``kdtheory.activations.polynomial``.
Upper row: 500 neurons from zero. Upper right: cosine of the tangent kernel on the training points with the outer product of
the targets, both centred. Lower left: losses at the end, t = 60,000 (scale 1/32: 20,000, 1/8: 40,000), where the kernel is
at its ridgeless limit. "Start kept": the output at the start stays part of the network. It grows with the scale, and
undoing it moves the weights by as much at every scale: such a network does not become lazy. Lower middle: the first t at
which a loss is below 0.1; arrows: not by the end in some draw. Lower right: relative change of the kernel, in the Frobenius
norm.

From Kumar, Bordelon, Gershman & Pehlevan (2023), arXiv:2310.06110: network, target, loss. Their text was not at hand:
numbers are those of a public copy of their notebook, whose sweep over scales has 450 training points, one draw, the start's
output taken away and scales 1/32 and 1/4 to 32; the 550 points are those of its first figure. Chosen here: scales 1/8, 128
and 512, the draws, the infinite width, the threshold, and to save time steps 2, 4, 8 and 16 times as long at scales 1/8,
1/4, 1/2 and above (losses at scale 1 change by less than a tenth). Not run: 1/16, and 1/32 and 1/8 up to t = 60,000.
Recorded in ``grokking.csv``; ``python -m empirical run grokking`` measures it anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from numpy.typing import NDArray

import kdtheory as kd
from paper_figs.regression_data import recorded
from paper_figs.style import GREY, INK, OKABE_ITO, PAGE, Table, half_width, plain, stack, where

Floats = NDArray[np.float64]
INPUTS, WIDTH, POINTS, NEW, QUADRATIC = 100, 500, 550, 1000, 0.25
THRESHOLD, AGREEMENT = 0.1, 0.1
LOOKS = zip(np.array(OKABE_ITO)[[1, 4, 2, 5, 0]].tolist(), "s^Dvo", strict=True)
SHOWN = dict(zip((1 / 32, 1 / 2, 8.0, 32.0, 512.0), LOOKS, strict=True))  # colour and marker of a scale
END = 60_000
TIMES = np.unique(np.geomspace(1, END, 60).round().astype(int))


@dataclass(frozen=True, eq=False)
class Draw:
    """Data and network of one seed: inputs (n, 100), targets (n,) and weights (500, 100), as in the experiment."""

    X: Floats
    y: Floats
    X_new: Floats
    y_new: Floats
    W: Floats

    @classmethod
    def of(cls, seed: int) -> Draw:
        """Of a seed."""
        rng = np.random.default_rng([seed, 0])
        X, X_new, beta = rng.normal(size=(POINTS, INPUTS)), rng.normal(size=(NEW, INPUTS)), rng.normal(size=INPUTS)
        W = np.random.default_rng([seed, 1]).normal(size=(WIDTH, INPUTS))
        return cls(X, (X @ beta) ** 2 / INPUTS, X_new, (X_new @ beta) ** 2 / INPUTS, W)

    def hidden(self, X: Floats) -> Floats:
        """Preactivations, (n, 500)."""
        return np.asarray(X @ self.W.T / np.sqrt(INPUTS))

    def output(self, X: Floats) -> Floats:
        """Of the network at the start, over its scale."""
        h = self.hidden(X)
        return np.asarray(np.mean(h + QUADRATIC / 2 * h**2, axis=1))

    def kernel(self, X: Floats) -> Floats:
        r"""Tangent kernel with the training points at the start, over scale²/500: mean of phi'(h) phi'(h') times x·x'/100."""
        slopes, own = (1 + QUADRATIC * self.hidden(points) for points in (X, self.X))
        return np.asarray(slopes @ own.T / WIDTH * (X @ self.X.T / INPUTS))

    def wide_kernel(self, X: Floats) -> Floats:
        """Its limit."""
        activation = kd.activations.polynomial([0.0, 1.0, QUADRATIC / 2])
        how: dict[str, Any] = {"depth": 1, "activation": activation, "weight_variance": 1.0, "output_layer": False}
        return kd.kernels.ntk(X, self.X, **how)


@dataclass(frozen=True, eq=False)
class Kernel:
    r"""Losses that a kernel predicts for a draw: of gradient descent from the output at the start, kept or taken away.

    A step of size :math:`250 = N/2` on the mean of squares over scale² moves the fit by :math:`k\,r/P`, with k the kernel over
    :math:`\text{scale}^2/N`.
    """

    draw: Draw
    gram: Floats
    cross: Floats

    @cached_property
    def spectrum(self) -> kd.Spectrum:
        """Of the training points."""
        return kd.Spectrum.from_gram(self.gram)

    def alignment(self) -> float:
        """Cosine of the kernel, which never changes, with the outer product of the targets, both centred."""
        y, K = self.draw.y - self.draw.y.mean(), self.gram - self.gram.mean(axis=0)
        K = K - K.mean(axis=1, keepdims=True)
        return float(y @ K @ y / (y @ y * np.linalg.norm(K)))

    def losses(self, t: int, scales: Floats, *, centred: bool) -> tuple[Floats, Floats]:
        """Training and test loss after t steps, over the mean squares of the targets; one per scale."""
        draw, filter = self.draw, kd.GradientDescent(1 / POINTS, t)
        start = 0.0 if centred else 1.0
        f_0, f_0_new = start * draw.output(draw.X), start * draw.output(draw.X_new)
        both = np.column_stack([draw.y, f_0])
        errors = self.spectrum.fit(filter, both) - both
        errors_new = self.spectrum.predict(filter, both, self.cross) - np.column_stack([draw.y_new, f_0_new])
        mix = np.vstack([np.ones_like(scales), -scales])  # trained is y - scale f_0
        losses = np.mean((errors @ mix) ** 2, axis=0) / np.mean(draw.y**2)
        return losses, np.mean((errors_new @ mix) ** 2, axis=0) / np.mean(draw.y_new**2)


def compute() -> Table:
    """Rows: kind (network or kernel), quantity, width, centred, scale, t, value, low and high."""
    table = recorded("grokking.csv", text=("width",))
    draws = [Draw.of(seed) for seed in np.unique(table["seed"])]
    own = [Kernel(d, d.kernel(d.X), d.kernel(d.X_new)) for d in draws]
    wide = [Kernel(d, d.wide_kernel(d.X), d.wide_kernel(d.X_new)) for d in draws[:1]]
    rows = [row for kernels, width in ((own, "500"), (wide, "infinite")) for row in _kernel_rows(kernels, width)]
    sizes = {"train": [np.mean(d.y**2) for d in draws], "test": [np.mean(d.y_new**2) for d in draws]}
    for name, size in sizes.items():
        table[name] = table[name] / np.array(size)[table["seed"]]
    for width, centred in (("500", 1), ("500", 0), ("infinite", 1)):
        for scale in np.unique(table["scale"]).tolist():
            here = where(table, width=width, centred=("False", "True")[centred], scale=scale)
            rows += _network_rows(here, {"kind": "network", "width": width, "centred": centred, "scale": scale})
    here = where(table, width="500", centred="True")
    return stack([*rows, _agreement(where(here, t=END), own)])


def _kernel_rows(kernels: list[Kernel], width: str) -> list[dict[str, Any]]:
    about = {"kind": "kernel", "width": width, "centred": 1}
    one = np.ones(1)
    curves = np.array([[np.ravel(k.losses(t, one, centred=True)) for t in TIMES.tolist()] for k in kernels])
    rows = [
        _row(**about, quantity=name, t=TIMES[i], **_mean(curves[:, i, j]))
        for j, name in enumerate(("train", "test"))
        for i in range(len(TIMES))
    ]
    reached = np.array([_first_below(TIMES, curve[:, 0]) for curve in curves])
    rows.append(_row(**about, quantity="time train", **_mean(reached)))
    aligned = _mean(np.array([k.alignment() for k in kernels]))
    rows += [_row(**about, quantity="alignment_centred", t=t, **aligned) for t in (1, END)]
    if width == "500":
        scales = np.geomspace(1 / 32, 512, 57)
        kept = np.array([k.losses(END, scales, centred=False)[1] for k in kernels])
        about["centred"] = 0
        rows += [_row(**about, quantity="final", scale=a, t=END, **_mean(kept[:, i])) for i, a in enumerate(scales)]
    return rows


def _network_rows(table: Table, about: dict[str, Any]) -> list[dict[str, Any]]:
    """Curves by time, and what is compared between scales."""
    times, rows = np.unique(table["t"]), []
    by_seed = [where(table, seed=seed) for seed in np.unique(table["seed"])]
    for name in ("train", "test", "alignment_centred"):
        for i, t in enumerate(times):
            rows.append(_row(**about, quantity=name, t=t, **_mean(np.array([one[name][i] for one in by_seed]))))
    for name in ("train", "test"):
        reached = np.array([_first_below(one["t"], one[name]) for one in by_seed])
        rows.append(_row(**about, quantity=f"time {name}", **_mean(reached)))
    for name, of in (("final", "test"), ("final change", "change")):
        rows.append(_row(**about, quantity=name, t=times[-1], **_mean(np.array([one[of][-1] for one in by_seed]))))
    return rows


def _agreement(table: Table, kernels: list[Kernel]) -> dict[str, Any]:
    """Smallest scale from which on the kernel's test loss at the end is within AGREEMENT of the network's, on average."""
    predicted = np.array([k.losses(END, np.ones(1), centred=True)[1][0] for k in kernels])
    scales = np.unique(table["scale"])
    off = np.array([np.mean(np.abs(predicted / where(table, scale=a)["test"] - 1)) for a in scales])
    outside = np.flatnonzero(off > AGREEMENT)
    first = outside[-1] + 1 if len(outside) else 0
    value = float(scales[first]) if first < len(scales) else np.nan
    return _row(kind="agreement", width="500", centred=1, quantity="scale", value=value)


def _first_below(t: Floats, losses: Floats) -> float:
    """Time at which a loss is first below the threshold, between records on logarithmic scales; infinite if it never is."""
    below = np.flatnonzero(losses < THRESHOLD)
    if not len(below):
        return float("inf")
    i = np.array([below[0] - 1, below[0]])
    return float(np.exp(np.interp(-np.log(THRESHOLD), -np.log(losses[i]), np.log(np.maximum(t[i], 1)))))


def _mean(values: Floats) -> dict[str, float]:
    """Geometric mean and the ends of its 95 % t-interval, as far as there is one."""
    if not np.isfinite(values).all():
        return {"value": np.inf}
    logs = np.log(values)
    half = float(half_width(logs)) if len(logs) > 1 else 0.0
    return {"value": float(np.exp(logs.mean())), "low": np.exp(logs.mean() - half), "high": np.exp(logs.mean() + half)}


def _row(**columns: Any) -> dict[str, Any]:
    return {"quantity": "", "scale": np.nan, "t": 0, "value": np.nan, "low": np.nan, "high": np.nan} | columns


def draw(table: Table) -> Figure:
    """Along training above, between scales below."""
    figure, ((test, train, aligned), (final, times, change)) = plt.subplots(2, 3, figsize=(PAGE, 4.7))
    for axis, name, title in (
        (test, "test", "test loss"),
        (train, "train", "training loss"),
        (aligned, "alignment_centred", "kernel-target alignment"),
    ):
        _draw_curves(axis, where(table, quantity=name, centred=1, width="500"))
        axis.set(title=title, xscale="log", xlim=(0.9, 1.1e5), xlabel="time $t$ (steps)", ylabel="loss, relative to targets")
        plain(axis.xaxis, every=2)
    test.set(yscale="log", ylim=(5e-5, 3))
    train.set(yscale="log", ylim=(2e-8, 3))
    train.yaxis.set_major_locator(LogLocator(base=100.0))
    train.yaxis.minorticks_off()
    aligned.set(ylabel="cosine", ylim=(0, 0.25))
    _draw_final(final, table)
    _draw_times(times, table)
    for looks, x in _networks(table, "final change"):
        change.errorbar(x["scale"], x["value"], [x["value"] - x["low"], x["high"] - x["value"]], **looks)
    slope = np.array([4.0, 512.0])
    change.plot(slope, 1.6 / slope, ":", color=GREY, lw=0.9)
    change.text(45, 0.05, "1/scale", fontsize=7)
    change.set(title="change of the kernel", yscale="log", ylabel="relative change at the end")
    for axis in (final, times, change):
        axis.set(xscale="log", xlabel="output scale", xticks=(1 / 32, 1, 32, 512), xticklabels=("1/32", "1", "32", "512"))
        axis.minorticks_off()
    handles, labels = test.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=7, columnspacing=1.0, handletextpad=0.4)
    (theory, *handles), (name, *labels) = final.get_legend_handles_labels()
    figure.legend(
        [*handles, theory], [*labels, name], loc="outside lower center", ncols=5, columnspacing=1.0, handletextpad=0.4
    )
    return figure


def _draw_curves(axis: Any, table: Table) -> None:
    for scale, (color, marker) in SHOWN.items():
        here, look = where(table, kind="network", scale=scale), {"ms": 2.2, "lw": 0.5, "mfc": "white", "mew": 0.6}
        label = f"scale {scale:g}" if scale >= 1 else f"scale 1/{1 / scale:.0f}"
        axis.plot(np.maximum(here["t"], 1), here["value"], marker + "-", **look, color=color, label=label)
    kernel = where(table, kind="kernel")
    axis.plot(kernel["t"], kernel["value"], color=INK, label="kernel theory, any scale", zorder=3)


def _networks(table: Table, quantity: str) -> list[tuple[dict[str, Any], Table]]:
    """How each kind of network is drawn, and its points."""
    looks = {
        ("500", 1): {"fmt": "o", "color": OKABE_ITO[0], "label": "500 neurons, from zero", "zorder": 3},
        ("infinite", 1): {"fmt": "s", "color": GREY, "ms": 5.5, "label": "infinitely many, from zero", "zorder": 2},
        ("500", 0): {"fmt": "^", "color": OKABE_ITO[1], "label": "500 neurons, start kept", "zorder": 2},
    }
    of = where(table, kind="network", quantity=quantity)
    same: dict[str, Any] = {"ms": 3.2, "mfc": "white", "mew": 0.8, "lw": 0.8}
    return [(same | look, where(of, width=width, centred=centred)) for (width, centred), look in looks.items()]


def _draw_final(axis: Any, table: Table) -> None:
    for looks, x in _networks(table, "final"):
        axis.errorbar(x["scale"], x["value"], [x["value"] - x["low"], x["high"] - x["value"]], **looks)
    end = where(table, kind="kernel", quantity="test", t=END)
    for width, color in (("500", INK), ("infinite", GREY)):
        axis.axhline(where(end, width=width)["value"][0], color=color, lw=1.2 if color == INK else 0.8, zorder=1)
    kept = where(table, kind="kernel", quantity="final")
    axis.plot(kept["scale"], kept["value"], "--", color=OKABE_ITO[1], lw=1.0, label="kernel theory, start kept")
    scale = where(table, kind="agreement")["value"][0]
    axis.axvline(scale, color=GREY, lw=0.8, ls=":", zorder=0)
    axis.text(scale * 0.8, 1.2e-5, f"kernel within\n{100 * AGREEMENT:g} % from {scale:g} on", ha="right", fontsize=6.5)
    axis.set(title="test loss at the end", yscale="log", ylabel="loss, relative to targets")


def _draw_times(axis: Any, table: Table) -> None:
    for name, look in (("train", {"fmt": "o", "mfc": OKABE_ITO[0]}), ("test", {"fmt": "o", "mfc": "white"})):
        looks, x = _networks(table, f"time {name}")[0]
        finite = np.isfinite(x["value"])
        x_in = {key: column[finite] for key, column in x.items()}
        label = f"{name}ing loss" if name == "train" else "test loss"
        bars = [x_in["value"] - x_in["low"], x_in["high"] - x_in["value"]]
        axis.errorbar(x_in["scale"], x_in["value"], bars, **(looks | look | {"label": label}))
        axis.plot(x["scale"][~finite], np.full((~finite).sum(), 1.3 * END), marker=r"$\uparrow$", ls="", color=OKABE_ITO[0])
    kernel = where(table, kind="kernel", quantity="time train", width="500")["value"][0]
    axis.axhline(kernel, color=INK, label="kernel, training")
    axis.set(title="first time below 0.1", yscale="log", ylabel="time $t$ (steps)", ylim=(5, 12 * END))
    axis.legend(loc="lower right", fontsize=6.5)
