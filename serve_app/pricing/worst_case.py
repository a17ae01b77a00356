"""The dearest way to use what a call may use: what a budget sets aside for it, before it is made."""

from serve_app.pricing.price import Price
from serve_app.pricing.usage import Usage


def worst_case(price: Price, most: Usage, writes_cache: bool = False, speaks: bool = False) -> Usage:
    """
    The same use, in the kinds of token that cost the most.

    What is written may be all reasoning, where that is dearer; all sound or pictures, where the answer
    `speaks`. Sound and pictures that are read count as text where that is dearer, because a vendor may not
    tell them apart. `writes_cache`: the caller marks parts of the input to be kept, which may then be all of
    it, for an hour.
    """
    paid = price.applying(most.tier, most.input_tokens)
    thought, sound, picture = paid.reasoning or 0, 0, 0
    if speaks:
        sound, picture = paid.audio_output or 0, paid.image_output or 0
    if (dearest := max(thought, sound, picture)) > paid.output:
        if dearest == thought:
            most = most._replace(output=0, reasoning=most.output)
        elif dearest == sound:
            most = most._replace(output=0, audio_output=most.output)
        else:
            most = most._replace(output=0, image_output=most.output)
    if most.audio_input and paid.audio_input is not None and paid.audio_input < paid.input:
        most = most._replace(audio_input=0, input=most.input + most.audio_input)
    if most.image_input and paid.image_input is not None and paid.image_input < paid.input:
        most = most._replace(image_input=0, input=most.input + most.image_input)
    if not writes_cache:
        return most
    for_5m = most._replace(input=0, cache_write_5m=most.input)
    for_1h = most._replace(input=0, cache_write_1h=most.input)
    return max(most, for_5m, for_1h, key=price.cost)
