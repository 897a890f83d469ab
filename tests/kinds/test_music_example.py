"""`examples/music.py`: pieces as rows of words, and back."""

import runpy

import mido
import pytest
from paths import ROOT

MUSIC = runpy.run_path(str(ROOT / "examples" / "music.py"))


@pytest.mark.parametrize("text", ["72 67 | 72 48 | 74", "60", "60 |  | 60 | 64 60"])
def test_a_piece_comes_back(text: str, tmp_path) -> None:
    MUSIC["midi"](text).save(tmp_path / "piece.mid")
    assert MUSIC["words"](mido.MidiFile(tmp_path / "piece.mid")) == text


def test_a_held_pitch_is_one_note_and_drums_are_left_out() -> None:
    piece = MUSIC["midi"]("60 | 60")
    assert sum(event.type == "note_on" for event in piece.tracks[0]) == 1
    piece.tracks[0].insert(0, mido.Message("note_on", note=35, channel=9, time=0))
    assert MUSIC["words"](piece) == "60 | 60"
