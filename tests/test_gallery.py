"""The gallery: its scripts make the pictures that its page shows, and these are small."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
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
    text = (ROOT / "docs" / "gallery.md").read_text()
    return re.findall(r"!\[([^]]+)\]\(gallery/([^)]+)\)", text)


def test_every_picture_on_the_page_has_a_text_and_is_small():
    pictures = shown()
    assert len(pictures) > 20
    assert all(len(alt) > 15 for alt, _ in pictures)
    files = {path.name for path in GALLERY.iterdir()}
    assert {name for _, name in pictures} == files
    assert sum(path.stat().st_size for path in GALLERY.iterdir()) < 2_000_000


@pytest.mark.slow
def test_the_scripts_make_the_pictures_of_the_page(tmp_path):
    made = script("digits").main(["--out", str(tmp_path), "--epochs", "2", "--frames", "3"])
    made += script("others").main(["--out", str(tmp_path), "--epochs", "4"])
    expected = {name for _, name in shown() if not name.startswith("mnist-")}
    assert {path.name for path in made} == {path.name for path in tmp_path.iterdir()} == expected
    for path in made:
        with Image.open(path) as image:
            assert 150 <= image.width <= 720, path.name
            assert image.format == path.suffix[1:].upper()


def test_the_mnist_script_types_one_command_after_another(tmp_path, monkeypatch):
    module = script("mnist")
    typed = []
    monkeypatch.setattr(module, "type_", lambda *words: typed.append(words))
    module.main(["--data", "PATH", "--out", str(tmp_path / "out"), "--steps", "7"])
    fits = [words for words in typed if words[0] == "fit"]
    recipes = [words[words.index("--recipe") + 1] for words in fits]
    assert recipes == ["fast-forward-2d", "tiao", "mlq-vae", "notebook", "mlq-gaussian", "mlq-mixture"]
    assert all(words[1] == "PATH" for words in fits)
    cells = [words[words.index("--manifold-cells") + 1] for words in typed if "--manifold-cells" in words]
    assert cells == ["30", "60", "100"]
    # Each of these words is one that the command takes.
    from latens.commands.arguments import parse

    for words in typed:
        assert parse(words).command == words[0]
