import pytest

from kdtheory.theorems import deterministic_equivalents
from tests.theorems import laws


@pytest.mark.parametrize(**laws.of(deterministic_equivalents))
def test_theorem(law, theorem):
    law(theorem)
