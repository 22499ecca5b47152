"""Sessions of those who have signed in: a signed cookie, so that they outlast a restart of the server."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import deque

from itsdangerous import BadData, URLSafeTimedSerializer

from vp_mqtt.web.security.passwords import Passwords
from vp_mqtt.web.security.people import PageRole, Person

COOKIE = "vp_session"
LASTS_S = 14 * 86_400
_NONCE_BYTES = 16
_REMEMBERED = 1024


class Sessions:
    """Makes and reads the cookies of sessions.

    A cookie holds the role and a nonce. Its signature depends on the hash of the role's password: with another
    password, the sessions that the old one has opened are over.

    Those that were ended are remembered until the server ends, for streams that were opened before.
    """

    def __init__(self, passwords: Passwords) -> None:
        """Start with what the passwords file holds."""
        self._passwords = passwords
        self._ended: deque[str] = deque(maxlen=_REMEMBERED)

    def open(self, role: PageRole) -> str:
        """Return a new session's cookie."""
        return f"{role}.{self._serializer(role).dumps(secrets.token_urlsafe(_NONCE_BYTES))!s}"

    def read(self, cookie: str | None) -> Person | None:
        """Return whose session a cookie is; None if it is none of ours, or too old."""
        name, _, signed = (cookie or "").partition(".")
        if name not in set(PageRole) or self._passwords.for_role(PageRole(name)) is None:
            return None
        role = PageRole(name)
        try:
            nonce = self._serializer(role).loads(signed, max_age=LASTS_S)
        except BadData:
            return None
        token = csrf_token(self._passwords.key, str(nonce))
        return None if token in self._ended else Person(name, role, token, can_sign_out=True)

    def end(self, person: Person) -> None:
        """End a person's session."""
        self._ended.append(person.csrf)

    def _serializer(self, role: PageRole) -> URLSafeTimedSerializer:
        password = hashlib.sha256((self._passwords.for_role(role) or "").encode()).hexdigest()
        return URLSafeTimedSerializer(self._passwords.key, salt=f"vp-web {role} {password}")


def csrf_token(key: str, session: str) -> str:
    """Return the token that the forms of a session carry: whoever cannot read the page cannot know it."""
    return hmac.new(key.encode(), f"csrf {session}".encode(), hashlib.sha256).hexdigest()
