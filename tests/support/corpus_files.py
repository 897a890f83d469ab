"""Bad model files, run folders, configurations, options and places to write to."""

import json
import os
import shutil
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from corpus_data import TABLE, Case, flipped, text
from paths import GOLDEN as FOLDER

from latens.runs.folder import Lock, RunFolder
from latens.runtime.atomic import to_json
from latens.runtime.safetensors import pack, unpack

GOLDEN = FOLDER / "format-2-table.safetensors"
BYTES = GOLDEN.read_bytes()
NAME = "decoder.network.layers.0.bias"
SAMPLE = ("sample", "m.safetensors", "--out", "x.npz")


def model(make: bytes | Callable[[], Any], *words: str, code: int = 5, error: str = "model-file") -> Case:
    """A model file (its bytes, or what writes it) that is looked at."""
    return Case(
        text(make, "m.safetensors") if isinstance(make, bytes) else make, ("info", "m.safetensors"), code, error, words
    )


def header(change: Callable[[dict[str, Any]], Any]) -> bytes:
    """The good file with its header changed; neither checksum knows."""
    (length,) = struct.unpack("<Q", BYTES[:8])
    value = json.loads(BYTES[8 : 8 + length])
    changed = change(value)
    raw = changed if isinstance(changed, bytes) else json.dumps(value).encode()
    return struct.pack("<Q", len(raw)) + raw + BYTES[8 + length :]


def sealed(change: Callable[[dict[str, np.ndarray], dict[str, Any]], Any]) -> bytes:
    """The good file with arrays or metadata changed and both checksums made right: a hostile author's."""
    arrays, metadata = unpack(BYTES)
    change(arrays, metadata)
    return pack(arrays, metadata)


def put(*path: Any) -> bytes:
    """A sealed file with one value of its metadata replaced: keys, then the value."""

    def change(arrays: dict[str, np.ndarray], metadata: dict[str, Any]) -> None:
        value: Any = metadata
        for key in path[:-2]:
            value = value[key]
        value[path[-2]] = path[-1]

    return sealed(change)


def array(value: Any) -> bytes:
    return sealed(lambda arrays, metadata: arrays.update({NAME: np.asarray(value)}))


def run(
    file: str = "",
    content: str | bytes = b"",
    state: str = "stopped",
    config: dict[str, Any] | None = None,
    spec: str = "d.csv",
) -> Callable[[], Any]:
    """A run folder that was stopped before its first step, one of its files replaced."""

    def make() -> None:
        text(TABLE)()
        unresolved = {"resolved": False, "recipe": "default", "settings": {"training.steps": 1, "network.hidden": "8"}}
        data = {"spec": spec, "folder": str(Path.cwd())}
        with RunFolder.create("run", "latens fit", config or unresolved, data, 0) as folder:
            folder.set_state(state)
        if file:
            Path("run", file).write_bytes(content.encode() if isinstance(content, str) else content)

    return make


def refused(
    make: Callable[[], Any], *words: str, command: str = "info", code: int = 6, error: str = "run-folder"
) -> Case:
    return Case(make, (command, "run"), code, error, words)


def run_json(**fields: Any) -> Callable[[], Any]:
    good = {"format": "latens-run", "format_version": 1, "id": "x", "state": "stopped", "command": "", "versions": {}}
    return run("run.json", to_json({**good, "platform": {}, "data": {}, "created": "", **fields}))


_HELD: list[Lock] = []


def locked() -> None:
    """A run folder that a process holds."""
    run()()
    while _HELD:
        _HELD.pop().release()
    _HELD.append(Lock(Path("run/lock").absolute()))


def left() -> None:
    """A run folder with the lock of a process that died, as any version wrote it."""
    run()()
    holder = {"pid": os.getppid(), "process_start": "", "host": socket.gethostname(), "boot_id": "x", "token": "x"}
    Path("run/lock").write_bytes(to_json({**holder, "created": "2026-01-02T03:04:05Z"}))


def linked(name: str) -> Callable[[], Any]:
    """A stranger's run folder in which a name leads to a file of the user."""

    def make() -> None:
        run()()
        Path("theirs").write_text("theirs")
        Path("run", name).unlink(missing_ok=True)
        Path("run", name).symlink_to(Path("theirs").absolute())

    return make


def piped(name: str) -> Callable[[], Any]:
    def make() -> None:
        run()()
        Path("run", name).unlink(missing_ok=True)
        os.mkfifo(Path("run", name))

    return make


def _copy() -> None:
    shutil.copy(GOLDEN, "m.safetensors")
    text(TABLE)()


def fit(*words: str) -> tuple[str, ...]:
    return ("fit", "d.csv", "--steps", "1", *words)


def settings(*words: str, says: tuple[str, ...], code: int = 4, error: str = "config") -> Case:
    return Case(
        text(TABLE), fit(*(part for word in words for part in ("--set", word)), "--out", "run"), code, error, says
    )


OTHER = "belongs to another model"
CASES: dict[str, Case] = {
    # --- model files, damaged ---
    "model empty": model(b"", "too short"),
    "model cut": model(BYTES[:-1], "not a safetensors file"),
    "model with more": model(BYTES + b"\0", "not a safetensors file"),
    "model flipped in the arrays": model(flipped(BYTES, -3), "arrays do not match their checksum"),
    "model flipped in the header": model(flipped(BYTES, 300), "m.safetensors"),
    "model header of 2^63": model(struct.pack("<Q", 2**63) + BYTES[8:], "header claims"),
    "model header of 9 MB": model(struct.pack("<Q", 9 << 20) + b"{" + b" " * (9 << 20), "header claims 9437184 bytes"),
    "model header deep": model(header(lambda h: b'{"a":' + b"[" * 9999), "not a safetensors file"),
    "model header NaN": model(header(lambda h: h.update(x=float("nan"))), "not a safetensors file"),
    "model key twice": model(header(lambda h: b'{"a":1,"a":1}'), "not a safetensors file"),
    "model tensor renamed": model(header(lambda h: h.update({"x": h.pop(NAME)})), "do not match their checksum"),
    "model tensor twice in place": model(header(lambda h: h.update({"x": h[NAME]})), "not a safetensors file"),
    "model of a pickle": model(b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00.", "header claims"),
    "model of somebody else": model(struct.pack("<Q", 2) + b"{}", "no latens metadata"),
    "model a folder": refused(lambda: Path("run").mkdir(), "no run.json"),
    "model absent": model(lambda: None, "no such file"),
    # --- model files, made to harm ---
    "model tensor of NaN": model(array(np.full(8, np.nan, np.float32)), NAME, "NaN or infinity"),
    "model tensor of float64": model(array(np.zeros(8)), NAME, "float64", "float32"),
    "model tensor of integers": model(array(np.zeros(8, np.int32)), NAME, "int32"),
    "model tensor of another shape": model(array(np.zeros(9, np.float32)), NAME, "(9,)", "(8,)", OTHER),
    "model tensor missing": model(sealed(lambda a, m: a.pop(NAME)), NAME, "is missing", OTHER),
    "model tensor extra": model(sealed(lambda a, m: a.update(x=np.zeros(1))), "'x' is not part of this model"),
    "model tensor misnamed": model(
        sealed(lambda a, m: a.update({NAME.replace("bias", "bais"): a.pop(NAME)})), "bais", f"Did you mean {NAME!r}?"
    ),
    "model of a newer format": model(put("format", 3), "format '3'", "this version reads 2", "newer latens"),
    "model of format 1": model(put("format", 1), "format '1'", "this version reads 2"),
    "model without facts": model(sealed(lambda a, m: m.pop("facts")), "lacks facts"),
    "model without its recipe": model(put("config", "recipe", "os.system"), "no recipe 'os.system'"),
    "model of another recipe": model(put("config", "recipe", "mlq-gaussian"), "configuration of this kind"),
    "model unknown option": model(put("config", "network", "hook", "x"), "unknown field `hook`"),
    "model of 65 layers": model(put("config", "network", "hidden", [4] * 65), "length <= 64"),
    "model of huge layers": model(put("config", "network", "hidden", [65536] * 64), "is missing", OTHER),
    "model of 2^27 columns": model(
        put("schema", {"shape": [2**27], "kind": "real"}), "encoder.network.layers.0.weight", "(134217728, 8)"
    ),
    "model of 2^28 columns": model(put("schema", "shape", [2**28]), "m.safetensors, schema.shape", "134217728"),
    "model column twice": model(put("schema", "columns", 1, "name", "x0"), "schema.columns", "a name twice"),
    "model scale of 0": model(put("schema", "columns", 0, "scale", 0.0), "schema.columns[0].scale"),
    "model of another preparation": model(put("preparation", "divide", 1e-300), "preparation"),
    "model preparation of code": model(put("preparation", {"__class__": "x"}), "preparation"),
    "model activation of code": model(put("config", "network", "activation", "__import__"), "there is no '__import__'"),
    "model built by hand": Case(text(put("config", None), "m.safetensors"), SAMPLE, 5, "model-file", ("into=model",)),
    "latents of 1e300": Case(
        lambda: (_copy(), np.savez("z.npz", z=np.full((3, 2), 1e300))),
        ("decode", "m.safetensors", "z.npz", "--out", "x.npz"),
        3,
        "data",
        ("NaN or infinite latents",),
    ),
    # --- run folders ---
    "run.json empty": refused(run("run.json"), "run.json", "not valid JSON"),
    "run.json NaN": refused(run("run.json", '{"a": NaN}'), "not valid JSON"),
    "run.json deep": refused(run("run.json", "[" * 100_000), "nested too deep"),
    "run.json of somebody else": refused(run("run.json", "{}"), "not written by latens"),
    "run.json of a newer latens": refused(run_json(format_version=2), "run format 2", code=4, error="config"),
    "run.json without a state": refused(run_json(state=None), "run.json, state", "Expected `str`"),
    "run.json with a list of data": refused(run_json(data=[]), "run.json, data", "Expected `object`"),
    "run.json with a number as path": refused(
        run_json(data={"spec": 5}), "run.json, data.spec", "Expected `str | null`"
    ),
    "config.json absent": refused(lambda: (run()(), Path("run/config.json").unlink()), "config.json", "--force"),
    "config.json NaN": refused(run("config.json", '{"a": Infinity}'), "not valid JSON"),
    "config.json a list": refused(run("config.json", "[]"), "not a JSON object"),
    "config.json without a recipe": refused(
        run("config.json", '{"resolved": false, "settings": {}}'), "recipe or settings", code=4, error="config"
    ),
    "config.json with settings of a number": refused(
        run("config.json", '{"resolved": false, "recipe": "default", "settings": 5}'),
        "settings",
        code=4,
        error="config",
    ),
    "metrics of words": refused(run("metrics.jsonl", "hello\n"), "line 1", "not valid JSON"),
    "a run in use": refused(locked, f"process {os.getpid()}", "Wait for it", command="resume"),
    "a run of an address": Case(
        run(spec="s3://o.test/d"), ("resume", "run"), 2, "usage", ("not followed", "s3://o.test/d"), ("run/log.txt",)
    ),
    "a run with a linked metrics.jsonl": refused(linked("metrics.jsonl"), "a symbolic link", command="resume"),
    "a run whose config.json is a pipe": refused(piped("config.json"), "a named pipe", command="resume"),
    "a run with a linked folder": refused(linked("checkpoints"), "a symbolic link", command="evaluate"),
    "two runs in one folder": Case(
        locked, fit("--out", "run"), 6, "run-folder", ("in use by process", "choose another --out")
    ),
    "two runs, one forced": Case(locked, fit("--out", "run", "--force"), 6, "run-folder", ("in use by process",)),
    "a run there already": Case(run(), fit("--out", "run"), 6, "run-folder", ("latens resume run", "--force")),
    "somebody's folder": Case(
        lambda: (_copy(), text("x", "run/thesis.doc")()),
        fit("--out", "run", "--force"),
        6,
        "run-folder",
        ("'thesis.doc'",),
    ),
    # --- configuration ---
    "unknown part": settings("netwrk.hidden=3", says=("'netwrk'", "Did you mean 'network'?")),
    "unknown option": settings("network.hiden=3", says=("'hiden'", "Did you mean 'hidden'?")),
    "words for a number": settings("posterior.latent_dim=many", says=("posterior.latent_dim", "'many'")),
    "a negative width": settings("network.hidden=-5", says=("network.hidden", "-5")),
    "a width of 10^12": settings("network.hidden=1000000000000", says=("network.hidden", "1000000000000")),
    "NaN as a rate": settings("optimizer.learning_rate=NaN", says=("optimizer.learning_rate",)),
    "infinity as a rate": settings("optimizer.learning_rate=1e999", says=("optimizer.learning_rate",)),
    "an optimiser of code": settings("optimizer.name=os.system", says=("os.system",)),
    "an activation of nobody": settings("network.activation=rleu", says=("'rleu'", "Did you mean 'relu'?")),
    "a kind of part that is none": settings("network=3", says=("network", "there is no '3'")),
    "a part without kinds": settings("training=3", says=("training", "training.OPTION=VALUE")),
    # --- places to write to ---
    "out below a file": Case(text(TABLE), fit("--out", "d.csv/run"), 7, "resource", ("part of the path is a file",)),
    "out is a file": Case(text(TABLE), fit("--out", "d.csv"), 6, "run-folder", ("a file, not a folder",)),
    "result below a file": Case(_copy, (*SAMPLE[:-1], "d.csv/x.npz"), 7, "resource", ("part of the path is a file",)),
    "result in no folder": Case(_copy, (*SAMPLE[:-1], "no/x.npz"), 7, "resource", ("no/x.npz", "Create the folder")),
    "result of a long name": Case(_copy, (*SAMPLE[:-1], "x" * 300 + ".npz"), 7, "resource", ("name is too long",)),
    "run of a long name": Case(text(TABLE), fit("--out", "x" * 300), 7, "resource", ("name is too long",)),
    "result over the input": Case(
        _copy, ("encode", "m.safetensors", "d.csv", "--out", "d.csv"), 2, "usage", ("overwrite",)
    ),
    "result with an odd ending": Case(_copy, (*SAMPLE[:-1], "x.exe"), 2, "usage", (".npz", ".csv")),
    "result in a folder of odd names": Case(
        lambda: (_copy(), Path("ä b 数").mkdir()),
        (*SAMPLE[:-1], "ä b 数/x y.npz", "-n", "2"),
        0,
        "",
        ('"rows": 2',),
        ("ä b 数/x y.npz",),
    ),
}
