"""Replays of recorded counts: what is decided and when, again and again the same, and what is
refused."""

import dataclasses
import itertools
import json
import re
from collections.abc import Iterable

import numpy as np
import pytest

from fairway import errors
from fairway.config import sections
from fairway.rollout import record, replay
from fairway.rollout.replay import COLUMNS, Counted

POLICY = sections.Strategy.model_validate(
    {
        "warmup": "0s",
        "canary": {
            "steps": [{"weight": 25, "minDuration": "30s", "pause": True}, {"weight": 50}],
            "budget": "30m",
        },
        "bake": {"weight": 5, "duration": "60s"},
        "guards": [{"name": "errors", "type": "errors", "maxRate": 0.02}],
    }
)
HEADER = ",".join(COLUMNS)


def table(
    *, rate: int, bad: float, seconds: int = 600, seed: int = 1, late: int | None = None
) -> list[str]:
    """Return the lines of a table with a canary of a quarter, whose requests fail at the rate
    `bad`, or do from `late` seconds on."""
    rng, lines = np.random.default_rng(seed), [HEADER]
    for start in range(0, seconds, 5):
        n = int(rng.poisson(rate * 5))
        canary = int(rng.binomial(n, 0.25))
        failed = rng.binomial(canary, bad if late is None or start >= late else 0.005)
        lines.append(
            f"{start},{start + 5},errors,{n - canary},{canary},{rng.binomial(n - canary, 0.005)},{failed}"
        )
    return lines


def read(lines: Iterable[str], policy: sections.Strategy = POLICY) -> tuple[Counted, ...]:
    return replay.read(lines, guards=policy.guards)


def test_a_bad_canary_would_have_been_rolled_back_and_the_record_says_all_of_it() -> None:
    found = replay.run(read(table(rate=100, bad=0.2)), POLICY)
    assert found["verdict"] == "ROLLBACK"
    assert found["at_seconds"] <= 15
    assert "of the candidate failed" in found["reason"]
    assert found["e_values"]["errors"] >= 100
    assert found["intervals"]["errors"]["ratio"][0] > 2
    assert found["intervals"]["errors"]["candidate"][0] > 0.02
    assert "<= 0.01" in found["guarantee"]
    assert [phase["phase"] for phase in found["phases"]] == ["Starting", "Canary", "RollingBack"]
    json.dumps(found)


def test_a_healthy_one_would_have_been_promoted_through_every_step_and_the_bake() -> None:
    found = replay.run(read(table(rate=100, bad=0.005)), POLICY)
    assert found["verdict"] == "PROMOTE"
    assert [(phase["phase"], phase["weight"]) for phase in found["phases"]] == [
        ("Starting", 0),
        ("Canary", 25),
        ("Canary", 50),
        ("Promoting", 95),
        ("Baking", 95),
        ("Stable", 0),
    ]
    assert found["at_seconds"] == next(
        phase["since_seconds"] for phase in found["phases"] if phase["phase"] == "Promoting"
    )


def test_a_harm_that_begins_in_the_bake_would_have_taken_the_promotion_back() -> None:
    found = replay.run(read(table(rate=100, bad=0.3, late=60)), POLICY)
    assert found["verdict"] == "ROLLBACK"
    assert 60 < found["at_seconds"] <= 80
    assert "Baking" in [phase["phase"] for phase in found["phases"]]


def test_too_few_requests_hold_and_say_how_long_it_would_take() -> None:
    found = replay.run(read(table(rate=1, bad=0.0, seconds=120)), POLICY)
    assert (found["verdict"], found["at_seconds"]) == ("HOLD", 120)
    assert "more at this rate" in found["reason"]


def test_a_spent_budget_is_inconclusive() -> None:
    short = POLICY.model_copy(
        update={
            "canary": POLICY.canary.model_copy(update={"budget": sections.parse_duration("60s")})
        }
    )
    found = replay.run(read(table(rate=1, bad=0.0)), short)
    assert found["verdict"] == "INCONCLUSIVE"
    assert 60 < found["at_seconds"] <= 70


def test_a_budget_of_bad_requests_ends_it_whatever_the_evidence() -> None:
    found = replay.run(
        read(table(rate=100, bad=0.004)),
        POLICY.model_copy(update={"bad_requests": 3, "false_rollback": 1e-9}),
    )
    assert found["verdict"] == "ROLLBACK"
    assert "badRequests allows 3" in found["reason"]


def test_recorded_pairs_are_judged_in_shadow() -> None:
    guards = [
        {"name": "differs", "type": "disagreement"},
        {"name": "errors", "type": "errors", "maxRate": 0.02},
    ]
    policy = sections.Strategy.model_validate({"warmup": "0s", "guards": guards})
    lines = [HEADER, *(f"{at},{at + 5},differs,100,100,0,30" for at in range(0, 60, 5))]
    found = replay.run(read(lines, policy), policy)
    assert found["verdict"] == "ROLLBACK"
    assert "shadow answers differ" in found["reason"]


def test_a_guard_without_rows_learns_nothing_and_certifies_nothing() -> None:
    two = sections.Strategy.model_validate(
        {
            "warmup": "0s",
            "guards": [
                {"name": "errors", "type": "errors", "maxRate": 0.02},
                {"name": "slow", "type": "latency", "threshold": "50ms", "maxRate": 0.02},
            ],
        }
    )
    found = replay.run(
        read([HEADER, *(f"{at},{at + 5},slow,500,500,0,0" for at in range(0, 60, 5))], two), two
    )
    assert found["verdict"] == "HOLD"
    assert "errors (e = 1 of 20, 0 of 0)" in found["reason"]
    both = sections.Strategy.model_validate(
        {
            "warmup": "0s",
            "guards": [
                {"name": name, "type": "errors", "maxRate": 0.5} for name in ("one", "other")
            ],
        }
    )
    found = replay.run(
        read([HEADER, *(f"{at},{at + 5},one,500,500,0,100" for at in range(0, 60, 5))], both), both
    )
    assert found["verdict"] == "ROLLBACK"


def test_rows_twice_and_intervals_learnt_twice_change_nothing() -> None:
    lines = table(rate=20, bad=0.03)
    once = replay.run(read(lines), POLICY)
    assert replay.run(read([*lines, *lines[5:9]]), POLICY) == once
    counted = read(lines)
    assert replay.run([again for one in counted for again in (one, one)], POLICY) == once


@pytest.mark.parametrize("bad", [0.005, 0.05])
def test_a_restart_at_any_point_gives_the_same_to_the_last_bit(bad: float) -> None:
    counted = read(table(rate=20, bad=bad))
    whole = broken = replay.begin(POLICY, at=0.0, pairs=False)
    for one in counted:
        whole = replay.learn(whole, one)
        state = record.from_json(json.loads(json.dumps(record.to_json(broken.state))))
        broken = replay.learn(dataclasses.replace(broken, state=state), one)
    assert record.to_json(whole.state) == record.to_json(broken.state)
    assert whole.decided == broken.decided


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "0,5,errors,100,25,-1,0",
            "line 2: baseline_events is '-1': wanted a whole number, 0 or more",
        ),
        ("0,5,errors,100,25,0,26", "line 2: canary_events is 26, more than canary_requests, 25"),
        ("0,5,errors,100,nan,0,0", "line 2: canary_requests is 'nan': wanted a whole number"),
        ("0,nan,errors,100,25,0,0", "line 2: end_seconds is 'nan': wanted a number of seconds"),
        ("0,inf,errors,100,25,0,0", "line 2: end_seconds is 'inf'"),
        ("5,0,errors,100,25,0,0", "ends at 0 s, not after it begins at 5 s"),
        ("0,5,errors,100,25.5,0,0", "canary_requests is '25.5'"),
        ("0,5,slow,100,25,0,0", "guard 'slow' is none of the strategy's: wanted errors"),
        ("0,5,errors,100,25,0", "line 2 has 6 cells: wanted 7"),
        ("0,5,errors,100,25,0,0\n2,7,errors,100,25,0,0", "wanted intervals that do not overlap"),
        ("0,5,errors,100,25,0,0\n0,5,errors,100,25,0,1", "stands there already with other counts"),
        (
            "5,10,errors,100,25,0,0\n0,5,errors,100,25,0,0",
            "line 3: guard errors goes back from 5 to 0 s: wanted a clock that goes forward",
        ),
        (
            "0,5,errors,100000000000000000000000000,25,0,0",
            "baseline_requests is '100000000000000000000000000': wanted a whole number, 0 or more, 1e+12 at most",
        ),
        (
            "0,1e300,errors,100,25,0,0",
            "end_seconds is '1e300': wanted a number of seconds, 1e+12 at most",
        ),
        ("-1e300,5,errors,100,25,0,0", "start_seconds is '-1e300'"),
        (f"0,5,{'x' * 200_000},100,25,0,0", "is no CSV table (field larger than field limit"),
    ],
)
def test_bad_tables_are_refused_with_the_line_and_what_is_wanted(line: str, words: str) -> None:
    with pytest.raises(errors.DataError, match=re.escape(words)):
        read([HEADER, *line.split("\n")])


def test_a_table_with_other_columns_or_without_rows_is_refused() -> None:
    with pytest.raises(errors.DataError, match="columns start, end: wanted start_seconds"):
        read(["start,end", "1,2"])
    with pytest.raises(errors.DataError, match="there is no interval to replay"):
        replay.run(read([HEADER]), POLICY)


def test_a_clock_that_goes_back_is_refused_and_changes_nothing() -> None:
    counted = read(table(rate=20, bad=0.005))
    learnt = replay.begin(POLICY, at=0.0, pairs=False)
    for one in itertools.islice(counted, 10):
        learnt = replay.learn(learnt, one)
    before = record.to_json(learnt.state)
    with pytest.raises(errors.DataError, match="wanted a clock that goes forward"):
        replay.learn(learnt, counted[3])
    assert record.to_json(learnt.state) == before


@pytest.mark.parametrize(
    ("guard", "words"),
    [
        (
            {"name": "one", "type": "drift"},
            "guard one is about answers, which counts of requests do not tell",
        ),
        ({"name": "one", "type": "business", "outcome": "sale", "upper": 1}, "is about outcomes"),
        ({"name": "one", "type": "errors", "count": "units", "maxRate": 0.1}, "is about units"),
        ({"name": "one", "type": "quality", "sliceBy": "sector"}, "is about sector"),
    ],
)
def test_a_guard_that_counts_do_not_tell_of_is_refused_and_may_be_left_out(
    guard: dict[str, object], words: str
) -> None:
    policy = sections.Strategy.model_validate(
        {
            "shadow": {"enabled": False},
            "guards": [guard, {"name": "errors", "type": "errors", "maxRate": 0.02}],
        }
    )
    with pytest.raises(errors.DataError, match=words):
        read([HEADER, "0,5,errors,100,25,0,0", "0,5,one,100,25,0,0"], policy)
    assert replay.run(read([HEADER, "0,5,errors,100,25,0,0"], policy), policy)["verdict"] == "HOLD"


@pytest.mark.parametrize("type", ["quality", "disagreement"])
def test_two_guards_that_read_the_same_labels_or_pairs_are_refused(type: str) -> None:
    policy = sections.Strategy.model_validate(
        {"guards": [{"name": name, "type": type} for name in ("one", "other")]}
    )
    with pytest.raises(errors.DataError, match=f"line 3: guards one and other both read {type}"):
        read([HEADER, "0,5,one,100,25,0,0", "0,5,other,100,25,0,0"], policy)
    read([HEADER, "0,5,one,100,25,0,0", "5,10,one,100,25,0,0"], policy)


def test_guards_may_come_one_after_the_other() -> None:
    two = sections.Strategy.model_validate(
        {"guards": [{"name": name, "type": "errors", "maxRate": 0.1} for name in ("one", "other")]}
    )
    read(
        [
            HEADER,
            *(
                f"{at},{at + 5},{name},100,25,0,0"
                for name in ("one", "other")
                for at in range(0, 60, 5)
            ),
        ],
        two,
    )


def test_a_limit_by_stable_s_rate_holds_while_nothing_fails() -> None:
    policy = sections.Strategy.model_validate(
        {
            "warmup": "0s",
            "shadow": {"enabled": False},
            "guards": [{"name": "errors", "type": "errors", "maxRatio": 1.5}],
        }
    )
    found = replay.run(
        read([HEADER, *(f"{at},{at + 5},errors,100,100,0,0" for at in range(0, 60, 5))], policy),
        policy,
    )
    assert found["verdict"] == "HOLD"


def test_the_line_of_what_is_wrong_counts_empty_ones_too() -> None:
    with pytest.raises(errors.DataError, match="line 4: canary_events is 26"):
        read([HEADER, "", "", "0,5,errors,100,25,0,26"])
