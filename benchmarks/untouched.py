"""Sets of text, music and series on which no default was chosen, written as files that `latens fit` reads.

    python benchmarks/untouched.py FOLDER     # text, music, series

    latens fit FOLDER/towns.txt               # names of towns and regions, of the time zones that Python knows
    latens fit FOLDER/licences.txt            # lines of the licences of the installed packages
    latens fit FOLDER/melodies.txt --pieces words   # a melody that walks over chords, made here

The series are one each, in equal steps: two columns that swing in two regimes, counts that excite one another over a
day of 24 steps, and the 800 steps of an electroencephalogram that Matplotlib ships. The last quarter is apart.

    latens fit FOLDER/cycles.csv --sequence - --time t --window 96 --stride 12 --recipe deep-kalman --out RUN
    latens forecast RUN FOLDER/cycles-later.csv --steps 24 --backtest --out back.csv
"""

import argparse
import zoneinfo
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import numpy as np

CHORDS = ((48, 52, 55), (53, 57, 60), (55, 59, 62), (57, 60, 64))
SCALE = np.array([60, 62, 64, 65, 67, 69, 71, 72, 74, 76, 77, 79, 81, 83, 84])


def towns() -> list[str]:
    """The last part of every time zone's name, as `Buenos Aires`."""
    return sorted({name.rsplit("/", 1)[-1].replace("_", " ") for name in zoneinfo.available_timezones()})


def licences() -> list[str]:
    """The distinct lines of 10 to 100 characters in the licence files of installed packages."""
    lines: set[str] = set()
    for package in distributions():
        for file in package.files or ():
            if file.name.lower().startswith(("license", "licence", "copying", "notice")):
                try:
                    text = Path(str(file.locate())).read_text(encoding="utf-8")
                except (OSError, UnicodeDecodeError):
                    continue
                lines |= {line.strip() for line in text.splitlines() if 10 <= len(line.strip()) <= 100}
    return sorted(line for line in lines if line.isascii() and line.isprintable())


def melodies(rng: np.random.Generator, count: int = 400) -> list[str]:
    """Pieces of 8 to 24 beats: a chord of three notes for two beats, and a note above that moves by single degrees."""
    pieces = []
    for _ in range(count):
        key, place, beats, chord = int(rng.integers(-4, 5)), int(rng.integers(4, 11)), [], CHORDS[0]
        for beat in range(2 * int(rng.integers(4, 13))):
            if beat % 2 == 0:
                chord = CHORDS[rng.choice(4, p=[0.4, 0.25, 0.2, 0.15])]
            place = int(np.clip(place + rng.choice([-1, 0, 1, 2], p=[0.4, 0.15, 0.35, 0.1]), 0, len(SCALE) - 1))
            beats.append(" ".join(str(key + note) for note in (int(SCALE[place]), *reversed(chord))))
        pieces.append(" | ".join(beats))
    return pieces


def cycles(rng: np.random.Generator, steps: int = 4000) -> np.ndarray:
    """Autoregressions of order two with periods of 9 and 23 steps: calm ones that last, or wild ones that fade."""
    x, regime = np.zeros((steps, 2)), 0
    for t in range(2, steps):
        regime = 1 - regime if rng.random() < 0.01 else regime
        for column, period in enumerate((9, 23)):
            fading, noise = ((0.98, 0.2), (0.85, 1.0))[regime]
            own = 2 * fading * np.cos(2 * np.pi / period) * x[t - 1, column] - fading**2 * x[t - 2, column]
            x[t, column] = own + noise * rng.normal()
    return x.round(4)


def events(rng: np.random.Generator, steps: int = 4000) -> np.ndarray:
    """Counts of three places, whose rates follow a day of 24 steps and rise with every event, at home most of all."""
    day = 1.5 + np.sin(2 * np.pi * np.arange(steps)[:, None] / 24 + np.array([0.0, 1.0, 2.0]))
    excites, fresh, counts = np.array([[0.35, 0.1, 0.0], [0.1, 0.3, 0.1], [0.0, 0.1, 0.4]]), np.zeros(3), []
    for t in range(steps):
        counts.append(rng.poisson(day[t] * np.array([0.5, 1.0, 2.0]) + fresh))
        fresh = 0.5 * fresh + 0.8 * counts[-1] @ excites
    return np.stack(counts)


def brain() -> np.ndarray:
    """The four columns of the electroencephalogram of Matplotlib's gallery."""
    import matplotlib.cbook

    file: Any = matplotlib.cbook.get_sample_data("eeg.dat")
    with file:
        return np.frombuffer(file.read(), float).reshape(800, 4)


def main() -> None:
    """Write the files, and say how many rows each has."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for name, rows in (("towns", towns()), ("licences", licences()), ("melodies", melodies(rng))):
        (folder / f"{name}.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
        print(f"{name}: {len(rows)} rows")
    for name, table in (("cycles", cycles(rng)), ("events", events(rng)), ("brain", brain())):
        header = ",".join(["t", *(f"x{column}" for column in range(table.shape[1]))])
        numbered, later = np.column_stack([np.arange(len(table)), table]), round(0.75 * len(table))
        for end, part in (("", numbered[:later]), ("-later", numbered[later:])):
            np.savetxt(folder / f"{name}{end}.csv", part, "%.10g", delimiter=",", header=header, comments="")
        print(f"{name}: {later} steps, and {len(table) - later} later ones")


if __name__ == "__main__":
    main()
