"""
What speech and transcripts use, as vendors count it.

A vendor charges for a transcript by its seconds or by its tokens, never for both. The price list has both
prices of some models; without a report of the vendor's the seconds count, because they are known.
"""

from serve_app.pricing.price import Price
from serve_app.pricing.usage import Usage

# Tokens of a second of sound: those that are read, of OpenAI's models as their two prices of the price list
# tell, and of Gemini's, the most of all; those that are spoken, of Gemini's. OpenAI's prices tell 21.
HEARD_PER_S = 10
MOST_HEARD_PER_S = 32
SPOKEN_PER_S = 25
# Tokens of a second's transcript: of three words; and of Whisper at most, 448 for 30 seconds.
WRITTEN_PER_S = 4
MOST_WRITTEN_PER_S = 16
LEAST_WRITTEN = 2000  # tokens that may be written down for any sound; what OpenAI's models write at most
ASKED_S = 60  # seconds, and the characters that they take, of a question to the router about sound
ASKED_CHARACTERS = 900
LEAST_BILLED_S = 10  # seconds that Groq charges for any sound


def charges_tokens(price: Price | None) -> bool:
    """Return whether tokens of a transcript may be charged; for an unknown price they may."""
    return price is None or bool(price.input or price.output or price.audio_input)


def speech_usage(input_tokens: int, characters: int, seconds: int) -> Usage:
    """Return the probable usage of a text that is spoken."""
    return Usage(
        input_tokens,
        audio_output=SPOKEN_PER_S * seconds,
        seconds=seconds,
        characters=characters,
        estimated=True,
    )


def transcript_usage(price: Price | None, input_tokens: int, seconds: int) -> Usage:
    """Return the probable usage of a sound that is written down."""
    if price is not None and (price.second or not charges_tokens(price)):
        return Usage(seconds=seconds, estimated=True)
    return Usage(
        input_tokens,
        WRITTEN_PER_S * seconds,
        audio_input=HEARD_PER_S * seconds,
        seconds=seconds,
        estimated=True,
    )
