import pytest

from kdtheory.theorems import ildiz
from tests.theorems import laws


@pytest.mark.parametrize(**laws.of(ildiz))
def test_theorem(law, theorem):
    law(theorem)
