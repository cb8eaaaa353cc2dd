r"""Claim: a wide network learns a principal component of its tangent kernel along a straight line, at the kernel's rate.

Measured as in figure 3 of Jacot, Gabriel & Hongler (2018). Of N inputs and the limit kernel :math:`\Theta` let
:math:`\lambda_i` be the eigenvalues of :math:`\Theta/N` and :math:`f^{(i)}` the eigenvectors with mean square 1. A network
is trained on :math:`f^* = f_0 + \tfrac12 f^{(2)}`. At infinite width :math:`f_t = f^* - \tfrac12 e^{-\lambda_2 t} f^{(2)}`;
at finite width recorded are, with :math:`\langle a, b\rangle = \tfrac1N \sum_i a_i b_i`,

.. math::
    g_t = \langle f^* - f_t, f^{(2)}\rangle, \qquad
    h_t = f_t - f_0 - \langle f_t - f_0, f^{(2)}\rangle f^{(2)} \text{ by its norm},

what is left along the line and the distance from it; and both for the same network with its kernel frozen at initialisation,
which tells the kernel's randomness from its movement. One unit is one training, or one set of components.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

import kdtheory as kd
from empirical import extra
from empirical.experiments.verdicts_evidence import column, contrast, decided, rows_where, untold, values, written
from empirical.networks import MLP, predict
from empirical.ntk import empirical_ntk
from empirical.store import Row
from empirical.training import train
from empirical.verdict import Verdict
from kdtheory.checks import Array
from kdtheory.dynamics import loss_scale

with extra():
    import torch

__all__ = ["GRID", "QUICK", "VARIABLE", "Settings", "components", "images", "measure", "units", "verdicts"]

VARIABLE = "KDTHEORY_DATA"
GRID = ("data", "trials", "trainings")
COLUMNS = ("width", "trial", "learning_rate", "time", "along", "across", "frozen_along", "frozen_across", "rate")
SAMPLE_COLUMNS = ("label", "second", "third", "first_value", "second_value", "third_value")


@dataclass(frozen=True)
class Settings:
    """Parameters of the experiment.

    Attributes
    ----------
    data : tuple of str
        "digits", which scikit-learn holds, and "fashion_mnist", which is read from the folder that KDTHEORY_DATA names. The
        paper has MNIST.
    trials : int
        Networks per training; stated: 2.
    trainings : tuple of (width, learning rate)
        Stated: widths 100, 1,000, 10,000 and rate 1. Not run: 10,000, hours on a CPU. Width 1,000 takes
        larger steps for speed; width 100 with both rates shows that this does not change the curves.
    images : int
        N, the first of the file; stated: 512. Pixels in [0, 1]; the scaling is not stated.
    depth : int
        Hidden layers; the number of layers is not stated for this figure, taken is the L = 4 of the others.
    activation, weight_variance, bias_variance
        Stated: ReLU, 1, and beta = 0.1, whose square the variance is.
    time, records : float and int
        Steps times learning rate of full-batch gradient descent on the halved mean of squares, and how many equal parts of
        it are recorded. Stated: 4,000 on MNIST, where lambda_2 t then is 4.3, as it is here at 1,000 or before.
    seed : int
    """

    data: tuple[str, ...] = ("digits",)
    trials: int = 2
    trainings: tuple[tuple[int, float], ...] = ((100, 1.0), (100, 5.0), (1000, 5.0))
    images: int = 512
    depth: int = 3
    activation: str = "relu"
    weight_variance: float = 1.0
    bias_variance: float = 0.01
    time: float = 1000.0
    records: int = 50
    seed: int = 0


QUICK = Settings(trainings=((50, 5.0), (200, 5.0)), images=128, records=20)


def units(settings: Settings) -> list[dict[str, Any]]:
    """The components of each set of images, then the trainings."""
    return [{"data": data, "part": "components"} for data in settings.data] + [
        {"data": data, "part": "training", "width": width, "learning_rate": rate, "trial": trial}
        for width, rate in settings.trainings
        for data in settings.data
        for trial in range(settings.trials)
    ]


def measure(settings: Settings, unit: dict[str, Any], device: torch.device) -> list[dict[str, Any]]:
    r"""A row per image, or a row per recorded time; columns of the other kind are nan.

    `rate` is :math:`\langle f^{(2)}, \Theta f^{(2)}\rangle/N` of the network's own kernel, at the first and last time.
    """
    X, labels = images(unit["data"], settings.images)
    eigenvalues, f = components(settings, X)
    nothing = dict.fromkeys(COLUMNS + SAMPLE_COLUMNS, float("nan"))
    if unit["part"] == "components":
        values = dict(zip(SAMPLE_COLUMNS[3:], eigenvalues.tolist(), strict=True))
        rows = zip(labels.tolist(), f[:, 1].tolist(), f[:, 2].tolist(), strict=True)
        return [nothing | values | dict(zip(SAMPLE_COLUMNS, row, strict=False)) for row in rows]
    return [nothing | unit | row for row in _training(settings, unit, X, f[:, 1], device)]


def _training(settings: Settings, unit: dict[str, Any], X: Array, f2: Array, device: torch.device) -> list[dict[str, Any]]:
    N, rate = len(X), unit["learning_rate"]
    network = MLP(
        X.shape[1], width=unit["width"], seed=[unit["trial"], settings.seed], device=device, **architecture(settings)
    )
    f_0, change = predict(network, X)[:, 0], 0.5 * f2
    kernel = empirical_ntk(network, X, output="traced")
    spectrum, c = kd.Spectrum.from_gram(kernel), loss_scale("half mean", N)
    steps = [round(k * settings.time / settings.records / rate) for k in range(settings.records + 1)]
    run = train(network, X, f_0 + change, steps=steps[-1], learning_rate=rate, loss_scale=c, record=steps)
    last = empirical_ntk(network, X, output="traced")
    rates = {0: f2 @ kernel @ f2 / N**2, steps[-1]: f2 @ last @ f2 / N**2}
    rows = []
    for k, outputs in zip(steps, run.predictions[:, :, 0], strict=True):
        row = {"time": k * rate, "rate": float(rates.get(k, float("nan")))}
        frozen = spectrum.fit(kd.GradientDescent(rate, k, c), change)
        for name, moved in (("", outputs - f_0), ("frozen_", frozen)):
            along = f2 @ moved / N
            row |= {f"{name}along": float(0.5 - along), f"{name}across": float(np.sqrt(np.mean((moved - along * f2) ** 2)))}
        rows.append(row)
    return rows


def architecture(settings: Settings) -> dict[str, Any]:
    """What the network and its limit kernel have in common."""
    return {name: getattr(settings, name) for name in ("depth", "activation", "weight_variance", "bias_variance")}


def components(settings: Settings, X: Array) -> tuple[Array, Array]:
    """First three eigenvalues of the limit kernel over N, and its eigenvectors (N, 3) of mean square 1.

    The kernel is not centred. The sign of an eigenvector is a choice: here its third moment is positive.
    """
    spectrum = kd.Spectrum.from_gram(kd.kernels.ntk(X, **architecture(settings)))
    f = np.sqrt(len(X)) * spectrum.eigenvectors[:, :3]
    return spectrum.eigenvalues[:3] / len(X), f * np.sign((f**3).sum(axis=0))


def images(data: str, count: int) -> tuple[Array, NDArray[np.int64]]:
    """The first so many images (count, pixels) with pixels in [0, 1], and their classes.

    Raises
    ------
    ValueError
        If there are no data of this name.
    FileNotFoundError
        If the file of Fashion-MNIST is not in the folder that KDTHEORY_DATA names.
    """
    if data == "digits":
        bunch = load_digits()
        return bunch.data[:count] / 16.0, bunch.target[:count]
    if data != "fashion_mnist":
        raise ValueError(f"`data` must be digits or fashion_mnist, got {data!r}.")
    folder = Path(os.environ.get(VARIABLE, "")).expanduser()
    places = [folder / data / f"{data}.npz", folder / f"{data}.npz"] if VARIABLE in os.environ else []
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise FileNotFoundError(f"{data} needs {VARIABLE}, the folder that contains {data}/{data}.npz or {data}.npz.")
    with np.load(path, allow_pickle=False) as file:
        return file["x_train"][:count].reshape(count, -1) / 255.0, file["y_train"][:count].astype(np.int64)


def verdicts(rows: list[Row]) -> list[Verdict]:
    """Wide against narrow networks, paired by data and trial: how far off the line they come, and at which rate they go."""
    widths = values(rows_where(rows, part="training"), "width")
    claims = (
        "Wide networks keep to the straight line: they leave it by less than half of what narrow ones do.",
        "They go along it nearer to the rate of the limit kernel: by less than half of the narrow ones' excess.",
        f"At width {widths[-1]:,.0f} the rate is that of the limit kernel, to within 15 %.",
    )
    if len(widths) < 2:
        return [untold(claim, "it takes two widths") for claim in claims]
    narrow, wide = (_runs(rows, width) for width in (widths[0], widths[-1]))
    pairs = [(narrow[key], wide[key]) for key in narrow if key in wide]
    off, excess = (np.array([b[k] / a[k] for a, b in pairs]) for k in (0, 1))
    log_off, log_rate = contrast([np.log(off)]), contrast([np.array([b[1] + 1 for _, b in pairs])])
    less = contrast([excess])
    between = f"width {widths[-1]:,.0f} over width {widths[0]:,.0f}"
    effects = (
        f"{np.exp(log_off.value):.2f} [{np.exp(log_off.low):.2f}, {np.exp(log_off.high):.2f}] times as far, {between}",
        f"{written(less)} of the excess, {between}",
        f"rate over the kernel's {written(log_rate)}",
    )
    bounds = ((-np.inf, np.log(0.5)), (-0.5, 0.5), (0.85, 1.15))
    return [
        decided(claim, found, *bound, effect, len(pairs))
        for claim, found, bound, effect in zip(claims, (log_off, less, log_rate), bounds, effects, strict=True)
    ]


def _runs(rows: list[Row], width: int) -> dict[tuple[str, int], tuple[float, float]]:
    """Of each network of a width, by data and trial: largest distance from the line, and rate over the kernel's less one.

    Taken is the run of the smallest step; the rate is that up to the last time before two of the kernel's times.
    """
    of_width, found = rows_where(rows, part="training", width=width), {}
    for data in values(of_width, "data"):
        value = rows_where(rows, data=data, part="components")[0]["second_value"]
        for trial in values(of_width, "trial"):
            here = rows_where(of_width, data=data, trial=trial)
            run = rows_where(here, learning_rate=min(row["learning_rate"] for row in here))
            t, along = column(run, "time"), column(run, "along")
            k = np.flatnonzero(t <= 2 / value)[-1]
            found[data, trial] = float(column(run, "across").max()), float(np.log(along[0] / along[k]) / (value * t[k]) - 1)
    return found
