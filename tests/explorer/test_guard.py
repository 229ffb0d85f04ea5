"""Requests that are not from the person's own page are refused."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from prunescope.core import plan_units
from prunescope.core.errors import BadInput
from prunescope.explorer import ids
from prunescope.explorer.app import create_app
from prunescope.explorer.guard import COOKIE, guard
from prunescope.explorer.server import serve
from prunescope.explorer.session import Session
from tests.models import flattened, image

OWN = "http://127.0.0.1:8050"
PATHS = ("/", "/_dash-layout", "/_dash-dependencies", "/assets/cut.js")
UPDATE = "/_dash-update-component"
TOKEN = "a-token-of-this-run"


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(flattened(), image())


@pytest.fixture
def client(session: Session) -> FlaskClient:
    app = create_app(session)
    guard(app)
    return app.server.test_client()


@pytest.fixture
def guarded(session: Session) -> FlaskClient:
    """A page on an address that is not loopback: with a token."""
    app = create_app(session)
    guard(app, ("127.0.0.1", "box.example"), TOKEN)
    return app.server.test_client()


def get(client: FlaskClient, path: str, base_url: str = OWN, headers: Mapping[str, str] | None = None) -> TestResponse:
    """The answer, read and closed."""
    return client.get(path, base_url=base_url, headers=dict(headers or {}), buffered=True)


def callback_of(client: FlaskClient) -> str:
    """The body of a callback of this page, as the page would send it."""
    wanted = {(ids.UNDO, "n_clicks"), (ids.REDO, "n_clicks")}
    for found in get(client, "/_dash-dependencies").get_json():
        inputs = [{**given, "value": 1} for given in found["inputs"]]
        if {(given["id"], given["property"]) for given in inputs} == wanted:
            changed = [f"{ids.UNDO}.n_clicks"]
            outputs = {"id": ids.SHOWN, "property": found["output"].partition(".")[2]}
            return json.dumps(
                {"output": found["output"], "outputs": outputs, "inputs": inputs, "changedPropIds": changed}
            )
    raise AssertionError("the page has no callback for Undo and Redo")


def post(client: FlaskClient, headers: Mapping[str, str], kind: str = "application/json") -> TestResponse:
    body = callback_of(client)
    return client.post(UPDATE, base_url=OWN, headers=dict(headers), data=body, content_type=kind)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("host", ["127.0.0.1:8050", "localhost:8050", "localhost", "[::1]:8050", "[::1]"])
def test_the_page_answers_under_the_names_of_this_machine(client: FlaskClient, path: str, host: str) -> None:
    assert get(client, path, base_url=f"http://{host}").status_code == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8050", "127.0.0.1.evil.example", "127.0.0.2", "localhost.evil", "[::2]"]
)
def test_a_rebound_host_name_is_refused_everywhere(client: FlaskClient, path: str, host: str) -> None:
    assert get(client, path, base_url=f"http://{host}").status_code == 403


def test_a_callback_under_a_rebound_host_name_is_refused(client: FlaskClient) -> None:
    body = callback_of(client)
    evil = "http://evil.example:8050"
    answer = client.post(UPDATE, base_url=evil, headers={"Origin": evil}, data=body, content_type="application/json")
    assert answer.status_code == 403


@pytest.mark.parametrize("headers", [{}, {"Origin": OWN}, {"Origin": OWN, "Sec-Fetch-Site": "same-origin"}])
def test_the_own_page_is_answered(client: FlaskClient, headers: Mapping[str, str]) -> None:
    answer = post(client, headers)
    assert answer.status_code == 200
    assert answer.get_json()["response"] == {ids.SHOWN: {"data": 0}}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "http://evil.example:8050", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_callback_from_another_page_is_refused(client: FlaskClient, headers: Mapping[str, str]) -> None:
    assert post(client, headers).status_code == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_callback_of_a_kind_that_needs_no_preflight_is_not_run(client: FlaskClient, kind: str) -> None:
    assert post(client, {}, kind).status_code == 415


def test_a_refused_callback_changes_nothing() -> None:
    session = Session(flattened(), image())
    app = create_app(session)
    guard(app)
    session.apply(plan_units(session.version.graph, {"0": [0]}))
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        post(app.server.test_client(), headers)
    assert session.version.id == 1
    post(app.server.test_client(), {"Origin": OWN})
    assert session.version.id == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "evil.example"])
@pytest.mark.parametrize("path", PATHS)
def test_every_answer_says_what_may_run_and_who_may_frame_it(client: FlaskClient, path: str, host: str) -> None:
    headers = get(client, path, base_url=f"http://{host}").headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert "'self'" in policy["script-src"].split()
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*"} & set(policy["script-src"].split())
    vs_code = {"vscode-webview:", "https://*.vscode-cdn.net"}
    assert set(policy["frame-ancestors"].split()) == {"'self'", "http://localhost:*", "http://127.0.0.1:*", *vs_code}
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    "path", ["/assets/../app.py", "/assets/%2e%2e/explorer/app.py", "/assets/..%2fexplorer%2fapp.py"]
)
def test_no_file_outside_the_assets_is_given(client: FlaskClient, path: str) -> None:
    assert client.get(path, base_url=OWN, follow_redirects=True).status_code == 404


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("query", ["", "?token=", "?token=another", f"?token={TOKEN[:-1]}", "?token=ü"])
def test_without_the_right_token_nothing_is_given(guarded: FlaskClient, path: str, query: str) -> None:
    assert get(guarded, path + query).status_code == 403


def test_the_right_token_becomes_a_cookie_that_scripts_cannot_read_and_leaves_the_address(
    guarded: FlaskClient,
) -> None:
    answer = get(guarded, f"/?token={TOKEN}")
    assert (answer.status_code, answer.headers["Location"]) == (302, "./")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith(f"{COOKIE}-0={TOKEN};")
    assert {"HttpOnly", "SameSite=Strict"} <= {part.strip() for part in cookie.split(";")}


@pytest.mark.parametrize("path", PATHS)
def test_with_the_cookie_everything_is_given(guarded: FlaskClient, path: str) -> None:
    get(guarded, f"/?token={TOKEN}")
    assert get(guarded, path).status_code == 200


@pytest.mark.parametrize("value", ["another", "ü", ""])
def test_a_wrong_cookie_is_refused(guarded: FlaskClient, value: str) -> None:
    headers = {"Cookie": f"{COOKIE}-0={value}"}
    assert get(guarded, "/", headers=headers).status_code == 403


def test_the_cookie_does_not_open_the_page_to_other_origins(guarded: FlaskClient) -> None:
    get(guarded, f"/?token={TOKEN}")
    assert post(guarded, {"Origin": OWN}).status_code == 200
    assert post(guarded, {"Origin": "http://evil.example"}).status_code == 403
    assert get(guarded, "/", base_url="http://evil.example").status_code == 403


def test_behind_a_proxy_the_page_has_the_proxys_path_and_asks_for_the_token_under_any_name(session: Session) -> None:
    app = create_app(session, "/user/ada/proxy/8050/")
    guard(app, None, TOKEN, 8050)
    client, elsewhere = app.server.test_client(), "https://hub.example"
    assert get(client, "/", elsewhere).status_code == 403
    admitted = get(client, f"/?token={TOKEN}", elsewhere)
    assert admitted.headers["Location"] == "./"
    cookie = admitted.headers["Set-Cookie"]
    assert "Path=/user/ada/proxy/8050/" in cookie
    # as the proxy asks: without its path, with the browser's cookie
    page = get(app.server.test_client(use_cookies=False), "/", elsewhere, {"Cookie": cookie.partition(";")[0]})
    assert page.status_code == 200
    assert 'src="/user/ada/proxy/8050/assets/' in page.text


@pytest.mark.parametrize("wrong", ["proxy/{port}/", "/proxy/{port}", "https://hub.example/proxy/{port}/"])
def test_a_proxys_path_begins_and_ends_with_a_slash(session: Session, wrong: str) -> None:
    with pytest.raises(BadInput, match="slash"):
        serve(session, port=0, proxy=wrong)
