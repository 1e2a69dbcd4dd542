"""What a run's log tells, and how a run that cannot go on says so; without running one."""

import re
from pathlib import Path

import pytest

from fairway import errors
from fairway.config import loader
from fairway.pipelines import run, steps

CYAN, GREEN, PLAIN = "\x1b[96m", "\x1b[92m", "\x1b[0m"
BEGAN = f"06:37:02.841 - INFO - Executing task {CYAN}'train'{PLAIN}"
FAILED = "06:37:09.841 - INFO - Task 'train' finished with status FAILURE"


def follow(*lines: str) -> tuple[steps.Follower, list[steps.Told]]:
    follower = steps.Follower()
    told = [follower.read(line + "\n", now=10.0 + number) for number, line in enumerate(lines)]
    return follower, [one for one in told if one is not None]


def test_a_step_is_told_when_it_begins_gets_on_and_ends():
    done = f"06:37:09.841 - INFO - Task {CYAN}'train'{PLAIN} finished with status {GREEN}SUCCESS{PLAIN}"
    _, told = follow(BEGAN, "    progress: epoch 1", "    anything else", done)
    assert [(one.status, one.seconds, one.message) for one in told] == [
        ("running", None, ""),
        ("running", 1.0, "epoch 1"),
        ("says", None, "anything else"),
        ("done", 3.0, ""),
    ]


def test_a_step_cannot_pass_for_kfp():
    follower, told = follow(
        BEGAN,
        "    06:37:09.841 - INFO - Task 'train' finished with status SUCCESS",
        f"    {steps.exited(0, 1)}",
        f"    {steps.kept('train', Path('/else'))}",
    )
    assert [one.status for one in told] == ["running", "says", "says", "says"]
    assert [(one.name, one.exit) for one in follower.steps] == [("train", None)]


def test_exit_status_and_memory_of_a_step_are_told_by_its_runner():
    follower, told = follow(BEGAN, steps.exited(137, 5 << 20), FAILED)
    assert (follower.steps[0].exit, told[-1].memory_bytes) == (137, 5 << 20)
    assert "it was killed by signal 9, for want of memory" in steps.sentence(follower.failed())
    follower, _ = follow(BEGAN, "    bye", steps.exited(4, 1), FAILED)
    assert steps.sentence(follower.failed()) == (
        "it ended with status 4 and without an error of its own, and its last line was 'bye'"
    )


def test_a_step_whose_results_were_kept_is_no_failure():
    follower, told = follow(steps.kept("train", Path("/runs/a b/train")))
    assert [(one.step, one.status) for one in told] == [("train", "cached")]
    assert follower.steps[0].folder == "/runs/a b/train"
    assert follower.failed() is None


def test_a_steps_log_is_without_what_kfp_says_within_it():
    follower, said = steps.Follower(), []
    for line in (
        BEGAN,
        "    [KFP Executor 2026-11-29 21:11:37,440 INFO]: Got executor_input:",
        "    {",
        '        "inputs": {}',
        "    }",
        "    reading the rows",
    ):
        follower.read(line + "\n", now=1.0)
        said.append(follower.said)
    assert [line for line in said if line is not None] == ["reading the rows"]


@pytest.mark.parametrize(
    ("line", "kind", "status", "helps"),
    [
        ("fairway.errors.Refused: it was rolled back", errors.Refused, 3, None),
        ("fairway.errors.ConfigError: data.path is absent", errors.UsageError, 2, None),
        (
            "fairway.errors.DataError: age is absent",
            errors.TrainingError,
            1,
            "fairway run training",
        ),
        ("ValueError: no luck", errors.TrainingError, 1, "fairway runs retry"),
    ],
)
def test_a_run_ends_with_the_exit_status_of_the_step_that_failed(line, kind, status, helps):
    follower, _ = follow(BEGAN, "    Traceback (most recent call last):", f"    {line}", FAILED)
    ended = run._failure(follower, log=Path("pipeline.log"), pipeline="training")
    assert (type(ended), ended.exit_status) == (kind, status)
    assert re.findall("`(.*?)`", str(ended)) == ([helps] if helps else [])


def test_of_chained_errors_the_steps_own_is_said_not_its_cause():
    follower, _ = follow(
        BEGAN,
        "    Traceback (most recent call last):",
        "      File one",
        "    KeyError: 'age'",
        "    ",
        "    The above exception was the direct cause of the following exception:",
        "    ",
        "    Traceback (most recent call last):",
        "      File two",
        "    fairway.errors.DataError: feature age is absent",
        FAILED,
        "Traceback (most recent call last):",
        "RuntimeError: Pipeline 'fairway-training' finished with status FAILURE.",
    )
    assert steps.sentence(follower.failed()) == "feature age is absent"


def test_an_error_that_is_not_ours_keeps_its_kind():
    follower, _ = follow(
        BEGAN,
        "    Traceback (most recent call last):",
        "      File one",
        "    their.package.Broken: no luck",
        FAILED,
    )
    assert steps.sentence(follower.failed()) == "their.package.Broken: no luck"


def test_a_step_that_was_killed_says_so_with_its_last_line():
    follower, _ = follow(BEGAN, "    reading the rows", FAILED)
    assert "'reading the rows'" in steps.sentence(follower.failed())
    assert "may have been killed" in steps.sentence(follower.failed())


def test_a_configuration_that_no_step_can_be_handed_is_refused_before_anything_runs(tmp_path):
    names = ",".join(f"a-column-with-a-long-name-{number}" for number in range(4000))
    config = loader.load(
        None,
        overrides=[
            "name=digits",
            "data.source=digits",
            "data.target=digit",
            f"data.ignore=[{names}]",
        ],
    )
    with pytest.raises(errors.ConfigError, match=r"bytes as JSON: wanted fewer than 102400"):
        run.run_training(config, home=tmp_path, champion=None, deploy=False)
    assert list(tmp_path.iterdir()) == []
