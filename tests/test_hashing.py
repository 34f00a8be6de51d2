"""Content hashes: of bytes, of a file in blocks, of lines."""

import hashlib
import io

from linnaea.hashing import content_hash, file_hash, text_hash


def test_a_content_hash_is_the_first_half_of_a_sha_256():
    # FIPS 180-2, appendix B.1: SHA-256 of "abc".
    assert content_hash(b"abc") == "ba7816bf8f01cfea414140de5dae2223"


def test_a_file_hashes_as_its_bytes_do():
    content = bytes(range(256)) * 5000
    assert file_hash(io.BytesIO(content)) == content_hash(content)


def test_lines_hash_as_the_text_that_they_are():
    assert text_hash(["é", "b"]) == hashlib.sha256("é\nb\n".encode()).hexdigest()[:32]
    assert text_hash(["ab"]) != text_hash(["a", "b"])
