"""Planted errors: each one must be caught, by a test that says which law it broke.

``python tests/mutants.py`` plants them one at a time in a copy of the package, runs the theorems' tests and then the core's
until one fails, and writes the table docs/mutants.md; ``--only TEXT`` runs those whose description or file contains the
text.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs" / "mutants.md"
STAGES = (
    ["tests/theorems", "-k", "can_fail"],
    ["tests/theorems", "-k", "not can_fail"],
    [
        "kdtheory",
        "tests",
        "--ignore=tests/theorems",
        "--ignore=tests/empirical",
        "--ignore-glob=*infinite.py",
        "--ignore-glob=*architectures.py",
        "--ignore-glob=*figures*",
        "--ignore-glob=*readme*",
        "--ignore-glob=*documents*",
        "--ignore-glob=*notebooks*",
    ],
)


@dataclass(frozen=True)
class Mutant:
    """One error: in `file`, the text `old`, which occurs there once, becomes `new`."""

    what: str
    file: str
    old: str
    new: str


MUTANTS = (
    Mutant("n times the ridge", "recursion.py", "self.shrinkage = d / (d + ridge)", "self.shrinkage = d / (d + len(d) * ridge)"),
    Mutant("weights reversed", "filters.py", "weights = schedule(self.teacher_weights, \"teacher_weights\", may_be_empty=True)", "weights = schedule(self.teacher_weights, \"teacher_weights\", may_be_empty=True)[::-1]"),
    Mutant("weight on the labels instead of the teacher", "filters.py", "return chain(nonnegative(eigenvalues), self.ridges, self.weights, last_only=True)", "return chain(nonnegative(eigenvalues), self.ridges, 1 - self.weights, last_only=True)"),
    Mutant("limit at ridge / w", "filters.py", "return Ridge(math.inf if w == 1 else ridge / (1 - w))", "return Ridge(math.inf if w == 0 else ridge / w)"),
    Mutant("limit at ridge (1 - w)", "filters.py", "return Ridge(math.inf if w == 1 else ridge / (1 - w))", "return Ridge(math.inf if w == 1 else ridge * (1 - w))"),
    Mutant("one round too few", "filters.py", "(finite(teacher_weight, \"teacher_weight\"),) * whole(rounds, \"rounds\")", "(finite(teacher_weight, \"teacher_weight\"),) * max(whole(rounds, \"rounds\") - 1, 0)"),
    Mutant("one round too many", "filters.py", "(finite(teacher_weight, \"teacher_weight\"),) * whole(rounds, \"rounds\")", "(finite(teacher_weight, \"teacher_weight\"),) * (whole(rounds, \"rounds\") + 1)"),
    Mutant("polynomial coefficients in the wrong order", "filters.py", "return Polynomial(float(self.ridges[0]), tuple(coefficients.tolist()))", "return Polynomial(float(self.ridges[0]), tuple(coefficients[::-1].tolist()))"),
    Mutant("ridge squared in plain regression", "elementary_filters.py", "return np.asarray(1.0 / (self._check(eigenvalues) + self.ridge))", "return np.asarray(1.0 / (self._check(eigenvalues) + self.ridge**2))"),
    Mutant("schedule of a polynomial forwards", "elementary_filters.py", "return tuple(weights[::-1])", "return tuple(weights)"),
    Mutant("gradient flow at twice the time", "elementary_filters.py", "else -np.expm1(-self.time * d))", "else -np.expm1(-2 * self.time * d))"),
    Mutant("flow's dual without the time", "elementary_filters.py", "return np.asarray(self.time * exprel(", "return np.asarray(exprel("),
    Mutant("gradient descent without the loss's scale", "training_filters.py", "x = self.learning_rate * self.loss_scale * d", "x = self.learning_rate * d"),
    Mutant("one step of gradient descent too few", "training_filters.py", "np.where(x <= 0.5, np.exp(self.steps * np.log1p(-slow)), (1.0 - x) ** self.steps)", "np.where(x <= 0.5, np.exp((self.steps - 1) * np.log1p(-slow)), (1.0 - x) ** (self.steps - 1))"),
    Mutant("teachers' weights added instead of multiplied", "dynamics.py", "float(np.prod(later))", "float(np.sum(later) if later else 1.0)"),
    Mutant("infinite time learns what rounding left", "elementary_filters.py", "d > d.size * np.finfo(float).eps * d.max()", "d > 0"),
    Mutant("the closest ridge among too few", "early_stopping.py", "np.log(least), np.log(own.max()), 400)", "np.log(least) / 2, np.log(own.max()) / 2, 400)"),
    Mutant("fixed variance one step away", "infinite_depth.py", "return b / (1.0 - growth)", "return b + growth * b"),
    Mutant("students see the labels where the teacher is meant", "training_filters.py", "b, r = a * ((1.0 - w) + w * b), missed + a * w * r", "b, r = a * (w + (1.0 - w) * b), missed + a * (1.0 - w) * r"),
    Mutant("limit of trained students without the residual", "training_filters.py", "part / (self.student.residual(eigenvalues) + left * a)", "part / (1.0 + left * a)"),
    Mutant("prior and trained output taken as independent", "dynamics.py", "np.asarray(self.nngp_new) - through - through.T + M", "np.asarray(self.nngp_new) + M"),
    Mutant("every student's initial function counted once more", "dynamics.py", "* a ** len(later) * last * missed", "* last * missed"),
    Mutant("fresh students forget their teachers", "dynamics.py", "for s in range(len(weights) if fresh else 0):", "for s in range(0):"),
    Mutant("the same start spreads like a fresh one", "dynamics.py", "filter if fresh else DistilledTraining(filter, weights)", "filter"),
    Mutant("mean loss without the mean", "training_filters.py", "(n if over_examples else 1)", "1"),
    Mutant("bias variance left out of the layers", "network_recursion.py", "            layer += self.bias_variance\n", ""),
    Mutant("slopes without the weight variance", "network_recursion.py", "                slope *= self.weight_variance\n", ""),
    Mutant("the output layer always counts", "network_recursion.py", "return self.output_layer or layer < self.depth - 1", "return True"),
    Mutant("small angles without the bias", "network_recursion.py", "self.bias_variance**0.5", "0.0"),
    Mutant("points of different length as if of one", "network_recursion.py", "                spread *= b * eta\n", "                spread *= 0.0\n"),
    Mutant("rounding tears equal points apart in deep networks", "network_recursion.py", "sigma[i, j] = sign * own[rows][i] * own_second[columns][j]", "pass"),
    Mutant("opposite points by the arc sine of nearly one", "network_recursion.py", "v[opposite], slope[opposite] = kink_of_opposite(u, a)", "pass"),
    Mutant("small angles from products", "network_recursion.py", "v[i, j] = np.einsum(\"kf,kf->k\", gap, gap) / 2", "pass"),
    Mutant("clusters of points from products", "network_recursion.py", "np.copyto(v, np.maximum(around, 0.0), where=v < CLOSE)", "pass"),
    Mutant("large inputs without their versine", "network_recursion.py", "versine if level == 0 else None", "None"),
    Mutant("GELU's slope without its density", "smooth_activations.py", "slope = G + k / (D + s) * ((D * (1.0 + s) + s * (2.0 + s) + product) / p / root)", "slope = G"),
    Mutant("cosine as sine", "smooth_activations.py", "return (1.0 - turn) * near + turn * odd", "return odd"),
    Mutant("Hermite terms without their factorial", "smooth_activations.py", "total += factorial(j) * np.outer(left[j], right[j])", "total += np.outer(left[j], right[j])"),
    Mutant("critical share of smooth activations for kinked ones", "infinite_depth.py", "third = q / 3 if a is None else q / 4", "third = q / 3"),
    Mutant("singular exponent upside down", "infinite_depth.py", "-2.0 * np.log(slope_at_zero / size) / np.log(slope_at_one)", "-2.0 * np.log(slope_at_one) / np.log(slope_at_zero / size)"),
    Mutant("closest ridge to the teacher of another label", "early_stopping.py", "np.ones_like(d) if y is None else np.sum(column_shape(spectrum.project(y)) ** 2, axis=1)", "np.ones_like(d)"),
    Mutant("prediction with the fit instead of the dual filter", "spectrum.py", "return self.apply(filter.dual(self.eigenvalues), 0.0, y)", "return self.apply(filter.fit(self.eigenvalues), 0.0, y)"),
    Mutant("eigenvectors transposed", "spectrum.py", "return np.asarray(self.eigenvectors.T @ outputs(y, \"y\", length=self.n))", "return np.asarray(self.eigenvectors @ outputs(y, \"y\", length=self.n))"),
    Mutant("eigenvalues ascending", "spectrum.py", "return cls(np.maximum(d, 0.0), U, clipped)", "return cls(np.maximum(d[::-1], 0.0), U, clipped)"),
    Mutant("leave-one-out correction with the wrong sign", "leave_one_out.py", "passed[t] = -held / diagonals", "passed[t] = held / diagonals"),
    Mutant("leave-one-out passes on the wrong weight", "leave_one_out.py", "passed[:t] *= weights[t - 1]", "passed[:t] *= 1 - weights[t - 1]"),
    Mutant("leave-one-out by the chain's own fit", "leave_one_out.py", "predictions[t] = fit + np.einsum(\"ns,snp->np\", diagonals.fit[:, columns], passed[: t + 1])", "predictions[t] = fit"),
    Mutant("eigenvectors of a block in the old order", "eigensolver.py", "kept = left[:, ::-1].copy()", "kept = left.copy()"),
    Mutant("members of the span with their scales forgotten", "skeleton.py", "coefficients.reshape(q, -1, len(ridges)) * (scale / scale[which, None])[:, None]", "coefficients.reshape(q, -1, len(ridges))"),
    Mutant("members of the span by one power too many", "skeleton.py", "** self.powers / total", "** (self.powers + 1) / total"),
    Mutant("a grid's nodes end above the smallest eigenvalues", "skeleton.py", "1e-3 * min(smallest_ridge, top), TINY", "min(smallest_ridge, top), TINY"),
    Mutant("validation values left out of the grid's residuals", "grid.py", "sums = c @ mixes - b", "sums = c @ mixes"),
    Mutant("moments of GCV counted once too often", "grid.py", "2 * t[:, None] + 1 - k", "2 * t[:, None] + 2 - k"),
    Mutant("moments of GCV with the filter not squared", "grid.py", "powers_of_s @ (u**2 * energy)", "powers_of_s @ (u * energy)"),
    Mutant("power series of left-out residuals multiplied instead of divided", "leave_one_out_grid.py", "p[t] -= m[j] * p[t - j]", "p[t] += m[j] * p[t - j]"),
    Mutant("a grid of left-out residuals forgets what lies outside the range", "leave_one_out_grid.py", "    by_round[0] += beyond / ridges[:, None, None]\n", ""),
    Mutant("blocks of a Krylov basis not coupled", "krylov.py", "T[after, here] = self.coupling[k]", "T[after, here] = 0.0"),
    Mutant("the error of a Krylov basis from its rounding alone", "krylov_bound.py", "-1, *floor.shape), axis=0) + floor", "-1, *floor.shape), axis=0) * 0 + floor"),
    Mutant("a certificate that looks at the largest ridge", "reduced.py", "if ridges.min() < self.smallest_ridge", "if ridges.max() < self.smallest_ridge"),
    Mutant("members by Cholesky with the wrong sign", "cholesky.py", "s = s - ridge * c", "s = s + ridge * c"),
    Mutant("labels outside the centres' range forgotten", "low_rank.py", "outside = max(sums.energy - float(energy.sum()), 0.0)", "outside = 0.0"),
    Mutant("labels of a block averaged instead of summed", "streaming.py", "towards + Phi.T @ labels", "towards + Phi.T @ labels / len(X)"),
    Mutant("GCV with its divisor not squared", "risk.py", "losses * n / (freedom**2 * outputs)", "losses / (freedom * outputs)"),
    Mutant("variance with the multiplier not squared", "risk.py", "np.sum(every.fit**2, axis=1)", "np.sum(every.fit, axis=1)"),
    Mutant("bias with the multiplier instead of the residual", "risk.py", "return np.asarray(every.residual**2 @ inside + outside)", "return np.asarray(every.fit**2 @ inside + outside)"),
    Mutant("sign of the parabola's vertex", "parabola.py", "weight = float(np.sum(mass * E * D)) / square\n        size", "weight = -float(np.sum(mass * E * D)) / square\n        size"),
    Mutant("ends of the parabola swapped", "parabola.py", "return predictions[0], predictions[1] - predictions[0], columns, mass", "return predictions[1], predictions[0] - predictions[1], columns, mass"),
    Mutant("sample weights ignored", "parabola.py", "mass = weight[:, None] / (weight.sum() * columns.shape[1])", "mass = np.full((len(y), 1), 1.0 / columns.size)"),
    Mutant("noise ignored by the expected weight", "expected_curve.py", "np.sum(mass * a * u * (a * variance - u * energy))", "np.sum(mass * a * u * (-u * energy))"),
    Mutant("parameter error measured like prediction error", "expected_curve.py", "1.0 / d[held], 0.0", "1.0 + 0 * d[held], 0.0"),
    Mutant("one-shot derivative with the wrong sign", "one_shot.py", "step = moved / left - r * (change / left)", "step = moved / left + r * (change / left)"),
    Mutant("one-shot without the leverage's derivative", "one_shot.py", "step = moved / left - r * (change / left)", "step = moved / left"),
    Mutant("degrees of freedom of S instead of S squared", "one_shot.py", "_mean(spectrum, u * (1.0 + a))", "_mean(spectrum, u)"),
    Mutant("implicit ridge with df_2 for df_1", "population.py", "(n[moving] - share.sum(axis=1)) - ridge", "(n[moving] - np.sum(share**2, axis=1)) - ridge"),
    Mutant("risk without the variance inflation", "asymptotics.py", "return np.asarray(noise / (1.0 - share @ share.T / n))", "return np.asarray(noise + 0 * (share @ share.T))"),
    Mutant("jets without the factor of the second derivative", "asymptotics.py", "coefficients[:count, :count].real / np.multiply.outer(scale, scale)", "coefficients[:count, :count].real / scale"),
    Mutant("least squares in the power of the wrong round", "free_polynomial.py", "lambda values: values * (a * u * root), gap", "lambda values: values * (a * a * u * root), gap"),
    Mutant("free polynomial with the residual's sign", "free_polynomial.py", "return np.asarray((1.0 - u * self._q(d)) / (d + self.ridge))", "return np.asarray((1.0 + u * self._q(d)) / (d + self.ridge))"),
    Mutant("greedy forgets the products of earlier weights", "weights.py", "products = np.concatenate(([1.0], weights[-1] * products))", "products = np.concatenate(([1.0], products))"),
    Mutant("constraint on the squared norm", "constrained.py", "threshold = float(np.sqrt(labels.size * positive(tolerance, \"tolerance\")))", "threshold = float(labels.size * positive(tolerance, \"tolerance\"))"),
    Mutant("constrained rounds fit the labels again", "constrained.py", "_tight_ridge(d, multipliers[-1] * z, 0.0 if ridges else lost, threshold)", "_tight_ridge(d, z, lost, threshold)"),
    Mutant("student's bias without its square", "two_stage.py", "variance = share_s / (1 - share_s) * np.sum(zeta_s**2 * (mean**2 + spread))", "variance = share_s / (1 - share_s) * np.sum(zeta_s * (mean**2 + spread))"),
    Mutant("student's variance forgets the teacher's", "two_stage.py", "variance = share_s / (1 - share_s) * np.sum(zeta_s**2 * (mean**2 + spread))", "variance = share_s / (1 - share_s) * np.sum(zeta_s**2 * mean**2)"),
    Mutant("teacher's variance not inflated", "two_stage.py", "(n_teacher * (1 - share_t))", "n_teacher"),
    Mutant("surrogate's risk without label noise", "two_stage.py", "(population.noise_variance + np.sum((zeta * s) ** 2))", "np.sum((zeta * s) ** 2)"),
    Mutant("surrogate's risk not inflated", "two_stage.py", "variance = share / (1 - share) * (population", "variance = share * (population"),
    Mutant("random features: numerator of another n", "eigenframework.py", "(1 - (q * (k - 2 * z) + z**2) / (n * (k - q)))", "(1 - (q * (k - z) + z**2) / (n * (k - q)))"),
    Mutant("random features: bias of the kernel", "eigenframework.py", "rest * (rest + share * np.sum(share * rest) / (k - q))", "rest * rest"),
    Mutant("expected curve bends twice as much", "expected_curve.py", "bend, float(np.sqrt(bend / size))", "2 * bend, float(np.sqrt(bend / size))"),
    Mutant("expected minimum with the variance's sign", "expected_curve.py", "(a * (1 - weight * u)) ** 2 * variance", "(a * (1 + weight * u)) ** 2 * variance"),
    Mutant("expected risk loses what the kernel cannot reach", "expected_curve.py", "float(np.sum(mass * (bias + noise))) + constant", "float(np.sum(mass * (bias + noise)))"),
    Mutant("one-shot minimum with the wrong sign", "one_shot.py", "minimum = float(np.mean((r + weight * step) ** 2))", "minimum = float(np.mean((r - weight * step) ** 2))"),
    Mutant("slope of the risk without the variance's part", "random_subset.py", "first = n1 / across - N * move / (here * across)", "first = n1 / across"),
    Mutant("another test distribution ignored", "asymptotics.py", "ratio = test / e", "ratio = np.ones_like(e)"),
    Mutant("constrained rounds forget what the kernel cannot fit", "constrained.py", "0.0 if ridges else lost, threshold", "0.0, threshold"),
    Mutant("powers of the free polynomial not shifted", "free_polynomial.py", "powers[1:] += q", "powers[1:] -= q"),
    Mutant("surrogate without the variance term", "two_stage.py", "((1 - zeta) ** 2 + share / (1 - share) * zeta**2))", "((1 - zeta) ** 2))"),
    Mutant("mask keeps 1 - zeta above Omega", "two_stage.py", "return np.asarray(1 - zeta**2 > share)", "return np.asarray(1 - zeta > share)"),
    Mutant("student inherits the teacher's variance twice", "two_stage.py", "student = np.sum(((1 - zeta_s) * mean - v) ** 2 + (1 - zeta_s) ** 2 * spread)", "student = np.sum(((1 - zeta_s) * mean - v) ** 2 + 2 * (1 - zeta_s) ** 2 * spread)"),
    Mutant("random features: training error not squared", "eigenframework.py", "(ridge / (n * kappa)) ** 2 * test", "(ridge / (n * kappa)) * test"),
    Mutant("random features: gamma for kappa", "eigenframework.py", "else gamma * (k - z) / k", "else gamma"),
    Mutant("students of pruned data without the noise they share with the teacher", "pruned_students.py", "2 * (with_labels - own), max(with_itself - 2 * with_labels + own, 0.0)", "-2 * own, max(with_itself + own, 0.0)"),
    Mutant("teacher's own variance twice", "pruned_students.py", "max(with_itself - 2 * with_labels + own, 0.0)", "max(2 * with_itself - 2 * with_labels + own, 0.0)"),
    Mutant("bias with the slope of another sign", "pruned_students.py", "-2 * np.mean(gap * change), np.mean(change**2)", "2 * np.mean(gap * change), np.mean(change**2)"),
    Mutant("a teacher of some rows decomposes all", "pruned_students.py", "s = Spectrum.from_gram(K[np.ix_(rows, rows)])\n        smoother", "s = Spectrum.from_gram(K[: len(rows), : len(rows)])\n        smoother"),
    Mutant("ridge per example taken as absolute", "kept.py", "return ridge * count if convention == \"per_example\" else ridge", "return ridge"),
    Mutant("masks read as the rows that are dropped", "kept.py", "array = np.flatnonzero(array)", "array = np.flatnonzero(~array)"),
    Mutant("the teacher of a left-out point has seen it", "pruned_leave_one_out.py", "jump = (labels - heard) / (1.0 - np.diag(G))[:, None]", "jump = np.zeros_like(labels)"),
    Mutant("left-out labels by the residual instead of its leave-one-out", "pruned_leave_one_out.py", "jump = (labels - heard) / (1.0 - np.diag(G))[:, None]", "jump = labels - heard"),
    Mutant("kept points not left out of the student", "pruned_leave_one_out.py", "        on_labels[kept] = labels[kept] - c_labels / own\n", ""),
    Mutant("orthogonal design: independent noise of teacher and student", "orthogonal.py", "-2 * s**2 * (own - shared)", "-2 * s**2 * own"),
    Mutant("distillation helps as if on all data", "orthogonal.py", "best * (m_t - m + lam_t)", "best * lam_t"),
    Mutant("the weight grows from the best ridge on", "orthogonal.py", "return (2 * lam + lam**2 / m_t > best)[()]", "return (lam > best)[()]"),
    Mutant("a subset adds its training error once too often", "random_subset.py", "here / left - 1\n", "here / left\n"),
    Mutant("what pruning adds forgets the student's own ridge", "random_subset.py", "slope = 2 * tau * first + 2 * C * untrained * (kappa * first - R)", "slope = 2 * tau * first + 2 * C * untrained * (-R)"),
    Mutant("a subset as large as all points", "random_subset.py", "left = 1 - omega * n / m", "left = 1 - omega"),
    Mutant("second difference without the variance's", "random_subset.py", "second = N * of_variance + 2 * n1", "second = 2 * n1"),
    Mutant("hard rows without what all rows cancel", "selection.py", "(g * (1 - share * g) + share", "(g + share"),
    Mutant("noisy rows independent of the teacher", "selection.py", "share * common * (common + 2 / (1 - w))", "0 * common"),
    Mutant("the easiest rows first", "selection.py", "size if rule == \"hardest\" else -size", "-size if rule == \"hardest\" else size"),
    Mutant("gap shrinks as 1 - w", "selection.py", "return (1.0 - finite_array(teacher_weight, \"teacher_weight\")) ** 2", "return 1.0 - finite_array(teacher_weight, \"teacher_weight\")"),
    Mutant("vertex of the many parabolas at twice the weight", "risk_curves.py", "-self.slope / (2 * np.asarray(self.curvature))", "-self.slope / np.asarray(self.curvature)"),
    Mutant("likelihood without the determinant", "likelihood.py", "n * p * np.log(scale(log_ratio)) + p * np.sum(np.log(d + np.exp(log_ratio)))", "n * p * np.log(scale(log_ratio))"),
    Mutant("losses not paired with all rows", "advice.py", "points - base.points", "points"),
    Mutant("teachers tuned for the worst", "teacher_capacity.py", "best = int(np.argmin(risks))", "best = int(np.argmax(risks))"),
    Mutant("errors read where ridge and weight were chosen", "advice.py", "_best(m.by_point[:, ~here].mean(axis=1), bounds, m.square)", "_best(m.by_point.mean(axis=1), bounds, m.square)"),
    Mutant("an interval that knows no subsets", "advice.py", "max(m.inflation * over_points, jackknife) + over_subsets", "max(m.inflation * over_points, jackknife)"),
    Mutant("an interval that does not see the choice of the ridge", "advice.py", "max(m.inflation * over_points, jackknife)", "m.inflation * over_points"),
    Mutant("what does not pay is advised", "advice.py", "taken = [a if good else b", "taken = [a if True else b"),
)  # fmt: skip


def run(mutant: Mutant | None) -> tuple[Mutant | None, str]:
    """Plant it in a copy and report the first test that fails, or an empty text; without one, test the copy as it is."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("kdtheory", "tests", "paper_figs", "pyproject.toml"):
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy / name)
        if mutant:
            _plant(mutant, copy / "kdtheory" / mutant.file)
        for stage in STAGES:
            command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", *stage]
            result = subprocess.run(command, check=False, cwd=copy, capture_output=True, text=True, timeout=1800)
            if result.returncode:
                found = re.search(r"^(?:FAILED|ERROR) (\S+?(?:\[.*\])?)(?: - .*)?$", result.stdout, re.MULTILINE)
                return mutant, found.group(1) if found else f"pytest exits with {result.returncode}"
    return mutant, ""


def _plant(mutant: Mutant, target: Path) -> None:
    text = target.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.file} must hold the text of {mutant.what!r} once, got it {text.count(mutant.old)} times.")
    target.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")


def law(test: str) -> str:
    """The theorem, or the test, without its path."""
    inside = re.search(r"\[\w+: (.*)\]$", test)
    return f"**{inside.group(1)}**" if inside else f"`{test.rpartition('/')[2]}`"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", metavar="TEXT")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    chosen = [m for m in MUTANTS if options.only.lower() in f"{m.what} {m.file}".lower()]
    rows, survivors = [], []
    print("without an error ...", flush=True)
    _, broken = run(None)
    if broken:
        print(f"The tests fail without any planted error: {broken}")
        return 2
    with ThreadPoolExecutor(options.workers) as pool:
        for count, (mutant, test) in enumerate(pool.map(run, chosen), 1):
            print(f"[{count}/{len(chosen)}] {mutant.what} ({mutant.file}): {test or 'SURVIVES'}", flush=True)
            survivors += [] if test else [mutant]
            rows.append(f"| {mutant.what} | `kdtheory/{mutant.file}` | {law(test) if test else 'nothing: SURVIVES'} |")
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} planted errors are caught.")
    if not options.only:
        TABLE.write_text(
            "# Planted errors\n\nEach error below was planted alone in a copy of the package; the last column names the first theorem "
            "(bold) or\ntest that failed. `make mutants` plants them again and rewrites this table.\n\n"
            f"{len(chosen) - len(survivors)} of {len(chosen)} are caught.\n\n"
            "| planted error | in | first caught by |\n|---|---|---|\n" + "\n".join(rows) + "\n",
            encoding="utf-8",
        )
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
