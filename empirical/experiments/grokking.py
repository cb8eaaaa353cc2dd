r"""Grokking: networks of a small output scale leave the kernel theory and generalise, those of a large one stay with it.

The network learns a square from Gaussian inputs, by full gradient descent on its hidden weights alone,

.. math::
    f(x) = \frac{\alpha}{N} \sum_{i=1}^N \varphi\!\Big(\frac{w_i \cdot x}{\sqrt D}\Big), \quad
    \varphi(h) = h + \frac{\epsilon}{2} h^2, \qquad
    y(x) = \Big(\frac{\beta \cdot x}{\sqrt D}\Big)^2, \qquad
    \text{loss} = \frac{1}{\alpha^2 P} \sum_\mu (f(x_\mu) - y_\mu)^2 .

Training and test loss are followed until long after the training points are fitted, and so is the tangent kernel. At the
initialisation it is :math:`\alpha^2` times a matrix that does not depend on the output scale. So for networks whose output
starts at zero the kernel theory says the same of all scales; `paper_figs.lazy_to_rich` computes it.

Completing the square makes the network a quadratic form of the second moment of its weights, and one step of gradient descent
acts on that moment alone: with :math:`\tilde w = (1/\epsilon, w)`, :math:`\tilde z = (1, x/\sqrt D)`, residuals r and
:math:`\Pi` the projection on the weights that are trained,

.. math::
    f = \frac{\alpha\epsilon}{2} \big(\tilde z^\top S \tilde z - \epsilon^{-2}\big), \qquad
    S = \frac1N \sum_i \tilde w_i \tilde w_i^\top, \qquad
    S \leftarrow (I - B)\, S\, (I - B)^\top, \qquad
    B = \frac{2\eta\epsilon}{\alpha N P}\, \Pi \sum_\mu r_\mu \tilde z_\mu \tilde z_\mu^\top .

So S is trained here, which is exact, costs a quarter, and has an infinitely wide network too: it is not lazy at a fixed scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

import kdtheory as kd
from empirical import extra
from empirical.experiments.verdicts_evidence import contrast, decided, rows_where, untold, values, written
from empirical.networks import as_array
from empirical.ntk import alignment, relative_change
from empirical.store import Row
from empirical.verdict import Verdict
from kdtheory.checks import Array

with extra():
    import torch
    from torch import Tensor, nn

__all__ = ["GRID", "QUICK", "Committee", "Form", "Settings", "Task", "measure", "units", "verdicts"]


@dataclass(frozen=True)
class Settings:
    """Parameters of the experiment.

    Attributes
    ----------
    scales : tuple of floats
        Alpha. The notebook's sweep has 1/32 and 1/4 to 32; 1/8, 128 and 512 are added here.
    networks : tuple of (width, centred, number of seeds)
        N or "infinite", and whether the output at initialisation is taken away. A seed draws inputs, beta and weights; the
        notebook has one, and 500 neurons. Its sweep is centred; an adapted copy that prints its losses is not.
    inputs, n, n_new : ints
        D, P and the number of test points, as in that copy and in the notebook's first figure; its sweep has P = 450.
    quadratic : float
        Epsilon of the sweep.
    learning_rate : float
        Over N; 0.5 in the notebook. A step at this rate is the unit of time t.
    duration, most_steps : ints
        The last t, as in the notebook, unless it takes more steps than that (chosen here: 1/32 ends at t = 20,000, 1/8 at
        40,000).
    stride, longest_stride : floats
        A step here is of stride times alpha of the notebook's, at least one and at most the longest, because the kernel of a
        network of small scale grows as 1/alpha in training. Chosen here, to save time; losses at scale 1 change by less than a
        tenth.
    records : int
        Number of times to record, about equally spaced in log t.

    References
    ----------
    Kumar, Bordelon, Gershman & Pehlevan (2023), arXiv:2310.06110. The numbers are those of a public copy of the authors'
    supplementary notebook (cell "Figure 3(a)"), in the repository giovana-morais/amlds_final_project.
    """

    scales: tuple[float, ...] = (1 / 32, 1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 128.0, 512.0)
    networks: tuple[tuple[int | str, bool, int], ...] = ((500, True, 3), (500, False, 3), ("infinite", True, 1))
    inputs: int = 100
    n: int = 550
    n_new: int = 1000
    quadratic: float = 0.25
    learning_rate: float = 0.5
    duration: int = 60_000
    most_steps: int = 20_000
    stride: float = 16.0
    longest_stride: float = 16.0
    records: int = 33


GRID = ("scales", "networks")
QUICK = Settings(scales=(1 / 8, 1.0, 128.0), networks=((500, True, 2),), duration=16_000, most_steps=2000)


@dataclass(frozen=True, eq=False)
class Task:
    """Inputs (P, D) and (m, D), drawn from N(0, I), and targets (P,) and (m,), for beta from N(0, I)."""

    X: Array
    y: Array
    X_new: Array
    y_new: Array

    @classmethod
    def draw(cls, inputs: int, n: int, n_new: int, seed: int) -> Task:
        """A seed's task; its weights come from a generator of their own."""
        rng = np.random.default_rng([seed, 0])
        X, X_new, beta = rng.normal(size=(n, inputs)), rng.normal(size=(n_new, inputs)), rng.normal(size=inputs)
        return cls(X, (X @ beta) ** 2 / inputs, X_new, (X_new @ beta) ** 2 / inputs)


class Committee(nn.Module):
    r"""The network itself: :math:`\frac{\alpha}{N} \sum_i \varphi(w_i \cdot x / \sqrt D)` of inputs (n, D), as (n, 1).

    Parameters
    ----------
    inputs, width : ints
        D and N.
    scale, quadratic : floats
        Alpha and epsilon.
    seed : int
        Draws the weights from N(0, 1), in float64.
    """

    def __init__(self, inputs: int, *, width: int, scale: float, quadratic: float, seed: int) -> None:
        super().__init__()
        self.scale, self.quadratic = scale, quadratic
        self.weights = nn.Parameter(torch.tensor(np.random.default_rng([seed, 1]).normal(size=(width, inputs))))

    def forward(self, X: Tensor) -> Tensor:
        """Outputs (n, 1)."""
        h = X @ self.weights.mT / math.sqrt(X.shape[-1])
        return self.scale * (h + self.quadratic / 2 * h.square()).mean(-1, keepdim=True)

    def moment(self) -> Tensor:
        """S, (D + 1, D + 1)."""
        W = self.weights.detach()
        V = torch.cat([torch.full_like(W[:, :1], 1 / self.quadratic), W], dim=1)
        return V.mT @ V / len(V)


@dataclass(frozen=True, eq=False)
class Form:
    r"""The network as the quadratic form of its moment S: outputs, tangent kernel and a step of gradient descent.

    Attributes
    ----------
    S : (D + 1, D + 1) tensor
        Second moment of the weights, the constant :math:`1/\epsilon` first.
    scale, quadratic : floats
        Alpha and epsilon.

    Examples
    --------
    It is the network:

    >>> net = Committee(3, width=5, scale=2.0, quadratic=0.25, seed=0)
    >>> X = torch.ones(1, 3, dtype=torch.float64)
    >>> bool(torch.isclose(Form(net.moment(), 2.0, 0.25).outputs(augmented(X))[0], net(X)[0, 0]))
    True
    """

    S: Tensor
    scale: float
    quadratic: float

    def outputs(self, Z: Tensor) -> Tensor:
        """At augmented points (n, D + 1)."""
        return self.scale * self.quadratic / 2 * (((Z @ self.S) * Z).sum(-1) - self.quadratic**-2)

    def kernel(self, Z: Tensor) -> Tensor:
        r"""Tangent kernel times N, :math:`(\alpha\epsilon)^2\, (\tilde z^\top S \tilde z')\, (z \cdot z')`; (n, n)."""
        return (self.scale * self.quadratic) ** 2 * (Z @ self.S @ Z.mT) * (Z[:, 1:] @ Z[:, 1:].mT)

    def stepped(self, Z: Tensor, residuals: Tensor, learning_rate: float) -> Form:
        r"""After one step at learning rate :math:`\eta / N`."""
        factor = 2 * learning_rate * self.quadratic / (self.scale * len(Z))
        B = factor * Z.mT @ (residuals[:, None] * Z)
        B[0] = 0  # the constant is not trained
        S = self.S - B @ self.S
        return Form(S - S @ B.mT, self.scale, self.quadratic)


def augmented(X: Tensor) -> Tensor:
    r""":math:`\tilde z = (1, x/\sqrt D)`, (n, D + 1)."""
    return torch.cat([torch.ones_like(X[:, :1]), X / math.sqrt(X.shape[1])], dim=1)


def units(settings: Settings) -> list[dict[str, Any]]:
    """One network a unit, whole seeds first."""
    most = max(seeds for _, _, seeds in settings.networks)
    return [
        {"width": width, "centred": centred, "scale": scale, "seed": seed}
        for seed in range(most)
        for width, centred, seeds in settings.networks
        for scale in settings.scales
        if seed < seeds
    ]


def measure(settings: Settings, unit: dict[str, Any], device: torch.device) -> list[dict[str, Any]]:
    r"""One network from its initialisation to the end.

    Columns, by time t: `train` and `test` are mean squared errors (not over :math:`\alpha^2`). Of the tangent kernel on the
    training points: `alignment` with the targets, :math:`y^\top K y / (|y|^2 \|K\|_F)`, `alignment_centred` the same after
    both are centred, `alignment_start` and `change` its cosine with and relative distance from its start.
    """
    task = Task.draw(settings.inputs, settings.n, settings.n_new, unit["seed"])
    Z, y, Z_new, y_new = (torch.tensor(a, device=device) for a in (task.X, task.y, task.X_new, task.y_new))
    Z, Z_new = augmented(Z), augmented(Z_new)
    f = Form(_start(settings, unit).to(device), unit["scale"], settings.quadratic)
    f_0, f_0_new = (f.outputs(Z), f.outputs(Z_new)) if unit["centred"] else (torch.zeros_like(y), torch.zeros_like(y_new))
    stride = int(np.clip(settings.stride * unit["scale"], 1, settings.longest_stride))
    steps = min(settings.duration // stride, settings.most_steps)
    at = {0, *np.geomspace(1, steps, settings.records - 1).round().astype(int).tolist()}
    K_0, direction, rows = as_array(f.kernel(Z)), np.outer(task.y, task.y), []
    for k in range(steps + 1):
        r = f.outputs(Z) - f_0 - y
        if k in at:
            K = as_array(f.kernel(Z))
            rows.append(
                {
                    "t": k * stride,
                    "train": float(r.square().mean()),
                    "test": float((f.outputs(Z_new) - f_0_new - y_new).square().mean()),
                    "alignment": alignment(K, direction),
                    "alignment_centred": alignment(K, direction, centred=True),
                    "alignment_start": alignment(K, K_0),
                    "change": relative_change(K, K_0),
                }
            )
        f = f.stepped(Z, r, settings.learning_rate * stride)
    return rows


def _start(settings: Settings, unit: dict[str, Any]) -> Tensor:
    """S at initialisation; of an infinitely wide network its expectation."""
    if unit["width"] == "infinite":
        S = torch.eye(settings.inputs + 1, dtype=torch.float64)
        S[0, 0] = settings.quadratic**-2
        return S
    how = {"scale": unit["scale"], "quadratic": settings.quadratic, "seed": unit["seed"]}
    return Committee(settings.inputs, width=unit["width"], **how).moment()


def verdicts(rows: list[Row]) -> list[Verdict]:
    """Of networks that start from zero: test losses over those of predicting zero, and when they fall below a tenth."""
    networks = [row for row in rows if row["centred"] is True and row["width"] != "infinite"]
    scales, seeds = values(networks, "scale"), values(networks, "seed")
    runs = {(a, s): rows_where(networks, scale=a, seed=s) for a in scales for s in seeds}
    left = {a: contrast([[np.log(runs[a, s][-1]["test"] / runs[a, s][0]["test"]) for s in seeds]]) for a in scales}
    low, high = scales[0], scales[-1]
    lazy = f"At the largest scale, {high:g}, the kernel at the start predicts the test loss at the end to within a tenth."
    ends = [(runs[high, s][0], runs[high, s][-1], *kernel_losses(Settings(), s, runs[high, s][-1]["t"])) for s in seeds]
    if all(math.isclose(start["train"], null, rel_tol=1e-4) for start, _, null, _ in ends):
        ratio = contrast([[end["test"] / loss for _, end, _, loss in ends]])
        found = [decided(lazy, ratio, 0.9, 1.1, f"test loss over the kernel's {written(ratio)}", len(seeds))]
    else:
        found = [untold(lazy, "the targets are not those of the default settings")]
    rich = f"At the smallest scale, {low:g}, networks generalise: they end below a tenth of the loss of predicting zero."
    effect = f"test loss {np.exp(left[low].value):.1e}, at scale {high:g} {np.exp(left[high].value):.2f}, of predicting zero"
    found.append(decided(rich, left[low], -np.inf, np.log(0.1), effect, len(seeds)))
    late = "Generalisation comes late: the test loss falls below a tenth after more than twice the time of the training loss."
    lags = {a: [first_below(runs[a, s], "test") / first_below(runs[a, s], "train") for s in seeds] for a in scales}
    reached = max((a for a, lag in lags.items() if np.isfinite(lag).all()), default=None)
    if reached is None:
        return [*found, untold(late, "at no scale did all test losses fall so far")]
    lag = contrast([np.log(lags[reached])])
    effect = f"{np.exp(lag.value):.0f} [{np.exp(lag.low):.1f}, {np.exp(lag.high):.0f}] times at scale {reached:g}"
    return [*found, decided(late, lag, np.log(2), np.inf, effect, len(seeds))]


def first_below(run: list[Row], loss: str, share: float = 0.1) -> float:
    """The first recorded time at which a loss is below a share of that of predicting zero; infinite if it never is."""
    return next((float(row["t"]) for row in run if row[loss] < share * run[0][loss]), math.inf)


def kernel_losses(settings: Settings, seed: int, t: int) -> tuple[float, float]:
    """Mean square of a seed's targets, and test loss after t steps of descent with its network's kernel at the start."""
    task, unit = Task.draw(settings.inputs, settings.n, settings.n_new, seed), {"width": 500, "scale": 1.0, "seed": seed}
    Z = augmented(torch.tensor(np.vstack([task.X, task.X_new])))
    K, P = as_array(Form(_start(settings, unit), 1.0, settings.quadratic).kernel(Z)), settings.n
    f = kd.Spectrum.from_gram(K[:P, :P]).predict(kd.GradientDescent(2 * settings.learning_rate / P, t), task.y, K[P:, :P])
    return float(np.mean(task.y**2)), float(np.mean((f - task.y_new) ** 2))
