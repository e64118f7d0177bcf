from __future__ import annotations

import pytest
from envport_extraction.gazetteer import (
    PROVINCES,
    canonical_province,
    nearest_provinces,
    place_key,
    province_of_district,
    spoken_name,
)

ALL_34 = (
    "badakhshan badghis baghlan balkh bamyan daykundi farah faryab ghazni ghor helmand herat jowzjan kabul kandahar "
    "kapisa khost kunar kunduz laghman logar nangarhar nimroz nuristan paktika paktya panjshir parwan samangan "
    "sar-e_pul takhar uruzgan wardak zabul"
)


def test_the_gazetteer_holds_the_34_provinces():
    assert sorted(PROVINCES) == sorted(name.replace("_", " ") for name in ALL_34.split())


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("paktya", "paktya"),
        ("Paktia", "paktya"),
        ("PAKTIYA province", "paktya"),
        ("nimruz", "nimroz"),
        ("Nimroz", "nimroz"),
        ("sar_e_pul", "sar-e pul"),
        ("Sar-e Pul", "sar-e pul"),
        ("sar-i-pul", "sar-e pul"),
        ("dai kundi", "daykundi"),
        ("Day_Kundi", "daykundi"),
        ("Maidan Wardak Province", "wardak"),
        ("Khowst", "khost"),
        ("Kondoz", "kunduz"),
        ("Oruzgan", "uruzgan"),
    ],
)
def test_other_spellings_name_the_same_province(spelling, name):
    assert canonical_province(spelling) == name


@pytest.mark.parametrize("name", ["southern afghanistan", "", "??", "province", "pakty", "sangin", "x" * 10_000])
def test_what_is_no_province_has_no_name(name):
    assert canonical_province(name) is None


def test_no_spelling_belongs_to_two_provinces():
    owners = {(place_key(s), p.name) for p in PROVINCES.values() for s in (p.name, *p.aliases)}
    assert len({key for key, _ in owners}) == len(owners)


def test_no_district_belongs_to_two_provinces():
    keys = [place_key(d) for p in PROVINCES.values() for d in p.districts]
    assert len(set(keys)) == len(keys)


def test_a_district_tells_its_province():
    assert province_of_district("Sangin district") == "helmand"
    assert province_of_district("panjwai") == "kandahar"
    assert province_of_district("Atlantis") is None


def test_near_spellings_are_offered_best_first():
    assert nearest_provinces("kandahaar")[0] == "kandahar"
    assert nearest_provinces("zzzzzz") == []


def test_names_are_printed_as_prose_has_them():
    assert [spoken_name(n) for n in ("sar-e pul", "kabul", "maidan wardak")] == ["Sar-e Pul", "Kabul", "Maidan Wardak"]
