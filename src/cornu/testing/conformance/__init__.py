"""The conformance suite of backends: `pytest --pyargs cornu.testing.conformance --backend NAME`.

One table of cases (`cases/`, a file for each kind of op) with NumPy and SciPy in double precision as oracle. Every op
must have a case, and every case is run eagerly, compiled, with native kernels off, symbolically (with known and
unknown sizes), in each of its dtypes, and differentiated. Families of ops are run on drawn shapes and values besides
(`test_families.py`), random draws are tested for their distributions and seeds (`test_random.py`). What a backend is
known to get wrong stands in `known_failures_NAME.txt`, a line `case-id # reason` each, and a line that no longer
fails fails the run; another backend names its own file with `--known-failures FILE`.
"""
