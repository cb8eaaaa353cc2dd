import pytest

from kdtheory.theorems import jacot_networks
from tests.theorems import laws


@pytest.mark.parametrize(**laws.of(jacot_networks))
def test_theorem(law, theorem):
    law(theorem)
