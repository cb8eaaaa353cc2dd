import pytest

from kdtheory.theorems import borup_andersen
from tests.theorems import laws


@pytest.mark.parametrize(**laws.of(borup_andersen))
def test_theorem(law, theorem):
    law(theorem)
