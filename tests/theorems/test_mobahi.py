import pytest

from kdtheory.theorems import mobahi
from tests.theorems import laws


@pytest.mark.parametrize(**laws.of(mobahi))
def test_theorem(law, theorem):
    law(theorem)
