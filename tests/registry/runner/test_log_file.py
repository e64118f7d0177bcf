from __future__ import annotations

from envport_registry.runner.log_file import follow_lines, last_lines


def test_the_last_lines_are_shown(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("one\ntwo\nthree\n")
    assert last_lines(log, 2) == ["two", "three"]


def test_no_lines_of_a_missing_file(tmp_path):
    assert last_lines(tmp_path / "none", 5) == []


def test_zero_lines_are_none(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("one\n")
    assert last_lines(log, 0) == []


def test_following_gives_the_end_and_then_what_is_added_until_growth_ends(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("one\ntwo\nhal")
    additions = iter(["f\nthree\n", "fo", "ur\nlast"])

    def is_growing() -> bool:
        added = next(additions, None)
        if added is not None:
            with log.open("a") as file:
                file.write(added)
        return added is not None

    assert list(follow_lines(log, 1, is_growing)) == ["two", "half", "three", "four", "last"]
