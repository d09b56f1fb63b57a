"""What cannot be written is said before the work, by every command that writes."""

from __future__ import annotations

import pytest

from liverank.errors import OutputError
from liverank.output import output_file, output_folder

PLACES = ("file", "file/inside", "/proc/nope")


def test_a_folder_is_made_and_nothing_left_in_it(tmp_path):
    assert output_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert output_file(tmp_path / "c" / "page.html") == tmp_path / "c" / "page.html"
    assert [path.name for path in sorted(tmp_path.rglob("*"))] == ["a", "b", "c"]


@pytest.mark.parametrize("place", PLACES)
def test_what_cannot_be_written_is_said(tmp_path, place):
    (tmp_path / "file").write_text("kept")
    for make in (output_folder, lambda path: output_file(path / "page.html")):
        with pytest.raises(OutputError, match=r"cannot be made or written: .* Name another place"):
            make(tmp_path / place)
    assert (tmp_path / "file").read_text() == "kept"


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(OutputError, match="is a folder"):
        output_file(tmp_path)


def commands(dataset):
    yield "evaluate", "--data", str(dataset), "--protocol", "leave-one-out", "--out"
    yield "evaluate", "--bundle", "b", "--features", "f", "--out"
    yield "data", "download", "movielens-latest-small", "--accept-licence", "--to"
    yield "data", "truth", str(dataset), "--out"
    yield "data", "generate"
    yield "tune", "--features", "f", "--out"


@pytest.mark.parametrize("place", PLACES)
def test_each_command_ends_with_one_line(tmp_path, monkeypatch, capsys, place):
    from liverank.cli.main import main
    from liverank.data.synthetic import generate
    from liverank.data.synthetic_settings import SyntheticSettings

    monkeypatch.chdir(tmp_path)
    generate(SyntheticSettings(users=5, items=20, days=2), tmp_path / "made", 1)
    (tmp_path / "file").write_text("kept")
    for command in commands(tmp_path / "made"):
        monkeypatch.setattr("sys.argv", ["liverank", *command, place])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr().err
        assert end.value.code == 2, (command, said)
        assert "cannot be made or written" in said.splitlines()[-1], (command, said)


@pytest.mark.parametrize("place", ["file/inside", "/proc/nope"])
def test_no_bundle_is_read_where_none_can_be_written(tmp_path, place):
    from liverank.ranking.compress import CompressionSettings, compress

    (tmp_path / "file").write_text("kept")
    with pytest.raises(OutputError, match="cannot be made or written"):
        compress(tmp_path / "bundle", tmp_path / place, CompressionSettings())
