import pytest

from fairway import errors, files

RECORDS = ("record.json",)


@pytest.fixture(params=[True, False], ids=["exchanged", "moved aside"])
def out(request, tmp_path, monkeypatch):
    """Return a folder that a stage wrote before, on a system that can exchange two names and on one
    that cannot."""
    if not request.param:
        monkeypatch.setattr(files, "exchange", lambda one, other: False)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "record.json").write_text("old")
    return tmp_path / "out"


def test_the_new_folder_takes_the_old_one_s_place_and_leaves_nothing_beside(out):
    with files.replacing(out, records=RECORDS) as folder:
        (folder / "record.json").write_text("new")
        assert (out / "record.json").read_text() == "old"
    assert (out / "record.json").read_text() == "new"
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert out.stat().st_mode & 0o777 == 0o755


def test_what_fails_halfway_leaves_the_old_folder(out):
    with pytest.raises(IsADirectoryError), files.replacing(out, records=RECORDS) as folder:
        (folder / "record.json").write_text("half") and folder.read_bytes()
    assert (out / "record.json").read_text() == "old"
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_a_folder_of_somebody_else_s_is_kept(out):
    (out / "record.json").rename(out / "diary.txt")
    with (
        pytest.raises(errors.UsageError, match=r"holds none of record\.json"),
        files.replacing(out, records=RECORDS),
    ):
        pass
    assert [path.name for path in out.iterdir()] == ["diary.txt"]


def test_an_empty_folder_and_none_at_all_are_filled(tmp_path):
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "deep" / "new"):
        with files.replacing(out, records=RECORDS) as folder:
            (folder / "record.json").touch()
        assert [path.name for path in out.iterdir()] == ["record.json"]
