"""`fairway label`: a label is one of the classes of the model that serves, however it is written."""

import contextlib
import dataclasses
from pathlib import Path

import pytest

from fairway import errors
from fairway.config import sections
from fairway.platforms.local import requests, state
from fairway.rollout.states import Phase
from tests.cli import standing
from tests.cli.running import assert_one_sentence, fairway
from tests.serving import support


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which a model with the classes no and yes serves, and nothing runs."""
    made = tmp_path_factory.mktemp("labels")
    home = standing.deployed(made, "aaa", phase=Phase.STABLE, stable="aaa")
    package = support.packaged(made / "package").path
    with contextlib.closing(state.Store(home / "state.db")) as store:
        found = store.revision("aaa")
        assert found is not None
        store.deploy(dataclasses.replace(found, revision="bbb", package=str(package)), now=2.0)
        deployment = store.deployment("few")
        assert deployment is not None
        serving = dataclasses.replace(deployment.state, stable="bbb")
        store.save("few", state=serving, policy=sections.Strategy(), events=(), answered=None)
    return made


@pytest.mark.parametrize("label", ["banana", "1", "true"])
def test_a_label_that_is_no_class_is_refused_with_the_classes_named(
    folder: Path, label: str
) -> None:
    done = fairway("label", "abc", label, where=folder)
    assert_one_sentence(
        done,
        status=2,
        words=f"the label of request abc is '{label}': wanted one of the classes no, yes",
    )


def test_one_wrong_label_of_a_file_keeps_all_of_it_from_being_sent(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "labels.csv").write_text("request_id,label\na,yes\nb,maybe\n")
    done = fairway("label", "--file", str(tmp_path / "labels.csv"), where=folder)
    assert_one_sentence(done, status=2, words="the label of request b is 'maybe'")
    assert "nothing was sent" in done.stderr


def test_a_label_that_means_a_class_is_sent(folder: Path) -> None:
    assert_one_sentence(
        fairway("label", "abc", " yes ", where=folder), status=2, words="fairway up"
    )


def test_what_was_sent_is_told_with_what_nobody_knows() -> None:
    from fairway.cli import sending

    again = sending.FIRST_COUNTS
    assert sending._sent(requests.Sent(3, 3, 0), "outcomes", again=again).endswith("3 of them new")
    assert sending._sent(requests.Sent(3, 2, 0), "outcomes", again=again) == (
        "sent 3 outcomes, 2 of them new; 1 of requests that have such an outcome, of which the first counts"
    )
    assert sending._sent(requests.Sent(1, 1, 0), "labels", again="") == (
        "sent 1 label, 1 of them new"
    )
    assert sending._sent(requests.Sent(3, 3, 1), "labels", again="").endswith(
        "1 of requests that the store does not know: they count once the server's event comes"
    )


@pytest.mark.parametrize(
    "text",
    [
        "request_id,label,row\na,yes,0\nb,,1\nc,no,2\n",
        "\ufeffrequest_id;label;row\r\na;yes;0\r\nb;;1\r\nc;no;2\r\n",
        "request_id\tlabel\na\tyes\nb\t\nc\tno\n",
        "request_id|label\na|yes\nb|\nc|no\n",
    ],
    ids=["a sample that is half done", "as a spreadsheet saves it", "tabs", "bars"],
)
def test_rows_that_have_no_label_yet_are_left_out_and_counted(text: str, tmp_path: Path) -> None:
    file = tmp_path / "sample.csv"
    file.write_bytes(text.encode())
    rows, lacking = requests.read_rows(file, ["request_id", "label"], may_lack="label")
    assert [(row["request_id"], row["label"]) for row in rows] == [("a", "yes"), ("c", "no")]
    assert lacking == 1
    with pytest.raises(errors.UsageError, match="line 3 has no label: wanted a value in the "):
        requests.read_rows(file, ["request_id", "label"])


@pytest.mark.parametrize("text", ["request_id,Label,age\na,yes,41\n", "age\n41\n", ""])
def test_a_file_without_the_columns_is_refused_by_those_that_it_has_and_shows_no_row(
    text: str, tmp_path: Path
) -> None:
    file = tmp_path / "sample.csv"
    file.write_text(text)
    with pytest.raises(errors.UsageError) as refused:
        requests.read_rows(file, ["request_id", "label"], may_lack="label")
    has = text.partition("\n")[0].replace(",", ", ") or "none"
    assert str(refused.value).endswith(f"has the columns {has}: wanted request_id and label")
