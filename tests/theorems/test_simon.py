import numpy as np
import pytest

from kdtheory.asymptotics import Population
from kdtheory.eigenframework import random_feature_error
from kdtheory.theorems import simon
from tests.theorems import laws


@pytest.mark.parametrize(**laws.of(simon))
def test_theorem(law, theorem):
    law(theorem)


@pytest.mark.parametrize(
    ("n", "k", "ridge", "error"), [(60, 40, 0.1, 0.7592), (60, 120, 0.02, 0.5714), (40, 400, 0.05, 0.4014)]
)
def test_values_of_an_independent_implementation(n, k, ridge, error):
    i = np.arange(1, 301.0)
    v = np.sqrt(i**-1.4 / np.sum(i**-1.4))
    got = random_feature_error(Population(i**-1.2, v, 0.1), n=n, features=k, ridge=ridge).test
    assert abs(got - error) < 6e-5
