import numpy as np
import pytest

import kdtheory as kd
from kdtheory.theorems import das_sanghavi
from kdtheory.weights import expected_curve
from tests.theorems import laws


@pytest.mark.parametrize(**laws.of(das_sanghavi))
def test_theorem(law, theorem):
    law(theorem)


def test_a_low_rank_kernel_leaves_part_of_the_signal_unlearned():
    """The whole parabola against dense smoothers, where the signal has a part outside the range of the kernel."""
    rng = np.random.default_rng(0)
    features, signal = rng.normal(size=(8, 3)), rng.normal(size=8)
    H = features @ np.linalg.solve(features.T @ features + 0.5 * np.eye(3), features.T)
    dense = kd.RiskCurve.from_smoothers(H, H @ H, signal, noise_variance=0.3)
    curve = expected_curve(kd.Spectrum.from_features(features), signal, noise_variance=0.3, ridge=0.5)
    for part in ("optimal_weight", "minimum", "curvature", "identifiability"):
        assert abs(getattr(curve, part) / getattr(dense, part) - 1) < 1e-12
