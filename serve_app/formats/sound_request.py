"""Requests about sound: a text to be spoken, or a sound to be written down."""

from dataclasses import dataclass

from serve_app.formats.sound.length import UNKNOWN, SoundLength
from serve_app.formats.task_request import TaskRequest


@dataclass(frozen=True, slots=True)
class SoundRequest(TaskRequest):
    """
    A request for speech or for a transcript.

    Attributes:
        sound: how long the sound is that is written down, or will be that is spoken.
        characters: how many there are of the text that is to be spoken.
    """

    sound: SoundLength = UNKNOWN
    characters: int = 0
