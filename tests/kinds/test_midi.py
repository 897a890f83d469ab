"""MIDI files as rows of words, and rows of words as MIDI files."""

import sys
from pathlib import Path

import pytest

from latens.data import load
from latens.errors import DataError
from latens.verbs.kernel import Made

mido = pytest.importorskip("mido")

from latens.kinds.text.midi import midi_of, words_of  # noqa: E402

ROWS = ["74 69 65 50 | 74 69 65 50 | 72 69", "60", "60 | | 60 | 127 0 |", "| 64 | 64"]


def test_words_to_midi_and_back(tmp_path: Path) -> None:
    for number, row in enumerate(ROWS):
        (tmp_path / f"{number}.mid").write_bytes(midi_of(row, "row"))
    assert [words_of(tmp_path / f"{number}.mid").split() for number in range(4)] == [row.split() for row in ROWS]
    data = load(tmp_path)
    assert data.schema.tokens.pieces == "words"
    assert data.schema.decode(data.x) == [" ".join(row.split()) for row in ROWS]
    assert data.names.tolist() == ["0.mid", "1.mid", "2.mid", "3.mid"]
    assert load(tmp_path / "0.mid", schema=data.schema).x.tolist() == data.x[:1].tolist()


def test_a_pitch_that_sounds_on_is_one_note() -> None:
    import io

    track = mido.MidiFile(file=io.BytesIO(midi_of("60 64 | 60 | 60 64", "row"))).tracks[0]
    now, found = 0, []
    for event in track:
        now += event.time
        found.append((event.type, getattr(event, "note", None), now / 480))
    assert found == [
        ("note_on", 60, 0), ("note_on", 64, 0), ("note_off", 64, 1), ("note_on", 64, 2),
        ("note_off", 60, 3), ("note_off", 64, 3), ("end_of_track", None, 3),
    ]  # fmt: skip


def test_several_tracks_drums_and_notes_between_beats(tmp_path: Path) -> None:
    piece = mido.MidiFile(ticks_per_beat=10)
    events = {0: [("note_on", 60, 80, 0), ("note_on", 60, 0, 25)], 1: [("note_on", 64, 80, 12), ("note_off", 64, 0, 5)],
              9: [("note_on", 35, 80, 0), ("note_off", 35, 0, 20)]}  # fmt: skip
    for channel, messages in events.items():
        track = mido.MidiTrack()
        for kind, note, velocity, time in messages:
            track.append(mido.Message(kind, channel=channel, note=note, velocity=velocity, time=time))
        track.append(mido.MetaMessage("end_of_track", time=0))
        piece.tracks.append(track)
    piece.save(tmp_path / "a.mid")
    assert words_of(tmp_path / "a.mid") == "60 | 60"  # 25 ticks are two beats; 60 ends within the third


def test_samples_are_written_a_file_a_row(tmp_path: Path) -> None:
    data = load(ROWS[:2], pieces="words")
    Made(arrays={"x": data.x}, schema=data.schema).write(tmp_path / "s.mid")
    assert [words_of(tmp_path / f"s-00{k}.mid") for k in (1, 2)] == ROWS[:2]
    Made(arrays={"x": data.x[1:]}, schema=data.schema).write(tmp_path / "one.mid")
    assert words_of(tmp_path / "one.mid") == "60"


@pytest.mark.parametrize("word", ["128", "-1", "x", "60.5", "٣"])
def test_what_is_no_pitch_is_refused(word: str) -> None:
    with pytest.raises(DataError, match=r"is not a pitch\. Pitches are numbers from 0 to 127"):
        midi_of(f"60 {word}", "row 3")


def test_damaged_and_endless_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mid").write_bytes(midi_of("60 | 62", "row")[:-9])
    with pytest.raises(DataError, match=r"a\.mid: is not a MIDI file that can be read"):
        load(tmp_path / "a.mid")
    piece = mido.MidiFile(ticks_per_beat=1, tracks=[mido.MidiTrack([mido.MetaMessage("end_of_track", time=2**27)])])
    piece.save(tmp_path / "b.mid")
    with pytest.raises(DataError, match="no beats, or too many"):
        load(tmp_path / "b.mid")
    monkeypatch.setitem(sys.modules, "mido", None)
    with pytest.raises(DataError, match=r"MIDI files need the package mido, which is not installed.*latens\[music\]"):
        load(tmp_path / "b.mid")
