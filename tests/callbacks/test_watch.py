"""`latens fit --watch`: the page of a training that goes on, and that it does not disturb it."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cli_fixtures import SMALL

from latens import evaluation
from latens.callbacks import watch
from latens.callbacks.watch import Watch, so_far, some_rows
from latens.config import override
from latens.data import load
from latens.evaluation import Rows
from latens.explorer.server import PageServer
from latens.io.arrays import tree_to_arrays
from latens.recipes import get_recipe
from latens.training import Event
from latens.workflow.experiment import Experiment, prepare, train

pytest_plugins = ("cli_fixtures",)
SETTINGS = {"network.hidden": [16], "posterior.latent_dim": 3, "training.steps": 40, "training.chunk_steps": 4}


class Visitor:
    """Somebody who has the page open: asks for the manifest again and again, and for the arrays it names."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.means: dict[int, np.ndarray] = {}
        self.first = threading.Event()
        self._thread: threading.Thread | None = None

    def opened(self, url: str) -> None:
        match = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/\?token=(.+)", url)
        assert match is not None
        self.connection = HTTPConnection("127.0.0.1", int(match[1]), timeout=5)
        self.connection.request("GET", f"/?token={match[2]}")
        response = self.connection.getresponse()
        response.read()
        self.cookie = response.headers["Set-Cookie"].split(";")[0]
        self.get("/")
        self._thread = threading.Thread(target=self.follow, daemon=True)
        self._thread.start()
        self.first.wait(10)

    def get(self, path: str) -> bytes:
        self.connection.request("GET", path, headers={"Cookie": self.cookie})
        response = self.connection.getresponse()
        assert response.status == 200, path
        return response.read()

    def follow(self) -> None:
        while not self.seen or self.seen[-1]["live"]:
            manifest = json.loads(self.get("/data/manifest.json"))
            if manifest["version"] and manifest["version"] not in self.means:
                shape = manifest["arrays"]["mean"]["shape"]
                self.means[manifest["version"]] = np.frombuffer(self.get("/data/mean.bin"), "<f4").reshape(shape)
            self.seen.append(manifest)
            self.first.set()
            time.sleep(0.02)

    def wait(self) -> None:
        assert self._thread is not None
        self._thread.join(10)
        self.connection.close()
        assert not self._thread.is_alive()


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    return prepare(override(get_recipe("default").config, SETTINGS), load("digits"))


@pytest.fixture(scope="module")
def alone(experiment: Experiment) -> Any:
    """The same training without anybody looking."""
    return train(experiment)


def test_the_page_grows_and_the_training_does_not_notice(experiment: Experiment, alone: Any) -> None:
    visitor = Visitor()
    with Watch(experiment, opened=visitor.opened) as watching:
        trained, result = train(experiment, callbacks=[watching])
    visitor.wait()
    last, first = visitor.seen[-1], visitor.seen[0]
    assert (first["live"], first["version"], first["history"], first["rows"]["shown"]) == (True, 0, [], 0)
    assert (last["live"], last["version"], last["rows"]["shown"]) == (False, watching.looks, 500)
    assert last["title"] == first["title"] == "default on digits"
    progress = {**last["progress"], "rows_per_second": None}
    assert progress == {"step": 40, "total_steps": 40, "epoch": 40 / 11, "rows_per_second": None}
    assert last["history"] == [{"event": "epoch", **record} for record in result.history]
    steps = [record["step"] for manifest in visitor.seen for record in manifest["history"][-1:]]
    assert steps == sorted(steps)
    # What is shown at the end is the model as the last step left it; nothing of the training differs.
    assert result.history == alone[1].history
    ours, theirs = tree_to_arrays(trained.model), tree_to_arrays(alone[0].model)
    assert all(ours[name].tobytes() == theirs[name].tobytes() for name in theirs)
    model = watching._last.model()  # type: ignore[union-attr]
    batch = trained.batch(some_rows(experiment.data, 500))
    codes = evaluation.encode(Rows(model, batch, preparation=experiment.preparation))
    np.testing.assert_array_equal(visitor.means[last["version"]], codes["mean"])


def test_while_nobody_looks_nothing_is_computed(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "payload", counted := Counted(watch.payload))
    began: list[float] = []
    with Watch(experiment, opened=lambda url: began.append(time.monotonic())) as watching:
        train(experiment, callbacks=[watching])
    assert (watching.looks, counted.calls, len(began)) == (0, 1, 1)  # the one is the page without rows
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", watching.page.port), timeout=5)  # type: ignore[union-attr]


class Counted:
    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.calls = function, 0

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.calls += 1
        return self.function(*args, **options)


def test_a_look_that_fails_ends_the_looking_and_nothing_else(
    experiment: Experiment, alone: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(*args: Any, **options: Any) -> Any:
        if args[1] is not None:
            raise MemoryError("no room for the page")
        return whole(*args, **options)

    whole = watch.payload
    monkeypatch.setattr(watch, "payload", breaks)
    visitor = Visitor()
    with Watch(experiment, opened=visitor.opened) as watching:
        _, result = train(experiment, callbacks=[watching])
    visitor.wait()
    assert result.history == alone[1].history
    assert (watching.looks, visitor.seen[-1]["version"]) == (0, 0)
    assert "the page of this training is not brought up to date" in caplog.text


def test_looks_take_a_small_share_of_the_time(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    clock = SimpleNamespace(perf_counter=lambda: now[0], monotonic=lambda: now[0], sleep=time.sleep)
    monkeypatch.setattr(watch, "time", clock)
    answers = {"data/manifest.json": json.dumps({"arrays": {}}).encode()}

    def takes(*args: Any, **options: Any) -> Any:
        now[0] += 0.3
        return dict(answers)

    monkeypatch.setattr(watch, "payload", takes)
    watching = Watch(experiment)
    with PageServer({"index.html": b""}) as watching.page:
        for number, wait in ((1, watch.LEAST_SECONDS), (2, 0.3 / watch.SHARE), (3, 0.3 / watch.SHARE)):
            watching.look(lambda: None, 1)
            assert (watching.looks, watching._next - now[0]) == (number, pytest.approx(wait))
    assert watching.cost == pytest.approx(0.9)
    assert 0.3 / (0.3 + 0.3 / watch.SHARE) < 0.02


def test_the_curve_so_far_ends_where_the_epoch_does(experiment: Experiment) -> None:
    found: list[tuple[dict[str, Any] | None, dict[str, Any]]] = []
    kept: list[dict[str, Any] | None] = [None]

    def note(event: Event) -> None:
        if event.kind == "chunk":
            kept[0] = so_far(event)
        if event.kind == "epoch":
            found.append((kept[0], dict(event.record)))

    train(experiment, callbacks=[note])
    assert len(found) == 4
    for partial, record in found:
        trained = {name: value for name, value in record.items() if not name.startswith("validation")}
        assert partial == {**trained, "event": "epoch"}


def test_a_long_epoch_has_a_curve(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each chunk adds a point, thinned where they are many; the epoch's own record takes their place."""
    monkeypatch.setattr(watch, "MOST_WITHIN", 2)
    seen = Watch(experiment)
    seen.page = SimpleNamespace(asked=-1e9)  # pyright: ignore[reportAttributeAccessIssue]
    told: list[tuple[str, list[int]]] = []

    def note(event: Event) -> None:
        seen(event)
        told.append((event.kind, [record["step"] for record in json.loads(seen.manifest())["history"]]))

    _, result = train(experiment, callbacks=[note])
    first = [steps for kind, steps in told[: [kind for kind, _ in told].index("epoch")] if kind == "chunk"]
    assert [len(steps) for steps in first[:3]] == [1, 2, 2]
    assert all(steps == sorted(set(steps)) for _, steps in told)
    assert told[-1][1] == [record["step"] for record in result.history]


def test_some_rows_are_a_data_set_of_their_own() -> None:
    data = load("digits")
    few = some_rows(data, 100)
    places = np.linspace(0, len(data) - 1, 100).round().astype(int)
    for name in ("x", "row_id", "names", "split", "label"):
        np.testing.assert_array_equal(getattr(few, name), getattr(data, name)[places])
    assert some_rows(data, 5000) is data


# --- the command ---


def test_what_cannot_be_watched_is_refused_before_a_folder_is_made(latens: Callable[..., Any], tmp_path: Any) -> None:
    out = tmp_path / "run"
    result = latens("fit", "digits", "--recipe", "mlq-gaussian", "--watch", "--out", out, "--json")
    assert (result.code, result.json["error"]["where"]) == (4, "--watch")
    result = latens("fit", "digits", "--port", "8123", "--out", out, "--json")
    assert (result.code, result.json["error"]["where"]) == (2, "--port")
    result = latens("fit", "digits", "--watch", "--port", "80", "--out", out, "--json")
    assert (result.code, "1024" in result.json["error"]["message"]) == (2, True)
    assert not out.exists()
    result = latens("explore", "pretrained:digits-2d", "--export", out / "page.html", "--no-browser", "--json")
    assert (result.code, result.json["error"]["where"]) == (2, "--no-browser")


def test_fit_says_where_the_page_is(latens: Callable[..., Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("latens.explorer.serving.has_screen", lambda: True)
    monkeypatch.setattr("webbrowser.open", opened.append)
    words = ("--steps", "6", "--num-samples", "2", "--watch", "--out", tmp_path / "run")
    result = latens("fit", "digits", *words, *SMALL)
    assert result.code == 0
    address = r"^http://127\.0\.0\.1:\d+/\?token=\S{43,}  \(.*the page grows while it trains\)$"
    [line] = re.findall(address, result.err, re.MULTILINE)
    assert (opened, result.out) == ([line.split()[0]], "")


QUIETLY = pytest.param(signal.SIGTERM, "--quiet", marks=pytest.mark.long)


@pytest.mark.parametrize(("number", "flag"), [(signal.SIGINT, "--json"), QUIETLY])
def test_explore_serves_until_it_is_stopped(number: signal.Signals, flag: str) -> None:
    words = ["explore", "pretrained:digits-2d", "--rows", "30", "--no-browser", flag]
    code = "import signal; signal.signal(2, signal.default_int_handler); from latens.cli.main import entry; entry()"
    command = [sys.executable, "-c", code, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as serving:
        try:
            told = serving.stderr if flag == "--json" else serving.stdout
            address = told.readline().split()[0]  # type: ignore[union-attr]
            visitor = Visitor()
            visitor.follow = visitor.first.set  # type: ignore[method-assign]
            visitor.opened(address)
            manifest = json.loads(visitor.get("/data/manifest.json"))
            assert (manifest["rows"]["shown"], manifest["live"]) == (30, False)
            assert b"explorer" in visitor.get("/")
            visitor.wait()
            serving.send_signal(number)
            out, err = serving.communicate(timeout=20)
        finally:
            serving.kill()
    if flag == "--json":
        assert (serving.returncode, json.loads(out), err) == (0, {"url": address}, "closed\n")
    else:
        assert (serving.returncode, out, err) == (143, "", "")
