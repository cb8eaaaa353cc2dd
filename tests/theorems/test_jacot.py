import pytest

from kdtheory.theorems import jacot
from tests.theorems import laws


@pytest.mark.parametrize(**laws.of(jacot))
def test_theorem(law, theorem):
    law(theorem)
