"""Random draws as pure functions of (seed, customer, stream, counter), and the same bits on every machine.

The generator is Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", SC11). Logarithm and
exponential are computed from basic arithmetic, because libraries differ in the last bit and events are ordered by time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

U64 = np.uint64
LOW32 = U64(0xFFFFFFFF)
SHIFT32 = U64(32)
SHIFT12 = U64(12)

# One stream per purpose, so that a change in one of them leaves the draws of all others alone.
STREAM_PERSONA = U64(0)
STREAM_MOVE = U64(1)
STREAM_CONTACT = U64(2)
STREAM_TRIGGER = U64(3)
STREAM_PAIN = U64(4)
STREAM_BASKET = U64(5)
STREAM_EXPERIENCE = U64(6)
STREAM_SURVEY = U64(7)
STREAM_REFERRAL = U64(8)
STREAM_IRRITATION = U64(9)
STREAM_DEMOGRAPHICS = U64(10)
STREAM_DESK = U64(11)

# error_model="numpy": Python's check for division by zero would keep loops from being vectorised.
# No fastmath: it contracts multiply-adds and drops infinities, and then two engines no longer agree bit for bit.
NUMBA_OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True, "cache": True}


@intrinsic
def _float_from_bits(_typing: Any, _bits: Any) -> Any:
    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.uint64), codegen


@intrinsic
def _bits_from_float(_typing: Any, _number: Any) -> Any:
    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(64))

    return types.uint64(types.float64), codegen


@njit(inline="always", **NUMBA_OPTIONS)
def philox4x32(k0, k1, c0, c1, c2, c3):  # type: ignore[no-untyped-def]
    """Ten rounds of Philox4x32; every word is a uint64 that holds 32 bits."""
    for _ in range(10):
        p0 = U64(0xD2511F53) * c0
        p1 = U64(0xCD9E8D57) * c2
        n0 = (p1 >> SHIFT32) ^ c1 ^ k0
        n2 = (p0 >> SHIFT32) ^ c3 ^ k1
        c1 = p1 & LOW32
        c3 = p0 & LOW32
        c0 = n0
        c2 = n2
        k0 = (k0 + U64(0x9E3779B9)) & LOW32
        k1 = (k1 + U64(0xBB67AE85)) & LOW32
    return c0, c1, c2, c3


@njit(inline="always", **NUMBA_OPTIONS)
def draw(seed, customer, stream, i, j):  # type: ignore[no-untyped-def]
    """Four 32-bit words for counter (i, j) of one stream of one customer; customer < 2**56, i and j < 2**32."""
    high = (customer >> SHIFT32) | (stream << U64(24))
    return philox4x32(seed & LOW32, seed >> SHIFT32, customer & LOW32, high, i, j)


@njit(inline="always", **NUMBA_OPTIONS)
def uniform(low, high):  # type: ignore[no-untyped-def]
    """Two words -> a float in (0, 1), never 0 or 1; uses 52 bits, the lowest 12 of `low` stay unused.

    Not 53: the middle of the last of 2**53 cells, 1 - 2**-54, is no float and rounds to 1.
    """
    # cast, since words that have been through Python come back as signed integers
    return ((((U64(high) << SHIFT32) | U64(low)) >> SHIFT12) + 0.5) * 2.0**-52


@njit(inline="always", **NUMBA_OPTIONS)
def log(x):  # type: ignore[no-untyped-def]
    """Natural logarithm of a positive normal float, error under 1 ulp (fdlibm e_log.c, Sun Microsystems 1993)."""
    bits = _bits_from_float(x)
    shifted = bits - U64(0x3FE6A09E667F3BCD)  # sqrt(1/2), so that the mantissa falls in [sqrt(1/2), sqrt(2))
    exponent = float(np.int64(shifted) >> np.int64(52))
    f = _float_from_bits(bits - (shifted & U64(0xFFF0000000000000))) - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    even = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01))
    odd = z * (
        6.666666666666735130e-01
        + w * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01))
    )
    half_square = 0.5 * f * f
    return exponent * 6.93147180369123816490e-01 - (
        (half_square - (s * (half_square + (odd + even)) + exponent * 1.90821492927058770002e-10)) - f
    )


@njit(inline="always", **NUMBA_OPTIONS)
def exp(x):  # type: ignore[no-untyped-def]
    """Exponential for |x| <= 700 (clamped there), error under 1 ulp (fdlibm e_exp.c, Sun Microsystems 1993)."""
    x = min(max(x, -700.0), 700.0)
    k = (x * 1.44269504088896338700e00 + 6755399441055744.0) - 6755399441055744.0  # rounds to the nearest integer
    high = x - k * 6.93147180369123816490e-01
    low = k * 1.90821492927058770002e-10
    r = high - low
    t = r * r
    c = r - t * (
        1.66666666666666019037e-01
        + t
        * (
            -2.77777777770155933842e-03
            + t * (6.61375632143793436117e-05 + t * (-1.65339022054652515390e-06 + t * 4.13813679705723846039e-08))
        )
    )
    y = 1.0 - ((low - (r * c) / (2.0 - c)) - high)
    return y * _float_from_bits(U64(np.int64(k) + 1023) << U64(52))


@njit(inline="always", **NUMBA_OPTIONS)
def exponential(low, high):  # type: ignore[no-untyped-def]
    """Two words -> a draw from the exponential distribution with mean 1."""
    return -log(uniform(low, high))


@njit(**NUMBA_OPTIONS)
def normal(low, high):  # type: ignore[no-untyped-def]
    """Two words -> a standard normal draw, by the inverse distribution (Wichura 1988, algorithm AS 241, PPND16)."""
    u = uniform(low, high)
    q = u - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        numerator = 2.5090809287301226727e3 * r + 3.3430575583588128105e4
        numerator = (numerator * r + 6.7265770927008700853e4) * r + 4.5921953931549871457e4
        numerator = (numerator * r + 1.3731693765509461125e4) * r + 1.9715909503065514427e3
        numerator = (numerator * r + 1.3314166789178437745e2) * r + 3.3871328727963666080e0
        denominator = 5.2264952788528545610e3 * r + 2.8729085735721942674e4
        denominator = (denominator * r + 3.9307895800092710610e4) * r + 2.1213794301586595867e4
        denominator = (denominator * r + 5.3941960214247511077e3) * r + 6.8718700749205790830e2
        denominator = (denominator * r + 4.2313330701600911252e1) * r + 1.0
        return q * numerator / denominator
    r = np.sqrt(-log(min(u, 1.0 - u)))
    if r <= 5.0:
        r -= 1.6
        numerator = 7.74545014278341407640e-4 * r + 2.27238449892691845833e-2
        numerator = (numerator * r + 2.41780725177450611770e-1) * r + 1.27045825245236838258e0
        numerator = (numerator * r + 3.64784832476320460504e0) * r + 5.76949722146069140550e0
        numerator = (numerator * r + 4.63033784615654529590e0) * r + 1.42343711074968357734e0
        denominator = 1.05075007164441684324e-9 * r + 5.47593808499534494600e-4
        denominator = (denominator * r + 1.51986665636164571966e-2) * r + 1.48103976427480074590e-1
        denominator = (denominator * r + 6.89767334985100004550e-1) * r + 1.67638483018380384940e0
        denominator = (denominator * r + 2.05319162663775882187e0) * r + 1.0
    else:
        r -= 5.0
        numerator = 2.01033439929228813265e-7 * r + 2.71155556874348757815e-5
        numerator = (numerator * r + 1.24266094738807843860e-3) * r + 2.65321895265761230930e-2
        numerator = (numerator * r + 2.96560571828504891230e-1) * r + 1.78482653991729133580e0
        numerator = (numerator * r + 5.46378491116411436990e0) * r + 6.65790464350110377720e0
        denominator = 2.04426310338993978564e-15 * r + 1.42151175831644588870e-7
        denominator = (denominator * r + 1.84631831751005468180e-5) * r + 7.86869131145613259100e-4
        denominator = (denominator * r + 1.48753612908506148525e-2) * r + 1.36929880922735805310e-1
        denominator = (denominator * r + 5.99832206555887937690e-1) * r + 1.0
    x = numerator / denominator
    return -x if q < 0.0 else x
