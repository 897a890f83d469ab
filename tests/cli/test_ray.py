"""A model over many files on Ray: the bytes of one process, a worker that is killed, a Ray Dataset, what is refused."""

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from paths import SOURCE

import latens
from latens.cli.main import main
from latens.errors import ConfigError, DataError, UsageError

HAS_RAY = importlib.util.find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAS_RAY, reason="needs latens[ray]")
pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own


def write_parts(folder: Path, sizes: list[int]) -> None:
    """Tables of three columns, of which one has gaps, with ids that go through all of them."""
    rng, first = np.random.default_rng(0), 0
    for number, rows in enumerate(sizes):
        x = rng.normal(size=(rows, 3)) + rng.normal(size=(rows, 1))
        cells: list[float | None] = [None if row % 7 == 0 else float(x[row, 2]) for row in range(rows)]
        frame = pl.DataFrame({"id": np.arange(first, first + rows), "a": x[:, 0], "b": x[:, 1], "c": cells})
        path = folder / f"{number % 2}" / f"{number}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(path)
        first += rows


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tables and two runs of them, of which one knows the ids."""
    place = tmp_path_factory.mktemp("ray")
    write_parts(place / "parts", [130, 20, 600, 37])
    given = ["--steps", "20", "--num-samples", "5", "--quiet"]
    gaps = ["--recipe", "miwae-missing", "--missing", "nan", "--id", "id"]
    for name, more in (("named", gaps), ("numbered", ["--typed"])):
        assert main(["fit", str(place / "parts"), "--out", str(place / name), *given, *more]) == 0
    return place


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Ray on two cores of this machine."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray = importlib.import_module("ray")
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield ray
    ray.shutdown()


@pytest.mark.parametrize(
    ("run", "verb", "name", "more"),
    [
        ("numbered", "encode", "codes.parquet", ["--num-samples", "3"]),
        ("named", "encode", "codes.npz", ["--num-samples", "3"]),
        ("named", "reconstruct", "rows.npz", []),
        ("numbered", "impute", "filled.csv", ["--num-samples", "4", "--draws", "2"]),
    ],
)
@needs_ray
@pytest.mark.more
@pytest.mark.usefixtures("cluster")
def test_the_bytes_are_those_of_one_process(place: Path, run: str, verb: str, name: str, more: list[str]) -> None:
    words = [verb, str(place / run), str(place / "parts"), "--quiet", *more]
    alone, together = place / f"{run}-alone", place / f"{run}-together"
    for folder, others in ((alone, []), (together, ["--ray"])):
        folder.mkdir(exist_ok=True)
        assert main([*words, "--out", str(folder / name), *others]) == 0
    made = sorted(path.name for path in alone.iterdir())
    assert made == sorted(path.name for path in together.iterdir())
    assert all((alone / one).read_bytes() == (together / one).read_bytes() for one in made)


@needs_ray
@pytest.mark.more
@pytest.mark.usefixtures("cluster")
def test_samples_and_numbers_are_those_of_one_process(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[Any] = []
    for name, more in (("alone", []), ("together", ["--ray"])):
        assert main(["sample", str(place / "named"), "-n", "1300", "--out", str(tmp_path / f"{name}.npz"), *more]) == 0
        assert main(["sample", str(place / "numbered"), "--out", str(tmp_path / f"{name}.csv"), *more]) == 0
        capsys.readouterr()
        assert main(["evaluate", str(place / "named"), str(place / "parts"), "--id", "id", "--json", *more]) == 0
        told.append(json.loads(capsys.readouterr().out)["metrics"])
        for one in told[-1].values():
            one.pop("seconds", None)
    assert told[0] == told[1]
    for ending in ("npz", "csv"):
        assert (tmp_path / f"alone.{ending}").read_bytes() == (tmp_path / f"together.{ending}").read_bytes()


@needs_ray
@pytest.mark.more
@pytest.mark.usefixtures("cluster")
def test_an_error_of_a_worker_is_that_of_one_process(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate("cd"):
        frame = pl.DataFrame({"id": [number], "a": [1.0], "b": [1.0], name: [1.0]})
        frame.write_parquet(tmp_path / f"{number}.parquet")
    words = ["encode", str(place / "named"), str(tmp_path), "--ray", "--out", str(tmp_path / "codes.npz")]
    assert main(words) == 3
    said = capsys.readouterr().err
    assert "1.parquet: lacks the column 'c'" in said.split("error: ")[1]
    assert not (tmp_path / "codes.npz").exists()


@needs_ray
@pytest.mark.more
def test_rows_of_a_ray_dataset(place: Path, cluster: Any) -> None:
    model, paths = latens.load(place / "named"), [str(place / "parts")]
    rows = model.encode(cluster.data.read_parquet(paths), num_samples=3)
    found = pl.concat([pl.from_arrow(table) for table in rows.iter_batches(batch_format="pyarrow")]).sort("row_id")
    with np.load(place / "named-alone" / "codes.npz") as alone:
        order = np.argsort(alone["row_id"])
        assert np.array_equal(found["mean0"].to_numpy(), alone["mean"][order, 0])
        assert np.array_equal(found["elbo"].to_numpy(), alone["elbo"][order])


@pytest.mark.more
def test_rows_of_a_ray_dataset_need_ids(place: Path) -> None:
    from latens.commands._ray import _of_table
    from latens.commands.base import Call
    from latens.commands.encode import Encode

    rows = pl.read_parquet(place / "parts").to_arrow()
    with pytest.raises(DataError, match="row_id="):
        _of_table(Encode(run="", data=None, num_samples=3), Call(latens.load(place / "numbered")), rows)


@needs_ray
@pytest.mark.more
def test_a_killed_worker_is_replaced(place: Path, tmp_path: Path) -> None:
    """A command of its own, with a Ray of its own: a file for each file, and nothing of Ray is left."""
    many, out = tmp_path / "many", tmp_path / "out"
    write_parts(many, [150] * 30)
    words = [sys.executable, "-m", "latens.cli.main", "encode", str(place / "named"), str(many), "--num-samples", "20"]
    given = {**os.environ, "PYTHONPATH": str(SOURCE.parent)}
    process = subprocess.Popen([*words, "--ray", "--out", str(out)], env=given, stderr=subprocess.PIPE, text=True)
    while not list(out.rglob("*.parquet")):
        assert process.poll() is None
        time.sleep(0.05)
    workers = _below(process.pid, "ray::MapWorker")
    os.kill(workers[0], signal.SIGKILL)
    said = process.communicate(timeout=120)[1]
    assert (process.returncode, said) == (0, f"{out}: 4,500 rows of 30 files\n")
    assert _below(process.pid, "") == []
    assert main([*words[3:], "--quiet", "--out", str(tmp_path / "alone.parquet")]) == 0
    alone, together = (pl.read_parquet(path).sort("row_id") for path in (tmp_path / "alone.parquet", out))
    assert together.equals(alone)


def _below(process: int, name: str) -> list[int]:
    """The processes that one has started, whose command line begins so."""
    parents, found = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    for one in parents:
        above = one
        while above in parents and above != process:
            above = parents[above]
        if above == process and one != process and _line(one).startswith(name):
            found.append(one)
    return found


def _line(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return ""


@pytest.mark.parametrize("ending", ["npz", "csv"])
def test_results_come_in_the_order_of_files_and_warnings_once(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With workers that hand their files back from the last to the first, and change what they were sent."""
    from latens.commands import _ray
    from latens.commands.base import Call, Command, Result, finished

    write_parts(tmp_path / "parts", [3, 4])
    at, heard = Call(latens.load("pretrained:digits-2d"), data=str(tmp_path / "parts")), []
    at.write_to(tmp_path / f"codes.{ending}")
    at.warn = heard.append

    class Counted(Command):
        def __call__(self, at: Call) -> Any:
            yield None
            k = int(Path(at.data).stem)
            at.warn("all")
            z = np.full(3 + k, k)
            return Result(arrays={"z": z}, table={"t": z + 5}, value={"rows": 3 + k, "k": k}, warnings=(f"of {k}",))

    def mapped(ray: Any, blocks: list[dict], kind: type, sent: Call, work: Any, batch_size: int) -> Any:
        sent.warn("of a worker")
        made = [work(copy(sent), {"file": [block["file"]]}) for block in blocks[::-1]]
        made = [{"file": int(one["file"][0]), "made": one["made"][0]} for one in made]
        return SimpleNamespace(iter_rows=lambda: made)

    ray = SimpleNamespace(data=SimpleNamespace(from_items=lambda items, override_num_blocks: items))
    monkeypatch.setattr(_ray, "connected", lambda address: contextlib.nullcontext(ray))
    monkeypatch.setattr(_ray, "mapped", mapped)
    work = _ray.over_files(Counted(), at, "local")
    next(work)
    made = finished(work)
    columns = {name: column.tolist() for name, column in (made.table or made.arrays).items()}
    assert columns == ({"z": [0] * 3 + [1] * 4} if ending == "npz" else {"t": [5] * 3 + [6] * 4})
    assert (heard, made.value) == (["all", "of 0", "of 1"], {"rows": 7, "files": 2})
    assert at.out == tmp_path / f"codes.{ending}"


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from latens.commands._ray import connected

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"latens\[ray\]"), connected("local"):
        pass


@pytest.mark.parametrize(
    ("data", "out", "why"),
    [
        ("digits", "codes.npz", "not a folder or glob"),
        ("tables", "tables", "overwrite the input"),
        ("tables", "codes.png", "a picture is made of all rows"),
    ],
)
def test_what_is_no_work_for_ray_is_refused(tmp_path: Path, data: str, out: str, why: str) -> None:
    from latens.commands._ray import over_files
    from latens.commands.base import Call
    from latens.commands.encode import Encode

    (tmp_path / "tables").mkdir()
    pl.DataFrame({"a": [1.0]}).write_csv(tmp_path / "tables" / "a.csv")
    at = Call(latens.load("pretrained:digits-2d"), data=data if data == "digits" else str(tmp_path / data))
    at.write_to(tmp_path / out)
    with pytest.raises(UsageError, match=why):
        next(over_files(Encode(run="", data=at.data), at, "local"))
