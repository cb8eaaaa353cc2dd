import pytest

from kdtheory.theorems import pareek
from tests.theorems import laws


@pytest.mark.parametrize(**laws.of(pareek))
def test_theorem(law, theorem):
    law(theorem)
