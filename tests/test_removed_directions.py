"""What the figure on removed directions claims, by other routes."""

import numpy as np
import pytest

from paper_figs import removed_directions as figure
from paper_figs.style import where


@pytest.fixture(scope="module")
def table():
    return figure.compute()


def test_points_measured_by_solves_lie_on_the_lines(table):
    measured = np.isfinite(table["measured"])
    assert measured.sum() >= len(figure.WEIGHTS) * (figure.ROUNDS + 1) * 10
    np.testing.assert_allclose(table["measured"][measured], table["kept"][measured], rtol=1e-6, atol=1e-9)


def test_a_round_removes_most_where_the_eigenvalue_is_its_number_times_the_ridge(table):
    for t in range(1, figure.ROUNDS + 1):
        before, now = (where(table, teacher_weight=1.0, round=u) for u in (t - 1, t))
        most = np.argmax(before["kept"] - now["kept"])
        d = now["eigenvalue"]
        assert d[most + 1] <= t * figure.RIDGE <= d[most - 1]


def test_the_teacher_removes_most_of_the_flips_and_students_more_of_the_clean_labels(table):
    for weight in figure.WEIGHTS:
        shares = {
            energy: [figure.removed(table, weight, t, energy).sum() for t in range(figure.ROUNDS + 1)]
            for energy in ("noise_energy", "clean_energy")
        }
        assert shares["noise_energy"][0] > 0.8
        assert shares["clean_energy"][0] < 0.3
        assert all(noise < clean for noise, clean in zip(shares["noise_energy"][1:], shares["clean_energy"][1:], strict=True))
        left = where(table, teacher_weight=weight, round=figure.ROUNDS)
        total = sum(shares["clean_energy"])
        assert abs(1 - total - np.sum(left["kept"] ** 2 * left["clean_energy"]) / left["clean_energy"].sum()) < 1e-12


def test_eigenvalues_decay_in_every_kernel(table):
    for kernel in figure.KERNELS:
        line = where(table, kernel=kernel)
        d = line["eigenvalue"][np.isnan(line["round"])]
        assert len(d) == 1000
        assert (np.diff(d) <= 0).all()
