"""Who may read the metrics of the page, and what they get."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.integrations.metrics.test_site import value
from tests.unit.web.test_gate import OPERATOR, _own_places, client, sign_in, with_passwords  # noqa: F401 (a fixture)
from vp_mqtt.errors import UserError

TOKEN = "6f1d" * 16


def token_file(tmp_path: Path, token: str = TOKEN, mode: int = 0o600) -> str:
    path = tmp_path / "metrics.token"
    path.write_text(f"{token}\n", encoding="utf-8")
    path.chmod(mode)
    return str(path)


def test_on_this_machine_metrics_need_no_token(tmp_path: Path) -> None:
    answer = client(tmp_path).get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert value(answer.text, "vp_site_labels_total", site="home", camera="cam0", closed_by="complete") == 1
    assert value(answer.text, "vp_site_refused_total", site="home") == 0


def test_openmetrics_is_spoken_with_those_who_ask_for_it(tmp_path: Path) -> None:
    answer = client(tmp_path).get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


@pytest.mark.parametrize(
    ("authorization", "status"),
    [(None, 401), (f"Bearer {TOKEN}", 200), (f"bearer {TOKEN}", 200), (f"Basic {TOKEN}", 401), ("Bearer", 401),
     (f"Bearer {TOKEN}x", 401), ("Bearer \u00fc", 401)],
)  # fmt: skip
def test_where_people_sign_in_prometheus_presents_its_token(
    tmp_path: Path, authorization: str | None, status: int
) -> None:
    browser = client(tmp_path, passwords_file=with_passwords(tmp_path), metrics_token_file=token_file(tmp_path))
    headers = {} if authorization is None else {b"authorization": authorization.encode("utf-8")}
    answer = browser.get("/metrics", headers=headers)
    assert answer.status_code == status
    assert ("vp_site_labels_total" in answer.text) == (status == 200)
    # The token opens nothing else.
    assert browser.get("/boards", headers=headers).status_code == 401


def test_without_a_token_those_who_have_signed_in_read_them(tmp_path: Path) -> None:
    browser = client(tmp_path, passwords_file=with_passwords(tmp_path))
    refused = browser.get("/metrics", headers={"authorization": "Bearer "})
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert sign_in(browser, OPERATOR) == 303
    assert browser.get("/metrics").status_code == 200


@pytest.mark.parametrize(
    ("token", "mode", "reason"),
    [("short", 0o600, "openssl rand"), ("two words " * 5, 0o600, "openssl rand"), (TOKEN, 0o644, "others can read it")],
)
def test_a_token_that_is_not_safe_is_refused(tmp_path: Path, token: str, mode: int, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        client(tmp_path, metrics_token_file=token_file(tmp_path, token, mode))


def test_a_token_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--metrics-token-file .*none"):
        client(tmp_path, metrics_token_file=str(tmp_path / "none"))
