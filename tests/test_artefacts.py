"""Nobody ever meets half an artefact."""

import hashlib

import pytest

from atmorep.artefacts import read_json, sha256, write_json, write_text, written_aside
from atmorep.errors import IntegrityError


def test_a_file_appears_when_it_is_complete(tmp_path):
    target = tmp_path / "deep" / "file.txt"
    with written_aside(target) as aside:
        aside.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]


def test_after_a_failure_the_old_one_is_there_and_nothing_else(tmp_path):
    target = tmp_path / "file.txt"
    write_text(target, "old")

    def fail():
        with written_aside(target) as aside:
            aside.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


def test_a_folder_replaces_the_old_one_as_a_whole(tmp_path):
    target = tmp_path / "folder"
    for name in ("first", "second"):
        with written_aside(target) as aside:
            aside.mkdir()
            write_text(aside / name, name)
    assert [path.name for path in target.iterdir()] == ["second"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_json(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1, 2.5, None]})
    assert read_json(tmp_path / "a.json") == {"b": [1, 2.5, None]}


@pytest.mark.parametrize("text", [None, "{", ""])
def test_what_is_no_json_names_file_and_remedy(tmp_path, text):
    path = tmp_path / "a.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(IntegrityError, match=r"a\.json: cannot be read as JSON .*; delete it and rerun"):
        read_json(path)


def test_sha256(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc" * 100_000)
    assert sha256(path) == hashlib.sha256(b"abc" * 100_000).hexdigest()
