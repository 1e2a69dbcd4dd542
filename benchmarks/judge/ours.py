"""fairway's judge for many rollouts at once. The same factors as the product's, and tests hold it
to the product's verdicts, one by one."""

import math

import numpy as np

from benchmarks.judge.streams import TICK, Floats, Stream
from fairway.rollout.statistics import betting, hypotheses

ROWS = betting.MAX_RESTARTS + 1


class Wealths:
    """`betting.Wealth` of many runs: stakes are [runs, rows, alternatives], and a row that has not
    begun holds nothing."""

    def __init__(self, runs: int, *, restarts: bool) -> None:
        self.cash, self.begun, self.restarts = (0.5 if restarts else 0.0), 1, 0
        self.stakes = np.full((runs, ROWS if restarts else 1, betting.GRID), -np.inf)
        self.stakes[:, 0] = math.log((1 - self.cash) / betting.GRID)

    def restart(self) -> None:
        """As `Wealth.restart`: a new row, in the place of the poorest one where all are taken."""
        self.restarts += 1
        money = 0.5 / (self.restarts * (self.restarts + 1))
        runs = np.arange(len(self.stakes))
        if self.begun == ROWS:
            rows = np.logaddexp.reduce(self.stakes[:, 1:], axis=2)
            place = np.argmin(rows, axis=1) + 1
            amount = np.logaddexp(math.log(money), rows[runs, place - 1])
        else:
            place, amount = np.full(len(runs), self.begun), np.full(len(runs), math.log(money))
            self.begun += 1
        self.stakes[runs, place] = (amount - math.log(betting.GRID))[:, None]
        self.cash = max(0.0, self.cash - money)

    def bet(self, factors: Floats) -> None:
        self.stakes[:, : self.begun] += factors[:, None, :]

    def log_e(self) -> Floats:
        held = self.stakes[:, : self.begun].reshape(len(self.stakes), -1)
        top = held.max(axis=1)
        total: Floats = top + np.log(np.exp(held - top[:, None]).sum(axis=1))
        return np.logaddexp(total, math.log(self.cash)) if self.cash > 0 else total


def harms(stream: Stream, *, objective: float | None = None, tolerance: float = 1.0) -> Floats:
    """Return the logarithm of the evidence against the canary after each tick, [runs, ticks]; with
    an objective that of mode fused."""
    runs, ticks = stream.canary.shape
    arms = Wealths(runs, restarts=True)
    limit = Wealths(runs, restarts=True) if objective is not None else None
    sums, until = np.zeros((runs, betting.GRID)), np.full(runs, -np.inf)
    found = np.zeros((runs, ticks))
    for tick in range(ticks):
        now = (tick + 1) * TICK
        if now % betting.RESTART_SECONDS == 0:
            arms.restart()
            if limit is not None:
                limit.restart()
        canary, stable = (
            counts[:, tick, None].astype(float) for counts in (stream.canary, stream.stable)
        )
        canary_bad, stable_bad = (
            counts[:, tick, None].astype(float) for counts in (stream.canary_bad, stream.stable_bad)
        )
        odds = canary * tolerance
        share = np.divide(odds, odds + stable, out=np.zeros_like(canary), where=canary + stable > 0)
        factors = hypotheses.two_arm(canary_bad, canary_bad + stable_bad, share, hypotheses.WORSE)
        arms.bet(np.where((canary > 0) & (stable > 0), factors, 0.0))
        found[:, tick] = arms.log_e()
        if limit is not None and objective is not None:
            sums = betting.cumulate(sums, hypotheses.above(stable_bad, stable, limit=objective))
            until = np.where(betting.amiss(sums), now + betting.ALARM_SECONDS, until)
            limit.bet(
                np.where(
                    (now <= until)[:, None],
                    0.0,
                    hypotheses.above(canary_bad, canary, limit=objective),
                )
            )
            found[:, tick] = np.logaddexp(found[:, tick], limit.log_e()) - math.log(2)
    return found


def certificates(stream: Stream, *, limit: float) -> Floats:
    """Return the logarithm of the evidence that the canary's rate is below `limit`, after each
    tick."""
    wealth = Wealths(len(stream.canary), restarts=False)
    found = np.zeros(stream.canary.shape)
    for tick in range(stream.canary.shape[1]):
        wealth.bet(
            hypotheses.below(
                stream.canary_bad[:, tick, None].astype(float),
                stream.canary[:, tick, None].astype(float),
                limit=limit,
            )
        )
        found[:, tick] = wealth.log_e()
    return found


def late(stream: Stream, *, margin: float, harm: bool, least: int, nominal: bool = False) -> Floats:
    """Return the logarithm of the evidence of labels after each tick: against the canary, or that
    it is worse by less than `margin`.

    Labels wait until there are `least` of one weight, and some of both arms; `nominal` bets at the
    weight that was asked for, on each as it comes.
    """
    runs = len(stream.canary)
    wealth, found, waiting = (
        Wealths(runs, restarts=harm),
        np.zeros(stream.canary.shape),
        np.zeros((4, runs)),
    )
    for tick, weight in enumerate(stream.weight):
        if harm and (tick + 1) * TICK % betting.RESTART_SECONDS == 0:
            wealth.restart()
        if tick and weight != stream.weight[tick - 1]:
            waiting[:] = 0  # the ledger lets them wait for more of their own weight
        waiting += [
            counts[:, tick]
            for counts in (stream.canary, stream.canary_bad, stream.stable, stream.stable_bad)
        ]
        n, bad, m, stable_bad = waiting[:, :, None].copy()
        ready = (n + m >= least) & ((n > 0) & (m > 0) | nominal)
        share = (
            np.full_like(n, weight)
            if nominal
            else np.where(ready, n, 1) / np.where(ready, n + m, 2)
        )
        factors = hypotheses.difference(
            bad,
            stable_bad,
            n + m - bad - stable_bad,
            weight=share,
            margin=margin,
            stake=hypotheses.stakes(share, margin=margin, harm=harm),
        )
        wealth.bet(np.where(ready, factors, 0.0))
        waiting[:, ready[:, 0]] = 0
        found[:, tick] = wealth.log_e()
    return found
