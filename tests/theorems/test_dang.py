import pytest

from kdtheory.theorems import dang
from tests.theorems import laws


@pytest.mark.parametrize(**laws.of(dang))
def test_theorem(law, theorem):
    law(theorem)
