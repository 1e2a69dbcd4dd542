"""Whether answers lose more than they may: an e-detector on labels, bet on in blocks.

Labels hang together: losses rise at noon and fall at night, labels of one hour share their luck, and
some requests share one outcome. So no bet is made on a label alone:

* **Shared outcomes.** Equal losses come in fewer and longer runs than chance would make (Wald and
  Wolfowitz 1940): by so much labels count for less than one each (`Runs`).
* **Days.** A block is the labels of whole days, worth at least `LEAST_LABELS`, so that a daily
  cycle is in each block as in any other. Its mean is taken for normal around `limit`, with the
  scatter that blocks are seen to have: that of a binomial, times a dispersion (Wedderburn 1974;
  McCullagh and Nelder 1989, section 4.5) told by the squared differences of successive blocks (von
  Neumann 1941), which a lasting rise does not widen. A few blocks do not tell it well: so a deviation
  is Student's t, and z the normal one that is as rare. The bet exp(s z - s^2 / 2) is a fair game's
  at worst then (Robbins 1970).
* **Sudden falls.** A day is long where everything is wrong: the mean of `LEAST_LABELS` labels in a
  row is bet on being above `sudden_limit` (1 + b (mean - limit) / limit, Waudby-Smith and Ramdas
  2024, section 4), as high as the worst hour may be, for any dependence within them. Between two
  such bets pass as many labels as share one outcome, so that no outcome is in both. A run of wrong
  answers that lasts may be one long outcome, or a model that is broken: it counts for one up to as
  many labels as leave place for the bets that a fall needs in `TOLD_WITHIN`. Up to so many the
  game is fair; outcomes of more labels are known once such a run has ended.

Half of the budget of false starts is spent on each (see `edetector`): on days as time goes by, on
sudden falls where the bet before was won. So what the weeks without a fall were worth, up to a
month's, is there when one begins; the stake is known before the labels are, and the game is as
fair. How often labels are looked at changes nothing: what counts is when answers were given.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

DAY = 86_400.0
MONTH = 30 * DAY
FULL = 1.0
LEAST_LABELS = 50  # of a block: the mean of fewer is far from normal
MOST_SHARED = 500.0  # labels that count for one: of more, a fall could not be told in weeks
TOLD_WITHIN = 560  # labels for the bets on answers that are all wrong, once a fall is noticed
SHARE_WEIGHT = 50  # labels that what is thought of their share above the limit is worth
STEPS = (0.25, 0.5, 1.0)  # stakes on a block: shifts of its mean in standard deviations
STAKE = 0.95  # part of the evidence that labels without a loss cost: means of fifty scatter little
SUDDEN_ODDS = 2.0  # of a loss, as against those of the limit: no usual hour is as bad
DISPERSION, DISPERSION_WEIGHT = 3.0, 4.0  # what is thought before blocks are seen, worth so many
LEAST_DISPERSION = 0.25  # losses of quantities scatter less than those of classes
LEAST_LIMIT = 1e-3  # a limit of nothing could not be bet on
FIRST_SECONDS = DAY  # of the budget that a watch begins with
SAVED_SECONDS = MONTH  # of the budget, at most, that one bet is given


def limit(bound: float, *, allowed: float) -> float:
    """Return the mean loss that is tolerated: `bound` is how high it may be by what is known of the
    model, and it may rise by so much."""
    return min(bound + allowed, 1.0)


def sudden_limit(limit: float) -> float:
    """Return the mean loss of `LEAST_LABELS` labels that no usual hour reaches."""
    return max(SUDDEN_ODDS * limit / (1 + (SUDDEN_ODDS - 1) * limit), LEAST_LIMIT)


def most_unknown(limit: float, *, budget: float) -> float:
    """Return how many wrong answers in a row count for one outcome at most where none before tell:
    as many as leave place in `TOLD_WITHIN` for the bets that a fall to 1.0 has to win, from a
    month's `budget` on."""
    gain = math.log1p(STAKE * (1 / min(sudden_limit(limit), 1 - LEAST_LIMIT) - 1))
    bets = max(math.ceil(-math.log(budget) / gain), 1)
    return TOLD_WITHIN / bets - LEAST_LABELS


@dataclass(kw_only=True)
class Block:
    """Labels that are bet on together."""

    labels: int = 0
    lost: float = 0.0
    shared: float = 1.0  # labels that count for one, by what was seen before the block

    @property
    def mean(self) -> float:
        return self.lost / self.labels

    @property
    def worth(self) -> float:
        """Return how many labels that hang on nothing say as much."""
        return self.labels / self.shared

    def add(self, loss: float) -> None:
        self.labels += 1
        self.lost += loss


@dataclass(kw_only=True)
class Runs:
    """Runs of labels whose losses are equal: those of classes; quantities lose each another part."""

    labels: int = 0
    above: int = 0
    runs: int = 0
    last: float | None = None

    def add(self, loss: float, *, limit: float) -> None:
        self.labels += 1
        self.above += loss > limit
        self.runs += loss != self.last
        self.last = loss

    def shared(self, *, usual: float) -> float:
        """Return how many labels count for one: as many times fewer runs are there than of labels
        that hang on nothing. `usual` is what is thought of the share above before they are seen."""
        share = (self.above + SHARE_WEIGHT * usual) / (self.labels + SHARE_WEIGHT)
        expected = 1 + 2 * share * (1 - share) * self.labels
        return min(max(expected / max(self.runs, 1), 1.0), MOST_SHARED)


@dataclass(kw_only=True)
class Bets:
    """Evidence of several stakes side by side, and until when its budget is spent."""

    values: list[float]
    spent_at: float | None = None

    def bet(self, factors: list[float], *, budget: float, at: float, spend: bool = True) -> None:
        """Multiply by the outcome, where `budget` is the false starts in a month. Without `spend`
        what of it is due is saved for a later bet."""
        since = at - FIRST_SECONDS if self.spent_at is None else self.spent_at
        due = min(max(at - since, 0.0), SAVED_SECONDS) if spend else 0.0
        share = budget * due / MONTH / len(self.values)
        self.values = [
            (value + share) * factor for value, factor in zip(self.values, factors, strict=True)
        ]
        self.spent_at = max(since, at) if spend else since


@dataclass(kw_only=True)
class LossWatch:
    """Evidence that the mean loss, each from 0 to 1, is above `limit`."""

    limit: float
    false_starts_per_month: float
    cycle_seconds: float = DAY  # after which losses repeat: a block is the labels of whole ones
    days: Bets = field(default_factory=lambda: Bets(values=[0.0] * len(STEPS)))
    sudden: Bets = field(default_factory=lambda: Bets(values=[0.0]))
    block: Block = field(default_factory=Block)  # of days
    day: int | None = None  # the cycle in which the block began
    before: Block | None = None
    few: Block = field(default_factory=Block)  # that a sudden fall is bet on with
    passed: int = 0  # labels since the few before
    won: bool = False  # the few before were above the sudden limit
    known: float = 1.0  # labels that shared one outcome by what was seen when no few were
    runs: Runs = field(default_factory=Runs)
    scatter: float = DISPERSION * DISPERSION_WEIGHT  # squared differences of blocks, added up
    weight: float = DISPERSION_WEIGHT
    began: float | None = None  # since when the evidence is no longer chance's
    reached: bool = False  # the evidence is full

    @property
    def evidence(self) -> float:
        return math.fsum([*self.days.values, *self.sudden.values])

    @property
    def dispersion(self) -> float:
        """Return how much wider blocks scatter than labels that hang on nothing."""
        return max(self.scatter / self.weight, LEAST_DISPERSION)

    def look(self, loss: float, *, at: float) -> bool:
        """Take in the loss of an answer that was given `at` (seconds); True where the mean has been
        above the limit."""
        day = math.floor(at / self.cycle_seconds)
        if self.day is None:
            self.day = day
        if day > self.day and self._judged(self.block).worth >= LEAST_LABELS:
            self._close_days(self._judged(self.block), at=day * self.cycle_seconds)
            self.block, self.day = self._begun(), day
            self._note(at=at)
        self.runs.add(loss, limit=self.limit)
        self.block.add(loss)
        if not self.few.labels and self.passed + 1 < self._apart:
            self.passed += 1
            return self.reached
        self.few.add(loss)
        if self.few.labels >= LEAST_LABELS:
            self._close_few(at=at)
            self._note(at=at)
        return self.reached

    def rearm(self) -> None:
        """Forget the evidence, which was acted on; how blocks scatter is known still."""
        self.days.values = [0.0] * len(STEPS)
        self.sudden.values = [0.0]
        self.began, self.reached = None, False

    def dump(self) -> dict[str, Any]:
        """Return the watch as plain values."""
        return asdict(self)

    @classmethod
    def restored(cls, kept: Mapping[str, Any]) -> Self:
        """Return the watch that was dumped."""
        before = kept["before"]
        made: dict[str, Any] = {
            **kept,
            "days": Bets(**kept["days"]),
            # a version before had several stakes
            "sudden": Bets(**{**kept["sudden"], "values": [math.fsum(kept["sudden"]["values"])]}),
            "block": Block(**kept["block"]),
            "few": Block(**kept["few"]),
            "runs": Runs(**kept.get("runs", {})),  # a version before kept none
            "before": None if before is None else Block(**before),
        }
        return cls(**made)

    @property
    def _tolerated(self) -> float:
        return min(max(self.limit, LEAST_LIMIT), 1 - LEAST_LIMIT)

    @property
    def _budget(self) -> float:
        """Return the false starts in a month of each sort of bet."""
        return self.false_starts_per_month / 2

    @property
    def _shared(self) -> float:
        return self.runs.shared(usual=self._tolerated)

    @property
    def _apart(self) -> float:
        """Return how many labels share one outcome at most. What a fall shows itself, since it was
        noticed, counts for no more than may go unknown."""
        return min(self._shared, max(self.known, most_unknown(self.limit, budget=self._budget)))

    def _begun(self) -> Block:
        return Block(shared=self._shared)

    def _judged(self, block: Block) -> Block:
        """Return a block as it counts now. What it shows itself counts for it alone: labels that are
        wrong from one hour on are one long run too."""
        return replace(block, shared=min(block.shared, self._begun().shared))

    def _close_days(self, block: Block, *, at: float) -> None:
        tolerated = self._tolerated
        deviation = math.sqrt(self.dispersion * tolerated * (1 - tolerated) / block.worth)
        z = _normal((block.mean - tolerated) / deviation, freedom=self.weight)
        factors = [math.exp(min(step * z - step**2 / 2, 700.0)) for step in STEPS]
        self.days.bet(factors, budget=self._budget, at=at)
        if self.before is not None:
            self.scatter += _scatter(self.before, block)
            self.weight += 1
        self.before = block

    def _close_few(self, *, at: float) -> None:
        off = self.few.mean / sudden_limit(self.limit) - 1
        self.sudden.bet([1 + STAKE * off], budget=self._budget, at=at, spend=self.won)
        self.few, self.passed, self.won = Block(), 0, off > 0
        self.known = self.known if self.won else self._shared

    def _note(self, *, at: float) -> None:
        self.reached = self.evidence >= FULL
        if self.evidence < FULL / 100:
            self.began = None
        elif self.began is None:
            self.began = at
        if self.reached:
            for bets in (self.days, self.sudden):
                bets.values = [min(value, FULL) for value in bets.values]


def _scatter(one: Block, other: Block) -> float:
    """Return the squared difference of two means, as a multiple of what it is on the average where
    labels hang on nothing."""
    mean = (one.mean * one.worth + other.mean * other.worth) / (one.worth + other.worth)
    variance = max(mean * (1 - mean), LEAST_LIMIT)
    return (one.mean - other.mean) ** 2 / (variance * (1 / one.worth + 1 / other.worth))


def _normal(deviation: float, *, freedom: float) -> float:
    """Return the normal deviation that is as rare as Student's (Wallace 1959, "Bounds on normal
    approximations to Student's and the chi-square distributions")."""
    size = math.sqrt(freedom * math.log1p(deviation**2 / freedom))
    return math.copysign((8 * freedom + 1) / (8 * freedom + 3) * size, deviation)
