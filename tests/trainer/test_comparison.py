"""Two models are compared task by task, and only where they were asked the same."""

from __future__ import annotations

import itertools
import json
import math
import random

import pytest
from envport_trainer.errors import TrainerError
from envport_trainer.evaluation.comparison import PairedDifference, compare, sign_flip_p
from envport_trainer.evaluation.result import EvalResult, EvalRow, EvalWork
from envport_trainer.evaluation.student_t import errors_in_half, t_quantile

WORK = EvalWork("org/sums 1.0.0", "sha256:ab", "eval", 0, 256, 8, 2048, 0.0)


def result(*rewards: float | None, work: EvalWork = WORK, **columns: list[float]) -> EvalResult:
    """A row for each reward; None could not be scored and has no task id."""
    rows = [
        EvalRow(
            k, task_id=None if value is None else f"t{k}", reward=value, rewards={n: c[k] for n, c in columns.items()}
        )
        for k, value in enumerate(rewards)
    ]
    return EvalResult(work, "http://e", "m", 1.0, rows)


# Student's t, two-sided 95 %, from printed tables.
@pytest.mark.parametrize(
    ("degrees", "t"),
    [
        *((1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (5, 2.5706), (9, 2.2622), (10, 2.2281)),
        *((30, 2.0423), (60, 2.0003), (120, 1.9799), (127, 1.9788), (100_001, 1.9600)),
    ],
)
def test_the_t_quantile_is_that_of_the_tables(degrees, t):
    assert t_quantile(degrees) == pytest.approx(t, abs=5e-5)


def test_half_an_interval_is_wider_of_few_values_and_unknown_of_one():
    assert errors_in_half(2) == pytest.approx(12.7062, abs=5e-5)
    assert errors_in_half(8.0) == pytest.approx(2.3646, abs=5e-5)
    assert errors_in_half(None) == 1.96
    assert math.isnan(errors_in_half(1))


def test_the_t_quantile_of_other_shares():
    assert t_quantile(10, 0.99) == pytest.approx(3.1693, abs=5e-5)
    assert t_quantile(7, 0.9) == pytest.approx(1.8946, abs=5e-5)


def test_the_difference_of_four_pairs_worked_out_by_hand():
    # Differences 1, 0, -1, 2: mean 0.5, variance 5 / 3, standard error sqrt(5 / 12); t with 3 degrees is 3.1824.
    got = PairedDifference.of([(2.0, 1.0), (3.0, 3.0), (0.0, 1.0), (4.0, 2.0)])
    assert (got.mean, got.n, got.better, got.worse, got.equal) == (0.5, 4, 2, 1, 1)
    assert got.se == pytest.approx(math.sqrt(5 / 12))
    assert got.ci95 == pytest.approx(3.1824 * math.sqrt(5 / 12), abs=1e-4)
    # Of the 8 patterns of +-1 +-1 +-2 six have a sum of 2 or more from 0: +-4 once each, +-2 twice each.
    assert got.p == 0.75


def test_pairs_take_the_difficulty_of_the_tasks_out():
    mine, theirs = [0.1, 0.5, 0.9, 0.3], [0.0, 0.4, 0.8, 0.2]
    got = PairedDifference.of(list(zip(mine, theirs, strict=True)))
    assert (got.mean, got.ci95) == (pytest.approx(0.1), pytest.approx(0.0, abs=1e-12))
    assert (got.better, got.p) == (4, 2 / 16)


@pytest.mark.parametrize("seed", range(20))
def test_a_model_against_itself_differs_by_exactly_nothing(seed):
    draw = random.Random(seed)
    rewards = [draw.choice([0.0, 1.0, draw.random()]) for _ in range(draw.randint(2, 300))]
    got = compare(result(*rewards), result(*rewards)).reward
    assert (got.mean, got.se, got.ci95, got.p) == (0.0, 0.0, 0.0, 1.0)
    assert (got.better, got.worse, got.equal) == (0, 0, len(rewards))


@pytest.mark.parametrize("seed", range(20))
def test_comparing_the_other_way_round_changes_the_sign_alone(seed):
    draw = random.Random(seed)
    pairs = [(draw.random(), draw.random()) for _ in range(draw.randint(2, 40))]
    there, back = PairedDifference.of(pairs), PairedDifference.of([(b, a) for a, b in pairs])
    assert (there.mean, there.ci95, there.p) == (pytest.approx(-back.mean), pytest.approx(back.ci95), back.p)
    assert (there.better, there.worse) == (back.worse, back.better)


def counted(differences: list[float]) -> float:
    """The p-value by every pattern of signs, one by one."""
    patterns = list(itertools.product((1, -1), repeat=len(differences)))
    seen = abs(sum(differences)) - 1e-9
    sums = [sum(s * d for s, d in zip(signs, differences, strict=True)) for signs in patterns]
    return sum(abs(total) >= seen for total in sums) / len(patterns)


@pytest.mark.parametrize("seed", range(30))
def test_the_p_value_is_that_of_all_sign_patterns(seed):
    draw = random.Random(seed)
    steps = [[0.0, 1.0, -1.0], [0.1, 0.2, 0.3, -0.3], [1 / 3, -2 / 3, 1.0], [draw.gauss(0.3, 1) for _ in range(9)]]
    differences = [draw.choice(steps[seed % 4]) for _ in range(draw.randint(1, 12))]
    assert sign_flip_p(differences) == counted(differences)


def test_the_p_value_of_many_right_and_wrong_answers_is_the_exact_sign_test():
    # 20 better, 7 worse, 101 equal: two-sided binomial tail of 27 fair coins.
    tail = sum(math.comb(27, k) for k in range(8)) / 2**27
    assert sign_flip_p([1.0] * 20 + [-1.0] * 7 + [0.0] * 101) == pytest.approx(2 * tail, abs=1e-15)


def test_the_p_value_of_many_uneven_differences_is_drawn_the_same_every_time():
    draw = random.Random(1)
    differences = [draw.gauss(0.2, 1) for _ in range(100)]
    p = sign_flip_p(differences)
    assert p == sign_flip_p(differences)
    # The sum over its standard deviation under random signs is nearly normal.
    z = abs(sum(differences)) / math.sqrt(sum(d * d for d in differences))
    assert p == pytest.approx(math.erfc(z / math.sqrt(2)), abs=0.015)
    assert sign_flip_p([d + 3 for d in differences]) == 1 / 10_000


def test_differences_of_rounding_alone_are_equal():
    got = PairedDifference.of([(0.1 + 0.2, 0.3), (0.3, 0.1 + 0.2)])
    assert (got.mean, got.ci95, got.equal) == (0.0, 0.0, 2)


def test_one_pair_has_no_interval_and_none_has_nothing():
    assert PairedDifference.of([(1.0, 0.0)]).as_json() == {
        "mean": 1.0, "se": None, "ci95": None, "low": None, "high": None, "p": 1.0, "n": 1,
        "better": 1, "worse": 0, "equal": 0,
    }  # fmt: skip
    assert PairedDifference.of([]).as_json()["mean"] is None


def test_a_row_that_failed_on_one_side_leaves_both_and_is_never_0():
    mine = result(1.0, None, 1.0, None, right=[1.0, 0.0, 1.0, 0.0])
    theirs = result(0.5, 1.0, 0.0, None, right=[1.0, 1.0, 0.0, 0.0])
    got = compare(mine, theirs)
    assert (got.reward.mean, got.reward.n) == (0.75, 2)
    assert (got.failed_model, got.failed_against, got.failed_either) == (2, 1, 2)
    assert (got.rewards["right"].mean, got.rewards["right"].n) == (0.5, 2)
    with pytest.raises(TrainerError, match="none of 1 tasks was scored for both models"):
        compare(result(1.0), result(None))


def test_a_component_that_one_side_lacks_is_not_compared():
    mine = EvalResult(
        WORK, "http://e", "m", 1.0, [EvalRow(0, "t0", 1.0, rewards={"a": 1.0, "b": 1.0}, metrics={"c": 2.0})]
    )
    theirs = EvalResult(WORK, "http://e", "m", 1.0, [EvalRow(0, "t0", 1.0, rewards={"a": 0.25}, metrics={"c": 5.0})])
    got = compare(mine, theirs)
    assert {name: part.mean for name, part in got.rewards.items()} == {"a": 0.75}
    assert got.metrics["c"].mean == -3.0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"env_digest": "sha256:cd"}, "env_digest is 'sha256:ab', was 'sha256:cd'"),
        ({"env": "org/sums 1.0.1"}, "env is 'org/sums 1.0.0', was 'org/sums 1.0.1'"),
        ({"split": "train"}, "split is 'eval', was 'train'"),
        ({"seed": 7}, "seed is 0, was 7"),
        ({"max_turns": 1, "temperature": 0.7}, "max_turns is 8, was 1; temperature is 0.0, was 0.7"),
    ],
)
def test_other_work_is_refused_with_what_differs(change, told):
    fields = {name: getattr(WORK, name) for name in WORK.__slots__} | change
    with pytest.raises(TrainerError) as caught:
        compare(result(1.0), result(1.0, work=EvalWork(**fields)))
    assert told in str(caught.value)


def test_other_tasks_are_refused():
    with pytest.raises(TrainerError, match="2 tasks, were 1"):
        compare(result(1.0, 1.0), result(1.0))
    renamed = EvalResult(WORK, "http://e", "m", 1.0, [EvalRow(0, "other", 1.0)])
    with pytest.raises(TrainerError, match="task 0 is 't0', was 'other'"):
        compare(result(1.0), renamed)
    moved = EvalResult(WORK, "http://e", "m", 1.0, [EvalRow(5, "t0", 1.0)])
    with pytest.raises(TrainerError, match="the numbers of the tasks"):
        compare(result(1.0), moved)


def test_a_result_comes_back_from_its_file(tmp_path):
    before = result(1.0, None, 0.5, right=[1.0, 0.0, 0.5])
    before.write(tmp_path / "eval.json")
    assert EvalResult.read(tmp_path / "eval.json") == before


def test_a_file_that_cannot_be_compared_is_told(tmp_path):
    def told(text: str) -> str:
        path = tmp_path / "eval.json"
        path.write_text(text)
        with pytest.raises(TrainerError) as caught:
            EvalResult.read(path)
        assert str(path) in str(caught.value)
        return str(caught.value)

    values = result(1.0).as_json()
    old = {name: value for name, value in values.items() if name not in ("seed", "limits")}
    assert "is no result that can be compared: seed: field required; write it anew with envport eval" in told(
        json.dumps(old)
    )
    assert "rows.0.reward" in told(json.dumps(values | {"rows": [{"index": 0, "reward": math.nan}]}))
    assert "is no JSON" in told("{")
    assert "is no result" in told("[]")
    assert "holds a comparison of two models" in told('{"comparison": {}}')
    with pytest.raises(TrainerError, match="cannot read the result"):
        EvalResult.read(tmp_path / "none.json")
