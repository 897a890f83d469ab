"""Valid seed files of every format, and ways to damage them: blindly, byte by byte, and knowingly, checksums mended."""

import gzip
import io
import json
import random
import struct
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from paths import GOLDEN

from latens.runtime.safetensors import pack, unpack

FORMATS = ("model", "npz", "npy", "idx", "csv")
SUFFIX = {"model": ".safetensors", "npz": ".npz", "npy": ".npy", "idx": "-ubyte", "csv": ".csv"}

_NUMBERS = (0, 1, 2, 3, 5, 2**27, *(2**n for n in (7, 8, 16, 31, 32, 40, 62, 63)),
            *(2**n - 1 for n in (7, 8, 16, 31, 32, 64)))  # fmt: skip
_VALUES: list[Any] = [
    "\U0001f600" * 300,
    [1] * 65,
    *json.loads("""
    [null, true, false, -1, 0, 1, 2, 65536, 134217728, 9223372036854775807, -0.0, 5e-324, 1e-300, 1e30, 1e308,
    "", "x", "none", "normal", "real", "levels", "mlq-gaussian", "default", "__import__('os')", "\\u0000\\u001b[31m",
    [], [0], [134217728], {}, {"a": 1}, [[[]]]]
"""),
]
_WORDS = (
    *b"nan inf -inf 1e400 1_0 0x10 , ; | # ? 1e308 -0 =cmd()".split(),
    b"\xff", b"\x00", b"\xef\xbb\xbf", b'"', b"'", b"\t", b"\r", b"\r\n", b"\n\n", b" ", b"1,2,3\n", "\u0663".encode(),
)  # fmt: skip


def seeds(kind: str) -> list[bytes]:
    """Valid files of one format, a few hundred bytes to a few thousand each."""
    rng = np.random.default_rng(0)
    real, pixels = rng.normal(size=(30, 3)), rng.integers(0, 256, (20, 4, 4)).astype(np.uint8)
    if kind == "model":
        return [path.read_bytes() for path in sorted(GOLDEN.glob("*.safetensors"))]
    if kind == "npy":
        wide, fortran = rng.integers(-9, 9, (12, 5)), np.asfortranarray(real.astype(">f4"))
        return [_npy(array) for array in (real, pixels, pixels > 99, wide, fortran)] + [_npy(real, (2, 0))]
    if kind == "npz":
        label, words = np.arange(20) % 3, np.array([f"row {i}" for i in range(20)])
        members = [{"x": pixels, "y": label}, {"x": pixels, "y": words}, {"x_train": real[:20], "x_test": real[20:]}]
        return [_zip(m, packed) for m in members for packed in (True, False)]
    if kind == "idx":
        raw = [struct.pack(">HBB3I", 0, 8, 3, 20, 4, 4) + pixels.tobytes()]
        raw.append(struct.pack(">HBB2I", 0, 0x0E, 2, 30, 3) + real.astype(">f8").tobytes())
        return raw + [gzip.compress(data, mtime=0) for data in raw]
    lines = "\n".join(",".join(f"{v:.4f}" for v in row) for row in real)
    raw = [f"a,b,c\n{lines}\n", *(lines.replace(",", other) for other in (";", "\t", "  ")), f"\ufeff{lines}"]
    quoted = 'age,"a ""b"", c",y\n' + "\n".join(f'{i},"{i / 7:.3f}",{i % 2}' for i in range(30))
    encoded = [text.encode() for text in (*raw, quoted)]
    return [*encoded, gzip.compress(encoded[0], mtime=0)]


def mutate(kind: str, number: int) -> bytes:
    """The damaged file of this number: always the same for the same number."""
    rng = random.Random(f"{kind} {number}")
    pool = seeds(kind)
    data = rng.choice(pool)
    knowing = _KNOWING.get(kind)
    if knowing is not None and rng.random() < 0.5:
        data = knowing(data, rng)
        if rng.random() < 0.7:
            return data
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        data = rng.choice(_BLIND)(data, rng, pool)
    return data


def _flip(data: bytes, rng: random.Random, pool: list[bytes]) -> bytes:
    place = _place(data, rng)
    return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :] if data else data


def _set(data: bytes, rng: random.Random, pool: list[bytes]) -> bytes:
    place = _place(data, rng)
    return data[:place] + bytes([rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))]) + data[place + 1 :]


def _cut(data: bytes, rng: random.Random, pool: list[bytes]) -> bytes:
    return data[: _place(data, rng)]


def _remove(data: bytes, rng: random.Random, pool: list[bytes]) -> bytes:
    place = _place(data, rng)
    return data[:place] + data[place + rng.choice((1, 2, 8, 64)) :]


def _insert(data: bytes, rng: random.Random, pool: list[bytes]) -> bytes:
    place = _place(data, rng)
    return (
        data[:place]
        + (rng.choice(_WORDS) if rng.random() < 0.6 else rng.randbytes(rng.choice((1, 4, 300))))
        + data[place:]
    )


def _repeat(data: bytes, rng: random.Random, pool: list[bytes]) -> bytes:
    place, length = _place(data, rng), rng.choice((1, 4, 16, 128, 1024))
    return data[:place] + data[place : place + length] * rng.choice((2, 3, 50)) + data[place + length :]


def _splice(data: bytes, rng: random.Random, pool: list[bytes]) -> bytes:
    other = rng.choice(pool)
    return data[: _place(data, rng)] + other[_place(other, rng) :]


def _number(data: bytes, rng: random.Random, pool: list[bytes]) -> bytes:
    """An integer of 1 to 8 bytes, of either order, overwritten by one that has hurt somebody before."""
    size, place = rng.choice((1, 2, 4, 8)), _place(data, rng)
    raw = (rng.choice(_NUMBERS) % 256**size).to_bytes(size, rng.choice(("little", "big")))
    return data[:place] + raw + data[place + size :]


def _digits(data: bytes, rng: random.Random, pool: list[bytes]) -> bytes:
    """A number written in digits replaced by another."""
    found = [i for i, byte in enumerate(data[:4096]) if 48 <= byte <= 57]
    if not found:
        return data
    start = end = rng.choice(found)
    while end < len(data) and 48 <= data[end] <= 57:
        end += 1
    return data[:start] + str(rng.choice(_NUMBERS)).encode() + data[end:]


_BLIND: tuple[Callable[[bytes, random.Random, list[bytes]], bytes], ...] = (_flip, _flip, _set, _cut, _remove, _insert)
_BLIND = (*_BLIND, _repeat, _splice, _number, _digits)


def _place(data: bytes, rng: random.Random) -> int:
    """Half of the time within the first 200 bytes, where headers are."""
    return rng.randrange(max(1, min(len(data), 200) if rng.random() < 0.5 else len(data)))


def _model(data: bytes, rng: random.Random) -> bytes:
    """A file whose checksums are right: what a hostile author writes, not what a bad disk does."""
    arrays, metadata = unpack(data)
    if rng.random() < 0.25:
        name = rng.choice(sorted(arrays))
        array = arrays.pop(name)
        changed: list[Any] = [array.astype(np.float64), array.reshape(-1), array[..., :-1], array * np.nan]
        changed += [array + np.inf, array.astype(np.int8)]
        arrays[rng.choice((name, name, name, name + ".x", "x", name.upper()))] = rng.choice(changed)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        _change_json(metadata, rng)
    return pack(arrays, metadata)


def _change_json(value: Any, rng: random.Random) -> None:
    """One value, somewhere in a JSON object, replaced, removed or joined by another."""
    key: Any = None
    while isinstance(value, dict | list) and value:
        key = rng.choice(sorted(value)) if isinstance(value, dict) else rng.randrange(len(value))
        if not isinstance(value[key], dict | list) or not value[key] or rng.random() < 0.15:
            break
        value = value[key]
    if key is None or rng.random() < 0.1:
        if isinstance(value, dict):
            value[rng.choice(("x", "kind", "__class__"))] = rng.choice(_VALUES)
    elif rng.random() < 0.1:
        del value[key]
    else:
        value[key] = json.loads(json.dumps(rng.choice(_VALUES)))


def _archive(data: bytes, rng: random.Random) -> bytes:
    """An .npz with a damaged member inside right checksums, an odd name, or an odd number of members."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    place = rng.randrange(len(members))
    name, content = members[place]
    odd = (
        "../x.npy", "/etc/x.npy", "x", "x.npy", "y.npy", "C:\\x.npy", "__class__.npy", "\x00.npy", "x.npy.npy", ".npy",
    )  # fmt: skip
    choice = rng.random()
    if choice < 0.6:
        content = rng.choice(_BLIND)(content, rng, seeds("npy"))
    elif choice < 0.9:
        name = rng.choice(odd)
    else:
        members = members * rng.choice((0, 2, 40))
        place = len(members)
    members[place : place + 1] = [(name, content)]
    return _packed(members, rng.random() < 0.5)


def _inside_gzip(data: bytes, rng: random.Random) -> bytes:
    plain = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    return gzip.compress(rng.choice(_BLIND)(plain, rng, [plain]), mtime=0)


_KNOWING: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "model": _model,
    "npz": _archive,
    "idx": _inside_gzip,
    "csv": _inside_gzip,
}


def _npy(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=version, allow_pickle=False)
    return stream.getvalue()


def _zip(arrays: dict[str, np.ndarray], packed: bool) -> bytes:
    return _packed([(f"{name}.npy", _npy(array)) for name, array in arrays.items()], packed)


def _packed(members: list[tuple[str, bytes]], packed: bool) -> bytes:
    stream = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(stream, "w", kind) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name that comes twice is meant
        for name, content in members:
            # An own ZipInfo has a fixed date: equal numbers give equal files.
            info = zipfile.ZipInfo(name)
            info.compress_type = kind
            archive.writestr(info, content)
    return stream.getvalue()
