"""Forms with files: bounded in files and bytes before anything is read of them."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from vp_mqtt.web.security.forms import CSRF_FIELD, Form, out_of_date
from vp_mqtt.web.security.gate import person_of

MAX_FILES = 200
MAX_FILE_BYTES = 20_000_000
MAX_UPLOAD_BYTES = 200_000_000
_MAX_FIELDS = 20
_MAX_FIELD_BYTES = 4096
TOO_MUCH = (
    f"that is too much at once: {MAX_FILES} files, {MAX_FILE_BYTES // 1_000_000} MB each and "
    f"{MAX_UPLOAD_BYTES // 1_000_000} MB together at most"
)


@dataclass(frozen=True, slots=True)
class Upload:
    """What a form with files holds.

    Attributes:
        fields: the first value of each.
        files: their data; of those that are too large, none.
        too_large: how many of these there were.
    """

    fields: Form
    files: tuple[bytes, ...]
    too_large: int


def takes_files(
    endpoint: Callable[[Request, Upload], Awaitable[Response]], too_much: Callable[[Request], Response]
) -> Callable[[Request], Awaitable[Response]]:
    """Decorate an endpoint that takes files: only from an operator, and only with the session's token.

    Args:
        endpoint: to decorate.
        too_much: returns the answer where the form exceeds a limit; nothing that is in it is known then.
    """

    @wraps(endpoint)
    async def checked(request: Request) -> Response:
        person = person_of(request)
        if person is None or not person.is_operator:
            return PlainTextResponse("Only an operator may do this\n", 403)
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            return PlainTextResponse("This is not a form with files\n", 415)
        try:
            form = await _read(request)
        except (HTTPException, MultiPartException, ValueError):
            return too_much(request)
        try:
            token = form.get(CSRF_FIELD)
            if not isinstance(token, str) or not hmac.compare_digest(token.encode(), person.csrf.encode()):
                return out_of_date()
            upload = await _unpack(form)
        finally:
            await form.close()
        return await endpoint(request, upload)

    return checked


async def _read(request: Request) -> FormData:
    """Return the form.

    Raises:
        ValueError: it is too large, or does not say how large it is.
        MultiPartException: it has too many files or fields.
    """
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > MAX_UPLOAD_BYTES:
        raise ValueError("too large")
    # The server reads no more than the length that is claimed.
    parser = MultiPartParser(
        request.headers,
        request.stream(),
        max_files=MAX_FILES,
        max_fields=_MAX_FIELDS,
        max_part_size=_MAX_FIELD_BYTES,
    )
    return await parser.parse()


async def _unpack(form: FormData) -> Upload:
    fields: Form = {}
    files: list[bytes] = []
    too_large = 0
    for name, value in form.multi_items():
        if not isinstance(value, UploadFile):
            fields.setdefault(name, value)
        elif value.size is not None and value.size > MAX_FILE_BYTES:
            too_large += 1
        elif value.size or value.filename:
            # An empty file is none that can be used; a field without any file is none at all.
            files.append(await value.read())
    return Upload(fields, tuple(files), too_large)
