"""Deletion vectors: positions of a data file's deleted rows, in `deletion_vector_*.bin` files.

Written to files alone, as Spark does: its VACUUM (Delta 4.3) fails on a table with a vector that is inline in the log. Those are read.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Mapping

from pyroaring import BitMap64

from lakehouse.delta.actions import DeletionVector
from lakehouse.delta.store import Store
from lakehouse.errors import EbapError

_MAGIC = struct.pack("<i", 1681511377)
_FILE_VERSION = b"\x01"
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_UUID_LENGTH = 20


def z85_encode(data: bytes) -> str:
    """Bytes as Z85 text; padded with zero bytes to a multiple of four."""
    padded = data + b"\0" * (-len(data) % 4)
    text = []
    for (number,) in struct.iter_unpack(">I", padded):
        for power in (85**4, 85**3, 85**2, 85, 1):
            text.append(_ALPHABET[number // power % 85])
    return "".join(text)


def z85_decode(text: str) -> bytes:
    """Bytes of Z85 text, padding included. Raises EbapError where it is not Z85."""
    if len(text) % 5:
        raise EbapError(f"{len(text)} characters are not Z85: the length must be a multiple of five")
    data = bytearray()
    try:
        for start in range(0, len(text), 5):
            number = 0
            for character in text[start : start + 5]:
                number = number * 85 + _VALUES[character]
            data += struct.pack(">I", number)
    except (KeyError, struct.error):
        raise EbapError(f"{text!r} is not Z85") from None
    return bytes(data)


def encode(rows: BitMap64) -> bytes:
    """A vector's bytes: the magic number and the portable 64-bit roaring bitmap."""
    return bytes(_MAGIC + rows.serialize())


def decode(data: bytes) -> BitMap64:
    """The positions in a vector's bytes. Raises EbapError for another format."""
    if data[:4] != _MAGIC:
        raise EbapError(f"a deletion vector begins with {data[:4].hex()}, not with {_MAGIC.hex()}: its format is unknown")
    return BitMap64.deserialize(data[4:])


def read(store: Store, root: str, vector: DeletionVector) -> BitMap64:
    """The deleted positions of a table at `root`. Raises EbapError if the stored bytes are not valid, FileNotFoundError."""
    if vector.storage_type == "i":
        rows = decode(z85_decode(vector.path_or_inline)[: vector.size])
    else:
        path = file_path(root, vector)
        rows = decode(_in_file(store.read(path), path, vector))
    if len(rows) != vector.cardinality:
        raise EbapError(f"deletion vector {vector.unique_id} holds {len(rows)} rows, the log records {vector.cardinality}")
    return rows


def file_path(root: str, vector: DeletionVector) -> str:
    """The path of a vector that is stored in a file."""
    text = vector.path_or_inline
    prefix, encoded = text[:-_UUID_LENGTH], text[-_UUID_LENGTH:]
    folder = f"{root}/{prefix}" if prefix else root
    return f"{folder}/deletion_vector_{uuid.UUID(bytes=z85_decode(encoded))}.bin"


def _in_file(data: bytes, path: str, vector: DeletionVector) -> bytes:
    if data[:1] != _FILE_VERSION:
        raise EbapError(f"{path} is of version {data[:1].hex()}: only 01 is supported")
    start = vector.offset or 0
    (size,) = struct.unpack_from(">i", data, start)
    found = data[start + 4 : start + 4 + size]
    (checksum,) = struct.unpack_from(">I", data, start + 4 + size)
    if size != vector.size or zlib.crc32(found) != checksum:
        raise EbapError(f"{path} at byte {start} is damaged: its size or checksum does not match")
    return found


def write(store: Store, root: str, vectors: Mapping[str, BitMap64]) -> dict[str, DeletionVector]:
    """Store non-empty vectors by name, all in one new file."""
    stored: dict[str, DeletionVector] = {}
    content, own = bytearray(_FILE_VERSION), uuid.uuid4()
    for name, rows in vectors.items():
        rows.run_optimize()
        data = encode(rows)
        stored[name] = DeletionVector(
            storage_type="u", path_or_inline=z85_encode(own.bytes), offset=len(content), size=len(data), cardinality=len(rows)
        )
        content += struct.pack(">i", len(data)) + data + struct.pack(">I", zlib.crc32(data))
    if stored:
        store.put_unique(f"{root}/deletion_vector_{own}.bin", bytes(content))
    return stored
