"""Steps that end too soon to find a canary that does harm."""

from collections.abc import Iterator

import numpy as np

from benchmarks.judge.promises import trial
from benchmarks.judge.streams import TICK
from fairway.config import sections
from fairway.rollout import replay
from fairway.rollout.states import Phase
from fairway.rollout.statistics.betting import ArmCounts


def play(rng: np.random.Generator, runs: int) -> Iterator[trial.Trial]:
    """A canary that fails a tenth more from its first request on, in the default steps, by the
    state machine itself."""
    runs = min(runs, 200)
    policy = sections.Strategy.model_validate(
        {
            "warmup": "0s",
            "shadow": {"enabled": False},
            "guards": [{"name": "errors", "type": "errors", "maxRate": 0.02}],
        }
    )
    hurried = policy.model_copy(update={"canary": policy.canary.model_copy(update={"harm": 1.0})})
    for which, strategy, bound in (
        ("ends when a total failure would have been found", hurried, None),
        ("as by default", policy, 0.8),
    ):
        found = sum(_found_in_step(rng, strategy) for _ in range(runs))
        yield trial.Trial(
            f"10 requests/s, a tenth more of the canary's requests fail, first step {which}: rolled back in it",
            found,
            runs,
            bound,
            least=True,
        )


def _found_in_step(rng: np.random.Generator, policy: sections.Strategy) -> bool:
    """Say whether the canary is rolled back before its first step ends."""
    going = replay.begin(policy, at=0.0, pairs=False)
    for look in range(400):
        n = int(rng.poisson(10 * TICK))
        mine = int(rng.binomial(n, policy.canary.steps[0].weight / 100))
        bad = int(rng.binomial(mine, 0.105)), int(rng.binomial(n - mine, 0.005))
        row = replay.Row(
            look * TICK,
            (look + 1) * TICK,
            "errors",
            ArmCounts(mine, bad[0]),
            ArmCounts(n - mine, bad[1]),
        )
        going = replay.learn(going, replay.Counted(row.start, row.end, {"errors": row}))
        if going.state.phase is not Phase.CANARY or going.state.step:
            return going.state.phase is Phase.ROLLING_BACK
    return False
