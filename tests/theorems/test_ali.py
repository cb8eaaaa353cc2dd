import pytest

from kdtheory.theorems import ali
from tests.theorems import laws


@pytest.mark.parametrize(**laws.of(ali))
def test_theorem(law, theorem):
    law(theorem)
