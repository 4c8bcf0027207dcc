"""The draws: published vectors, exact logarithms, distributions, and independence of everything that keys them."""

from decimal import Context, Decimal

import numpy as np
import pytest
from numba import njit
from scipy import special, stats
from statistical import assert_distribution, assert_mean

from journeysim.simulation import rng

ONES = 0xFFFFFFFF
EXACT = Context(prec=60)


def words(*values):
    return [np.uint64(v) for v in values]


@njit
def blocks(seed, customers, streams, i, j):
    out = np.empty((len(customers), 4), np.uint64)
    for n in range(len(customers)):
        out[n] = rng.draw(seed, customers[n], streams[n], i[n], j[n])
    return out


@njit
def normals(low, high):
    return np.array([rng.normal(low[n], high[n]) for n in range(len(low))])


def keyed(n, seed=7, customer=0, stream=1, i=0, j=0):
    """Blocks of four words; each part of the key is one number or one per block."""
    parts = [np.broadcast_to(np.asarray(part, np.uint64), n) for part in (customer, stream, i, j)]
    return blocks(np.uint64(seed), *parts)


def uniforms(n, **key):
    w = keyed(n, **key)
    return np.concatenate([rng.uniform.py_func(w[:, k], w[:, k + 1]) for k in (0, 2)])


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        ((0, 0), (0, 0, 0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((ONES, ONES), (ONES, ONES, ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0xA4093822, 0x299F31D0),
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_published_answers(key, counter, expected):
    """Known-answer vectors of Random123 (Salmon et al. 2011), file kat_vectors, philox4x32 10."""
    assert tuple(map(int, rng.philox4x32(*words(*key, *counter)))) == expected


def test_a_draw_uses_seed_and_customer_as_key_and_counter():
    seed, customer, stream, i, j = 0x299F31D0A4093822, 0x03_0000_0009, 5, 3, 4
    expected = rng.philox4x32(*words(0xA4093822, 0x299F31D0, 9, 3 | 5 << 24, i, j))
    assert rng.draw(*words(seed, customer, stream, i, j)) == expected


def test_uniform_is_never_0_or_1():
    assert rng.uniform(*words(0, 0)) == 2.0**-53
    assert rng.uniform(*words(ONES, ONES)) == 1 - 2.0**-53


def test_an_exponential_is_positive_and_finite_at_both_ends():
    assert rng.exponential(*words(ONES, ONES)) == pytest.approx(2.0**-53, rel=1e-15)
    assert rng.exponential(*words(0, 0)) == pytest.approx(53 * np.log(2), rel=1e-15)


def ulps(found, exact):
    return float(abs(Decimal(found) - exact) / Decimal(float(np.spacing(abs(float(exact))))))


def test_log_errs_by_less_than_one_ulp():
    draws = np.random.default_rng(1)
    ends = [2.0**-1022, 2.0**-53, 1 - 2.0**-53, 1 + 2.0**-52, np.sqrt(0.5), np.sqrt(2), 1.7976931348623157e308]
    points = [*ends, *draws.random(1000), *2.0 ** draws.uniform(-1022, 1023, 1000), *1 + draws.normal(0, 1e-3, 500)]
    assert max(ulps(rng.log(float(x)), EXACT.ln(Decimal(float(x)))) for x in points) < 1
    assert rng.log(1.0) == 0


def test_exp_errs_by_less_than_one_ulp():
    draws = np.random.default_rng(2)
    points = [-700.0, 700.0, 1e-300, -1e-17, *draws.uniform(-700, 700, 1000), *draws.normal(0, 1, 1000)]
    assert max(ulps(rng.exp(float(x)), EXACT.exp(Decimal(float(x)))) for x in points) < 1
    assert rng.exp(0.0) == 1
    assert rng.exp(1e4) == rng.exp(700.0) < np.inf
    assert rng.exp(-1e4) == rng.exp(-700.0) > 0


def test_normal_is_the_inverse_of_the_normal_distribution():
    draws = np.random.default_rng(3)
    high = np.concatenate([[0, ONES], draws.integers(0, 2**32, 20_000), draws.integers(0, 2**20, 2000)]).astype("u8")
    low = np.concatenate([[0, ONES], draws.integers(0, 2**32, 22_000)]).astype("u8")
    u = rng.uniform.py_func(low, high)
    lower = np.minimum(u, 1 - u)  # both are exact; near 1 the inverse itself would magnify its rounding
    expected = np.where(u < 0.5, 1, -1) * special.ndtri(lower)
    np.testing.assert_allclose(normals(low, high), expected, rtol=2e-15, atol=1e-16)
    assert rng.normal(*words(0, 0)) == -rng.normal(*words(ONES, ONES))


def test_draws_have_their_distributions():
    u = uniforms(500_000, customer=np.arange(500_000))
    assert_distribution(u, stats.uniform.cdf)
    w = keyed(500_000, customer=np.arange(500_000), stream=3)
    assert_distribution(-np.log(rng.uniform.py_func(w[:, 0], w[:, 1])), stats.expon.cdf)
    assert_distribution(normals(w[:, 2], w[:, 3]), stats.norm.cdf)
    with pytest.raises(AssertionError):
        assert_distribution(u * (1 - 4e-3), stats.uniform.cdf)


def test_every_part_of_the_key_gives_other_draws():
    some = np.array([0, 1, 2, 255, 256, 2**31, 2**32 - 1])
    customer, stream, i, j = (axis.ravel() for axis in np.meshgrid(some, np.arange(7), some, some))
    wide = np.where(customer == 2, 2**40, customer)  # beyond 32 bits too
    several = [keyed(len(i), seed, wide, stream, i, j) for seed in (0, 1, 2**32, 2**64 - 1)]
    drawn = np.concatenate(several)
    assert len(np.unique(drawn, axis=0)) == len(drawn)


@pytest.mark.parametrize(
    "neighbour",
    [{"seed": 8}, {"customer": 1}, {"stream": 2}, {"i": 1}, {"j": 1}, {"seed": 7 + 2**32}, {"customer": 2**32}],
    ids=str,
)
def test_neighbours_in_the_key_are_uncorrelated(neighbour):
    n = 200_000
    key = {"seed": 7, "customer": 2 * np.arange(n), "stream": 1, "i": 0, "j": 0}
    other = {**key, **{name: key[name] + value if name == "customer" else value for name, value in neighbour.items()}}
    a, b = uniforms(n, **key), uniforms(n, **other)
    assert_mean(12 * (a - 0.5) * (b - 0.5), 0.0, -3, 3)
    with pytest.raises(AssertionError):
        assert_mean(12 * (a - 0.5) * (np.where(np.arange(2 * n) % 50, b, a) - 0.5), 0.0, -3, 3)
