"""A checkpoint is what was saved, or it is not there."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from latens.errors import ModelFileError, ResourceError
from latens.runtime.atomic import temporary_beside
from latens.runtime.safetensors import tree_to_arrays
from latens.training import checkpoint
from latens.training.checkpoint import latest_checkpoint, save_checkpoint

NAN_PAYLOADS = np.array([0x7FC00001, 0xFFC12345, 0x7F800000, 0x80000000], np.uint32).view(np.float32)
LIKE = {"w": jnp.zeros(3)}


def state(value: float) -> dict:
    return {"w": jnp.full(3, float(value))}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_training_state_comes_back_bit_for_bit(tmp_path):
    params = {"layers": [{"weight": jnp.asarray([[0.1, -0.0], [5e-39, 3.0]])}], "bias": jnp.asarray(NAN_PAYLOADS)}
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))
    tree = (params, optimizer.init(params), jax.random.key(7), jnp.asarray(1234), {"best": params})
    updated = optimizer.update(params, tree[1])[1]
    tree = (tree[0], updated, *tree[2:])
    loop = {"best": float("inf"), "last": [0.1, float("nan")], "patience": 3, "rollbacks": (), "stage": None}
    path = save_checkpoint(tmp_path / "checkpoints", 1234, tree, loop)
    assert path.name == "step-0000001234"
    assert names(path) == ["COMMIT", "loop.json", "state.safetensors"]
    found = latest_checkpoint(tmp_path / "checkpoints")
    assert found is not None
    assert (found.step, found.path, found.warnings) == (1234, path, ())
    state = found.read(jax.eval_shape(lambda: tree))
    assert jax.tree.structure(state) == jax.tree.structure(tree)
    before, after = tree_to_arrays(tree), tree_to_arrays(state)
    assert {n: (a.dtype, a.shape, a.tobytes()) for n, a in before.items()} == {
        n: (a.dtype, a.shape, a.tobytes()) for n, a in after.items()
    }
    assert np.isnan(found.loop["last"].pop())
    assert found.loop == {"best": float("inf"), "last": [0.1], "patience": 3, "rollbacks": [], "stage": None}


def test_the_newest_two_are_kept(tmp_path):
    assert latest_checkpoint(tmp_path / "absent") is None
    for step in (1, 2, 3, 10):
        save_checkpoint(tmp_path, step, state(step), {"step": step})
    assert names(tmp_path) == ["step-0000000003", "step-0000000010"]
    found = latest_checkpoint(tmp_path)
    assert (found.step, found.loop, found.read(LIKE)["w"].tolist()) == (10, {"step": 10}, [10.0] * 3)
    save_checkpoint(tmp_path, 11, state(11), {}, keep=1)
    assert names(tmp_path) == ["step-0000000011"]


def test_the_same_step_again_and_an_earlier_step_replace_what_was_there(tmp_path):
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, state(step), {})
    save_checkpoint(tmp_path, 3, state(33), {})
    assert latest_checkpoint(tmp_path).read(LIKE)["w"][0] == 33
    assert names(tmp_path) == ["step-0000000002", "step-0000000003.1"]
    save_checkpoint(tmp_path, 3, state(333), {})
    assert latest_checkpoint(tmp_path).read(LIKE)["w"][0] == 333
    save_checkpoint(tmp_path, 2, state(22), {})
    found = latest_checkpoint(tmp_path)
    assert (found.step, found.read(LIKE)["w"][0]) == (2, 22)
    assert names(tmp_path) == ["step-0000000002.1"]


def test_without_a_commit_it_is_ignored_and_then_removed(tmp_path):
    save_checkpoint(tmp_path, 1, state(1), {})
    interrupted = save_checkpoint(tmp_path, 2, state(2), {})
    (interrupted / "COMMIT").unlink()
    orphan = temporary_beside(tmp_path / "step-0000000003")
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    orphan = orphan.with_name(orphan.name.replace(f"tmp-{os.getpid()}-", f"tmp-{child.pid}-"))
    orphan.mkdir()
    found = latest_checkpoint(tmp_path)
    assert (found.step, found.warnings) == (1, ())
    save_checkpoint(tmp_path, 4, state(4), {})
    assert names(tmp_path) == ["step-0000000001", "step-0000000004"]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("name", ["state.safetensors", "loop.json", "COMMIT"])
@pytest.mark.parametrize("harm", [flip, cut, Path.unlink])
def test_a_damaged_newest_falls_back_and_says_so(name, harm, tmp_path):
    save_checkpoint(tmp_path, 1, state(1), {"a": 1})
    newest = save_checkpoint(tmp_path, 2, state(2), {"a": 2})
    harm(newest / name)
    found = latest_checkpoint(tmp_path)
    assert (found.step, found.loop, found.read(LIKE)["w"].tolist()) == (1, {"a": 1}, [1.0] * 3)
    interrupted = (name, harm) == ("COMMIT", Path.unlink)  # that is how a save looks that was stopped
    assert len(found.warnings) == (not interrupted)
    assert all("step-0000000002 is damaged" in warning for warning in found.warnings)
    # The run goes on from step 1 and meets step 2 again.
    save_checkpoint(tmp_path, 2, state(22), {})
    found = latest_checkpoint(tmp_path)
    assert (found.read(LIKE)["w"][0], found.warnings) == (22, ())
    assert names(tmp_path) == ["step-0000000001", "step-0000000002" + (".1" if not interrupted else "")]


def test_where_all_are_damaged_nothing_is_made_up(tmp_path):
    for step in (1, 2):
        flip(save_checkpoint(tmp_path, step, state(step), {}) / "state.safetensors")
    with pytest.raises(ModelFileError, match="every checkpoint is damaged") as caught:
        latest_checkpoint(tmp_path)
    assert caught.value.exit_code == 5


def test_another_model_or_a_newer_format_is_an_error_not_a_fallback(tmp_path):
    path = save_checkpoint(tmp_path, 1, state(1), {})
    with pytest.raises(ModelFileError, match=r"'w' has shape \(3,\), expected \(4,\)"):
        latest_checkpoint(tmp_path).read({"w": jnp.zeros(4)})
    commit = json.loads((path / "COMMIT").read_text())
    (path / "COMMIT").write_text(json.dumps(commit | {"format_version": 2}))
    with pytest.raises(ModelFileError, match=r"newer latens \(format 2"):
        latest_checkpoint(tmp_path)
    (path / "COMMIT").write_text(json.dumps(commit | {"step": 5}))
    with pytest.raises(ModelFileError, match="names another step"):
        latest_checkpoint(tmp_path)


def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, 1, state(1), {})

    def full(path, data):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_synced", full)
    with pytest.raises(ResourceError, match="disk is full"):
        save_checkpoint(tmp_path, 2, state(2), {})
    assert names(tmp_path) == ["step-0000000001"]
    assert latest_checkpoint(tmp_path).step == 1


# The children are forked before jax starts its threads, so that ten kills cost one import.
KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import numpy as np
from latens.training.checkpoint import save_checkpoint

folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
random.seed(0)
for number in range(rounds):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        for step in range(1, 10**9):
            tree = {"w": np.full(100_000, step, np.float32), "n": {"x": np.full((7, 3), step, np.int64)}}
            save_checkpoint(folder / str(number), step, tree, {"step": step, "bytes": 10 * step})
            os.write(writer, b".")
    os.close(writer)
    os.read(reader, 1)
    time.sleep(random.uniform(0.0, 0.1))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    done = 1
    while part := os.read(reader, 65536):
        done += len(part)
    os.close(reader)
    print(number, done, flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_a_kill_during_a_save_never_leaves_a_wrong_checkpoint(tmp_path):
    output = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), "12"], capture_output=True, text=True, check=True, timeout=120
    ).stdout
    rounds = [tuple(map(int, line.split())) for line in output.splitlines()]
    assert len(rounds) == 12
    like = {"w": np.zeros(100_000, np.float32), "n": {"x": np.zeros((7, 3), np.int64)}}
    for number, done in rounds:
        folder = tmp_path / str(number)
        found = latest_checkpoint(folder)
        assert found is not None
        assert found.step in (done, done + 1)  # what was reported as saved is there, or the one after it
        assert found.warnings == ()
        assert found.loop == {"step": found.step, "bytes": 10 * found.step}
        state = found.read(like)
        assert np.array_equal(state["w"], np.full(100_000, found.step, np.float32))
        assert np.array_equal(state["n"]["x"], np.full((7, 3), found.step))
        save_checkpoint(folder, found.step + 1, like, {})
        assert names(folder) == [f"step-{found.step:010d}", f"step-{found.step + 1:010d}"]
        shutil.rmtree(folder)
