"""The most expensive use within the bounds of a call, which a budget reserves before the call is made."""

from serve_app.pricing.price import Price
from serve_app.pricing.usage import Usage


def worst_case(
    price: Price,
    most: Usage,
    writes_cache: bool = False,
    speaks: bool = False,
    marks_cache: bool = False,
) -> Usage:
    """
    Return the usage converted to the most expensive kinds of tokens.

    Output may be all reasoning, if that is more expensive; or all sound or pictures, if the answer `speaks`.
    Sound and pictures in the input count as text if that is more expensive, because a vendor may not report
    them separately.

    Args:
        price: the target's price.
        most: the most that the call may use.
        writes_cache: the caller marks parts of the input for the cache, which may be all of it, for an hour.
        speaks: the answer may be sound or pictures.
        marks_cache: the gateway marks parts of the input for the cache, for five minutes.
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
    if not (writes_cache or marks_cache):
        return most
    for_5m = most._replace(input=0, cache_write_5m=most.input)
    if not writes_cache:
        return max(most, for_5m, key=price.cost)
    for_1h = most._replace(input=0, cache_write_1h=most.input)
    return max(most, for_5m, for_1h, key=price.cost)
