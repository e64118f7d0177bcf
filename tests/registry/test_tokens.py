"""The publish token: one file for its owner, one hash for the hub, and nowhere else."""

from __future__ import annotations

import hashlib
import logging
import sqlite3

import pytest
from envport_registry.errors import StorageError, TokenRefusedError
from envport_registry.store import Store
from envport_registry.tokens import check_token, read_token, register_token, token_file_of


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path / "data")
    yield opened
    opened.close()


@pytest.fixture
def file(tmp_path):
    return token_file_of(tmp_path / "home")


def test_the_first_start_makes_a_token_for_its_owner_only(store, file):
    assert register_token(store, file) is True
    assert file.stat().st_mode & 0o777 == 0o600
    token = read_token(file)
    assert file.read_text() == f"{token}\n"
    assert (token[:4], len(token)) == ("evp_", 47)  # 32 random bytes in base64 are 43 characters
    assert register_token(store, file) is False
    assert read_token(file) == token
    assert [path.name for path in file.parent.iterdir()] == ["token"]


def test_only_the_hash_is_in_the_database(store, file, tmp_path):
    register_token(store, file)
    token = read_token(file)
    store.close()
    with sqlite3.connect(tmp_path / "data" / "hub.sqlite3") as database:
        assert database.execute("SELECT * FROM token").fetchall() == [(1, hashlib.sha256(token.encode()).hexdigest())]
    database.close()
    assert not any(token.encode() in path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file())


def test_the_token_and_only_the_token_is_taken(store, file):
    with pytest.raises(TokenRefusedError):
        check_token(store, "Bearer anything-before-the-first-start")
    register_token(store, file)
    token = read_token(file)
    check_token(store, f"Bearer {token}")
    check_token(store, f"bearer  {token} ")
    with pytest.raises(TokenRefusedError):
        check_token(store, f"Bearer {token.upper()}")


def test_a_deleted_file_gives_a_new_token_and_ends_the_old_one(store, file):
    register_token(store, file)
    old = read_token(file)
    file.unlink()
    assert register_token(store, file) is True
    assert read_token(file) != old
    check_token(store, f"Bearer {read_token(file)}")
    with pytest.raises(TokenRefusedError):
        check_token(store, f"Bearer {old}")


def test_a_token_of_ones_own_is_taken_from_the_file(store, file):
    file.parent.mkdir(parents=True)
    file.write_text("a-token-of-ones-own-making\n")
    file.chmod(0o600)
    assert register_token(store, file) is False
    check_token(store, "Bearer a-token-of-ones-own-making")


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        ("a-token-of-ones-own-making", 0o644, "may be read by others \\(mode 0644\\): run chmod 600"),
        ("short", 0o600, "holds no token: expected one line of at least 20 characters"),
        ("", 0o600, "holds no token"),
        ("two lines are no token\nat all", 0o600, "holds no token"),
    ],
)
def test_a_token_file_that_is_open_or_empty_is_refused(store, file, content, mode, says):
    file.parent.mkdir(parents=True)
    file.write_text(content)
    file.chmod(mode)
    with pytest.raises(StorageError, match=says) as caught:
        register_token(store, file)
    assert not content or content not in caught.value.message


def test_no_token_is_ever_logged(hub, make_env, caplog, capfd):
    from envport_registry import publish

    caplog.set_level(logging.DEBUG)
    publish(make_env(), hub.url, hub.token)
    with pytest.raises(TokenRefusedError):
        publish(make_env(), hub.url, "evp_some-other-token-00000")
    told = caplog.text + "".join(capfd.readouterr())
    assert "POST" in told
    assert hub.token not in told
    assert "evp_" not in told
