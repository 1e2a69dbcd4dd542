"""A rollout that an upgrade finds under way goes on with its evidence: a checkpoint that an earlier
version wrote is read."""

import json
from pathlib import Path
from typing import Any

from fairway.config import sections
from fairway.rollout import judge
from fairway.rollout.bets import BetKey, BetKind
from fairway.rollout.ledger import Ledger

# by 9b284cf: its ledger, and what it said of it
EARLIER = Path(__file__).with_name("earlier_checkpoint.json")


def earlier() -> tuple[sections.Strategy, dict[str, Any]]:
    written = json.loads(EARLIER.read_text(encoding="utf-8"))
    return sections.Strategy.model_validate(written["strategy"]), written


def test_the_evidence_of_an_earlier_checkpoint_is_what_the_earlier_version_said() -> None:
    strategy, written = earlier()
    assert (
        judge.describe(Ledger.from_json(written["ledger"]), strategy=strategy)
        == written["evidence"]
    )


def test_the_verdict_on_an_earlier_checkpoint_is_the_earlier_version_s() -> None:
    strategy, written = earlier()
    ledger = Ledger.from_json(written["ledger"])
    assert (
        judge.decide(ledger, strategy=strategy, stage="canary", offline=0.02).reason
        == written["reason"]
    )


def test_every_kind_of_bet_of_an_earlier_checkpoint_has_its_key() -> None:
    _, written = earlier()
    keys = Ledger.from_json(written["ledger"]).bets
    assert {
        BetKey("errors"),
        BetKey("errors", BetKind.SHADOW),
        BetKey("errors", BetKind.LIMIT),
    } < keys.keys()
    assert BetKey("each", BetKind.SLICE, 7) in keys
    assert [str(key) for key in keys] == [*written["ledger"]["harms"]]


def test_a_checkpoint_is_written_in_the_present_form_and_read_again_without_loss() -> None:
    _, written = earlier()
    renewed = Ledger.from_json(written["ledger"]).to_json()
    assert Ledger.from_json(json.loads(json.dumps(renewed))).to_json() == renewed
    assert "harms" not in renewed
