"""The gallery: its scripts make the pictures that its page shows, and these are small."""

import importlib.util
import re
import sys

import pytest
from paths import ROOT
from PIL import Image

from latens.figures import style

GALLERY = ROOT / "docs" / "gallery"


def script(name):
    """A script of the gallery as a module; it finds its neighbours by itself."""
    path = ROOT / "examples" / "gallery" / f"{name}.py"
    before = list(sys.path)
    try:
        spec = importlib.util.spec_from_file_location(f"gallery_{name}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = before
    return module


def shown():
    text = "".join((ROOT / "docs" / page).read_text() for page in ("gallery.md", "pictures.md"))
    return re.findall(r"!\[([^]]+)\]\(gallery/([^)]+)\)", text)


def test_every_picture_on_the_page_has_a_text_and_is_small():
    pictures = shown()
    assert len(pictures) > 20
    assert all(len(alt) > 15 for alt, _ in pictures)
    files = {path.relative_to(GALLERY).as_posix(): path.stat().st_size for path in GALLERY.rglob("*.*")}
    assert {name for _, name in pictures} == set(files)
    assert sum(files.values()) < 15_000_000  # of which two grids of 10,000 digits with every pixel have 3


@pytest.mark.slow
def test_the_scripts_make_the_pictures_of_the_page(tmp_path, monkeypatch):
    # The gallery shows the PNGs; that an SVG lies beside each is shown where `save` is tested.
    monkeypatch.setattr(style, "_METADATA", {"png": style._METADATA["png"]})
    made = script("digits").main(["--out", str(tmp_path), "--epochs", "2", "--frames", "3"])
    made += script("others").main(["--out", str(tmp_path), "--epochs", "4"])
    expected = {name for _, name in shown() if not name.startswith(("mnist/", "photos-"))}
    assert {path.name for path in made} == {path.name for path in tmp_path.iterdir()} == expected
    for path in made:
        with Image.open(path) as image:
            most = 720 if path.suffix == ".gif" else 1440
            assert 150 <= image.width <= (2000 if "manifold" in path.name else most), path.name
            assert image.format == path.suffix[1:].upper()


@pytest.mark.long
def test_the_script_of_photographs_makes_its_pictures(tmp_path):
    few = ("--minutes", "0.05", "--count", "200")
    made = script("photos").main(["--out", str(tmp_path), *few])
    assert {path.name for path in made} == {name for _, name in shown() if name.startswith("photos-")}
    train, test = script("photos").patches(50)
    assert (train.shape, test.shape) == ((50, 32, 32, 3), (6, 32, 32, 3))


def test_the_mnist_script_types_one_command_after_another(tmp_path, monkeypatch):
    module = script("mnist")
    typed = []
    monkeypatch.setattr(module, "type_", lambda *words: typed.append(words))
    copied = []
    monkeypatch.setattr(module, "shrink", lambda source, target, **look: copied.append(target) or target)
    monkeypatch.setattr(module, "side_by_side", lambda sources, target, **look: copied.append(target) or target)
    words = ["--data", "PATH", "--out", str(tmp_path / "out"), "--steps", "7", "--rows", "5"]
    module.main([*words, "--gallery", str(GALLERY / "mnist")])
    # What it copies is what the page shows.
    mnist = [name for _, name in shown() if name.startswith("mnist/")]
    assert {path.relative_to(GALLERY).as_posix() for path in copied} == set(mnist)
    assert len(mnist) == len(copied) == len(set(mnist))
    fits = [words for words in typed if words[0] == "fit"]
    recipes = [words[words.index("--recipe") + 1] for words in fits]
    assert recipes == ["fast-forward-2d", "tiao", "mlq-vae", "notebook", "mlq-gaussian", "mlq-mixture"]
    assert all(words[1] == "PATH" for words in fits)
    cells = [words[words.index("--manifold-cells") + 1] for words in typed if "--manifold-cells" in words]
    assert cells == ["30", "60", "100", "30"]
    assert [words[words.index("--steps") + 1] for words in fits if "--steps" in words] == ["7"] * 4
    assert "density.rows_per_class=5" in fits[-1]
    # Each of these words is one that the command takes.
    from latens.cli.arguments import parse

    for words in typed:
        assert parse(words).command == words[0]
