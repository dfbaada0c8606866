"""Client of Metabase's REST API for the provisioner: JSON requests, and each failure as one line with its cure."""

from __future__ import annotations

import os
import secrets
from typing import Any

import requests

from infra.services.passwords import write_once
from lakehouse import wait
from lakehouse.errors import EbapError
from lakehouse.settings import Settings

ADMIN = "admin@ebap.local"
PASSWORD = "metabase_admin"
_ANSWER_S = 120  # creating a connection waits for Spark's first response
_POLL_S = 0.5


class Metabase:
    """Client of one Metabase; requests are made as its admin after `log_in`."""

    def __init__(self, settings: Settings) -> None:
        self.url = settings.metabase_address
        self._password_file = settings.secret_file(PASSWORD)
        self._http = requests.Session()

    def get(self, path: str, **params: str) -> Any:
        """The answer of GET /api/`path`; raises EbapError."""
        return self._request("GET", path, params=params)

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The answer of POST /api/`path`; raises EbapError."""
        return self._request("POST", path, body=body)

    def put(self, path: str, body: dict[str, Any]) -> Any:
        """The answer of PUT /api/`path`; raises EbapError."""
        return self._request("PUT", path, body=body)

    def wait_until_healthy(self, limit_s: float) -> None:
        """Wait until /api/health is ok; raises EbapError with the last response after `limit_s` seconds."""
        for _ in wait.looks(limit_s, every_s=_POLL_S):
            try:
                answer = self._http.get(f"{self.url}/api/health", timeout=5)
                if answer.ok:
                    return
                seen = f"its response is {answer.text[:80]}"
            except requests.RequestException as error:
                seen = type(error).__name__
        raise EbapError(f"Metabase at {self.url} is not ready ({seen})", "run `make metabase`, or set EBAP_METABASE_URL to another one")

    def properties(self) -> dict[str, Any]:
        """Metabase's session properties: `has-user-setup`, `setup-token` until then, `anon-tracking-enabled`."""
        answer: dict[str, Any] = self.get("session/properties")
        return answer

    def set_up(self, token: str) -> None:
        """Create the admin. The generated password is stored before it is sent, so that an interrupted run can be repeated."""
        self._password_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Metabase requires a digit; one generated password in 250 has none.
        write_once(self._password_file, secrets.token_urlsafe(24) + "7")
        user = {"email": ADMIN, "password": self._password(), "first_name": "EBAP", "last_name": "Admin"}
        self.post("setup", {"token": token, "user": user, "prefs": {"site_name": "EBAP", "allow_tracking": False}})

    def log_in(self) -> None:
        """Open a session as the admin; raises EbapError if the stored password is missing or wrong."""
        body = {"username": ADMIN, "password": self._password()}
        try:
            self._http.headers["X-Metabase-Session"] = self.post("session", body)["id"]
        except _RefusedError as error:
            if error.status != 401:
                raise
            raise EbapError(
                f"Metabase at {self.url} refuses the password in {self._password_file}", f"write the password of {ADMIN} there"
            ) from None

    def _password(self) -> str:
        if not self._password_file.is_file() or not os.access(self._password_file, os.R_OK):
            raise EbapError(
                f"{self.url} is set up, but there is no {self._password_file}", f"write the password of {ADMIN} there, mode 0600"
            )
        return self._password_file.read_text().strip()

    def _request(self, verb: str, path: str, body: dict[str, Any] | None = None, params: dict[str, str] | None = None) -> Any:
        try:
            answer = self._http.request(verb, f"{self.url}/api/{path}", json=body, params=params, timeout=_ANSWER_S)
        except requests.RequestException as error:
            raise EbapError(
                f"{verb} /api/{path} to Metabase at {self.url} failed ({type(error).__name__})", "run the command again"
            ) from None
        if not answer.ok:
            reason = " ".join(answer.text.split())[:300]
            raise _RefusedError(f"Metabase refuses {verb} /api/{path} with {answer.status_code}: {reason}", answer.status_code)
        try:
            return answer.json() if answer.content else None
        except ValueError:
            raise EbapError(f"the server at {self.url} is not Metabase", "correct EBAP_METABASE_URL") from None


class _RefusedError(EbapError):
    """A status of 400 or more."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status
