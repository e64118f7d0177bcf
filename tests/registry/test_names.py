"""References, versions and their order."""

from __future__ import annotations

import pytest
from envport_registry.errors import BadNameError
from envport_registry.names import EnvRef, check_version, default_version, newest_first, version_key

DIGEST = "sha256:" + "0123456789abcdef" * 4


def test_a_reference_is_read_and_written_back():
    assert EnvRef.parse("envport/extraction") == EnvRef("envport", "extraction")
    assert EnvRef.parse("a/b-2@0.1.0") == EnvRef("a", "b-2", version="0.1.0")
    assert EnvRef.parse(f"a/b@{DIGEST}") == EnvRef("a", "b", digest=DIGEST)
    for text in ("envport/extraction", "a/b-2@0.1.0", f"a/b@{DIGEST}"):
        assert str(EnvRef.parse(text)) == text


def test_a_version_is_brought_to_its_normal_form():
    assert str(EnvRef.parse("a/b@v1.0-RC1")) == "a/b@1.0rc1"
    assert check_version("1.0.0+Local.1") == "1.0.0+local.1"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("extraction", "expected NAMESPACE/NAME"),
        ("a/b/c", "expected NAMESPACE/NAME"),
        ("a/b@1@2", "expected NAMESPACE/NAME"),
        ("", "expected NAMESPACE/NAME"),
        ("A/b", "'A' is not a namespace"),
        ("/b", "'' is not a namespace"),
        ("a/", "'' is not a name"),
        ("a/-b", "'-b' is not a name"),
        ("a/b\n", "is not a name"),
        ("a/" + "b" * 64, "1 to 63 characters"),
        ("a/b@", "'' is not a version"),
        ("a/b@latest", "'latest' is not a version"),
        ("a/b@1." + "0" * 80, "is not a version"),
        ("a/b@sha256:12", "'sha256:12' is not a digest"),
        ("a/b@sha256:" + "A" * 64, "is not a digest"),
    ],
)
def test_a_bad_reference_is_told_by_its_bad_part(text, says):
    with pytest.raises(BadNameError) as caught:
        EnvRef.parse(text)
    assert says in caught.value.message


def test_versions_are_ordered_as_numbers_not_as_text():
    assert newest_first(["0.9", "0.10", "1.0rc1", "1.0.dev1", "0.10.post1"]) == [
        "1.0rc1",
        "1.0.dev1",
        "0.10.post1",
        "0.10",
        "0.9",
    ]


def test_the_default_is_the_highest_version_that_is_no_pre_release():
    assert default_version(["0.9", "0.10", "1.0rc1"]) == "0.10"
    assert default_version(["1.0a1", "1.0rc1", "1.0.dev3"]) == "1.0rc1"
    assert default_version([]) is None


def test_versions_that_are_equal_by_pep_440_have_one_key():
    assert version_key("1.0") == version_key("1.0.0") == "1"
    assert version_key("1.0rc1") != version_key("1.0")
