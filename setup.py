"""Builds engine native, where there is a C compiler; everything else is in pyproject.toml.

The extension is for Python's stable ABI: one wheel serves every Python from 3.11. It is optional:
without a compiler or Python.h the install succeeds, and the engine says how to get it.
"""

import sysconfig
from glob import glob

from setuptools import Extension, setup

# Python without the GIL has no stable ABI before 3.15: setuptools would refuse the whole install.
STABLE = not sysconfig.get_config_var("Py_GIL_DISABLED")

NATIVE = Extension(
    "microgpt.engines._native",
    sorted(glob("host/native/*.c")),
    depends=sorted(glob("host/native/*.h")),  # rebuilt when they change, and in the sdist
    define_macros=[("Py_LIMITED_API", "0x030B0000")] if STABLE else [],
    py_limited_api=STABLE,
    optional=True,
    # Not -ffast-math: a NaN must be seen, and the order of a sum must stay.
    extra_compile_args=["-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"],
    extra_link_args=["-pthread", "-lm"],  # parts of the C library, but for older ones
)

setup(ext_modules=[NATIVE], options={"bdist_wheel": {"py_limited_api": "cp311"}} if STABLE else {})
