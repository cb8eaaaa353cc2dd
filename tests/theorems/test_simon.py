import pytest

from kdtheory.theorems import simon
from tests.theorems import laws


@pytest.mark.parametrize(**laws.of(simon))
def test_theorem(law, theorem):
    law(theorem)
