"""Where files come from, and every way to get each format wrong: told by file and line."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import socket
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow as pa
import pytest
import zstandard
from click.testing import CliRunner
from pyarrow import parquet

from hurnet_stream.command_line import hurnet
from hurnet_stream.operations.files.columns import Columns
from hurnet_stream.operations.files.encoded import Encoder
from hurnet_stream.operations.files.found import Kind, found
from hurnet_stream.operations.files.opened import UnreadableFile
from hurnet_stream.operations.files.rows import Reject
from hurnet_stream.operations.files.source import TextSource

CSV = "text,answer\nhi,hello\nbye,goodbye\n"


def read(*names: Path | str, kind: Kind = "auto", **columns: Any) -> list[Any]:
    """Each row as its message and key, or as a reject."""
    source = TextSource(found(tuple(map(str, names)), kind), Columns(**columns))
    encoder = Encoder("default")
    rows: list[Any] = []
    for _, draft in source.drafts():
        record = draft if isinstance(draft, Reject) else encoder.encoded(draft)
        rows.append(record if isinstance(record, Reject) else (json.loads(record[0]), record[1]))
    return rows


def texts(*names: Path | str, **how: Any) -> list[str]:
    return [row[0]["text"] if isinstance(row, tuple) else row.reason for row in read(*names, **how)]


def written(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def table(folder: Path, name: str = "t.parquet", **columns: Any) -> Path:
    parquet.write_table(pa.table(columns), folder / name)
    return folder / name


@pytest.mark.parametrize(
    "packed",
    [
        lambda raw: raw,
        gzip.compress,
        bz2.compress,
        zstandard.compress,
        lambda raw: gzip.compress(raw[:9]) + gzip.compress(raw[9:]),
        lambda raw: zstandard.compress(raw[:9]) + zstandard.compress(raw[9:]),
    ],
    ids=["plain", "gzip", "bzip2", "zstandard", "two-gzips", "two-frames"],
)
@pytest.mark.parametrize("name", ["f.csv", "f.csv.gz", "unnamed"])
def test_files_may_be_packed_whatever_their_names_say(packed: Any, name: str, tmp_path: Path) -> None:
    assert texts(written(tmp_path, name, packed(CSV.encode()))) == ["hi", "bye"]


@pytest.mark.parametrize(
    "pack", [gzip.compress, bz2.compress, zstandard.compress], ids=["gzip", "bzip2", "zstandard"]
)
def test_a_packed_file_without_its_end_is_told(pack: Any, tmp_path: Path) -> None:
    raw = pack("".join(f"text {os.urandom(9).hex()}\n" for _ in range(40_000)).encode())
    file = written(tmp_path, "f.txt.gz", raw[: len(raw) // 2])
    with pytest.raises(UnreadableFile, match=r"f\.txt\.gz.*(end is missing|damaged).*copy it again"):
        texts(file)


def test_a_folder_is_read_by_name_and_links_lead_nowhere(tmp_path: Path) -> None:
    written(tmp_path, "b.jsonl", '{"text": "b"}\n')
    written(tmp_path, "a/z.csv", CSV)
    written(tmp_path, "a/.hidden.csv", CSV)
    written(tmp_path, "_SUCCESS", "")
    written(tmp_path, "notes.md", "\ufeff# One\n\ntext\n")
    written(tmp_path, "picture.png", b"\x89PNG")
    (tmp_path / "loop").symlink_to(tmp_path)
    all_of_it = found((str(tmp_path),), "auto")
    assert [each.inside for each in all_of_it.inputs] == ["b.jsonl", "notes.md", "a/z.csv"]
    assert all_of_it.passed_over == 3
    rows = read(tmp_path)
    assert [row[0]["text"] for row in rows] == ["b", "# One\n\ntext", "hi", "bye"]
    assert rows[1][1] == b"notes.md"
    assert rows[1][0]["metadata"] == {"file": "notes.md"}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("absent.csv", "there is no such file"),
        ("empty/", "holds no file of texts"),
        ("ftp://host/f.csv", "no address that is known"),
        ("nonsense://f.csv", "no address that is known"),
    ],
)
def test_a_name_that_stands_for_nothing_is_told(name: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnreadableFile, match=told):
        read(name if "://" in name else tmp_path / name)


def test_no_right_to_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path, "f.csv", CSV)

    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    source = TextSource(found((str(file),), "auto"))
    monkeypatch.setattr(Path, "open", refuse)  # root may read everything
    with pytest.raises(UnreadableFile, match=r"f\.csv: no right to read it"):
        list(source.drafts())


def test_a_file_that_grows_is_read_to_where_it_ended(tmp_path: Path) -> None:
    file = written(tmp_path, "f.jsonl", '{"text": "one"}\n{"text": "t')
    source = TextSource(found((str(file),), "auto"))
    drafts = source.drafts()
    first = next(drafts)[1]
    with file.open("a") as more:
        more.write('wo"}\n{"text": "three"}\n')
    assert not isinstance(first, Reject)
    assert (first.fields["text"], list(drafts)) == ("one", [])
    assert "grew from 27 to" in source.notes[0]
    assert texts(file) == ["one", "two", "three"]


def test_a_file_that_shrinks_is_told(tmp_path: Path) -> None:
    file = written(tmp_path, "f.txt", "one\n" * 200_000)
    drafts = TextSource(found((str(file),), "auto")).drafts()
    next(drafts)
    file.write_text("one\n")
    with pytest.raises(UnreadableFile, match="became shorter"):
        list(drafts)


def test_columns_can_be_named(tmp_path: Path) -> None:
    file = written(tmp_path, "f.csv", "id,subject,solved,product,secret\n7,hi,hello,router,x\n")
    ((row, key),) = read(file, text="subject", answer="solved", key="id", metadata=("product",))
    assert (row["text"], row["answer"], row["metadata"], key) == ("hi", "hello", {"product": "router"}, b"7")
    ((row, key),) = read(file, text="subject", key="id")
    assert row["metadata"] == {"id": "7", "solved": "hello", "product": "router", "secret": "x"}
    lines = written(tmp_path, "f.jsonl", '{"q": {"body": "hi"}, "n": 5, "id": 7, "more": [1]}\n')
    assert read(lines, text="q.body", key="id", metadata=("n",)) == [
        ({"v": 1, "text": "hi", "context": "default", "metadata": {"n": "5"}}, b"7")
    ]
    given = written(tmp_path, "k.jsonl", '{"text": "a", "metadata": {"user": "7"}}\n{"text": "b"}\n')
    assert [row[1] for row in read(given, key="user")] == [b"7", None]


@pytest.mark.parametrize(
    ("content", "columns", "told"),
    [
        (CSV, {"text": "subject"}, "there is no column 'subject': the columns are text, answer"),
        (CSV, {"metadata": ("lang",)}, "there is no column 'lang'"),
        ("text,answer,answer\na,b,c\n", {}, "two columns are 'answer'"),
        ("text,lang,lang\na,b,c\n", {}, "two columns are 'lang'"),
        ("text~answer\na~b\n", {}, "columns are cut by a comma, semicolon, TAB or |"),
        ("a,b\nc,d\n", {"key": "id"}, "no line of names"),
        ("id,lang\n1,en\n", {"metadata": ("lang",)}, "--text says which one"),
    ],
)
def test_a_table_whose_columns_are_wrong_is_told(
    content: str, columns: Any, told: str, tmp_path: Path
) -> None:
    (reject,) = read(written(tmp_path, "f.csv", content), **columns)
    assert (reject.reason, told in reject.message) == ("columns", True), reject


def test_parquet_has_types_nested_columns_and_nothing(tmp_path: Path) -> None:
    file = table(
        tmp_path,
        question=pa.array(["hi", None, "a\nb", ""], pa.large_string()),
        answer=pa.array(["x", "y", None, "z"]).dictionary_encode(),
        n=[1, 2, None, 4],
        at=pa.array([0, 1, 2, 3], pa.timestamp("ms")),
        ok=[True, False, True, None],
        raw=[b"\x00", b"b", b"c", b"d"],
        tags=[["a"], [], None, ["b"]],
        metadata=pa.array([[("lang", "en")], [], None, []], pa.map_(pa.string(), pa.string())),
        weight=[2.0, None, None, 1.0],
    )
    first, second, third, fourth = read(file)
    assert first[0] == {
        **{"v": 1, "text": "hi", "answer": "x", "weight": 2, "context": "default"},
        "metadata": {"n": "1", "at": "1970-01-01T00:00:00", "ok": "true", "lang": "en"},
    }
    assert (second.reason, second.line) == ("blank-text", 2)
    assert third[0]["text"] == "a\nb"
    assert (fourth.reason, fourth.line) == ("blank-text", 4)
    nested = table(tmp_path, "n.parquet", doc=[{"body": "deep", "id": 3}], other=[1])
    ((row, key),) = read(nested, text="doc.body", key="doc.id", metadata=("other",))
    assert (row["text"], row["metadata"], key) == ("deep", {"other": "1"}, b"3")


def _cut(file: Path, share: float) -> None:
    raw = file.read_bytes()
    file.write_bytes(raw[: int(len(raw) * share)])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: _cut(file, 0.5),
        lambda file: _cut(file, 0.0),
        lambda file: file.write_bytes(b"PAR1" + b"x" * 50 + b"PAR1"),
        lambda file: file.write_bytes(CSV.encode()),
        lambda file: file.write_bytes(file.read_bytes()[:4] + b"\xff" * 4_000 + file.read_bytes()[4_004:]),
    ],
    ids=["half", "empty", "no-footer", "csv", "data"],
)
def test_damaged_parquet_is_told(spoil: Any, tmp_path: Path) -> None:
    file = table(tmp_path, text=[os.urandom(20).hex() for _ in range(2_000)])
    spoil(file)
    with pytest.raises(UnreadableFile, match=r"t\.parquet.*copy it again"):
        read(file)


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"body": ["a"]}, "no column is named text, --text says which one it is: body"),
        ({"text": ["a"], "Text": ["b"]}, "two columns are 'text'"),
    ],
)
def test_parquet_with_wrong_columns_is_told(columns: Any, told: str, tmp_path: Path) -> None:
    (reject,) = read(table(tmp_path, **columns))
    assert (reject.reason, told in reject.message) == ("columns", True), reject


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff\xfe\xfd x", "not-utf8"),
        (b" \n", "blank-text"),
        (b"x" * 20_000, "too-long"),
        (b"a\x00b", "invalid-message"),
    ],
)
def test_a_document_that_is_no_text_is_told(content: bytes, reason: str, tmp_path: Path) -> None:
    written(tmp_path, "d.md", content)
    assert texts(tmp_path) == [reason]


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(tmp_path))

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_web_server_gives_files_of_every_format(web: str, tmp_path: Path) -> None:
    written(tmp_path, "f.csv.gz", gzip.compress(CSV.encode()))
    table(tmp_path, text=["deep"])
    assert texts(f"{web}/f.csv.gz", f"{web}/t.parquet?token=1") == ["hi", "bye", "deep"]
    with pytest.raises(UnreadableFile, match=r"absent\.csv: .*: is the address right"):
        texts(f"{web}/absent.csv")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(UnreadableFile, match="is the address right"):
            texts(f"http://127.0.0.1:{nobody.getsockname()[1]}/f.csv")


def test_a_dry_run_shows_what_would_be_sent_and_keeps_what_would_not(tmp_path: Path) -> None:
    file = written(tmp_path, "f.csv", "question;answer;lang\nhi;hello;en\n;x;en\n")
    rejects = tmp_path / "rejects.jsonl"
    done = CliRunner().invoke(
        hurnet, ["produce", str(file), "--dry-run", "--json", "--rejects", str(rejects)]
    )
    told = json.loads(done.stdout)
    assert (done.exit_code, told["valid"], told["invalid"], told["sent"]) == (1, 1, 1, 0)
    assert told["columns"] == {"text": "question", "answer": "answer", "metadata.lang": "lang"}
    assert told["preview"][0]["text"] == "hi"
    assert f"{file}:3: blank-text" in done.stderr
    (kept,) = map(json.loads, rejects.read_text().splitlines())
    assert (kept["line"], kept["reason"], kept["row"]) == (3, "blank-text", ["", "x", "en"])
    shown = CliRunner().invoke(hurnet, ["produce", str(file), "--dry-run", "--skip-invalid"])
    assert (shown.exit_code, "nothing was sent: 1 rows are texts, and 1 are not" in shown.stdout) == (0, True)
