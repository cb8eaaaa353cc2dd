import pytest

from kdtheory.theorems import ben_baruch
from tests.theorems import laws


@pytest.mark.parametrize(**laws.of(ben_baruch))
def test_theorem(law, theorem):
    law(theorem)
