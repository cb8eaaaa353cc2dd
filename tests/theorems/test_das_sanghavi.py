import pytest

from kdtheory.theorems import das_sanghavi
from tests.theorems import laws


@pytest.mark.parametrize(**laws.of(das_sanghavi))
def test_theorem(law, theorem):
    law(theorem)
