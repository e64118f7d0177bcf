"""The way of an environment: folder, hub, cache, each station real."""

from __future__ import annotations

import errno
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from envport_registry import EnvRef, HubClient, pack, publish, pull, verify_folder
from envport_registry.errors import (
    BadNameError,
    BundleError,
    DigestMismatchError,
    HubUnreachableError,
    NoSpaceError,
    UnknownBlobError,
    UnknownEnvError,
    UnknownVersionError,
    VersionExistsError,
)
from envport_registry.store import Store

if TYPE_CHECKING:
    from pathlib import Path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_published_folder_is_pulled_as_it_was(hub, make_env, home):
    folder = make_env(files={"data/tasks.jsonl": '{"a": 1}\n' * 100_000})
    sent: list[tuple[int, int]] = []
    got: list[tuple[int, int]] = []
    published = publish(folder, hub.url, hub.token, on_progress=lambda *at: sent.append(at))
    pulled = pull("me/toy", hub.url, home, on_progress=lambda *at: got.append(at))

    digest, size = pack(folder).digest, len(pack(folder).tar)
    assert (published.ref, published.digest, published.created) == (EnvRef("me", "toy", "0.1.0"), digest, True)
    assert (pulled.ref, pulled.digest, pulled.config.summary) == (EnvRef("me", "toy", "0.1.0"), digest, "Counts to ten")
    assert pulled.folder == home / "envs" / digest.replace(":", "-")
    assert contents(pulled.folder) == contents(folder)
    assert verify_folder(pulled.folder, digest).digest == digest
    assert (sent[-1], got[-1]) == ((size, size), (size, size))
    assert [done for done, _ in sent] == sorted(done for done, _ in sent)
    assert [blob.name for blob in hub.blobs] == [digest.removeprefix("sha256:")]


def test_the_hub_tells_what_was_published(hub, make_env):
    before = time.time() - 1
    published = publish(make_env(), hub.url, hub.token)
    with HubClient(hub.url) as client:
        env = client.env(EnvRef("me", "toy"))
        assert client.search() == client.search("TEN toy") == env.versions
        assert client.search("eleven") == client.search("%") == client.search("t_y") == []
    version = env.versions[0].model_dump()
    assert before <= version.pop("published_at").timestamp() <= time.time() + 1
    assert version == {
        "namespace": "me",
        "name": "toy",
        "version": "0.1.0",
        "digest": published.digest,
        "size_bytes": published.size_bytes,
        "summary": "Counts to ten",
        "licence": "MIT",
    }


def test_the_same_content_again_is_no_change(hub, make_env):
    first = publish(make_env(), hub.url, hub.token)
    again = publish(make_env(), hub.url, hub.token)
    assert (first.created, again.created) == (True, False)
    assert (again.ref, again.digest) == (first.ref, first.digest)
    assert len(hub.blobs) == 1


@pytest.mark.parametrize("spelling", ["0.1.0", "0.1"])
def test_a_version_never_changes(hub, make_env, home, spelling):
    first = publish(make_env(), hub.url, hub.token)
    other = make_env(version=spelling, files={"more.txt": "more"})
    with pytest.raises(VersionExistsError) as caught:
        publish(other, hub.url, hub.token)
    assert caught.value.message == (
        f"me/toy@0.1.0 is already published with other content: seen {pack(other).digest}, published is "
        f"{first.digest}; versions never change, so raise `version` in envport.toml and publish again"
    )
    assert [blob.name for blob in hub.blobs] == [first.digest.removeprefix("sha256:")]
    assert pull("me/toy@0.1.0", hub.url, home).digest == first.digest


def test_of_many_publishes_of_one_version_at_once_exactly_one_wins(hub, make_env, home):
    folders = [make_env(files={"which.txt": str(n)}) for n in range(8)]
    together = threading.Barrier(len(folders))

    def attempt(folder: Path) -> str:
        together.wait(10)
        try:
            return "created" if publish(folder, hub.url, hub.token).created else "there"
        except VersionExistsError:
            return "refused"

    with ThreadPoolExecutor(len(folders)) as pool:
        outcomes = list(pool.map(attempt, folders))
    assert sorted(outcomes) == ["created"] + ["refused"] * 7
    winner = folders[outcomes.index("created")]
    assert contents(pull("me/toy", hub.url, home).folder) == contents(winner)
    assert [blob.name for blob in hub.blobs] == [pack(winner).digest.removeprefix("sha256:")]


def test_the_same_content_published_by_many_at_once_is_created_once(hub, make_env):
    folder = make_env()
    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(lambda _: publish(folder, hub.url, hub.token).created, range(8)))
    assert sorted(created) == [False] * 7 + [True]
    assert len(hub.blobs) == 1


def test_many_pulls_at_once_share_one_folder(hub, make_env, home):
    digest = publish(make_env(files={f"f{n}.txt": "x" for n in range(200)}), hub.url, hub.token).digest
    with ThreadPoolExecutor(6) as pool:
        pulled = list(pool.map(lambda _: pull("me/toy", hub.url, home), range(6)))
    assert {env.folder for env in pulled} == {home / "envs" / digest.replace(":", "-")}
    assert [path.name for path in (home / "envs").iterdir()] == [digest.replace(":", "-")]


def test_the_highest_release_is_pulled_unless_another_is_named(hub, make_env, home):
    for version in ("0.9.0", "0.10.0", "1.0rc1"):
        publish(make_env(version=version), hub.url, hub.token)
    pinned = pack(make_env(version="0.9.0")).digest
    assert str(pull("me/toy", hub.url, home).ref) == "me/toy@0.10.0"
    assert str(pull("me/toy@1.0-RC.1", hub.url, home).ref) == "me/toy@1.0rc1"
    assert str(pull("me/toy@0.10", hub.url, home).ref) == "me/toy@0.10.0"
    assert str(pull(f"me/toy@{pinned}", hub.url, home).ref) == "me/toy@0.9.0"
    with HubClient(hub.url) as client:
        env = client.env(EnvRef("me", "toy"))
        assert [version.version for version in client.search()] == ["0.10.0"]
    assert (env.default, [version.version for version in env.versions]) == ("0.10.0", ["1.0rc1", "0.10.0", "0.9.0"])


def test_the_namespace_comes_from_the_caller_or_the_project(hub, make_env):
    assert publish(make_env(), hub.url, hub.token, "you").ref.full_name == "you/toy"
    with pytest.raises(BadNameError, match="has no namespace: give --namespace"):
        publish(make_env(namespace=None), hub.url, hub.token)
    with pytest.raises(BadNameError, match="'You' is not a namespace"):
        publish(make_env(), hub.url, hub.token, "You")


def test_what_the_hub_does_not_have_is_told(hub, make_env, home):
    publish(make_env(), hub.url, hub.token)
    with pytest.raises(UnknownEnvError, match="no environment me/other on this hub: `envport search`"):
        pull("me/other", hub.url, home)
    with pytest.raises(UnknownVersionError, match=r"me/toy has no version 9\.9 on this hub: it has 0\.1\.0"):
        pull("me/toy@9.9", hub.url, home)
    nowhere = "sha256:" + "0" * 64
    with pytest.raises(UnknownVersionError, match=f"me/toy has no version {nowhere} on this hub"):
        pull(f"me/toy@{nowhere}", hub.url, home)
    assert not home.exists()


@pytest.mark.parametrize("tampered", [b"short", None], ids=["shorter", "one bit"])
def test_a_tampered_bundle_on_the_hub_is_refused_and_publishing_again_mends_it(hub, make_env, home, tampered):
    folder = make_env()
    digest = publish(folder, hub.url, hub.token).digest
    (blob,) = hub.blobs
    content = bytearray(blob.read_bytes())
    content[600] ^= 1
    blob.write_bytes(tampered or bytes(content))
    with pytest.raises(DigestMismatchError) as caught:
        pull("me/toy", hub.url, home)
    assert caught.value.details["expected"] == digest
    seen = caught.value.details["seen"]
    assert caught.value.message.startswith(
        f"the bundle of me/toy@0.1.0 does not match its digest: seen {seen}, expected {digest}; "
    )
    assert "publish the same folder again" in caught.value.message
    assert not home.exists()

    assert publish(folder, hub.url, hub.token).created is False
    assert contents(pull("me/toy", hub.url, home).folder) == contents(folder)


def test_a_bundle_that_the_hub_lost_is_told(hub, make_env, home):
    digest = publish(make_env(), hub.url, hub.token).digest
    hub.blobs[0].unlink()
    with pytest.raises(UnknownBlobError, match=f"{digest}: if one of its versions has it, the file was lost"):
        pull("me/toy", hub.url, home)
    assert not home.exists()
    publish(make_env(), hub.url, hub.token)
    assert pull("me/toy", hub.url, home).digest == digest


def test_a_tampered_cache_is_refused_until_it_is_deleted(hub, make_env, home):
    publish(make_env(), hub.url, hub.token)
    pulled = pull("me/toy", hub.url, home)
    (pulled.folder / "toy_env/__init__.py").write_text("import os\n")
    for ref in ("me/toy", f"me/toy@{pulled.digest}"):
        with pytest.raises(DigestMismatchError) as caught:
            pull(ref, hub.url, home)
        assert f"expected {pulled.digest}; it was changed after it was pulled: delete that folder" in str(caught.value)
        assert caught.value.details["seen"] in str(caught.value)
    for path in sorted(pulled.folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    pulled.folder.rmdir()
    assert verify_folder(pull("me/toy", hub.url, home).folder, pulled.digest).digest == pulled.digest


def test_a_digest_in_the_cache_needs_no_hub(hub, make_env, home):
    publish(make_env(), hub.url, hub.token)
    pulled = pull("me/toy", hub.url, home)
    assert pull(f"me/toy@{pulled.digest}", "http://127.0.0.1:1", home) == pulled
    with pytest.raises(UnknownVersionError, match="environment named 'toy', not 'other'"):
        pull(f"me/other@{pulled.digest}", "http://127.0.0.1:1", home)
    with pytest.raises(HubUnreachableError):
        pull("me/toy@0.1.0", "http://127.0.0.1:1", home)


def test_a_full_disk_on_the_hub_publishes_nothing(hub, make_env, monkeypatch):
    def no_space(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("envport_registry.store.os.fsync", no_space)
        with pytest.raises(NoSpaceError, match="no space left on the disk while storing a bundle") as caught:
            publish(make_env(), hub.url, hub.token)
    assert caught.value.status == 507
    assert hub.blobs == []
    with HubClient(hub.url) as client, pytest.raises(UnknownEnvError):
        client.env(EnvRef("me", "toy"))
    assert publish(make_env(), hub.url, hub.token).created is True


def test_a_full_disk_on_pull_leaves_nothing(hub, make_env, home, monkeypatch):
    publish(make_env(), hub.url, hub.token)

    def no_space(path, _):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr("envport_registry.bundle.write_file", no_space)
        with pytest.raises(NoSpaceError, match="free some space and try again"):
            pull("me/toy", hub.url, home)
    assert list((home / "envs").iterdir()) == []
    assert pull("me/toy", hub.url, home).ref.version == "0.1.0"


def test_what_a_killed_process_left_is_removed_a_day_later(hub, make_env, home, tmp_path):
    old, new = home / "envs/.part-old/deep", home / "envs/.part-new/deep"
    blobs = hub.data / "blobs/sha256"
    for folder in (old, new):
        folder.mkdir(parents=True)
    for name in ("old.part", "new.part"):
        (blobs / name).write_bytes(b"half")
    for path in (old.parent, blobs / "old.part"):
        os.utime(path, (time.time() - 25 * 3600,) * 2)
    publish(make_env(), hub.url, hub.token)
    pulled = pull("me/toy", hub.url, home)
    Store(hub.data).close()
    assert sorted(path.name for path in (home / "envs").iterdir()) == [".part-new", pulled.folder.name]
    assert sorted(blob.name for blob in hub.blobs) == sorted(["new.part", pulled.digest.removeprefix("sha256:")])


def test_the_hub_keeps_what_it_holds_over_a_restart(start_hub, make_env, home):
    first = start_hub()
    digest = publish(make_env(), first.url, first.token).digest
    second = start_hub()
    assert second.token == first.token
    assert pull("me/toy", second.url, home).digest == digest


def test_a_folder_that_cannot_be_published_never_reaches_the_hub(hub, make_env):
    with pytest.raises(BundleError, match="secrets"):
        publish(make_env(files={".env": "A=1"}), hub.url, hub.token)
    assert hub.blobs == []
