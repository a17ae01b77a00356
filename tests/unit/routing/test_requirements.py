"""What a request asks of a target where it says nothing: as little as may be."""

from serve_app.config.model import ModelTask
from serve_app.pricing.usage import Usage
from serve_app.providers.catalogue.wire_format import WireFormat
from serve_app.routing.requirements import Extent, Requirements


def test_a_request_that_says_nothing_asks_for_nothing_special() -> None:
    plain = Requirements(ModelTask.CHAT_SMART)

    asked = {name: value for name, value in plain._asdict().items() if value}
    assert asked == {
        "task": ModelTask.CHAT_SMART,
        "falls_back": True,
        "input_tokens": 1000,
        "output_tokens": 500,
        "answers": 1,
        "format": WireFormat.OPENAI_CHAT,
        "tenant": "default",
        "pieces": Usage(),
    }
    assert not any(Extent(0))
