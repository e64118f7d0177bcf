from __future__ import annotations

import json

import pytest
from envport_extraction.dataset import ProvinceStatus, load_rows, row_tasks, split_rows
from envport_extraction.errors import DatasetError

EVENT = {
    "name": "7",
    "start_date": "2011-05-02",
    "event_type": ["detention"],
    "province": ["logar"],
    "target_group": [""],
    "min_killed": 0,
    "min_captured": 2,
    "killq": False,
    "captureq": True,
    "killcaptureraid": False,
    "airstrike": False,
    "noshotsfired": False,
    "min_leaders_killed": 0,
    "min_leaders_captured": 0,
}


def write(path, *rows):
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def row(text="Two men were held in Logar.", **labels):
    return {"text": text, "event": EVENT | labels}


@pytest.mark.parametrize(
    ("label", "read", "status"),
    [
        (["logar"], ("logar",), ProvinceStatus.CANONICAL),
        (["Lowgar"], ("logar",), ProvinceStatus.OTHER_SPELLING),
        (["sar_e_pul"], ("sar-e pul",), ProvinceStatus.OTHER_SPELLING),
        (["khost;paktia"], ("khost", "paktya"), ProvinceStatus.OTHER_SPELLING),
        (["??"], (), ProvinceStatus.UNKNOWN),
        ([""], (), ProvinceStatus.UNKNOWN),
        (["southern part"], (), ProvinceStatus.NOT_A_PROVINCE),
    ],
)
def test_province_labels_are_cleaned_and_the_raw_ones_kept(tmp_path, label, read, status):
    (only,) = load_rows(write(tmp_path / "rows.jsonl", row(province=label)))
    assert (only.event.province, only.province_status, only.raw["province"]) == (read, status, label)


def test_faults_of_hand_made_labels_are_taken_as_they_are(tmp_path):
    path = write(
        tmp_path / "rows.jsonl",
        row(event_type=["airstrike;detention"]),
        "",
        row(killq=True),
        row(min_leaders_captured=5),
        row(target_group=["some attack network;taliban"]),
        {"text": "Nothing is known.", "event": {}},
    )
    rows = load_rows(path)
    assert [r.line for r in rows] == [1, 3, 4, 5, 6]
    assert rows[0].event.event_type == ("airstrike", "detention")
    assert rows[3].event.target_group == ("some attack network", "taliban")


@pytest.mark.parametrize(
    ("line", "seen", "expected"),
    [
        ("{", "not JSON", 'expected {"text"'),
        ("[1]", "a JSON list", 'expected {"text"'),
        ({"event": EVENT}, '"text" is None', 'expected {"text"'),
        ({"text": "  ", "event": EVENT}, '"text" is', 'expected {"text"'),
        ('{"text": "a \\ud800 b", "event": {}}', "'a \\ud800 b', with half of a UTF-16 pair", "whole characters"),
        ({"text": "x", "event": "detention"}, "\"event\" is 'detention'", 'expected {"text"'),
        (row(min_killed="two"), "min_killed is 'two'", "whole number"),
        (row(killq="yes"), "killq is 'yes'", "true, false"),
        (row(start_date="2 May"), "start_date is '2 May'", "YYYY-MM-DD"),
        (row(event_type=["raid"]), "event_type is 'raid'", "detention"),
        (row(deaths=2), "no field is called 'deaths'", "start_date"),
    ],
)
def test_a_bad_row_is_an_error_with_file_line_what_was_seen_and_what_was_expected(tmp_path, line, seen, expected):
    path = write(tmp_path / "rows.jsonl", row(), line)
    with pytest.raises(DatasetError) as caught:
        load_rows(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:2: ")
    assert seen in message
    assert expected in message


def test_a_file_that_is_missing_empty_or_not_text_is_one_clear_error(tmp_path):
    with pytest.raises(DatasetError, match=r"cannot read the data file .*gone"):
        load_rows(tmp_path / "gone.jsonl")
    with pytest.raises(DatasetError, match="holds no rows"):
        load_rows(write(tmp_path / "empty.jsonl", "", ""))
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="UTF-8"):
        load_rows(tmp_path / "bytes.jsonl")


def test_rows_of_one_text_stay_in_one_split_whatever_else_is_in_the_file(tmp_path):
    texts = [f"Release number {i}." for i in range(200)]
    rows = load_rows(
        write(tmp_path / "a.jsonl", *[row(t) for t in texts], *[row(t + "\n", min_captured=3) for t in texts])
    )
    train, held_out = split_rows(rows, 0.2)
    assert {r.digest for r in train} & {r.digest for r in held_out} == set()
    assert len(train) + len(held_out) == 400
    assert 40 <= len(held_out) <= 130
    fewer = load_rows(write(tmp_path / "b.jsonl", *[row(t) for t in texts[:50]]))
    assert {r.digest for r in split_rows(fewer, 0.2)[1]} == {r.digest for r in held_out} & {r.digest for r in fewer}
    assert split_rows(rows, 1.0) == ([], rows)
    assert split_rows(rows, 0.0) == (rows, [])


def test_tasks_of_rows_have_stable_ids_and_show_no_label(tmp_path):
    (task,) = row_tasks(load_rows(write(tmp_path / "rows.jsonl", row(name="secret title"))))
    assert task.task_id == f"row-{task.metadata['text_sha256'][:16]}-1"
    assert set(task.metadata) == {"source", "line", "text_sha256"}
    assert task.messages[-1].content == "Two men were held in Logar."
