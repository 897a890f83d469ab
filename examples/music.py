"""Pieces of music as rows of words, and back: the MIDI pitches at each beat from the top down, `|` between beats.

pip install mido
python examples/music.py words pieces/*.mid > pieces.txt
latens fit pieces.txt --pieces words --out runs/pieces
latens sample runs/pieces -n 3 --out new.txt
python examples/music.py midi new.txt
"""

import sys
from pathlib import Path

import mido

DRUMS, TICKS = 9, 480


def words(piece: mido.MidiFile) -> str:
    """The pitches that sound at each beat of a piece; drums are left out."""
    events, beat, now = list(mido.merge_tracks(piece.tracks)), piece.ticks_per_beat, 0
    beats = [set() for _ in range(round(sum(event.time for event in events) / beat))]
    begun = {}
    for event in events:
        now += event.time
        if event.type not in ("note_on", "note_off") or event.channel == DRUMS:
            continue
        key = event.channel, event.note
        for step in range(-(-begun.pop(key, now) // beat), min(-(-now // beat), len(beats))):
            beats[step].add(event.note)
        if event.type == "note_on" and event.velocity > 0:
            begun[key] = now
    return " | ".join(" ".join(map(str, sorted(sounding, reverse=True))) for sounding in beats)


def midi(text: str) -> mido.MidiFile:
    """A row of words as a piece; a pitch that sounds at the next beat too is held."""
    piece, track = mido.MidiFile(ticks_per_beat=TICKS), mido.MidiTrack()
    piece.tracks.append(track)
    waiting, held = 0, set()
    for beat in [*text.split("|"), ""]:
        sounding = set(map(int, beat.split()))
        for kind, pitches in (("note_off", held - sounding), ("note_on", sounding - held)):
            for pitch in sorted(pitches):
                track.append(mido.Message(kind, note=pitch, velocity=80, time=waiting))
                waiting = 0
        waiting, held = waiting + TICKS, sounding
    return piece


if __name__ == "__main__":
    how, *files = sys.argv[1:]
    for file in map(Path, files):
        if how == "words":
            print(words(mido.MidiFile(file)))
            continue
        for number, line in enumerate(file.read_text().splitlines(), 1):
            midi(line).save(file.with_name(f"{file.stem}-{number}.mid"))
