"""The house style: colours that can be told apart, names drawn as written, files that are whole and repeatable."""

import csv
import itertools
import re
import subprocess
import sys
import threading

import matplotlib
import numpy as np
import pytest
from matplotlib.cbook import is_math_text
from matplotlib.colors import to_hex, to_rgb
from matplotlib.font_manager import findfont, get_font
from matplotlib.text import Text
from paths import ROOT

from latens import figures
from latens.errors import DataError, ResourceError
from latens.figures import style
from latens.figures.animation import FRAME_DPI, frame
from latens.figures.style import THEMES, one_axes, ramp, readable, themed
from latens.figures.tables import correlations

# Machado, Oliveira & Fernandes (2009), severity 1.0: protanopia, deuteranopia, tritanopia, in linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colours):
    c = np.array([to_rgb(colour) for colour in colours])
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def oklab(rgb):
    lms = np.array(
        [[0.41222147, 0.53633254, 0.05144599], [0.2119035, 0.6806995, 0.10739696], [0.08830246, 0.28171884, 0.62997870]]
    )
    lab = np.array(
        [
            [0.21045426, 0.79361779, -0.00407205],
            [1.97799850, -2.42859221, 0.45059371],
            [0.02590404, 0.78277177, -0.80867577],
        ]
    )
    return np.cbrt(np.clip(rgb, 0, 1) @ lms.T) @ lab.T


def contrast(colours, background):
    light = linear([*colours, background]) @ [0.2126, 0.7152, 0.0722]
    pair = np.stack([light[:-1], np.full(len(colours), light[-1])])
    return (pair.max(0) + 0.05) / (pair.min(0) + 0.05)


@pytest.mark.parametrize("name", ["light", "dark"])
def test_class_colours_stay_apart_under_colour_blindness(name):
    classes = THEMES[name].classes
    assert len(classes) == len(set(classes)) == 10
    for blindness in BLINDNESS.values():
        seen = oklab(linear(classes) @ np.array(blindness).T)
        closest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2))
        # 0.076 is the closest pair among Okabe and Ito's own; 0.02 is about what an eye can just tell apart.
        assert closest > 0.115


def test_a_dark_picture_is_the_light_one_with_other_grounds():
    drawn = {}
    for name in ("light", "dark"):
        with themed(name):
            ax = style.dress(one_axes((3, 2)), title="Title", x="x")
            ax.plot([0, 1], color=style.theme().first)
            ax.text(0.5, 0.5, "word", color=style.PALE)
            drawn[name] = style.rendered(ax, "svg")
    turned, dark = (
        re.sub(rb"#?\bm[0-9a-f]{10}\b", b"", svg) for svg in (style.darkened(drawn["light"]), drawn["dark"])
    )
    assert turned == dark  # but for the names of marks, which are hashes of their colours
    assert drawn["light"] != drawn["dark"]


def test_the_explorer_has_the_same_colours():
    text = (ROOT / "src" / "latens" / "explorer" / "static" / "app" / "theme.js").read_text()
    grounds = re.findall(r"(light|dark): \{ \.\.\.MARKS, background: \"(.*?)\"", text)
    assert dict(grounds) == {name: theme.background for name, theme in THEMES.items()}
    marks = re.search(r"const MARKS = \{(.*?)\};", text, re.DOTALL)
    assert marks
    own = (style.MARKS["first"], style.MARKS["second"], *style.MARKS["classes"])
    assert tuple(re.findall("#[0-9a-f]{6}", marks[1])) == own


@pytest.mark.parametrize("name", ["light", "dark"])
def test_text_and_marks_stand_out_from_the_background(name):
    theme = THEMES[name]
    assert contrast([theme.text], theme.background)[0] > 12
    assert contrast([theme.muted], theme.background)[0] > 4.5
    assert contrast(theme.classes, theme.background).min() > 2.2
    ends = [to_hex(ramp()(0.0)), to_hex(ramp()(1.0))]
    assert contrast(ends, theme.background).min() > 1.6
    with themed(name):
        ax = style.dress(one_axes((3, 2)), title="Title", x="x", y="y")
    words = {text.get_text(): text.get_color() for text in ax.findobj(Text)}
    assert [words[each] for each in ("Title", "x", "y")] == [theme.text] * 3
    assert {label.get_color() for label in ax.get_xticklabels()} == {theme.muted}
    seen = {side: to_hex(spine.get_edgecolor()) for side, spine in ax.spines.items() if spine.get_visible()}
    assert seen == {"left": theme.muted, "bottom": theme.muted}
    lines = [[line for line in axis.get_gridlines() if line.get_visible()] for axis in (ax.xaxis, ax.yaxis)]
    assert [{to_hex(line.get_color()) for line in each} for each in lines] == [set(), {theme.grid}]


def test_numbers_on_a_map_of_colours_stand_out():
    rows = np.random.default_rng(0).normal(size=(99, 4)) @ [[1, 0.5, 0, 0], [0, 1, 2, 0], [0, 0, 1, -1], [0, 0, 0, 0.2]]
    for ax in correlations(rows, -rows[::-1], "abcd")[0]:
        shown = ax.images[0].get_array()
        for text in ax.texts:
            i, j = reversed([int(place) for place in text.get_position()])
            assert float(text.get_text().replace("\N{MINUS SIGN}", "-")) == pytest.approx(shown[i, j], abs=0.006)
            assert contrast([text.get_color()], to_hex(ax.images[0].to_rgba(shown)[i, j]))[0] > 3


@pytest.fixture
def no_fonts(monkeypatch):
    """No font is installed but matplotlib's own."""
    monkeypatch.setattr(style, "_families", tuple)
    style.family_of.cache_clear()
    yield
    style.family_of.cache_clear()


def test_a_script_that_the_own_font_lacks_is_drawn_by_one_that_has_it():
    own, other = (set(get_font(findfont(name)).get_charmap()) for name in ("DejaVu Sans", "STIXGeneral"))
    lacking = chr(min(other - own - {0}))
    assert style.family_of(lacking) is not None
    assert readable(lacking) == lacking
    pixels = []
    for family in (None, style.family_of(lacking)):
        ax = one_axes((1.0, 1.0))
        ax.axis("off")
        text = ax.text(0.5, 0.5, readable(lacking), fontsize=30)
        if family is None:
            pixels.append(frame(ax))
        else:
            text.set_fontfamily(family)
            ax.figure.set_dpi(FRAME_DPI)
            ax.figure.canvas.draw()
            pixels.append(np.asarray(ax.figure.canvas.buffer_rgba())[..., :3])
    np.testing.assert_array_equal(*pixels)


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("plain", "plain"),
        ("$x^2$", r"\$x^2\$"),
        ("5 $", r"5 \$"),
        ("a\n\tb", "a b"),
        ("<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"),
        ("\N{CJK UNIFIED IDEOGRAPH-4E2D}\N{MUSICAL SYMBOL BEGIN BEAM}", "U+4E2D"),
        ("\x00", r"\x00"),
        ("a\N{RIGHT-TO-LEFT OVERRIDE}b", r"a\u202eb"),
        ("a" * 30 + "b" * 30, "a" * 19 + "…" + "b" * 20),
        (7, "7"),
    ],
)
def test_readable_names(name, drawn, no_fonts):
    assert readable(name) == drawn
    assert not is_math_text(readable(name))


def test_csv_holds_exactly_the_numbers(tmp_path):
    table = {
        "name, with comma": np.array(['<img src=x onerror="x">', "$x^2$", ""], dtype=object),
        "single": np.array([0.1, -1e-30, np.nan], np.float32),
        "double": np.array([0.1, 1 / 3, -np.inf]),
        "flag": np.array([True, False, True]),
        "count": np.array([1, -2, 2**40]),
    }
    *_, path = figures.save(one_axes((2.0, 2.0)), tmp_path / "deep" / "figure 0.5", table)
    assert path.name == "figure 0.5.csv"
    with open(path, newline="", encoding="utf-8") as stream:
        header, *rows = csv.reader(stream)
    assert header == list(table)
    columns = list(zip(*rows))
    assert list(columns[0]) == table["name, with comma"].tolist()
    np.testing.assert_array_equal(np.array(columns[1], np.float32), table["single"])
    np.testing.assert_array_equal(np.array(columns[2], float), table["double"])
    assert columns[3] == ("true", "false", "true")
    assert [int(value) for value in columns[4]] == [1, -2, 2**40]


@pytest.mark.parametrize("table", [{}, {"a": [1, 2], "b": [1]}, {"a": [[1, 2]]}])
def test_tables_that_do_not_fit_are_refused(tmp_path, table):
    with pytest.raises(DataError):
        figures.save(one_axes((2.0, 2.0)), tmp_path / "x", table)
    assert list(tmp_path.iterdir()) == []


def test_saved_files_are_the_same_bytes_twice(tmp_path):
    z = np.random.default_rng(0).normal(size=(2500, 2))
    before = matplotlib.rcParams["svg.hashsalt"]
    for stem in ("a", "b"):
        drawn = figures.latent_scatter(z, np.arange(2500) % 3, title="$x$")
        written = figures.save(drawn, tmp_path / stem, figures.latent_scatter_table(z))
        assert [path.name for path in written] == [f"{stem}.png", f"{stem}.svg", f"{stem}.csv"]
    for ending in (".png", ".svg", ".csv"):
        assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()
    assert b"dc:date" not in (tmp_path / "a.svg").read_bytes()
    assert matplotlib.rcParams["svg.hashsalt"] == before
    assert len(list(tmp_path.iterdir())) == 6


def test_png_has_225_dots_an_inch_and_the_background(tmp_path):
    with themed("dark"):
        path, *_ = figures.save(one_axes((3.0, 2.0)), tmp_path / "x")
    pixels = matplotlib.image.imread(path)
    assert pixels.shape == (450, 675, 4)
    assert to_hex(pixels[0, 0]) == THEMES["dark"].background


def test_a_refusing_disk_is_a_resource_error_and_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match=r"x\.png: File exists"):
        figures.save(one_axes((2.0, 2.0)), tmp_path / "file" / "x")
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(ResourceError, match=r"taken\.png: this is a folder"):
        figures.save(one_axes((2.0, 2.0)), tmp_path / "taken")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken.png"]


def test_figures_can_be_drawn_in_threads(tmp_path):
    kl = np.array([0.5, 2.0, 1.0])
    threads = [
        threading.Thread(target=lambda i=i: figures.save(figures.unit_kl_bars(kl), tmp_path / str(i))) for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({(tmp_path / f"{i}.svg").read_bytes() for i in range(4)}) == 1
    assert len({(tmp_path / f"{i}.png").read_bytes() for i in range(4)}) == 1


def test_pyplot_is_never_imported():
    code = (
        "import sys, tempfile, numpy as np; from latens import figures\n"
        "figures.save(figures.image_grid(np.zeros((2, 4, 4))), tempfile.mkdtemp() + '/x')\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
