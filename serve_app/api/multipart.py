"""
Forms with files, as they arrive: fields are kept in memory, files on disk.

Every number is bounded: of parts, of bytes of a name, a field, a file and the whole.
"""

import logging
from typing import NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from serve_app.api.asgi import Scope, header, printable
from serve_app.errors import InvalidRequest
from serve_app.formats.form import Form, SpooledFile, Upload

MOST_PARTS = 64
MOST_FILES = 17  # OpenAI takes 16 pictures and a mask
LONGEST_NAME = 128  # bytes of a field's name
LONGEST_FILENAME = 255  # bytes, as file systems have it
LONGEST_HEADERS = 4096  # bytes of one line of a part's head
MOST_FIELD_BYTES = 1_000_000  # of all fields together, files aside
MEBIBYTE = 1 << 20

# It warns of every form that cannot be read, which the caller is told.
logging.getLogger("python_multipart").setLevel(logging.ERROR)


class FormLimits(NamedTuple):
    """The most bytes of one file and of all files together."""

    file: int
    files: int


def boundary_of(scope: Scope) -> bytes:
    """Return the boundary of a form; raise InvalidRequest, 415 or 400, if the body is none."""
    given = header(scope, b"content-type") or ""
    kind, options = parse_options_header(given)
    if kind != b"multipart/form-data":
        shown = printable(given, 60)
        was = f", not '{shown}'" if given else ""
        raise InvalidRequest(
            f"Content-Type: must be multipart/form-data{was}; the file goes into a form",
            param="content-type",
            code="unsupported_content_type",
            status=415,
        )
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= 70:  # RFC 2046, 5.1.1
        raise InvalidRequest(
            "Content-Type: multipart/form-data needs a boundary of 1 to 70 characters; clients add it "
            "themselves when the header is not set by hand",
            param="content-type",
            code="invalid_form",
        )
    return boundary


class FormReader:
    """Reads one form from its pieces. `close` it, unless `form` was called and the form is closed."""

    def __init__(self, boundary: bytes, limits: FormLimits) -> None:
        self._limits = limits
        self._fields: list[tuple[str, str]] = []
        self._files: list[Upload] = []
        self._field_bytes = 0
        self._file_bytes = 0
        self._parts = 0
        self._name = b""
        self._value = b""
        self._head: dict[bytes, bytes] = {}
        self._field = ""
        self._text: bytearray | None = None
        self._file: Upload | None = None
        self._is_whole = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begins,
                "on_header_field": self._header_name,
                "on_header_value": self._header_value,
                "on_header_end": self._header_ends,
                "on_headers_finished": self._head_ends,
                "on_part_data": self._data,
                "on_part_end": self._part_ends,
                "on_end": self._ends,
            },
            max_header_count=8,
            max_header_size=LONGEST_HEADERS,
        )

    def feed(self, piece: bytes) -> None:
        """Read the next piece. Raises InvalidRequest: 400 if it is no form, 413 if it is too large."""
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise _damaged(str(error)) from None

    def form(self) -> Form:
        """Return the form, once all of it was read. Raises InvalidRequest if it ends too early."""
        if not self._is_whole:
            raise _damaged("it ends before its last boundary")
        return Form(tuple(self._fields), tuple(self._files))

    def close(self) -> None:
        """Give back the disk space of the files."""
        for upload in (*self._files, *([self._file] if self._file else [])):
            upload.file.close()

    # --- called by the parser ---------------------------------------------------------------------------

    def _part_begins(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise InvalidRequest(f"The form has more than {MOST_PARTS} parts", code="invalid_form")
        self._head = {}

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_ends(self) -> None:
        self._head[self._name.lower()] = self._value
        self._name = self._value = b""

    def _head_ends(self) -> None:
        kind, options = parse_options_header(self._head.get(b"content-disposition", b""))
        name = options.get(b"name", b"")
        if kind != b"form-data" or not 0 < len(name) <= LONGEST_NAME:
            raise _damaged(f"a part needs a name of 1 to {LONGEST_NAME} bytes")
        if self._head.get(b"content-transfer-encoding", b"binary").lower() not in (
            b"binary",
            b"8bit",
            b"7bit",
        ):
            raise _damaged("a part has a Content-Transfer-Encoding; send its bytes as they are")
        self._field = _name(name, "a part's name")
        filename = options.get(b"filename")
        if filename is None:
            self._text = bytearray()
            return
        if len(filename) > LONGEST_FILENAME:
            raise InvalidRequest(
                f"{self._field}: the file's name has more than {LONGEST_FILENAME} bytes",
                param=self._field,
                code="invalid_form",
            )
        if len(self._files) == MOST_FILES:
            raise InvalidRequest(f"The form has more than {MOST_FILES} files", code="invalid_form")
        given = self._head.get(b"content-type")
        content_type = None if given is None else printable(given.decode("latin-1"))
        self._file = Upload(self._field, _name(filename, "a file's name"), content_type, SpooledFile())

    def _data(self, data: bytes, start: int, end: int) -> None:
        size = end - start
        if self._text is not None:
            self._field_bytes += size
            if self._field_bytes > MOST_FIELD_BYTES:
                raise InvalidRequest(
                    f"The form's fields are over the limit of {MOST_FIELD_BYTES / 1_000_000:g} MB",
                    param=self._field,
                    code="request_too_large",
                    status=413,
                )
            self._text += data[start:end]
        elif self._file is not None:
            self._file_bytes += size
            if self._file.file.size + size > self._limits.file:
                raise too_large_file(self._field, self._limits)
            if self._file_bytes > self._limits.files:
                raise too_large_files(self._field, self._limits)
            self._file.file.write(data[start:end])

    def _part_ends(self) -> None:
        if self._text is not None:
            self._fields.append((self._field, _text(bytes(self._text), self._field)))
            self._text = None
        elif self._file is not None:
            self._files.append(self._file)
            self._file = None

    def _ends(self) -> None:
        self._is_whole = True


def too_large_file(field: str | None, limits: FormLimits) -> InvalidRequest:
    """Return the refusal of files over their limit; `field` is None where only the whole size is known."""
    what = "The body" if field is None else f"{field}: the file"
    return InvalidRequest(
        f"{what} is over the limit of {limits.file / MEBIBYTE:g} MB for the files of a form",
        param=field,
        code="request_too_large",
        status=413,
    )


def too_large_files(field: str, limits: FormLimits) -> InvalidRequest:
    """Return the refusal of files that are over their limit together, by the field of the one above it."""
    return InvalidRequest(
        f"{field}: with this file the form is over the limit of {limits.files / MEBIBYTE:g} MB for all its "
        "files together",
        param=field,
        code="request_too_large",
        status=413,
    )


def _text(raw: bytes, what: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise _damaged(f"{what} is not UTF-8") from None


def _name(raw: bytes, what: str) -> str:
    """Return a name, which goes into a line of a request to a vendor."""
    name = _text(raw, what)
    if not name.isprintable():
        raise _damaged(f"{what} has characters that cannot be printed")
    return name


def _damaged(why: str) -> InvalidRequest:
    return InvalidRequest(f"The body is not a valid form: {why}", code="invalid_form")
