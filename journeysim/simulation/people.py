"""The customers table of a simulated log: market, persona, demographics and interests of each customer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numba import njit

from journeysim.simulation.rng import NUMBA_OPTIONS, STREAM_DEMOGRAPHICS, draw, uniform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from journeysim.parts import Persona
    from journeysim.simulation.recipe import Recipe

U64 = np.uint64
NO_VALUE = -1  # the persona does not have this attribute


@njit(**NUMBA_OPTIONS)
def pick_values(seed, first, personas, attribute, until):  # type: ignore[no-untyped-def]
    """(n,) the value of an attribute of customers first..first+n-1: v with probability until[p, v] - until[p, v - 1].

    `until` (P, V) are cumulative shares by persona; NO_VALUE where a draw is beyond the last.
    """
    picked = np.empty(len(personas), np.int32)
    for i in range(len(personas)):
        r0, r1, _, _ = draw(seed, U64(first + i), STREAM_DEMOGRAPHICS, U64(attribute), U64(0))
        u = uniform(r0, r1)
        v = 0
        while v < until.shape[1] and until[personas[i], v] < u:
            v += 1
        picked[i] = v if v < until.shape[1] else NO_VALUE
    return picked


def people(recipe: Recipe, first: int, last: int, persona_codes: NDArray[np.uint8]) -> pa.Table:
    """One row per customer first..last-1: `customer`, `persona`, `market`, each demographic, `interests`.

    A demographic is drawn from the shares that the persona gives; every interest by itself with the persona's share,
    and listed in the order of the world, "cooking, design". Null where the persona does not say.
    """
    personas = recipe.world.personas
    ids = np.arange(first, last)
    columns: dict[str, pa.Array] = {
        "customer": pa.array(ids),
        "persona": _coded(persona_codes, [persona.name for persona in personas]),
        "market": pa.array((ids // recipe.world.market_size).astype(np.int32)),
    }
    seed, attribute = U64(recipe.seed), 0
    for name in dict.fromkeys(name for persona in personas for name in persona.demographics):
        shares = [_shares(persona, name) for persona in personas]
        values = list(dict.fromkeys(value for of_persona in shares for value in of_persona))
        until = np.cumsum([[of_persona.get(value, 0.0) for value in values] for of_persona in shares], axis=1)
        until[until > 1 - 1e-6] = 1.0  # shares sum to 1 but for rounding
        columns[name] = _coded(pick_values(seed, first, persona_codes, attribute, until), values)
        attribute += 1
    interests = list(dict.fromkeys(name for persona in personas for name in persona.interests))
    if interests:
        combined = np.zeros(last - first, np.int64)
        for i, name in enumerate(interests):
            has = np.array([[persona.interests.get(name, 0.0)] for persona in personas])
            combined |= (pick_values(seed, first, persona_codes, attribute + i, has) == 0).astype(np.int64) << i
        found, codes = np.unique(combined, return_inverse=True)
        names = [", ".join(name for i, name in enumerate(interests) if code >> i & 1) for code in found.tolist()]
        columns["interests"] = pa.DictionaryArray.from_arrays(codes.astype(np.int32), pa.array(names, pa.string()))
    return pa.table(columns)


def _shares(persona: Persona, attribute: str) -> Mapping[str, float]:
    value = persona.demographics.get(attribute)
    if value is None:
        return {}
    return {value: 1.0} if isinstance(value, str) else value


def _coded(codes: NDArray[np.integer[Any]], names: Sequence[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes == NO_VALUE), pa.array(list(names), pa.string()))
