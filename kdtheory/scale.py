r"""Any number of points: one call, or a way of one's choice; afterwards every ridge, teacher weight and round for nothing.

=====================  ===============================================  ==============================================
way                    what it costs, n points and m directions         what it leaves
=====================  ===============================================  ==============================================
`solve`                decides between those below, and says why        `note` and `error` of the result
`Spectrum.from_gram`   4 n³ operations, two or three n × n arrays       rounding
`cholesky`             n³/3 for each ridge, two n × n arrays            rounding; the ridges that were named
`krylov`               m products with K, which need not be held        an error that is bounded, or a refusal
`nystrom`              3 n m² operations, a few m × m arrays            an error estimated on some rows
`random_features`      n m² operations, a few m × m arrays              an error of about m^(-1/2)
`falkon`               n m operations per step, ridge and round         Nyström's error, for more centres
=====================  ===============================================  ==============================================

All but `cholesky` and `falkon` end in a `kdtheory.reduced.Reduced`: labels in the coordinates of m directions. Rows may be
arrays, memory maps or blocks (`Rows`), and the work may be shared by threads, processes or a Dask cluster
(``scheduler=``, `mapped`).
"""

from kdtheory.centres import leverage, pivoted, uniform
from kdtheory.cholesky import Factored, cholesky, few_ridges
from kdtheory.falkon import Falkon, falkon
from kdtheory.feature_maps import NystromMap, RandomFourierMap, RandomReluMap, spectrum_of
from kdtheory.kernel_product import kernel_product
from kdtheory.krylov import ConvergenceError, krylov
from kdtheory.low_rank import nystrom, random_features
from kdtheory.reduced import Reduced
from kdtheory.solve import solve
from kdtheory.streaming import Rows, accumulate
from kdtheory.workers import mapped

__all__ = [
    "ConvergenceError",
    "Factored",
    "Falkon",
    "NystromMap",
    "RandomFourierMap",
    "RandomReluMap",
    "Reduced",
    "Rows",
    "accumulate",
    "cholesky",
    "falkon",
    "few_ridges",
    "kernel_product",
    "krylov",
    "leverage",
    "mapped",
    "nystrom",
    "pivoted",
    "random_features",
    "solve",
    "spectrum_of",
    "uniform",
]
