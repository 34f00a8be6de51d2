import functools
import gzip
import shutil
import threading
from collections import Counter
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from linnaea.data import downloads
from linnaea.data.mnist import open_mnist
from linnaea.errors import DataError

# Counts of each digit, 0 to 9, as known from the published files.
TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_digits_are_500_of_each_class(digits):
    assert digits.pixels.shape == (5000, 28, 28)
    assert digits.pixels.dtype == np.uint8
    assert Counter(digits.labels.tolist()) == {str(digit): 500 for digit in range(10)}
    assert digits.paths[17] == "digits/00017"
    assert digits.splits is None


def test_digits_are_pictures_of_mnist(shared, digits):
    mnist = open_mnist(shared / "data" / "mnist")
    known = {pixels.tobytes(): label for pixels, label in zip(mnist.pixels, mnist.labels, strict=True)}
    assert all(known[p.tobytes()] == label for p, label in zip(digits.pixels, digits.labels, strict=True))


def test_mnist_has_its_published_counts(shared):
    mnist = open_mnist(shared / "data" / "mnist")
    assert mnist.pixels.shape == (70000, 28, 28)
    assert len(set(mnist.paths)) == 70000
    assert (mnist.paths[17], mnist.paths[60000]) == ("train/00017", "test/00000")
    assert mnist.split_name == "official split"
    for split, counts in (("train", TRAIN_COUNTS), ("test", TEST_COUNTS)):
        assert [int(np.sum(mnist.labels[mnist.splits == split] == str(d))) for d in range(10)] == counts
    # The first training picture is the famous five.
    assert mnist.labels[0] == "5"


@pytest.mark.parametrize("below", ["mnist", "MNIST/raw"])
def test_files_are_found_below_the_data_folder_raw_or_gzipped(tmp_path, shared, below):
    (tmp_path / below).mkdir(parents=True)
    for number, path in enumerate(sorted((shared / "data" / "mnist").glob("*.gz"))):
        if number % 2:
            shutil.copy(path, tmp_path / below)
        else:
            (tmp_path / below / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    assert len(open_mnist(tmp_path)) == 70000


def test_a_mirror_named_in_the_environment_fills_the_cache(tmp_path, shared, monkeypatch):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(shared / "data"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("LINNAEA_CACHE", str(tmp_path))
    base = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("LINNAEA_MNIST_MIRRORS", f"{base}/nothing-here {base}/mnist")
    assert len(open_mnist()) == 70000
    server.shutdown()
    server.server_close()
    # From now on the cache is enough.
    assert len(open_mnist()) == 70000
    assert (tmp_path / "mnist" / "t10k-labels-idx1-ubyte").stat().st_size == 10008


def test_another_data_set_under_the_same_names_is_refused(tmp_path, shared):
    for path in (shared / "data" / "mnist").glob("*.gz"):
        shutil.copy(path, tmp_path)
    content = bytearray(gzip.decompress((tmp_path / "t10k-labels-idx1-ubyte.gz").read_bytes()))
    content[8] ^= 1
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(bytes(content)))
    expected = (
        r"t10k-labels-idx1-ubyte.gz is not MNIST's t10k-labels-idx1-ubyte as published: its content has MD5 "
    )
    with pytest.raises(
        DataError, match=expected + r"\w{32}, expected 27ae3e4e09519cfbb04c329615203637\. Remove it"
    ):
        open_mnist(tmp_path)


def test_a_data_folder_that_is_not_there_is_not_passed_over(tmp_path):
    with pytest.raises(DataError, match=r"The data folder .*/nowhere does not exist\. Check data_dir\."):
        open_mnist(tmp_path / "nowhere")


def test_without_a_mirror_the_way_out_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "PAUSE", 0.0)
    monkeypatch.setenv("LINNAEA_CACHE", str(tmp_path))
    monkeypatch.setenv("LINNAEA_MNIST_MIRRORS", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(
        DataError, match=r"train-images-idx3-ubyte could not be fetched \(http://127\.0\.0\.1:1/"
    ) as caught:
        open_mnist()
    assert "put the four files into a folder and pass it as data_dir" in caught.value.cure
