"""Each task from a stranger's file to a canary: the five commands, and a defect found by the task's
own loss."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from fairway.config import loader
from fairway.data import prepare
from fairway.model.schema import Feature
from fairway.monitoring.eventstore import access
from fairway.packaging import manifest, package
from fairway.platforms.local import client, requests
from fairway.platforms.local.home import Home
from fairway.training import fit
from tests.cli import running
from tests.data import made
from tests.local import world as worlds

pytestmark = [pytest.mark.local, pytest.mark.timeout(600)]

EVEN = dict.fromkeys(("zero", "two", "four", "six", "eight"), "even")
ODD = dict.fromkeys(("one", "three", "five", "seven", "nine"), "odd")
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PER_SECOND = 120.0
STRATEGY = {
    "warmup": "500ms",
    "shadow": {"enabled": False},
    "canary": {"steps": [{"weight": 50, "minDuration": "2s"}], "budget": worlds.BUDGET},
    "bake": {"weight": 0, "duration": "0s"},
    "guards": [
        {"name": "errors", "type": "errors", "maxRate": 0.05},
        {"name": "loss", "type": "quality", "gates": "canary", "maxLossIncrease": 0.02},
    ],
}


@dataclass(frozen=True)
class Story:
    """A file of a stranger, what `init` is told of it, and how requests and their truth are made of
    its rows."""

    frame: Callable[[], pd.DataFrame]
    init: tuple[str, ...]
    task: str
    answer: Callable[[Any], bool]  # whether an answer has the form of the task's
    truth: Callable[[pd.DataFrame], list[Any]]
    # the columns of the truth, as a defective model learns them
    wrong: Callable[[pd.DataFrame], dict[str, Any]]
    rows: int = 1  # of a request
    init_says: str = ""


def digits() -> tuple[pd.DataFrame, Any]:
    found = datasets.load_digits(as_frame=True)
    return found.data.loc[:, found.data.nunique() > 2], found.target


def diabetes() -> pd.DataFrame:
    return datasets.load_diabetes(as_frame=True, scaled=False).frame


def several() -> pd.DataFrame:
    pixels, digit = digits()
    return pixels.assign(
        even=digit % 2 == 0, large=digit >= 5, round=digit.isin([0, 6, 8, 9]).astype(int)
    )


def tree() -> pd.DataFrame:
    pixels, digit = digits()
    return pixels.assign(digit=[NAMES[number] for number in digit])


def search() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    match, fresh = rng.normal(size=(2, 3000))
    site = rng.choice(["shop", "news", "blog"], 3000)
    worth = match + 0.5 * fresh + 0.8 * (site == "shop") + 0.4 * rng.normal(size=3000)
    relevance = np.clip(np.round(worth + 1), 0, 4).astype(int)
    return pd.DataFrame(
        {
            "query": np.repeat(np.arange(300), 10),
            "match": match,
            "fresh": fresh,
            "site": site,
            "relevance": relevance,
        }
    )


def income() -> pd.DataFrame:
    return pd.read_csv(made.SHARED / "adult.data", skipinitialspace=True, nrows=4000)


STORIES = {
    "adult": Story(
        income,
        ("--target", "income"),
        "classification",
        lambda answer: answer in ("<=50K", ">50K"),
        lambda rows: rows.income.tolist(),
        lambda rows: {"income": rows.income.map({"<=50K": ">50K", ">50K": "<=50K"})},
        init_says="classes to tell apart",
    ),
    "diabetes": Story(
        diabetes,
        ("--target", "target"),
        "regression",
        lambda answer: isinstance(answer, float),
        lambda rows: rows.target.astype(float).tolist(),
        lambda rows: {"target": rows.target.max() - rows.target},
        init_says="214 different whole numbers in order: a quantity",
    ),
    "kinds-of-digits": Story(
        several,
        ("--target", "even", "--target", "large", "--target", "round"),
        "multilabel",
        lambda answer: set(answer) <= {"even", "large", "round"},
        lambda rows: [
            [name for name in ("even", "large", "round") if row[name]] for _, row in rows.iterrows()
        ],
        lambda rows: {name: 1 - rows[name].astype(int) for name in ("even", "large", "round")},
        init_says="several labels a row",
    ),
    "tree-of-digits": Story(
        tree,
        (
            "--target",
            "digit",
            *(word for pair in (EVEN | ODD).items() for word in ("--parent", "=".join(pair))),
        ),
        "hierarchical",
        lambda answer: answer in {*NAMES, "even", "odd"},
        lambda rows: rows.digit.tolist(),
        lambda rows: {
            "digit": rows.digit.map(dict(zip(NAMES, NAMES[1:] + NAMES[:1], strict=True)))
        },
        init_says="10 classes have a parent",
    ),
    "search": Story(
        search,
        ("--target", "relevance", "--group", "query"),
        "ranking",
        lambda answer: isinstance(answer, float),
        lambda rows: rows.relevance.astype(float).tolist(),
        lambda rows: {"relevance": 4 - rows.relevance},
        rows=10,
        init_says="rows of one query are ranked against one another",
    ),
}


LENGTHY = ("kinds-of-digits", "tree-of-digits")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home(tmp_path_factory.mktemp("tasks") / "home")
    client.up(home)
    try:
        yield home
    finally:
        client.down(home)


@contextlib.contextmanager
def traffic(
    home: Home, name: str, story: Story, rows: pd.DataFrame, *, features: Sequence[Feature]
) -> Iterator[None]:
    """Send the rows again and again, and the truth of each request as soon as it was answered."""
    addresses, closing = client.need(home), threading.Event()
    authorised = access.authorization(home.token)

    def send(session: httpx.Client, number: int) -> None:
        chosen = rows.iloc[
            [(number * story.rows + place) % len(rows) for place in range(story.rows)]
        ]
        columns = [
            requests.tensor({str(key): value for key, value in row.items()}, feature)
            for _, row in chosen.iterrows()
            for feature in features
        ]
        merged: dict[str, dict[str, Any]] = {}
        for tensor in columns:
            known = merged.setdefault(
                tensor["name"], {**tensor, "data": [], "shape": [len(chosen)]}
            )
            known["data"].extend(tensor["data"])
        answered = session.post(
            f"{addresses.gateway}/v2/models/{name}/infer",
            json={"inputs": [*merged.values()]},
            headers={"x-fairway-unit": f"unit-{number}"},
        )
        if answered.status_code == 200:
            label = story.truth(chosen)
            item = {"requestId": answered.headers["x-request-id"], "label": label}
            session.post(
                f"{addresses.collector}/v1/labels?deployment={name}",
                json=[item],
                headers=authorised,
            ).raise_for_status()

    def run() -> None:
        with httpx.Client(timeout=30) as session:
            number, began = 0, time.monotonic()
            while not closing.wait(max(0.0, began + number / PER_SECOND - time.monotonic())):
                send(session, number)
                number += 1

    user = threading.Thread(target=run, daemon=True)
    user.start()
    try:
        yield
    finally:
        closing.set()
        user.join(timeout=40)


def defective(folder: Path, story: Story) -> Path:
    """Return the package of a model that learnt the wrong way round."""
    frame = pd.read_csv(folder / "rows.csv")
    frame.assign(**story.wrong(frame)).to_csv(folder / "wrong.csv", index=False)
    config = loader.load(folder / "fairway.yaml", overrides=[f"data.path={folder / 'wrong.csv'}"])
    prepare.prepare(config.data, out=folder / "wrong")
    fit.fit(config.training, dataset=folder / "wrong", out=folder / "worse")
    built = package.build(
        name=config.name,
        dataset=folder / "wrong",
        checkpoint=folder / "worse",
        evaluation=None,
        gate=None,
        config=config,
        out=folder / "packages",
    )
    return Path(built.path)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.lengthy) if name in LENGTHY else name
        for name in STORIES
    ],
)
def test_a_strangers_file_ends_in_a_service_whose_defective_successor_is_found_by_its_own_loss(
    name: str, home: Home, tmp_path: Path
) -> None:
    story = STORIES[name]
    story.frame().to_csv(tmp_path / "rows.csv", index=False)
    place = ("--home", str(home.root))
    begun = running.fairway("init", "rows.csv", *story.init, "--name", name, where=tmp_path)
    assert begun.returncode == 0, begun.stderr
    assert f"task     {story.task}: {story.init_says}" in begun.stdout
    for stage in ("prepare", "train", "evaluate", "package"):
        done = running.fairway(stage, *place, "-o", "json", where=tmp_path)
        assert done.returncode == 0, done.stderr
    features = manifest.load(Path(running.one_object(done)["path"])).features
    deployed = running.fairway("deploy", "--wait", *place, where=tmp_path)
    assert deployed.returncode == 0, deployed.stderr
    predicted = running.fairway("predict", "--rows", "2", "-o", "json", *place, where=tmp_path)
    answers = json.loads(predicted.stdout)
    assert len(answers) == 2
    assert all(story.answer(answer["answer"]) for answer in answers), predicted.stdout

    config = loader.load(tmp_path / "fairway.yaml")
    config = config.model_copy(update={"strategy": type(config.strategy).model_validate(STRATEGY)})
    stable = client.deployment(home, name).state.stable
    with traffic(home, name, story, pd.read_csv(tmp_path / "rows.csv"), features=features):
        worse, _ = client.deploy(home, defective(tmp_path, story), config=config, now=time.time())
        ended = client.follow(home, name, revision=worse.revision, timeout_seconds=worlds.PATIENCE)
    assert ended.state.stable == stable
    assert ended.state.reason.startswith("loss: "), ended.state.reason
