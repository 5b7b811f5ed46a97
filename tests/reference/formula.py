"""Weights and pictures that a formula gives, so that fixtures need not hold them; tests/it/reference.rs has the same one."""

import numpy


def uniform(name, count):
    """`count` numbers in [0, 1) that depend on `name` and their place (FNV-1a, then an integer hash)."""
    seed = numpy.uint32(2166136261)
    with numpy.errstate(over="ignore"):
        for byte in name.encode():
            seed = (seed ^ numpy.uint32(byte)) * numpy.uint32(16777619)
        x = numpy.arange(count, dtype=numpy.uint32) * numpy.uint32(2654435761) + seed
        x = (x ^ (x >> 16)) * numpy.uint32(0x7FEB352D)
        x = (x ^ (x >> 15)) * numpy.uint32(0x846CA68B)
    return (x ^ (x >> 16)).astype(numpy.float64) / 2.0**32


def value(name, shape):
    """The tensor `name`, in our layout."""
    u = uniform(name, int(numpy.prod(shape)))
    if name.endswith("running_var") or name.endswith("norm.weight"):
        values = 0.5 + u
    elif name.endswith("weight"):
        values = (u - 0.5) * numpy.sqrt(24.0 / numpy.prod(shape[:-1]))
    else:
        values = (u - 0.5) * 0.2
    return values.reshape(shape).astype(numpy.float32)


def pictures(count, side):
    """`count` pictures in [-1, 1), `[count, side, side, 3]`."""
    return (uniform("pictures", count * side * side * 3) * 2 - 1).reshape(count, side, side, 3).astype(numpy.float32)
