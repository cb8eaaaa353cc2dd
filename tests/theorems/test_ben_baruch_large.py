import pytest

from kdtheory.theorems import ben_baruch_large
from tests.theorems import laws


@pytest.mark.parametrize(**laws.of(ben_baruch_large))
def test_theorem(law, theorem):
    law(theorem)
