"""MIDI files as rows of text: the pitches that sound at each beat, from the top down, with a bar between beats."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from latens.data.raw import ColumnRoles, Raw, damaged, with_roles
from latens.errors import DataError
from latens.kinds.text.tokens import LONGEST, Tokens, library

BAR = "|"
_TICKS, _DRUMS, _LOUD = 480, 9, 80
_MOST_BYTES = 2**24


def read_midi(path: Path, roles: ColumnRoles) -> Raw:
    """Read one piece, or the pieces of a folder, as rows of words."""
    folder = path.is_dir()
    files = midi_files(path) if folder else [path]
    strings = [words_of(file) for file in files]
    names = np.array([file.relative_to(path).as_posix() for file in files]) if folder else None
    return with_roles(Raw(None, names=names, strings=strings, pieces="words"), roles, str(path))


def midi_files(folder: Path) -> list[Path]:
    """Find the MIDI files of a folder."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".mid", ".midi") and path.is_file())


def words_of(path: Path) -> str:
    """Write the pitches that sound at each beat of a piece as words."""
    mido, where = library("mido", "music", "MIDI files", str(path)), str(path)
    if path.stat().st_size > _MOST_BYTES:
        raise DataError(f"has more than {_MOST_BYTES:,} bytes.", where=where, fix="Cut the piece.")
    try:
        piece = mido.MidiFile(file=io.BytesIO(path.read_bytes()), clip=True)
        beat, events = piece.ticks_per_beat, list(mido.merge_tracks(piece.tracks))
    except (EOFError, OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise damaged(where, f"is not a MIDI file that can be read ({str(error)[:100]}).") from None
    total = sum(event.time for event in events)
    if not beat > 0 or total > LONGEST * beat:
        raise DataError(
            f"has {total} ticks of {beat} a beat: no beats, or too many.", where=where, fix="Cut the piece."
        )
    beats: list[set[int]] = [set() for _ in range(round(total / beat))]
    begun: dict[tuple[int, int], int] = {}
    now = 0
    for event in events:
        now += event.time
        if event.type not in ("note_on", "note_off") or event.channel == _DRUMS:
            continue
        key = (event.channel, event.note)
        # A note sounds at the beats from its start to before its end.
        for step in range(-(-begun.pop(key, now) // beat), min(-(-now // beat), len(beats))):
            beats[step].add(event.note)
        if event.type == "note_on" and event.velocity > 0:
            begun[key] = now
    return f" {BAR} ".join(" ".join(map(str, sorted(sounding, reverse=True))) for sounding in beats)


def beats_of(text: str) -> list[set[int]] | None:
    """The pitches of each beat of a row of words; None where it is not music."""
    beats: list[set[int]] = [set()]
    for word in text.split():
        if word == BAR:
            beats.append(set())
        elif is_pitch(word):
            beats[-1].add(int(word))
        else:
            return None
    return beats


def is_pitch(word: str) -> bool:
    """Whether a word is a pitch: a number from 0 to 127."""
    return word.isdecimal() and word.isascii() and len(word) <= 3 and int(word) < 128


def is_music(tokens: Tokens | None) -> bool:
    """Whether a vocabulary is of pieces of music: pitches, and bars between beats."""
    if tokens is None or tokens.pieces != "words" or BAR not in tokens.values:
        return False
    return all(word == BAR or is_pitch(word) for word in tokens.values)


def midi_of(text: str, where: str) -> bytes:
    """Write a row of words as a MIDI file; a pitch that sounds at the next beat too is held."""
    mido, beats = library("mido", "music", "MIDI files", where), beats_of(text)
    if beats is None:
        word = next(word for word in text.split() if word != BAR and not is_pitch(word))
        fix = f"Pitches are numbers from 0 to 127, with {BAR} between beats: use .txt for other text."
        raise DataError(f"{word[:40]!r} is not a pitch.", where=where, fix=fix)
    piece = mido.MidiFile(ticks_per_beat=_TICKS)
    track: Any = mido.MidiTrack()
    piece.tracks.append(track)
    waiting, held = 0, set[int]()
    for sounding in [*beats, set[int]()]:
        changes = [("note_off", held - sounding), ("note_on", sounding - held)]
        for kind, pitches in changes:
            for pitch in sorted(pitches):
                track.append(mido.Message(kind, note=pitch, velocity=_LOUD, time=waiting))
                waiting = 0
        waiting, held = waiting + _TICKS, sounding
    track.append(mido.MetaMessage("end_of_track", time=waiting - _TICKS))
    made = io.BytesIO()
    piece.save(file=made)
    return made.getvalue()
