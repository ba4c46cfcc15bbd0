"""The conformance suite of backends: `python -m cornu.testing.conformance --backend NAME`.

One table of cases (`cases.py`) with NumPy and SciPy in double precision as oracle. Every op must have a case, and every
case is run eagerly, compiled, with native kernels off, symbolically (with known and unknown sizes), in each of its
dtypes, and differentiated. What a backend is known to get wrong stands in `known_failures_NAME.txt`, a line
`case-id  # reason` each, and a line that no longer fails fails the run; another backend names its own file with
`--known-failures FILE`.
"""
