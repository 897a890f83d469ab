"""`latens report --only figures` that is stopped: the pictures that were drawn are there."""

import numpy as np

from latens.cli.main import main
from latens.model_figures.draw import PICTURES


def test_pictures_are_written_as_they_are_drawn(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    kind, size = rng.integers(0, 2, 300), np.round(rng.normal(size=300), 2)
    (tmp_path / "t.csv").write_text("\n".join(["kind,size", *(f"k{k},{k + s:.2f}" for k, s in zip(kind, size))]))
    assert main(["fit", "t.csv", "--steps", "5", "--out", "run", "--quiet"]) == 0
    assert main(["report", "run", "--only", "figures", "--name", "marginals,latentmap", "--quiet"]) == 2
    names = ["marginals", "information"]
    order = [name for name in PICTURES if name in names]

    def stopped(source: object) -> None:
        assert (tmp_path / "run" / "figures" / f"{order[0]}.png").is_file()
        raise KeyboardInterrupt

    monkeypatch.setitem(PICTURES, order[1], PICTURES[order[1]]._replace(draw=stopped))
    assert main(["report", "run", "--only", "figures", "--name", ",".join(names), "--quiet"]) == 130
    kept = sorted(path.name for path in (tmp_path / "run" / "figures").iterdir())
    assert kept == [f"{order[0]}.{kind}" for kind in ("csv", "png", "svg")]
