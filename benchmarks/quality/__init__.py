"""How good segments and moves are: `make quality`, see `__main__.py`."""

import os

# Before anything imports numpy: data sets are measured side by side, and threads would wait for each other.
for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
