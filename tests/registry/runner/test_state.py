from __future__ import annotations

import os

import pytest
from envport_registry.runner.errors import BadRunNameError, RunExistsError, UnknownRunError
from envport_registry.runner.state import Running, RunStore, new_run_id

DIGEST = "sha256:" + "0" * 64


def running(run_id: str, *, ref: str = "tests/tiny@0.1.0", started_at: float = 1.0) -> Running:
    return Running(
        run_id=run_id,
        ref=ref,
        digest=DIGEST,
        runtime="process",
        url="http://127.0.0.1:20001",
        started_at=started_at,
        pid=4242,
        pid_birth="boot:1",
    )


def started(store: RunStore, *runs: Running) -> None:
    for run in runs:
        with store.reserved(run.run_id):
            store.save(run)


def test_saved_runs_come_back_whole_and_oldest_first(tmp_path):
    store = RunStore(tmp_path)
    young, old = running("young", started_at=2.0), running("old", started_at=1.0)
    started(store, young, old)
    assert store.list() == [old, young]


def test_a_home_without_runs_lists_nothing(tmp_path):
    assert RunStore(tmp_path / "never").list() == []


def test_a_run_is_found_by_id_by_prefix_and_by_reference_with_or_without_version(tmp_path):
    store = RunStore(tmp_path)
    tiny, other = running("tiny-1a2b3c"), running("other-1", ref="tests/other@1.0")
    started(store, tiny, other)
    assert [store.find(name) for name in ("tiny-1a2b3c", "ti", "tests/tiny@0.1.0", "tests/tiny")] == [tiny] * 4


def test_an_id_that_begins_another_id_means_itself(tmp_path):
    store = RunStore(tmp_path)
    short, long = running("tiny"), running("tiny-2")
    started(store, short, long)
    assert store.find("tiny") == short


def test_a_run_of_a_folder_is_found_by_any_spelling_of_the_folder(tmp_path, monkeypatch):
    folder = tmp_path / "env"
    folder.mkdir()
    store = RunStore(tmp_path)
    run = running("env-1", ref=str(folder.resolve()))
    started(store, run)
    monkeypatch.chdir(tmp_path)
    assert store.find("./env/") == run


def test_an_unknown_run_is_told_with_what_runs(tmp_path):
    store = RunStore(tmp_path)
    started(store, running("tiny-1"))
    with pytest.raises(UnknownRunError) as caught:
        store.find("nope")
    assert str(caught.value) == (
        "no run 'nope'; running here: tiny-1 (tests/tiny@0.1.0); expected an id, the beginning of one, or a reference"
    )


def test_an_empty_name_means_no_run(tmp_path, monkeypatch):
    store = RunStore(tmp_path)
    started(store, running("tiny-1", ref=str(tmp_path.resolve())))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownRunError):
        store.find("")


def test_a_name_for_two_runs_is_told_with_both(tmp_path):
    store = RunStore(tmp_path)
    started(store, running("tiny-1"), running("tiny-2", started_at=2.0))
    with pytest.raises(UnknownRunError) as caught:
        store.find("tests/tiny")
    assert str(caught.value) == "'tests/tiny' means 2 runs: tiny-1, tiny-2; name one of them by its id"


def test_a_run_that_fails_while_it_is_reserved_leaves_nothing(tmp_path):
    store = RunStore(tmp_path)

    def fail_half_way() -> None:
        with store.reserved("tiny") as folder:
            (folder / "log.txt").write_text("half")
            store.save(running("tiny"))
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail_half_way()
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_taken_name_is_refused_and_what_runs_stays(tmp_path):
    store = RunStore(tmp_path)
    started(store, running("tiny"))
    with pytest.raises(RunExistsError, match="stop it by `envport stop tiny`"), store.reserved("tiny"):
        pytest.fail("a taken name was given out")
    assert store.list() == [running("tiny")]


@pytest.mark.parametrize("name", ["", "-tiny", "Tiny", "../tiny", "a/b", "a" * 64, "tiny\n"])
def test_a_name_that_does_not_fit_is_refused(tmp_path, name):
    with pytest.raises(BadRunNameError), RunStore(tmp_path).reserved(name):
        pytest.fail("a name that does not fit was given out")
    assert not (tmp_path / "runs").exists()


def test_a_damaged_state_file_is_passed_over(tmp_path):
    store = RunStore(tmp_path)
    started(store, running("tiny"))
    (tmp_path / "runs" / "half.json").write_text('{"run_id": "ha')
    assert store.list() == [running("tiny")]


def test_a_start_that_was_killed_before_it_wrote_anything_is_listed_found_and_removed(tmp_path):
    store = RunStore(tmp_path)
    started(store, running("tiny"))
    bare = tmp_path / "runs" / "bare"
    bare.mkdir()
    os.utime(bare, (2.0, 2.0))
    expected = Running(run_id="bare", ref="", digest="", runtime="process", url="", started_at=2.0, starting=True)
    assert store.list() == [running("tiny"), expected]
    assert store.find("bare") == expected
    store.remove("bare")
    assert store.list() == [running("tiny")]


def test_a_removed_run_leaves_neither_state_nor_folder(tmp_path):
    store = RunStore(tmp_path)
    started(store, running("tiny"))
    store.remove("tiny")
    store.remove("tiny")
    assert list((tmp_path / "runs").iterdir()) == []


def test_made_ids_fit_the_grammar_for_the_longest_name():
    run_id = new_run_id("a" * 63)
    assert len(run_id) == 63
    assert run_id.startswith("a" * 56 + "-")
