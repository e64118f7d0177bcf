"""The 34 provinces of Afghanistan: canonical names, other spellings, and well-known districts.

The list was written for this project from general geographic knowledge; no label of any data set went into it. A label
or an answer is compared by its canonical name, so `Paktia`, `paktya province` and `PAKTIYA` are one place, and so are
`sar_e_pul`, `Sar-e Pul` and `saripul`. District names that more than one province has are left out.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

_SUFFIX = re.compile(r"(provinces?|wilayat|velayat)$")
_NOT_LETTERS = re.compile(r"[^a-z]+")


@dataclass(frozen=True)
class Province:
    """One province."""

    name: str
    """Canonical name, lower case, as answers are compared."""
    region: str
    """north, east, south, west or central."""
    aliases: tuple[str, ...]
    """Other spellings in use, lower case."""
    districts: tuple[str, ...]
    """Districts and towns that only this province has, as a press release would print them."""


def _load() -> dict[str, Province]:
    text = resources.files("envport_extraction").joinpath("provinces.json").read_text(encoding="utf-8")
    return {
        name: Province(name, row["region"], tuple(row["aliases"]), tuple(row["districts"]))
        for name, row in json.loads(text).items()
    }


def place_key(name: str) -> str:
    """The name with case, spaces, hyphens, underscores, apostrophes and a trailing "province" taken out."""
    key = _NOT_LETTERS.sub("", name.lower())
    return _SUFFIX.sub("", key) or key


PROVINCES: dict[str, Province] = _load()
"""All 34, by canonical name."""

_BY_KEY: dict[str, str] = {
    place_key(spelling): province.name
    for province in PROVINCES.values()
    for spelling in (province.name, *province.aliases)
}
_BY_DISTRICT: dict[str, str] = {
    place_key(district): province.name for province in PROVINCES.values() for district in province.districts
}


@lru_cache(maxsize=4096)
def canonical_province(name: str) -> str | None:
    """The canonical name of a real province, or None where no province is called that. `Paktia` -> `paktya`."""
    return _BY_KEY.get(place_key(name[:64]))


def province_of_district(name: str) -> str | None:
    """The province that a district lies in, or None where the district is not listed. `Sangin` -> `helmand`."""
    key = place_key(name[:64])
    return _BY_DISTRICT.get(key) or _BY_DISTRICT.get(key.removesuffix("district"))


def nearest_provinces(name: str, limit: int = 3) -> list[str]:
    """Up to `limit` canonical names spelled most like `name`, best first; empty where nothing is near."""
    near = difflib.get_close_matches(place_key(name[:64]), list(_BY_KEY), n=limit * 3, cutoff=0.6)
    return list(dict.fromkeys(_BY_KEY[key] for key in near))[:limit]


def spoken_name(province: str) -> str:
    """The canonical name as prose prints it: `sar-e pul` -> `Sar-e Pul`."""
    return " ".join("-".join(p.capitalize() if len(p) > 1 else p for p in w.split("-")) for w in province.split(" "))
