"""A server that misbehaves on purpose: every mirror is given up in time, and nothing half is left."""

import gzip
import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from linnaea.data import downloads
from linnaea.data.downloads import fetch
from linnaea.errors import DataError

CONTENT = b"the content, as published" * 4000
MD5 = hashlib.md5(CONTENT).hexdigest()
OK = b"HTTP/1.1 200 OK\r\n"
Answer = Callable[[socket.socket], None]
over = threading.Event()
"""Set once a test has ended: no mirror that stalls, trickles or never ends does so before."""


def answering(head: bytes, body: bytes = b"") -> Answer:
    return lambda peer: peer.sendall(head + b"\r\n" + body)


def stall(peer: socket.socket) -> None:
    over.wait(60)


def stall_midway(peer: socket.socket) -> None:
    peer.sendall(OK + b"Content-Length: %d\r\n\r\n" % len(CONTENT) + CONTENT[:60_000])
    over.wait(60)


def trickle(peer: socket.socket) -> None:
    peer.sendall(OK + b"Content-Length: %d\r\n\r\n" % len(CONTENT))
    for byte in CONTENT:
        peer.sendall(bytes([byte]))
        if over.wait(0.05):
            break


def endless(peer: socket.socket) -> None:
    peer.sendall(OK + b"\r\n")
    while not over.is_set():
        peer.sendall(bytes(1 << 16))


MISBEHAVIOUR: dict[str, tuple[Answer, str]] = {
    "says nothing": (stall, "no answer within"),
    "hangs up": (lambda peer: None, "could not be reached"),
    "stalls midway": (stall_midway, "no answer within|could not be reached"),
    "trickles": (trickle, r"sent \d+ bytes in"),
    "never ends": (endless, "sent more than 1,000,000 bytes"),
    "claims less": (answering(OK + b"Content-Length: 50\r\n", CONTENT), "MD5"),
    "claims more": (answering(OK + b"Content-Length: 900000\r\n", CONTENT), "broke off before its end"),
    "claims nonsense": (answering(OK + b"Content-Length: many\r\n", CONTENT), "MD5|not an address"),
    "sends a page": (answering(OK, b"<!DOCTYPE html><p>Please log in</p>"), "sent a web page, MD5"),
    "sends another file": (
        answering(OK, b"something else"),
        "MD5 6c7ba9c5a141421e1c03cb9807c97c74 instead of",
    ),
    "speaks no HTTP": (lambda peer: peer.sendall(b"220 ftp ready\r\n"), "could not be reached"),
    "turns in circles": (
        answering(b"HTTP/1.1 302 Found\r\nLocation: /\r\nConnection: close\r\n"),
        "redirects",
    ),
    "points at a file": (
        answering(b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n"),
        "file:///etc/pa",
    ),
    "sends a bomb": (answering(OK, gzip.compress(bytes(2_000_000))), "unpacks to more than 1,000,000 bytes"),
    "sends half a gzip": (answering(OK, gzip.compress(CONTENT)[:100]), "gave a damaged gzip file"),
    "bad chunks": (answering(OK + b"Transfer-Encoding: chunked\r\n", b"zz\r\nno\r\n"), "broke off|reached"),
}


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], str]]:
    """Return a function that starts a server with one answer and returns its address."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name, value in {"PAUSE": 0.0, "TIMEOUT": 0.3, "WINDOW": 0.4, "MAX_BYTES": 1_000_000}.items():
        monkeypatch.setattr(downloads, name, value)
    listeners: list[socket.socket] = []

    def start(answer: Answer) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def one(peer: socket.socket) -> None:
            # The client may hang up first: that is what is tested.
            try:
                with peer:
                    peer.settimeout(2)
                    peer.recv(65536)
                    answer(peer)
            except OSError:
                pass

        def loop() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(peer,), daemon=True).start()

        threading.Thread(target=loop, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/file"

    over.clear()
    yield start
    over.set()
    for listener in listeners:
        listener.close()


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


@pytest.mark.parametrize("kind", MISBEHAVIOUR)
def test_a_misbehaving_mirror_is_given_up_and_told(
    tmp_path: Path, serve: Callable[[Answer], str], kind: str
) -> None:
    answer, told = MISBEHAVIOUR[kind]
    address = serve(answer)
    # That it comes back at all shows that a mirror that is still at it was given up.
    with pytest.raises(DataError, match=f"{address}: .*({told})"):
        fetch(tmp_path / "file", MD5, [address], decompress=True)
    assert left_behind(tmp_path) == []
    # The next one that answers well still gives the file.
    good = serve(answering(OK + b"Content-Length: %d\r\n" % len(CONTENT), CONTENT))
    assert fetch(tmp_path / "file", MD5, [good]).read_bytes() == CONTENT


def test_a_killed_download_starts_again_and_leaves_no_half_file(
    tmp_path: Path, serve: Callable[[Answer], str]
) -> None:
    address = serve(stall_midway)
    program = (
        "import pathlib, sys; from linnaea.data.downloads import fetch; "
        "fetch(pathlib.Path('file'), '', sys.argv[1:])"
    )
    child = subprocess.Popen([sys.executable, "-c", program, address], cwd=tmp_path, env={**os.environ})
    # Killed as soon as it has begun to write.
    deadline = time.monotonic() + 30
    while not any(p.stat().st_size for p in tmp_path.glob(".fetch-file-*/*/received")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (tmp_path / "file").exists()
    good = serve(answering(OK + b"Content-Length: %d\r\n" % len(CONTENT), CONTENT))
    assert fetch(tmp_path / "file", MD5, [good]).read_bytes() == CONTENT
    # What the killed one left is gone, too.
    assert left_behind(tmp_path) == ["file"]
