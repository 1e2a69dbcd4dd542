"""What every verb shares."""

import os
from pathlib import Path

from fairway.cli import options


def test_what_is_no_plain_file_is_written_to_and_stays_what_it_is(tmp_path: Path) -> None:
    pipe, link, page = tmp_path / "pipe", tmp_path / "link", tmp_path / "page.html"
    os.mkfifo(pipe)
    link.symlink_to(page)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert options.write(pipe, b"a page") == str(pipe)
        assert os.read(reader, 100) == b"a page"
    finally:
        os.close(reader)
    options.write(link, b"a page")
    assert pipe.is_fifo()
    assert link.is_symlink()
    assert page.read_bytes() == b"a page"


def test_a_plain_file_is_written_whole_with_the_folder_that_it_needs(tmp_path: Path) -> None:
    page = tmp_path / "new" / "page.html"
    assert options.write(page, b"a page") == f"{page} (in the new folder {page.parent})"
    assert options.write(page, b"another") == str(page)
    assert page.read_bytes() == b"another"
