"""The product's own loop on a stream: answers, labels that come late, the retraining policy, the
training stages, the gate.

Elec2 (Harries 1999): the New South Wales electricity market from May 1996 to December 1998, a row
each half hour, and whether the price is above its mean of the last day.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fairway.config import loader, sections
from fairway.data import frames, prepare, splits
from fairway.evaluation import baselines, gate, measure
from fairway.model import tasks
from fairway.packaging import manifest, package
from fairway.retraining import challenger, policy, trigger
from fairway.training import fit

HALF_HOUR = 1800.0
DAY = 48  # rows
FIRST = 84 * DAY  # rows that the first model is made from: twelve weeks
BATCH, DELAY = DAY, DAY  # rows that are answered between two looks; until labels are known
WEEK = 7 * DAY * HALF_HOUR  # seconds
RUNS = 25  # that may be spent in the 860 days
# What a user of this stream would set: a third of LightGBM's own leaves for twelve weeks of rows,
# and nine in ten of the runs by the calendar, the others for losses that rise.
SETTINGS = ("training.family=boosting", "training.leaves=12", "retraining.refresh=38d")
TARGET, ORDER = "class", "row"

Due = Callable[["Loop", float], bool]


@dataclass
class Loop:
    """One deployment, from its first model on."""

    frame: pd.DataFrame
    folder: Path
    runs: int = 0
    deployed: int = 0
    fruitless: int = 0
    last_run_at: float | None = None
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        source = self.folder / "first.parquet"
        self.frame[:FIRST].to_parquet(source)
        self.config = loader.load(
            None,
            overrides=[
                "name=elec",
                "data.source=parquet",
                f"data.path={source}",
                f"data.target={TARGET}",
                f"data.ignore=[{ORDER}]",
                "data.split.method=time",
                f"data.split.column={ORDER}",
                *SETTINGS,
            ],
        )
        self.section = self.config.retraining
        self.losses: NDArray[np.float64] = np.full(len(self.frame), np.nan)
        self.known = self.since = FIRST
        made = self.train(self.config, champion=None)
        if made is None:
            raise RuntimeError(f"the first model was refused: {self.said[-1]}")
        self._serve(made)

    def play(self, due: Due) -> float:
        """Return the accuracy of all answers, each given before its label was known."""
        for begin in range(FIRST, len(self.frame), BATCH):
            end = min(begin + BATCH, len(self.frame))
            self.losses[begin:end] = self._wrong(begin, end)
            self._learn(end - DELAY)
            if end < len(self.frame) and due(self, end * HALF_HOUR):
                self._challenge(now=end * HALF_HOUR)
        return float(1 - self.losses[FIRST:].mean())

    def signals(self) -> policy.Signals:
        """Return what the product's policy is told."""
        newest = self.losses[max(self.since, self.known - self.section.min_labels) : self.known]
        return policy.Signals(
            labelled=len(newest),
            lost=float(newest.sum()),
            reference_loss=policy.reference_loss(self.facts),
            evidence=self.watching.evidence,
            bound=policy.reference_bound(self.facts),
            last_run_at=self.last_run_at,
            fruitless=self.fruitless,
            first_label_at=self.watching.first_at,
        )

    def train(self, config: sections.Config, *, champion: Path | None) -> Path | None:
        """Return the package of a model, None where the gate refused it."""
        dataset, checkpoint = self.folder / "dataset", self.folder / "checkpoint"
        evaluation = self.folder / "evaluation"
        prepare.prepare(config.data, out=dataset)
        fit.fit(config.training, dataset=dataset, out=checkpoint, resume=False)
        measured = measure.evaluate(
            config.evaluation,
            dataset=dataset,
            checkpoint=checkpoint,
            champion=champion,
            out=evaluation,
        )
        decision = gate.decide(config.evaluation.gate, evaluation=measured)
        self.said.append(decision.reason)
        if not decision.promote:
            return None
        made = package.build(
            name=config.name,
            dataset=dataset,
            checkpoint=checkpoint,
            evaluation=evaluation / "evaluation.json",
            gate=decision,
            config=config,
            out=self.folder / "packages",
        )
        return Path(made.path)

    def _challenge(self, *, now: float) -> None:
        extra = self.folder / challenger.LABELLED
        labelled = self.frame[max(FIRST, self.known - self.section.max_new_rows) : self.known]
        labelled.to_parquet(extra)
        self.runs, self.last_run_at = self.runs + 1, now
        compared = challenger.held_out(self.section, labelled=len(labelled))
        if compared is None:
            made = None
        else:
            config = challenger.with_labelled(self.config, extra, held_out=compared)
            made = self.train(config, champion=self.champion)
        self.watching = trigger.rearmed(self.watching)
        self.fruitless = 0 if made else self.fruitless + 1
        if made is not None:
            self.deployed += 1
            self._serve(made)

    def _serve(self, made: Path) -> None:
        self.champion, self.since = made, self.known
        read: Any = manifest.load(made)
        self.facts, self.schema = read.facts(), read.schema
        self.watching = trigger.begun(revision=read.digest, store="elec", after=0)

    def _learn(self, known: int) -> None:
        """Take in the labels that are known now, of the model in service."""
        bound = policy.reference_bound(self.facts)
        rows = range(max(self.since, self.known), known)
        if bound is not None:
            late = [(row * HALF_HOUR, float(self.losses[row])) for row in rows]
            edge = policy.limit(self.section, bound=bound)
            self.watching = trigger.step(
                self.watching, late, section=self.section, limit=edge, after=known
            )
        self.known = max(self.known, known)

    def _wrong(self, begin: int, end: int) -> NDArray[np.float64]:
        rows = self.frame[begin:end]
        task = tasks.of(self.schema)
        labels = task.read(frames.plain(rows[TARGET]))
        asked = splits.Split(
            columns=frames.to_raw(rows, schema=self.schema),
            labels=labels,
            target=task.encode(labels, self.schema),
            rows=np.arange(begin, end),
            preprocessor=splits.load(self.folder / "dataset").preprocessor,
        )
        _, answers = baselines.champion(self.champion, rows=asked, schema=self.schema)
        return (np.array(answers) != np.array(labels)).astype(float)


def never(loop: Loop, now: float) -> bool:
    return False


def weekly(loop: Loop, now: float) -> bool:
    return loop.last_run_at is None or now - loop.last_run_at >= WEEK


def ours(loop: Loop, now: float) -> bool:
    """Ask the product's policy."""
    return policy.decide(loop.section, signals=loop.signals(), now=now).start
