"""What every guard keeps to, ours and a stranger's: the acceptance test of docs/adding.md."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from fairway import plugins
from fairway.config import sections
from fairway.rollout import bookkeeping, guards, judge, plan
from fairway.rollout.bets import BetKey, BetKind
from fairway.rollout.increments import Batch, Exposed, GatewayCounts, Labelled, Paired, Valued
from fairway.rollout.judge import Action
from fairway.rollout.ledger import Ledger
from fairway.rollout.statistics.betting import ArmCounts
from tests import strangers
from tests.operator import examples

NAME, WEIGHT, UNITS = "mine", 0.3, 200  # of a look
DRAWS = 120


@dataclass(frozen=True)
class Example:
    """A guard, and rates of bad requests (or answers, or units) in the candidate and in stable."""

    values: Mapping[str, Any]
    even: tuple[float, float]  # the most that is no harm
    harmful: tuple[float, float]
    good: tuple[float, float]  # certified with time
    # the least that must not be certified; None: there is no certificate
    limit: tuple[float, float] | None = None
    effect: float | None = None

    @property
    def strategy(self) -> sections.Strategy:
        return sections.Strategy.model_validate({"guards": [{"name": NAME, **self.values}]})

    @property
    def case(self) -> guards.Case[Any]:
        return guards.cases(self.strategy, offline=0.0)[0]


EXAMPLES = {
    "business": Example(
        {"type": "business", "gates": "canary", "outcome": "bought", "upper": 1, "maxLossIncrease": 0.05},
        (0.55, 0.5), (0.8, 0.5), (0.4, 0.5), (0.55, 0.5), effect=0.1,
    ),
    "disagreement": Example({"type": "disagreement"}, (0.03, 0.0), (0.2, 0.0), (0.002, 0.0), (0.03, 0.0)),
    "drift": Example({"type": "drift", "maxShift": 0.05}, (0.35, 0.3), (0.7, 0.3), (0.3, 0.3)),
    "drift not at all": Example({"type": "drift", "maxShift": 0}, (0.3, 0.3), (0.7, 0.3), (0.3, 0.3)),
    "errors": Example({"type": "errors", "maxRate": 0.05}, (0.02, 0.02), (0.3, 0.02), (0.005, 0.02), (0.05, 0.02)),
    "errors of the gateway, below a ratio": Example(
        {"type": "errors", "maxRatio": 1.5, "count": "requests"}, (0.15, 0.1), (0.5, 0.1), (0.05, 0.1), (0.15, 0.1)
    ),
    "latency": Example(
        {"type": "latency", "threshold": "100ms", "maxRate": 0.1, "tolerance": 1.5},
        (0.06, 0.04), (0.4, 0.04), (0.01, 0.04), (0.1, 0.04),
    ),
    "quality": Example(
        {"type": "quality", "gates": "canary", "maxLossIncrease": 0.05},
        (0.15, 0.1), (0.5, 0.1), (0.02, 0.1), (0.15, 0.1),
    ),
    "quality in slices": Example({"type": "quality", "sliceBy": "town"}, (0.12, 0.1), (0.5, 0.1), (0.1, 0.1)),
    "rejections": Example({"type": "rejections"}, (0.1, 0.1), (0.5, 0.1), (0.1, 0.1)),
}  # fmt: skip
GATING = [name for name, example in EXAMPLES.items() if example.limit is not None]


def look(
    rng: np.random.Generator, rates: tuple[float, float], *, by_arrival: bool, size: int = UNITS
) -> Batch:
    """Return one look at traffic in which everything that can be seen is bad at these rates, in the
    candidate and in stable."""
    n = int(rng.binomial(size, WEIGHT))
    units = n, size - n
    bad = int(rng.binomial(units[0], rates[0])), int(rng.binomial(units[1], rates[1]))
    arms = ArmCounts(units[0], bad[0]), ArmCounts(units[1], bad[1])
    outcomes = [(0.0,) * arm.bad + (1.0,) * (arm.n - arm.bad) for arm in arms]
    answers = {"no": bad, "yes": (units[0] - bad[0], units[1] - bad[1])}
    whole = Labelled(weight=WEIGHT, candidate=arms[0], stable=arms[1], answers=answers)
    counted = GatewayCounts(candidate=units[0], stable=units[1], bad={NAME: bad})
    drawn = GatewayCounts(
        candidate=units[0],
        stable=units[1],
        bad={NAME: bad},
        shares={NAME: WEIGHT},
        held={NAME: arms},
    )
    return Batch(
        gateway=None if by_arrival else counted,
        counted=(drawn,) if by_arrival else (),
        paired=Paired(
            compared=units[0], disagreements=bad[0], candidate_failures=0, stable_failures=0
        ),
        labelled=(whole, Labelled(weight=WEIGHT, candidate=arms[0], stable=arms[1], slice="Bath")),
        valued=(Valued(name="bought", weight=WEIGHT, candidate=outcomes[0], stable=outcomes[1]),),
        exposed=(
            Exposed(weight=WEIGHT, candidate=units[0], stable=units[1], new=units, answers=answers),
        ),
    )


def learnt(
    example: Example, rates: tuple[float, float], *, looks: int, seed: int, size: int = UNITS
) -> Ledger:
    """Return the ledger after so many looks, written down and read again before each."""
    rng, strategy = np.random.default_rng(seed), example.strategy
    by_arrival = example.case.asked is not None
    ledger = bookkeeping.begin(strategy, at=0.0)
    for number in range(looks):
        ledger = Ledger.from_json(json.loads(json.dumps(ledger.to_json())))
        batch = look(rng, rates, by_arrival=by_arrival, size=size)
        ledger = bookkeeping.observe(ledger, batch, strategy=strategy, offline=0.0, at=5.0 * number)
    return ledger


def key_of(example: Example) -> BetKey:
    return BetKey(NAME, BetKind.SLICE, 0) if "sliceBy" in example.values else BetKey(NAME)


def test_every_installed_guard_has_an_example_here():
    assert {str(example.values["type"]) for example in EXAMPLES.values()} == set(
        plugins.found("guards")
    )


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_section_survives_being_written_and_is_of_its_type(name):
    guard = EXAMPLES[name].case.guard
    again = sections.Guard.of(**json.loads(guard.model_dump_json(by_alias=True)))
    assert again == guard
    assert type(again) is sections.GUARDS.sections[guard.type]


@pytest.mark.parametrize("kind", sorted(plugins.found("guards")))
def test_every_key_of_a_guard_says_why(kind):
    fields = sections.GUARDS.sections[kind].model_fields
    assert [key for key, field in fields.items() if not field.description and key != "type"] == []


@pytest.mark.parametrize("rule", sections.guard_rules(), ids=lambda rule: rule.message)
def test_every_rule_refuses_an_example_both_in_a_file_and_by_the_api_server(rule):
    # tests/operator/test_crd.py asks the models, tests/cluster the API server, about each of these
    # examples.
    assert [case for case in examples.REFUSED.values() if case.models and case.says in rule.message]


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_no_harm_earns_a_bet_nothing_in_expectation(name):
    example = EXAMPLES[name]
    worth = [
        math.exp(learnt(example, example.even, looks=3, seed=seed).bets[key_of(example)].harm.log_e)
        for seed in range(DRAWS)
    ]
    assert np.mean(worth) <= 1 + 3 * np.std(worth) / math.sqrt(len(worth))


@pytest.mark.parametrize("name", GATING)
def test_what_must_not_pass_earns_the_certificate_nothing_in_expectation(name):
    example = EXAMPLES[name]
    assert example.limit is not None
    certificates = [
        learnt(example, example.limit, looks=3, seed=seed).own(NAME).certificate
        for seed in range(DRAWS)
    ]
    worth = [math.exp(certificate.log_e) for certificate in certificates if certificate is not None]
    assert len(worth) == len(certificates)
    assert np.mean(worth) <= 1 + 3 * np.std(worth) / math.sqrt(len(worth))


@pytest.mark.parametrize("name", EXAMPLES)
def test_harm_is_found_and_accused_in_one_sentence_that_names_the_guard(name):
    example = EXAMPLES[name]
    ledger = learnt(example, example.harmful, looks=30, seed=0)
    verdict = judge.decide(ledger, strategy=example.strategy, stage="canary", offline=0.0)
    assert (verdict.action, verdict.guard) == (Action.ROLLBACK, NAME)
    assert verdict.reason.startswith(f"{NAME}: ")
    assert "\n" not in verdict.reason


@pytest.mark.parametrize("name", GATING)
def test_a_certificate_is_missed_in_words_and_reached_with_a_finite_time_before(name):
    example = EXAMPLES[name]
    stage = example.case.stage
    early = [
        judge.decide(
            learnt(example, example.good, looks=looks, seed=1, size=40),
            strategy=example.strategy,
            stage=stage,
            offline=0.0,
        )
        for looks in range(2, 16)
    ]
    held = [verdict for verdict in early if verdict.action is Action.HOLD]
    assert f"{NAME} (e = " in held[0].reason
    assert any(
        verdict.eta_seconds is not None and math.isfinite(verdict.eta_seconds) for verdict in held
    )
    late = learnt(example, example.good, looks=120, seed=1)
    verdict = judge.decide(late, strategy=example.strategy, stage=stage, offline=0.0)
    assert verdict.action is Action.PROMOTE, verdict.reason
    assert f"holds: {NAME} " in verdict.reason


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_evidence_of_a_bet_is_plain_json_with_both_arms(name):
    example = EXAMPLES[name]
    ledger = learnt(example, example.even, looks=10, seed=2)
    row = judge.describe(ledger, strategy=example.strategy)[str(key_of(example))]
    assert json.loads(json.dumps(row)) == row
    assert row["candidate"]["n"] > 0


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_expected_of_a_guard_before_a_rollout_is_finite(name):
    example = EXAMPLES[name]
    foretold = plan.plan(
        example.strategy,
        requests_per_second=200,
        usual={NAME: example.good[0]},
        effects={NAME: example.effect} if example.effect is not None else {},
    )
    for expectation in foretold:
        assert expectation.certified_seconds is not None
        assert 0 < expectation.certified_seconds < timedelta(hours=6).total_seconds()


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_row_of_a_table_is_replayed_as_counts_or_refused_for_what_it_does_not_tell(name):
    case = EXAMPLES[name].case
    if case.untold is not None:
        assert case.untold
        return
    candidate, stable = ArmCounts(100, 5), ArmCounts(900, 20)
    batch = case.replayed(candidate, stable)
    ledger = bookkeeping.begin(EXAMPLES[name].strategy, at=0.0)
    [news] = [news for news in case.news(batch, ledger) if news.key == BetKey(NAME)]
    assert news.candidate == candidate


STRANGER = '''
"""Guards of type abandoned: carts that were left, of a package that fairway has never heard of."""
from dataclasses import dataclass
from typing import Literal

from fairway.config import sections
from fairway.rollout.statistics import hypotheses
from fairway.rollout.bets import BetKey, News
from fairway.rollout.statistics.betting import ArmCounts
from fairway.rollout.guards import base


class AbandonedGuard(sections.Guard):
    """Carts that were left."""

    type: Literal["abandoned"]
    carts: str = "cart"


@dataclass(frozen=True)
class AbandonedCase(base.Case[AbandonedGuard]):
    joins_outcomes = True

    def news(self, batch, ledger):
        for valued in batch.valued:
            if valued.name == self.guard.carts:
                arms = [ArmCounts(len(carts), carts.count(0.0)) for carts in (valued.candidate, valued.stable)]
                yield News(BetKey(self.name), *arms, hypotheses.factors_two_arm(*arms), compared=True)

    def accuse(self, key, ledger):
        bet = ledger.bets[key]
        return base.compared(bet, name=self.name, place="carts", what="were left")


SECTION, CASE = AbandonedGuard, AbandonedCase
'''


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """Return the folder of an installed package with a guard of its own."""
    modules, entries = {"abandoned": STRANGER}, {"guards": {"abandoned": "abandoned"}}
    return strangers.install(tmp_path, "abandoned", version="1.2", modules=modules, groups=entries)


@pytest.mark.parametrize(
    "guard",
    [{"type": "quality", "maxRate": 7}, {"type": "errors", "maxRate": 0.1, "lower": "abc"}],
    ids=str,
)
def test_a_field_of_another_type_may_hold_what_it_can_hold_there_and_nothing_else(guard):
    """The API server refuses it too, whatever the type."""
    foreign = list(guard)[-1]
    with pytest.raises(ValidationError, match=f"{foreign} is {guard[foreign]!r}: Input should be"):
        sections.Guard.of(name="one", **guard)


def test_a_strangers_guard_is_configured_and_judged_without_a_line_of_ours(stranger):
    script = """
from fairway.config import loader
from fairway.rollout import bookkeeping, judge
from fairway.rollout.increments import Batch, Valued
guards = "strategy.guards=[{name: left, type: abandoned}]"
policy = loader.load(None, overrides=["data.source=digits", guards]).strategy
ledger = bookkeeping.begin(policy, at=0.0)
carts = Valued(name="cart", weight=0.5, candidate=(0.0,) * 40 + (1.0,) * 10, stable=(0.0,) * 5 + (1.0,) * 45)
for look in range(5):
    ledger = bookkeeping.observe(ledger, Batch(valued=(carts,)), strategy=policy, offline=None, at=5.0 * look)
print(judge.decide(ledger, strategy=policy, stage="canary").reason)
"""
    done = strangers.python(stranger, "-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "left: 200 of 250 carts of the candidate were left (80.0%), 25 of 250 of stable"
    )


def test_a_module_without_a_section_is_refused_by_name(stranger):
    (stranger / "abandoned.py").write_text("SECTION = 3\n")
    done = strangers.python(
        stranger, "-c", "from fairway.config import sections\nsections.GUARDS.sections"
    )
    assert "guard abandoned has no SECTION: wanted a subclass of sections.Guard" in done.stderr
