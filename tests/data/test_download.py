"""`liverank data download` against a real HTTP server: resumed, verified, unpacked, and what to do by hand."""

from __future__ import annotations

import hashlib
import io
import json
import re
import stat
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from liverank.cli.data_command import app
from liverank.data.archives import ARCHIVES, Archive, RemoteFile
from liverank.data.download import FACTS_FILE, download, find_archive, from_mirror
from liverank.data.fetch import ATTEMPTS, fetch
from liverank.data.spreadsheet import to_csv
from liverank.data.unpack import unpack
from liverank.errors import DataError
from tests.data.reading import read, reasons, rows


class Server(ThreadingHTTPServer):
    """Serves `files`; a file in `cuts` breaks off after so many bytes, as often as that is said."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.cuts, self.requests, self.ranges = {}, {}, [], True
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        name = self.path.lstrip("/")
        asked = self.headers.get("Range", "")
        self.server.requests.append((name, asked))
        if name not in self.server.files:
            self.send_error(404)
            return
        data = self.server.files[name]
        tag = f'"{hashlib.sha256(data).hexdigest()[:8]}"'
        start = int(asked[6:-1]) if asked and self.server.ranges and self.headers.get("If-Range", tag) == tag else 0
        if start > len(data):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.wfile.write(self._cut(name, data[start:]))

    def _cut(self, name, data):
        size, times = self.server.cuts.get(name, (0, 0))
        if not times:
            return data
        self.server.cuts[name] = (size, times - 1)
        self.close_connection = True
        return data[:size]

    def log_message(self, *words):
        """Says nothing."""


@pytest.fixture
def server():
    started = Server()
    yield started
    started.shutdown()
    started.server_close()


def zipped(**files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name.replace("__", "/"), text)
    return content.getvalue()


DATA = bytes(range(256)) * 4096  # 1 MiB
SHA256 = hashlib.sha256(DATA).hexdigest()


def waits():
    seconds = []
    return seconds, seconds.append


def test_a_file_is_fetched_and_its_hash_recorded_beside_it(server, tmp_path):
    server.files["x.bin"] = DATA
    assert fetch(RemoteFile(f"{server.url}/x.bin", checksum=f"sha256:{SHA256}"), tmp_path / "x.bin") == SHA256
    assert (tmp_path / "x.bin").read_bytes() == DATA
    assert (tmp_path / "x.bin.sha256").read_text() == f"{SHA256}  x.bin\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.bin", "x.bin.sha256"]


def test_a_cut_connection_is_taken_up_where_it_broke(server, tmp_path):
    server.files["x.bin"], server.cuts["x.bin"] = DATA, (300_000, 2)
    seconds, pause = waits()
    fetch(RemoteFile(f"{server.url}/x.bin", checksum=f"sha256:{SHA256}"), tmp_path / "x.bin", pause)
    assert server.requests == [("x.bin", ""), ("x.bin", "bytes=300000-"), ("x.bin", "bytes=600000-")]
    assert seconds == [1.0, 2.0]


def test_what_came_is_kept_when_it_breaks_again_and_again(server, tmp_path):
    server.files["x.bin"], server.cuts["x.bin"] = DATA, (1000, ATTEMPTS)
    file = RemoteFile(f"{server.url}/x.bin")
    with pytest.raises(DataError, match=r"broke off 5 times .* 5,000 bytes are here. Run the same command again"):
        fetch(file, tmp_path / "x.bin", lambda _: None)
    assert not (tmp_path / "x.bin").exists()
    fetch(file, tmp_path / "x.bin")
    assert server.requests[-1] == ("x.bin", "bytes=5000-")
    assert (tmp_path / "x.bin").read_bytes() == DATA


@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_that_changed_meanwhile_is_fetched_anew(server, tmp_path, ranges):
    server.files["x.bin"], server.cuts["x.bin"], server.ranges = DATA, (1000, ATTEMPTS), ranges
    file = RemoteFile(f"{server.url}/x.bin")
    with pytest.raises(DataError, match="broke off"):
        fetch(file, tmp_path / "x.bin", lambda _: None)
    server.files["x.bin"] = DATA[::-1]
    fetch(file, tmp_path / "x.bin")
    assert (tmp_path / "x.bin").read_bytes() == DATA[::-1]


def test_a_wrong_hash_leaves_nothing(server, tmp_path):
    server.files["x.bin"] = DATA
    with pytest.raises(DataError, match=rf"expected {'0' * 32}, got [0-9a-f]{{32}}; it was removed"):
        fetch(RemoteFile(f"{server.url}/x.bin", checksum=f"md5:{'0' * 32}"), tmp_path / "x.bin")
    assert list(tmp_path.glob("x.bin*")) == [] or all(path.suffix == ".json" for path in tmp_path.glob("x.bin*"))


def test_what_cannot_be_fetched_can_be_put_there_by_hand(server, tmp_path):
    file = RemoteFile(f"{server.url}/none.bin")
    with pytest.raises(DataError, match=r"none.bin answers 404 .* by hand, put it at .*none.bin"):
        fetch(file, tmp_path / "none.bin")
    nowhere = RemoteFile("http://127.0.0.1:9/x.bin", checksum=f"sha256:{SHA256}")
    with pytest.raises(DataError, match=r"127.0.0.1:9 cannot be reached .* by hand, put it at"):
        fetch(nowhere, tmp_path / "x.bin")
    (tmp_path / "x.bin").write_bytes(DATA)
    assert fetch(nowhere, tmp_path / "x.bin") == SHA256


def movielens(server, **changes):
    server.files["ml.zip"] = zipped(**{"ml__ratings.dat": "1::2::3::4\n", "ml__docs__README": "words"})
    digest = hashlib.md5(server.files["ml.zip"]).hexdigest()
    facts = {"checksum": f"md5:{digest}", "checksum_from": "the test", **changes}
    file = RemoteFile(f"{server.url}/ml.zip", **facts)
    return Archive("small", "A small set", (file,), "Free.", "https://example.org/licence")


def test_an_archive_becomes_a_folder_at_once(server, tmp_path):
    done = download(movielens(server), tmp_path)
    assert (done.folder, done.new) == (tmp_path / "small", True)
    assert (done.folder / "ratings.dat").read_text() == "1::2::3::4\n"
    assert (done.folder / "docs" / "README").read_text() == "words"
    facts = json.loads((done.folder / FACTS_FILE).read_text())
    assert facts["sha256"] == done.sha256 == {"ml.zip": hashlib.sha256(server.files["ml.zip"]).hexdigest()}
    assert (facts["licence"], facts["urls"]) == ("Free.", [f"{server.url}/ml.zip"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archives", "small"]
    asked = len(server.requests)
    assert download(movielens(server), tmp_path).new is False
    assert len(server.requests) == asked


def test_parts_and_files_that_are_no_archives(server, tmp_path):
    server.files |= {"a.zip": zipped(**{"behaviors.tsv": "x"}), "b.jsonl.gz": b"gz"}
    files = (RemoteFile(f"{server.url}/a.zip", into="train"), RemoteFile(f"{server.url}/b.jsonl.gz"))
    folder = download(Archive("two", "", files, "", ""), tmp_path).folder
    assert (folder / "train" / "behaviors.tsv").read_text() == "x"
    assert (folder / "b.jsonl.gz").read_bytes() == b"gz"


def test_a_folder_of_somebody_else_is_not_touched(server, tmp_path):
    (tmp_path / "small").mkdir()
    with pytest.raises(DataError, match="was not made by a download"):
        download(movielens(server), tmp_path)


def test_terms_that_only_a_person_can_accept(server, tmp_path):
    with pytest.raises(
        DataError, match=r"Fetch MINDsmall_train.zip and MINDsmall_dev.zip there, put them into .*archives"
    ):
        download(ARCHIVES["mind-small"], tmp_path)
    (tmp_path / "archives").mkdir()
    for name in ("MINDsmall_train.zip", "MINDsmall_dev.zip"):
        (tmp_path / "archives" / name).write_bytes(zipped(**{"behaviors.tsv": name}))
    folder = download(ARCHIVES["mind-small"], tmp_path).folder
    assert (folder / "dev" / "behaviors.tsv").read_text() == "MINDsmall_dev.zip"


def evil(name, mode=0, text="x"):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good/a.txt", "a")
        member = zipfile.ZipInfo(name)
        member.external_attr = mode << 16
        member.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(member, text)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (evil("../out.txt"), "would be written outside"),
        (evil("good/../../out.txt"), "would be written outside"),
        (evil("/etc/out.txt"), "would be written outside"),
        (evil("C:/out.txt"), "would be written outside"),
        (evil("good/link", stat.S_IFLNK | 0o777, "/etc/passwd"), "is no plain file"),
        (evil("good/bomb", text="0" * 30_000_000), "would grow to 30,000,000 bytes"),
        (zipped(**{"a.txt": "a" * 1000})[:-40], "is no whole zip archive"),
        (b"<html>Not found</html>", "is no whole zip archive"),
    ],
    # Without names of their own the bytes, which hold the time of day, would name the cases.
    ids=["parent", "inner-parent", "absolute", "drive", "link", "bomb", "cut", "page"],
)
def test_an_archive_that_cannot_be_trusted_leaves_nothing(tmp_path, content, why):
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(DataError, match=why):
        unpack(tmp_path / "x.zip", tmp_path / "inner" / "folder")
    assert not (tmp_path / "inner" / "folder").exists()
    assert not (tmp_path / "out.txt").exists()


ROW = '<row r="{0}">{1}</row>'
HEAD = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")


def workbook():
    """Two invoice lines as Excel keeps them: shared and inline texts, a time as a number, an empty cell left out."""
    head = "".join(f'<c r="{letter}1" t="s"><v>{at}</v></c>' for at, letter in enumerate("ABCDEFGH"))
    first = (
        '<c r="A2"><v>536365</v></c><c r="B2" t="inlineStr"><is><t>85123A</t></is></c><c r="C2" t="s"><v>8</v></c>'
        '<c r="D2"><v>6</v></c><c r="E2" s="1"><v>40513.351388888892</v></c><c r="F2"><v>2.5499999999999998</v></c>'
        '<c r="G2"><v>17850</v></c><c r="H2" t="s"><v>9</v></c>'
    )
    second = (
        '<c r="A3"><v>536366</v></c><c r="B3"><v>22633</v></c><c r="D3"><v>1</v></c><c r="E3" s="1"><v>40513</v></c>'
    )
    texts = "".join(f"<si><t>{name}</t></si>" for name in HEAD) + "<si><r><t>WHITE </t></r><r><t>HEART</t></r></si>"
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    rows = ROW.format(1, head) + ROW.format(2, first) + ROW.format(3, second)
    looks = '<cellXfs><xf numFmtId="0"/><xf numFmtId="164"/></cellXfs>'
    styles = '<numFmts><numFmt numFmtId="164" formatCode="m/d/yy\\ h:mm;@"/></numFmts>'
    return zipped(
        **{
            "xl/worksheets/sheet1.xml": f"<worksheet {space}><sheetData>{rows}</sheetData></worksheet>",
            "xl/sharedStrings.xml": f"<sst {space}>{texts}<si><t>United Kingdom</t></si></sst>",
            "xl/styles.xml": f"<styleSheet {space}>{styles}{looks}</styleSheet>",
        }
    )


def test_a_workbook_becomes_a_table_that_can_be_read(server, tmp_path):
    server.files["online+retail.zip"] = zipped(**{"Online Retail.xlsx": workbook()})
    archive = from_mirror(ARCHIVES["uci-online-retail"], server.url)
    archive = replace(archive, files=(replace(archive.files[0], checksum=""),))
    folder = download(archive, tmp_path).folder
    assert sorted(path.name for path in folder.iterdir()) == ["Online Retail.csv", FACTS_FILE]
    assert (folder / "Online Retail.csv").read_text().splitlines()[1:] == [
        "536365,85123A,WHITE HEART,6,2010-12-01 08:26:00,2.55,17850,United Kingdom",
        "536366,22633,,1,2010-12-01 00:00:00,,,",
    ]
    found = read(folder)
    assert rows(found, "interactions", "user_id", "item_id", "value") == [("17850", "85123A", 6.0)]
    assert reasons(found) == {"no customer": 1}


def test_a_damaged_workbook_is_an_error(tmp_path):
    (tmp_path / "x.xlsx").write_bytes(zipped(**{"a.txt": "a"}))
    with pytest.raises(DataError, match="is no whole Excel workbook"):
        to_csv(tmp_path / "x.xlsx", tmp_path / "x.csv")
    assert not (tmp_path / "x.csv").exists()


def run(*arguments, **more):
    return CliRunner().invoke(app, ["download", *(str(argument) for argument in arguments)], **more)


def test_the_command_states_the_licence_and_wants_it_accepted(server, tmp_path):
    server.files["ml-100k.zip"] = b"no zip"
    refused = run("movielens-100k", "--to", tmp_path, "--mirror", server.url)
    assert isinstance(refused.exception, DataError)
    assert "--accept-licence" in str(refused.exception)
    assert "no redistribution without permission" in refused.stdout
    assert server.requests == []
    wrong = run("movielens-100k", "--to", tmp_path, "--mirror", server.url, "--accept-licence")
    assert "is not the file whose md5 is known" in str(wrong.exception)


def test_the_command_fetches_from_a_mirror(server, tmp_path):
    server.files["ml-latest-small.zip"] = zipped(
        **{"ml-latest-small__ratings.csv": "userId,movieId,rating,timestamp\n"}
    )
    done = run("movielens-latest-small", "--to", tmp_path, "--mirror", server.url, "--accept-licence")
    assert done.exit_code == 0
    assert "gives no checksum" in done.stdout
    assert f"Next: liverank data inspect {tmp_path / 'movielens-latest-small'} --write" in done.stdout
    assert (tmp_path / "movielens-latest-small" / "ratings.csv").exists()


def test_the_list_and_a_name_that_is_none():
    assert "uci-online-retail" in run("--list", env={"COLUMNS": "200"}).stdout
    with pytest.raises(DataError, match="Did you mean movielens-1m"):
        find_archive("movielens1m")


def test_what_is_said_of_the_data_sets_is_complete():
    for archive in ARCHIVES.values():
        assert archive.licence
        assert archive.licence_url.startswith("https://")
        for file in archive.files:
            assert re.fullmatch(r"|md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", file.checksum)
            assert bool(file.checksum) == bool(file.checksum_from)
    assert from_mirror(ARCHIVES["uci-online-retail"], "http://m/").files[0].url == "http://m/online+retail.zip"
