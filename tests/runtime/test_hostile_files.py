"""A model file from a stranger is refused or harmless, whatever it claims."""

import hashlib
import json
import os
import struct
import time
import tracemalloc

import numpy as np
import pytest

from latens.errors import ConfigError, ModelFileError
from latens.runtime.atomic import plain, to_json
from latens.runtime.safetensors import arrays_sha256, pack, parse_json_strict, read


def small() -> tuple[dict[str, np.ndarray], dict]:
    return {"w": np.array([[1.5, -2.0]], np.float32), "n": np.array(7, np.int64)}, {"recipe": "x", "beta": 0.1}


def build(header: dict | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def sealed(arrays: dict[str, np.ndarray], metadata: dict | None = None) -> dict:
    """A header's metadata with right checksums, as a hostile author can make them too."""
    metadata = metadata or {}
    digest = hashlib.sha256(to_json(metadata)).hexdigest()
    return {"latens": json.dumps(metadata | {"sha256": arrays_sha256(arrays), "metadata_sha256": digest})}


def tensor(begin: int, end: int, shape: list, dtype: str = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_every_flipped_byte_is_noticed(tmp_path):
    data, path = pack(*small()), tmp_path / "m.safetensors"
    for position in range(len(data)):
        for mask in (1 << position % 8, 0x20, 0xFF):  # one bit, the case of a letter, all bits
            damaged = bytearray(data)
            damaged[position] ^= mask
            path.write_bytes(damaged)
            with pytest.raises(ModelFileError) as caught:
                read(path)
            assert caught.value.where == str(path)
            assert caught.value.fix


def test_every_truncation_and_any_addition_is_noticed(tmp_path):
    data, path = pack(*small()), tmp_path / "m.safetensors"
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(ModelFileError):
            read(path)
    path.write_bytes(data + b"\0")
    with pytest.raises(ModelFileError, match="not a safetensors file"):
        read(path)


ONE = {"a": np.zeros(1, np.float32)}


META = sealed(ONE)


NO_TENSORS = {
    "header no object": build(b"[1]"),
    "header a pickle": build(b"\x80\x04\x95"),
    "metadata a list": build({"__metadata__": [1]}),
    "metadata no text": build({"__metadata__": {"latens": {}}}),
    "tensor twice": build(b'{"a": 1, "a": 1}'),
    "deep header": build(b'{"a":' + b"[" * 100_000),
    "tensor a number": build({"__metadata__": META, "a": 1}),
    "unknown dtype": build({"__metadata__": META, "a": tensor(0, 4, [1], "PICKLE")}, bytes(4)),
    "dtype a list": build({"__metadata__": META, "a": tensor(0, 4, [1], ["F32"])}, bytes(4)),
    "negative shape": build({"__metadata__": META, "a": tensor(0, 4, [-1, -1])}, bytes(4)),
    "fractional shape": build({"__metadata__": META, "a": tensor(0, 4, [1.0])}, bytes(4)),
    "true as a shape": build({"__metadata__": META, "a": tensor(0, 4, [True])}, bytes(4)),
    "overflowing shape": build({"__metadata__": META, "a": tensor(0, 4, [2**62, 8])}, bytes(4)),
    "huge empty shape": build({"__metadata__": META, "a": tensor(0, 0, [0, 2**62])}),
    "too many dimensions": build({"__metadata__": META, "a": tensor(0, 4, [1] * 65)}, bytes(4)),
    "three offsets": build({"__metadata__": META, "a": tensor(0, 4, [1]) | {"data_offsets": [0, 4, 4]}}, bytes(4)),
    "shape larger than bytes": build({"__metadata__": META, "a": tensor(0, 4, [1000])}, bytes(4)),
    "offsets backwards": build({"__metadata__": META, "a": tensor(4, 0, [1])}, bytes(4)),
    "beyond the file": build({"__metadata__": META, "a": tensor(0, 4 << 30, [1 << 30])}, bytes(4)),
    "overlap": build({"__metadata__": META, "a": tensor(0, 8, [2]), "b": tensor(4, 12, [2])}, bytes(12)),
    "same place twice": build({"__metadata__": META, "a": tensor(0, 4, [1]), "b": tensor(0, 4, [1])}, bytes(4)),
    "gap": build({"__metadata__": META, "a": tensor(4, 8, [1])}, bytes(8)),
    "bytes after the end": build({"__metadata__": META, "a": tensor(0, 4, [1])}, bytes(5)),
    "not UTF-8": build(b'{"\xff": 1}'),
    "control character": build(b'{"a\n": 1}'),
}
HOSTILE = {name: (raw, "not a safetensors file") for name, raw in NO_TENSORS.items()} | {
    "header longer than the file": (build(b"{}", length=2**63), "the header claims"),
    "header of 9 MB": (build(b"{" + b" " * (9 << 20) + b"}"), "the header claims"),
    "no metadata": (build({"a": tensor(0, 4, [1])}, bytes(4)), "no latens metadata"),
    "metadata not JSON": (build({"__metadata__": {"latens": "x"}}), "not valid JSON"),
    "metadata NaN": (build({"__metadata__": {"latens": '{"x": NaN}'}}), "not valid JSON"),
    "metadata deep": (build({"__metadata__": {"latens": "[" * 100_000}}), "nested too deep"),
    "metadata not an object": (build({"__metadata__": {"latens": "[]"}}), "not a JSON object"),
    "metadata changed": (
        build(
            {"__metadata__": {"latens": META["latens"].replace("{", '{"x": 1, ', 1)}, "a": tensor(0, 4, [1])}, bytes(4)
        ),
        "do not match their checksum",
    ),
    "empty name": (build({"__metadata__": META, "": tensor(0, 4, [1])}, bytes(4)), "cannot name a tensor"),
    "other bytes": (build({"__metadata__": META, "a": tensor(0, 4, [1])}, b"\0\0\0\1"), "arrays do not match"),
    "renamed": (build({"__metadata__": META, "b": tensor(0, 4, [1])}, bytes(4)), "arrays do not match"),
    "other dtype": (build({"__metadata__": META, "a": tensor(0, 4, [1], "I32")}, bytes(4)), "arrays do not match"),
    "truth value 2": (build({"__metadata__": META, "a": tensor(0, 1, [1], "BOOL")}, b"\2"), "truth value"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_before_memory_is_taken(case, tmp_path):
    data, message = HOSTILE[case]
    path = tmp_path / "m.safetensors"
    path.write_bytes(data)
    tracemalloc.start()
    began = time.perf_counter()
    try:
        with pytest.raises(ModelFileError, match=message) as caught:
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20
    assert time.perf_counter() - began < 2
    assert caught.value.exit_code == 5
    assert len(str(caught.value)) < 600


def test_the_hostile_table_starts_from_a_good_file(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(build({"__metadata__": META, "a": tensor(0, 4, [1])}, bytes(4)))
    arrays, metadata = read(path)
    assert arrays["a"].tolist() == [0.0]
    assert metadata == {}


def test_what_is_no_file_is_said_to_be_none(tmp_path):
    with pytest.raises(ModelFileError, match="no such file"):
        read(tmp_path / "absent")
    with pytest.raises(ModelFileError, match="not an ordinary file"):
        read("/dev/zero" if os.path.exists("/dev/zero") else tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ModelFileError, match="not an ordinary file"):
            read(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(pack(*small()))
    with pytest.raises(ModelFileError, match="more than the 10 allowed"):
        read(tmp_path / "large", max_bytes=10)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 1_000_000, "nested too deep"),
        ('{"a":' * 1_000_000, "nested too deep"),
        ("[" * 65 + "]" * 65, "nested too deep"),
        ("9" * 5_000_000, "out of range"),
        ("1e999", "out of range"),
        ("NaN", "not valid JSON"),
        ("[-Infinity]", "not valid JSON"),
        ('"\\ud800"', "not valid JSON"),
        (b'"\xff"', "UTF-8"),
        (b'\xef\xbb\xbf""', "not valid JSON"),
        ("", "not valid JSON"),
        ("1 2", "not valid JSON"),
        ('"' + '\\"' * 1_000_000, "not valid JSON"),
        (" " * (9 << 20), "larger than"),
    ],
)
def test_json_bombs_are_refused(text, message):
    began = time.perf_counter()
    with pytest.raises(ConfigError, match=message):
        parse_json_strict(text, error=ConfigError)
    assert time.perf_counter() - began < 2


def test_json_keeps_every_bit_of_what_is_valid():
    value = {"a": [1, -(2**63), 2**64 - 1, 0.1, -0.0, 5e-324, 1.7976931348623157e308], "é": None, "t": [True, "\n"]}
    assert parse_json_strict(to_json(value)) == value
    assert str(parse_json_strict(to_json(-0.0))) == "-0.0"
    assert parse_json_strict("[" * 64 + "]" * 64) is not None
    assert plain({"x": (np.float32(0.5), np.arange(2)), "p": "a\udcff"}) == {"x": [0.5, [0, 1]], "p": "a\\udcff"}
