import pytest

from kdtheory.theorems import constant_chains
from tests.theorems import laws


@pytest.mark.parametrize(**laws.of(constant_chains))
def test_theorem(law, theorem):
    law(theorem)
