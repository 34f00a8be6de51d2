"""Against a real HTTP server on this machine."""

import gzip
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from linnaea.data import downloads
from linnaea.data.downloads import cache_folder, fetch
from linnaea.errors import DataError, LinnaeaError

CONTENT = b"the content, as published" * 40
MD5 = hashlib.md5(CONTENT).hexdigest()


class _Mirror(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        type(self).asked.append(self.path)
        body = gzip.compress(CONTENT)
        if self.path == "/missing":
            self.send_error(404)
            return
        if self.path == "/busy":
            self.send_error(503)
            return
        if self.path == "/other":
            body = gzip.compress(b"something else")
        if self.path == "/page":
            body = b"<html>Please log in to this network</html>"
        if self.path == "/damaged":
            body = body[:-20]
        if self.path == "/raw":
            body = CONTENT
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if self.path == "/encoded":
            # Such a server lets the client decompress: what arrives is the raw content.
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(body[:10] if self.path == "/broken" else body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def mirror(monkeypatch):
    monkeypatch.setattr(downloads, "PAUSE", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    _Mirror.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Mirror)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


@pytest.mark.parametrize("place", ["good", "raw", "encoded"])
def test_content_is_stored_decompressed_and_checked(tmp_path, mirror, place):
    path = fetch(tmp_path / "file", MD5, [f"{mirror}/{place}"], decompress=True)
    assert path.read_bytes() == CONTENT
    assert left_behind(tmp_path) == ["file"]


def test_without_decompression_the_file_itself_is_checked_and_stored(tmp_path, mirror):
    packed = gzip.compress(CONTENT, mtime=0)
    assert fetch(tmp_path / "raw", MD5, [f"{mirror}/raw"]).read_bytes() == CONTENT
    with pytest.raises(DataError, match="MD5"):
        fetch(tmp_path / "packed", hashlib.md5(packed + b"x").hexdigest(), [f"{mirror}/good"])


@pytest.mark.parametrize("place", ["missing", "other", "page", "damaged", "broken", "busy"])
def test_after_a_bad_mirror_the_next_one_gives_the_file(tmp_path, mirror, place):
    path = fetch(tmp_path / "file", MD5, [f"{mirror}/{place}", f"{mirror}/good"], decompress=True)
    assert path.read_bytes() == CONTENT
    assert left_behind(tmp_path) == ["file"]


def test_when_no_mirror_helps_each_failure_is_told_and_nothing_is_left(tmp_path, mirror):
    places = ["missing", "other", "damaged", "broken", "busy"]
    with pytest.raises(DataError) as caught:
        fetch(
            tmp_path / "file", MD5, [f"{mirror}/{p}" for p in places], decompress=True, cure="Ask a friend."
        )
    other = hashlib.md5(b"something else").hexdigest()
    damaged = len(gzip.compress(CONTENT)) - 20
    assert str(caught.value) == (
        f"file could not be fetched ({mirror}/missing: answered 404 Not Found; "
        f"{mirror}/other: MD5 {other} instead of {MD5}; "
        f"{mirror}/damaged: gave a damaged gzip file of {damaged} bytes; "
        f"{mirror}/broken: broke off before its end; "
        f"{mirror}/busy: answered 503 Service Unavailable). Ask a friend."
    )
    assert left_behind(tmp_path) == []
    # Only those that may answer better later are asked again.
    assert _Mirror.asked == ["/missing", "/other", "/damaged", "/broken", "/busy", "/broken", "/busy"]


def test_nobody_at_the_address_and_no_address(tmp_path, mirror):
    with pytest.raises(
        DataError, match=r"http://127.0.0.1:1/x: could not be reached; nowhere: not an address"
    ):
        fetch(tmp_path / "file", MD5, ["http://127.0.0.1:1/x", "nowhere"])
    with pytest.raises(DataError, match="no mirror is known"):
        fetch(tmp_path / "file", MD5, [])


def test_what_is_there_is_not_fetched_again(tmp_path, mirror):
    for _ in range(2):
        fetch(tmp_path / "file", MD5, [f"{mirror}/good"], decompress=True)
    assert _Mirror.asked == ["/good"]


def test_several_at_once_fetch_once(tmp_path, mirror):
    def one() -> None:
        fetch(tmp_path / "file", MD5, [f"{mirror}/good"], decompress=True)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _Mirror.asked == ["/good"]


def test_a_cache_that_cannot_be_written_is_named(tmp_path, mirror):
    (tmp_path / "file").write_text("in the way of a folder")
    with pytest.raises(LinnaeaError, match=r"could not be written .*LINNAEA_CACHE"):
        fetch(tmp_path / "file" / "below", MD5, [f"{mirror}/good"])


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("LINNAEA_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("LINNAEA_CACHE")
    assert cache_folder().name == "linnaea"
