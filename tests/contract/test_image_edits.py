"""Edits of images through the whole application: forms with files, routed, charged, honest about faults."""

from typing import Any

import httpx
import openai
import pytest

from tests.contract.test_task_endpoints import FAULTS, Scene, scene
from tests.support.images import JPEG, PNG, WEBP
from tests.support.jumping import JUMPING

pytestmark = pytest.mark.anyio

PATH = "/v1/images/edits"
DOG = ("image", ("dog.png", PNG))
HAT = {"prompt": "a hat"}
SMALL = {**HAT, "size": "1024x1024", "quality": "low"}


@pytest.fixture
def anyio_backend() -> object:
    return JUMPING


async def edit(made: Scene, fields: dict[str, Any] = HAT, *files: Any) -> httpx.Response:
    return await made.api.post(PATH, data=fields, files=list(files or [DOG]))


def editing(**more: Any) -> Any:
    return scene("image_generation", **more)


@pytest.mark.parametrize(
    "named", [{}, {"model": "auto"}, {"model": "same"}, {"model": "first/same"}], ids=str
)
async def test_a_form_goes_to_a_model_for_images_with_its_files_and_its_fields(named: dict[str, str]) -> None:
    mask = ("mask", ("mask.png", PNG, "application/octet-stream"))
    async with editing() as made:
        fields = {**SMALL, "n": "2", "background": "opaque", "stream": "false", "max_cost": "1", **named}
        answer = await edit(made, fields, ("image[]", ("a", JPEG)), ("image[]", ("b.webp", WEBP)), mask)
        [sent] = made.upstreams[0].requests

    assert answer.status_code == 200, answer.text
    assert answer.headers["x-sekha-model"] == "same"
    assert answer.json()["sekha_metadata"]["routing"]["task"] == "image_generation"
    assert len(answer.json()["data"]) == 2
    assert sent.path == PATH
    assert sent.json == {
        **SMALL,
        "n": "2",
        "background": "opaque",
        "model": "same",
        "image[]": [
            {"filename": "a", "content_type": "image/jpeg", "content": JPEG},
            {"filename": "b.webp", "content_type": "image/webp", "content": WEBP},
        ],
        "mask": {"filename": "mask.png", "content_type": "image/png", "content": PNG},
    }


@pytest.mark.parametrize(("orders", "status", "code"), FAULTS, ids=str)
async def test_a_fault_is_told_where_nobody_else_is_there_and_another_gets_the_form_where_somebody_is(
    orders: dict[str, Any], status: int, code: str
) -> None:
    async with editing() as made:
        made.upstreams[0].mode = orders
        refused = await edit(made)
    async with editing(alone=False) as made:
        made.upstreams[0].mode = orders
        answered = await edit(made)
        first, last = (upstream.last.json for upstream in made.upstreams)

    assert refused.status_code == status, refused.text
    assert code in (refused.json()["error"]["code"], "upstream_broken")
    assert (answered.status_code, answered.headers["x-sekha-provider"]) == (200, "last")
    assert first == last
    assert last["image"]["content"] == PNG


async def test_as_many_images_as_were_asked_for_are_passed_on() -> None:
    async with editing() as made:
        answer = await edit(made, {**HAT, "n": "3"})

    assert answer.status_code == 200
    assert len(answer.json()["data"]) == 3


async def test_charged_are_the_tokens_that_the_vendor_reports_of_images_read_and_made() -> None:
    async with editing() as made:
        answer = await edit(made)

    # Two words and 194 tokens of an image at $0.01 a thousand, 1,056 tokens at $0.02.
    assert answer.headers["x-sekha-cost-usd"] == "0.02308"


async def test_images_are_charged_by_the_piece_where_that_is_the_price() -> None:
    async with editing(model={"cost_per_image": 0.04}, budgets=[{"limit": 0.1}]) as made:
        made.upstreams[0].mode = {"no_usage": True}
        two = await edit(made, {**HAT, "n": "2"})
        three = await edit(made, {**HAT, "n": "3"})
        asked = made.asked

    assert two.headers["x-sekha-cost-usd"] == "0.08"
    assert (three.status_code, asked) == (402, [1])


async def test_under_a_budget_an_unknown_price_is_refused() -> None:
    async with editing(model={"cost_per_1k_cached": 0}, budgets=[{"limit": 1}]) as made:
        answer = await edit(made)
        asked = made.asked

    assert (answer.status_code, answer.json()["error"]["code"]) == (402, "price_unknown")
    assert asked == [0]


@pytest.mark.parametrize(
    ("fields", "images", "status"),
    [
        # $0.06: 512 tokens made at $0.02 a thousand, 2,048 or 8,192 read at $0.01, the fields.
        ({**SMALL, "input_fidelity": "low"}, 1, 200),
        ({**SMALL, "input_fidelity": "high"}, 1, 402),
        (SMALL, 1, 402),
        ({**SMALL, "input_fidelity": "low"}, 3, 402),
        ({**SMALL, "input_fidelity": "low", "n": "3"}, 1, 402),
        ({**HAT, "input_fidelity": "low"}, 1, 402),
    ],
)
async def test_reserved_are_the_images_that_are_sent_and_those_that_are_made(
    fields: dict[str, str], images: int, status: int
) -> None:
    async with editing(budgets=[{"limit": 0.06}]) as made:
        answer = await edit(made, fields, *[("image[]", ("dog.png", PNG))] * images)
        asked = made.asked

    assert answer.status_code == status, answer.text
    assert asked == [int(status == 200)]


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({**HAT, "stream": "true"}, 400, "stream"),
        ({**HAT, "partial_images": "2"}, 400, "partial_images"),
        ({**HAT, "image_url": "http://10.0.0.1/x.png"}, 400, "image_url"),
        ({**HAT, "api_base": "http://elsewhere"}, 400, "api_base"),
        ({**HAT, "n": "two"}, 422, "n"),
        ({}, 422, "prompt"),
        ({**HAT, "model": "talks"}, 404, "model"),
    ],
)
async def test_a_form_that_asks_for_what_cannot_be_is_refused_before_anything_is_sent(
    fields: dict[str, str], status: int, param: str
) -> None:
    async with editing() as made:
        answer = await edit(made, fields)
        asked = made.asked

    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param), answer.text
    assert asked == [0]


async def test_files_that_cannot_be_are_refused_before_anything_is_sent() -> None:
    async with editing() as made:
        refused = [
            await made.api.post(PATH, json=HAT),
            await edit(made, HAT, ("picture", ("a.png", PNG))),
            await edit(made, HAT, ("image", ("a.gif", b"GIF89a"))),
            await edit(made, HAT, *[("image[]", ("a.png", PNG))] * 17),
            await edit(made, HAT, *[("image[]", ("a.png", PNG))] * 18),
        ]
        asked = made.asked

    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in refused] == [
        (415, "unsupported_content_type"),
        (400, "invalid_form"),
        (400, "invalid_image"),
        (400, "too_many_images"),
        (400, "invalid_form"),
    ]
    assert asked == [0]


async def test_files_are_bounded_together() -> None:
    half = PNG + bytes(600_000)
    async with editing(router={"max_upload_mb": 1}) as made:
        one = await edit(made, HAT, ("image", ("a.png", half)))
        two = await edit(made, HAT, ("image[]", ("a.png", half)), ("image[]", ("b.png", half)))
        asked = made.asked

    assert (one.status_code, two.status_code, asked) == (200, 413, [1])
    assert "1 MB for all its files together" in two.json()["error"]["message"]
    assert two.json()["error"]["param"] == "image[]"


async def test_variations_are_refused_with_the_reason() -> None:
    async with editing() as made:
        answer = await made.api.post("/v1/images/variations", files=[DOG])

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_url")
    assert "only dall-e-2 makes" in answer.json()["error"]["message"]


async def test_openais_own_client_edits_one_image_and_several() -> None:
    async with editing() as made:
        client = openai.AsyncOpenAI(
            api_key="k", base_url="http://localhost/v1", http_client=made.api, max_retries=0
        )
        one = await client.images.edit(
            model="same", prompt="a hat", image=("dog.png", PNG), mask=("mask.png", PNG), stream=False
        )
        two = await client.images.edit(
            model="same",
            prompt="a hat",
            image=[("dog.png", PNG), ("cat.jpg", JPEG)],
            n=2,
            size="1024x1024",
            quality="low",
            input_fidelity="high",
            background="transparent",
            output_format="webp",
            output_compression=80,
        )
        first, second = (request.json for request in made.upstreams[0].requests)
        with pytest.raises(openai.BadRequestError, match="images are not streamed"):
            await client.images.edit(model="same", prompt="a hat", image=PNG, stream=True)
        with pytest.raises(openai.NotFoundError, match="dall-e-2"):
            await client.images.create_variation(image=PNG)

    assert one.data is not None
    assert two.data is not None
    assert [len(one.data), len(two.data)] == [1, 2]
    assert two.usage is not None
    assert two.usage.input_tokens_details.image_tokens == 2 * 2 * 194
    assert (first["image"]["content"], first["mask"]["content"]) == (PNG, PNG)
    assert [file["content_type"] for file in second["image[]"]] == ["image/png", "image/jpeg"]
    assert (second["n"], second["output_compression"]) == ("2", "80")
