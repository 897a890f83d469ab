"""Trees of arrays become files and come back without a bit changed."""

import hashlib
import json
import struct
from collections import namedtuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import safetensors
import safetensors.numpy
from paths import GOLDEN

from latens.errors import ModelFileError
from latens.runtime.safetensors import arrays_sha256, arrays_to_tree, pack, read, tree_to_arrays, write_atomic

NAN_PAYLOADS = np.array([0x7FC00001, 0xFFC12345, 0x7F800001, 0x80000000], np.uint32).view(np.float32)


Pair = namedtuple("Pair", "left right")


def small() -> tuple[dict[str, np.ndarray], dict]:
    return {"w": np.array([[1.5, -2.0]], np.float32), "n": np.array(7, np.int64)}, {"recipe": "x", "beta": 0.1}


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def test_every_leaf_of_a_state_comes_back_bit_for_bit(tmp_path):
    tree = {
        "params": [jnp.arange(6.0).reshape(2, 3), Pair(jnp.asarray(NAN_PAYLOADS), jnp.asarray([True, False]))],
        "opt": optax.adam(1e-3).init({"a.b/c": jnp.full(2, -0.0)}), "key": jax.random.split(jax.random.key(3), 4),
        "other": jax.random.key(5, impl="rbg"), "half": jnp.asarray([1.0, 3.0], jnp.bfloat16),
        "empty": np.zeros((0, 3)), "wide": np.array([2**63 + 1], np.uint64), "scalar": np.float32(0.1),
        "big_endian": np.array([1, 256], ">i4"),
        "columns": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)), "name": "static",
        "activation": jnp.tanh,
    }  # fmt: skip
    path = tmp_path / "state.safetensors"
    arrays = tree_to_arrays(tree)
    write_atomic(path, pack(arrays, {"step": 3}))
    loaded, metadata = read(path)
    assert metadata == {"step": 3}
    assert sorted(loaded) == sorted(arrays)
    restored = arrays_to_tree(loaded, tree)
    assert jax.tree.structure(restored) == jax.tree.structure(tree)
    again = tree_to_arrays(restored)
    for name, array in arrays.items():
        assert same_bits(again[name], array.astype(array.dtype.newbyteorder("="))), name
    assert again["params.1.left"].view(np.uint32).tolist() == NAN_PAYLOADS.view(np.uint32).tolist()
    assert restored["activation"] is jnp.tanh
    draw = jax.random.normal(restored["key"][2], (3,))
    assert draw.tolist() == jax.random.normal(tree["key"][2], (3,)).tolist()


def test_names_are_readable_and_unique():
    tree = {"a.b": {"": np.zeros(1), "é": np.ones(1)}, "__metadata__": np.ones(2), "key": jax.random.key(0), 3: (1.5,)}
    assert list(tree_to_arrays(tree["a.b"])) == ["%", "%C3%A9"]
    del tree[3]
    assert sorted(tree_to_arrays(tree)) == ["%5F_metadata__", "a%2Eb.%", "a%2Eb.%C3%A9", "key@threefry2x32"]
    assert list(tree_to_arrays(np.ones(2))) == ["."]
    layer = optax.adam(1e-3).init({"encoder": [jnp.ones(1)]})
    assert list(tree_to_arrays(layer)) == ["0.count", "0.mu.encoder.0", "0.nu.encoder.0"]

    @jax.tree_util.register_pytree_with_keys_class
    class Twice:
        def tree_flatten_with_keys(self):
            return ((jax.tree_util.DictKey(1), np.ones(1)), (jax.tree_util.DictKey("1"), np.ones(1))), None

        @classmethod
        def tree_unflatten(cls, _, children):
            return cls()

    with pytest.raises(ModelFileError, match="two arrays have the name '1'"):
        tree_to_arrays(Twice())


def test_shape_structs_are_enough_to_fill_a_tree():
    tree = {"w": jnp.arange(3.0), "key": jax.random.key(1)}
    like = jax.eval_shape(lambda: {"w": jnp.zeros(3), "key": jax.random.key(0)})
    restored = arrays_to_tree(tree_to_arrays(tree), like)
    assert restored["w"].tolist() == [0.0, 1.0, 2.0]
    assert jax.random.key_data(restored["key"]).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"wight": np.ones(2, np.float32)}, r"'wight' is not part of this model. Did you mean 'weight'\?"),
        ({}, "'weight' is missing"),
        ({"weight": np.ones(2, np.float32), "x": np.ones(1)}, "'x' is not part"),
        ({"weight": np.ones(3, np.float32)}, r"'weight' has shape \(3,\), expected \(2,\)"),
        ({"weight": np.ones(2)}, "'weight' has dtype float64, expected float32"),
        ({"weight": np.array([1, np.nan], np.float32)}, "'weight' holds NaN or infinity"),
        ({"weight": np.array([1, np.inf], np.float32)}, "'weight' holds NaN or infinity"),
        ({"y" * 100_000: np.ones(1)}, "is not part"),
    ],
)
def test_a_misfitting_tensor_is_named(arrays, message):
    with pytest.raises(ModelFileError, match=message) as caught:
        arrays_to_tree(arrays, {"weight": jnp.zeros(2)}, finite=True, where="m.safetensors")
    assert caught.value.where == "m.safetensors"
    assert caught.value.fix
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "names", [("key@rbg",), ("key",), ("key@pickle",), ("key@threefry2x32", "key@rbg"), ("key@threefry2x32", "key")]
)
def test_a_key_of_another_generator_is_refused(names):
    with pytest.raises(ModelFileError):
        arrays_to_tree({name: np.zeros(2, np.uint32) for name in names}, {"key": jax.random.key(0)})


def test_the_file_is_canonical_and_other_libraries_read_it():
    arrays, metadata = small()
    data = pack(arrays, metadata)
    assert data == pack(dict(reversed(arrays.items())), dict(reversed(metadata.items())))
    digest = hashlib.sha256(b'["n","I64",[]]\n' + struct.pack("<q", 7))
    digest.update(b'["w","F32",[1,2]]\n' + struct.pack("<ff", 1.5, -2.0))
    assert arrays_sha256(arrays) == digest.hexdigest()
    assert digest.hexdigest().encode() in data


def test_the_package_of_the_format_reads_what_is_written(tmp_path):
    kinds = [f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)] + ["f2", "f4", "f8", "?"]
    arrays = {kind: np.array([[0, 1], [1, 1]], kind) for kind in kinds}
    arrays |= {"empty": np.zeros((0, 3)), "one": np.array(7)}
    path = tmp_path / "m.safetensors"
    path.write_bytes(pack(arrays, {"recipe": "x"}))
    foreign = safetensors.numpy.load_file(path)
    assert sorted(foreign) == sorted(arrays)
    assert all(same_bits(foreign[name], arrays[name]) for name in arrays)
    with safetensors.safe_open(path, "numpy") as file:
        text = json.loads(file.metadata()["latens"])
    assert (text["recipe"], text["sha256"]) == ("x", arrays_sha256(arrays))


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.safetensors")))
def test_the_package_of_the_format_reads_every_old_file(name):
    path = GOLDEN / f"{name}.safetensors"
    foreign, (arrays, _) = safetensors.numpy.load_file(path), read(path)
    assert sorted(foreign) == sorted(arrays)
    assert all(same_bits(foreign[name], arrays[name]) for name in arrays)


@pytest.mark.parametrize("array", [np.array([1j]), np.array(["a"]), np.array([None]), np.zeros(1, "M8[s]")])
def test_only_numbers_are_packed(array):
    with pytest.raises(ModelFileError, match="no place for"):
        pack({"x": array}, {})


def test_metadata_that_are_not_json_are_refused():
    for metadata, kind in [
        ({"sha256": "mine"}, ValueError),
        ({"x": float("nan")}, ValueError),
        ({"x": object()}, TypeError),
        ({1: 2}, TypeError),
        ({"x": 2**64}, ValueError),
    ]:
        with pytest.raises(kind):
            pack({}, metadata)
