import pytest

from kdtheory.theorems import buhlmann_yu
from tests.theorems import laws


@pytest.mark.parametrize(**laws.of(buhlmann_yu))
def test_theorem(law, theorem):
    law(theorem)
