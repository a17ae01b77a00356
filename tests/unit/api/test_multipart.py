"""Forms come in within bounds, their files on disk; whatever is wrong with one is said."""

import asyncio
import os
import pickle
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from serve_app.api.asgi import CallerGone, Message, Scope
from serve_app.api.in_flight import TooMuchInFlight
from serve_app.api.intake import Intake, NoRoomForFile, Pace
from serve_app.api.multipart import MOST_FIELD_BYTES, MOST_FILES, MOST_PARTS
from serve_app.caller import Caller
from serve_app.config.settings import RouterConfig
from serve_app.errors import InvalidRequest
from serve_app.formats.form import Form, SpooledFile
from serve_app.formats.openai_transcription import OPENAI_TRANSCRIPTION

pytestmark = pytest.mark.anyio

ANN = Caller("acme", "ann")
TYPE = "multipart/form-data; boundary=XX"


def part(name: str, value: bytes | str, filename: str | None = None, more: str = "") -> bytes:
    named = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        named += f'; filename="{filename}"'
    content = value.encode() if isinstance(value, str) else value
    return f"--XX\r\n{named}\r\n{more}\r\n".encode() + content + b"\r\n"


END = b"--XX--\r\n"
WHOLE = part("model", "whisper-1") + part("file", b"RIFF....", "a.wav", "Content-Type: audio/wav\r\n") + END


def head(content_type: str = TYPE, **headers: str) -> Scope:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    named.append((b"content-type", content_type.encode()))
    return {"type": "http", "method": "POST", "path": "/v1/audio/transcriptions", "headers": named}


def sent(*pieces: bytes, ends: bool = True) -> Callable[[], Awaitable[Message]]:
    left = list(pieces)

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left) or not ends}

    return receive


async def read(*pieces: bytes, config: RouterConfig | None = None, scope: Scope | None = None) -> Form:
    """The form, with each file's content read while it was there."""
    intake = Intake(config or RouterConfig())
    async with intake.form(scope or head(), sent(*pieces), ANN) as form:
        return Form(
            form.fields, tuple(f._replace(file=SpooledFile.holding(f.file.read())) for f in form.files)
        )


async def test_fields_and_files_are_read_in_their_order() -> None:
    form = await read(
        part("a", "1") + part("b[]", "x") + part("b[]", "y") + part("file", b"\0\1", "ü.wav") + END
    )

    assert form.fields == (("a", "1"), ("b[]", "x"), ("b[]", "y"))
    (file,) = form.files
    assert (file.field, file.filename, file.content_type, file.file.read()) == (
        "file",
        "ü.wav",
        None,
        b"\0\1",
    )


@pytest.mark.parametrize("seed", range(20))
async def test_a_form_may_come_in_any_pieces(seed: int) -> None:
    rng = random.Random(seed)
    content = rng.randbytes(3000) + b"\r\n--X\r\n--XXY" + rng.randbytes(500)
    body = part("model", "m") + part("file", content, "a.mp3", "Content-Type: audio/mpeg\r\n") + END
    cuts = sorted(rng.sample(range(len(body)), 12))

    form = await read(*(body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)))

    assert form.fields == (("model", "m"),)
    assert form.files[0].file.read() == content
    assert form.files[0].content_type == "audio/mpeg"


async def test_a_file_is_on_disk_for_its_owner_only_and_gone_with_the_request() -> None:
    intake = Intake(RouterConfig())
    async with intake.form(head(), sent(WHOLE), ANN) as form:
        with form.files[0].file.open() as file:
            found = os.fstat(file.fileno())
            assert found.st_mode & 0o777 == 0o600
            assert found.st_nlink == 0  # no name leads to it
        assert intake.in_flight.total == len(WHOLE)
    await asyncio.get_running_loop().run_in_executor(intake._reader, lambda: None)

    assert intake.in_flight.total == 0
    with pytest.raises(OSError, match=r".*"):
        form.files[0].file.open()


async def test_several_readers_have_a_position_each() -> None:
    file = SpooledFile.holding(b"abcdef")

    with file.open() as one, file.open() as other:
        assert (one.read(3), other.read(2), one.read()) == (b"abc", b"ab", b"def")


async def test_a_file_that_goes_to_another_process_is_its_content() -> None:
    file = SpooledFile.holding(bytes(3_000_000))

    there = pickle.loads(pickle.dumps(file))

    assert there.read() == bytes(3_000_000)
    assert there.size == file.size


@pytest.mark.parametrize(
    ("content_type", "status", "said"),
    [
        ("application/json", 415, "must be multipart/form-data, not 'application/json'"),
        ("", 415, "must be multipart/form-data; the file"),
        ("multipart/mixed; boundary=XX", 415, "multipart/mixed"),
        ("multipart/form-data", 400, "needs a boundary"),
        (f"multipart/form-data; boundary={'x' * 71}", 400, "needs a boundary"),
    ],
)
async def test_a_body_that_is_no_form_is_refused(content_type: str, status: int, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as refused:
        await read(WHOLE, scope=head(content_type))

    assert refused.value.status == status
    assert refused.value.param == "content-type"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "ends before its last boundary"),
        (b"hello", "not a valid form"),
        (WHOLE[:-4], "ends before its last boundary"),
        (part("model", "m"), "ends before its last boundary"),
        (b"--XX\r\nContent-Type: text/plain\r\n\r\nx\r\n" + END, "needs a name"),
        (part("", "x") + END, "needs a name"),
        (part("n" * 129, "x") + END, "needs a name"),
        (part("a", b"\xff\xfe") + END, "a is not UTF-8"),
        (part("a", "x", more="Content-Transfer-Encoding: base64\r\n") + END, "Content-Transfer-Encoding"),
        (part("a", "x", more=f"X: {'y' * 5000}\r\n") + END, "header size"),
        (part("a", "x", more="X: y\r\n" * 9) + END, "header count"),
        (part("a", "x") * (MOST_PARTS + 1) + END, f"more than {MOST_PARTS} parts"),
        (part("file", "x", "f") * (MOST_FILES + 1) + END, f"more than {MOST_FILES} files"),
        (part("file", "x", "f" * 256) + END, "more than 255 bytes"),
    ],
)
async def test_a_form_that_cannot_be_read_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said) as refused:
        await read(body)

    assert (refused.value.status, refused.value.code) == (400, "invalid_form")


async def test_a_file_above_the_limit_is_refused_as_soon_as_it_is() -> None:
    small = RouterConfig(max_upload_mb=1)
    most = 1 << 20
    assert (await read(part("file", bytes(most), "f") + END, config=small)).files[0].file.size == most

    with pytest.raises(InvalidRequest, match="file: the file is over the limit of 1 MB") as refused:
        await read(part("file", bytes(most + 1), "f") + END, config=small)
    assert (refused.value.status, refused.value.param) == (413, "file")

    with pytest.raises(InvalidRequest, match="The body is over the limit of 1 MB") as refused:
        await read(scope=head(content_length="5000000"), config=small)
    assert refused.value.status == 413


async def test_fields_above_their_limit_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="fields are over the limit of 1 MB") as refused:
        await read(part("prompt", bytes(MOST_FIELD_BYTES + 1)) + END)

    assert (refused.value.status, refused.value.param) == (413, "prompt")


async def test_a_compressed_form_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"gzip.*not supported for forms") as refused:
        await read(WHOLE, scope=head(content_encoding="gzip"))

    assert refused.value.status == 415


async def test_a_form_that_comes_too_slowly_is_refused() -> None:
    intake = Intake(RouterConfig())
    intake.pace = Pace(total_s=0.05, grace_s=0.05, slowest=1000)

    with pytest.raises(InvalidRequest, match="did not arrive in time") as refused:
        async with intake.form(head(), sent(WHOLE[:20], ends=False), ANN):
            pass

    assert refused.value.status == 408
    assert intake.in_flight.total == 0


async def test_a_caller_who_leaves_ends_the_reading() -> None:
    intake = Intake(RouterConfig())

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    with pytest.raises(CallerGone):
        async with intake.form(head(), gone, ANN):
            pass


async def test_forms_count_as_bodies_in_flight() -> None:
    intake = Intake(RouterConfig(max_body_mb=0.1, max_bodies_in_flight_mb=0.3, max_bodies_per_key_mb=0.3))
    large = part("file", bytes(200_000), "f") + END
    async with intake.form(head(), sent(large), ANN):
        with pytest.raises(TooMuchInFlight):
            async with intake.form(head(), sent(large), ANN):
                pass


async def test_a_full_disk_is_the_gateways_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: SpooledFile, piece: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SpooledFile, "write", full)

    with pytest.raises(NoRoomForFile) as refused:
        await read(WHOLE)

    assert (refused.value.status, refused.value.retry_after_s) == (503, 5.0)


@pytest.mark.parametrize("seed", range(200))
async def test_whatever_is_wrong_with_a_form_it_is_refused_or_read(
    seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    rng = random.Random(seed)
    fields = part("model", "m") + part("models", '["a"]') + part("max_cost", "1") + part("include[]", "x")
    body = bytearray(fields + part("file", b"RIFF" + bytes(30), "a.wav") + END)
    for _ in range(1 + rng.randrange(5)):
        at = rng.randrange(len(body))
        match rng.randrange(3):
            case 0:
                body[at] = rng.randrange(256)
            case 1:
                del body[at : at + rng.randrange(20)]
            case _:
                body[at:at] = rng.choice([b"\r\n--XX\r\n", b'"', b"\0", b"[[[", b"1e999", rng.randbytes(5)])
    cut = rng.randrange(len(body) + 1)

    with suppress(InvalidRequest):
        form = await read(bytes(body[:cut]), bytes(body[cut:]))
        OPENAI_TRANSCRIPTION.parse_form(form)

    assert not caplog.records  # a caller cannot fill the log
