"""What a question to the router is about, where its task is not charged by text alone."""

from collections.abc import Mapping

from serve_app.config.model import ModelTask
from serve_app.pricing.usage import Usage

# One search unit of a reranking; one image of a megapixel in medium quality.
ASKED_PIECES: Mapping[ModelTask, Usage] = {
    ModelTask.RERANK: Usage(searches=1),
    ModelTask.IMAGE_GENERATION: Usage(images=1, image_output=2048),
}
