import pytest

from kdtheory.theorems import ben_baruch_orthogonal
from tests.theorems import laws


@pytest.mark.parametrize(**laws.of(ben_baruch_orthogonal))
def test_theorem(law, theorem):
    law(theorem)
