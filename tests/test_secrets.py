"""Which pieces of a receiver URL nothing may show."""

from __future__ import annotations

import pytest

from watcher.config.secrets import SecretUrl, is_secret, mask, secret_parts
from watcher.safe_text import Redactor, short_secrets


@pytest.mark.parametrize(
    ("url", "hidden"),
    [
        ("discord://123456789012345678/canary-token", {"123456789012345678", "canary-token"}),
        ("slack://TAAAAAAAA/BBBBBBBBB/cccccccc/#channel", {"TAAAAAAAA", "BBBBBBBBB", "cccccccc"}),
        ("https://discord.com/api/webhooks/1234567/canary", {"1234567", "canary"}),
        ("tgram://123456789:AAcanary/12315544/", {"123456789", "AAcanary", "12315544"}),
        (
            "mailtos://user-name:pw12@example.org?to=bob@example.net",
            {"user-name", "pw12", "bob@example.net"},
        ),
        (
            "json://host.example.org/a?+Authorization=Bearer%20canary",
            {"Bearer%20canary", "Bearer canary", "canary"},
        ),
        (
            "json://u:p%40ssword@127.0.0.1:8080/path-canary",
            {"p%40ssword", "p@ssword", "path-canary"},
        ),
        ("ntfy://secrettopic", {"secrettopic"}),
        ("pbul://o.canary0token", {"o.canary0token"}),
        ("no-url-at-all", {"no-url-at-all"}),
    ],
)
def test_every_long_enough_piece_of_a_receiver_url_is_a_secret(url: str, hidden: set[str]) -> None:
    assert hidden | {url} <= secret_parts(url)


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("json://host.example.org:8080/x", {"host.example.org", "host.example.org:8080"}),
        ("json://127.0.0.1:8025/x", {"127.0.0.1", "127.0.0.1:8025"}),
        ("ntfy://[::1]:8025/x", {"[::1]:8025"}),
        ("discord://123456789/x?format=markdown&redirect=yes", {"markdown", "redirect", "format"}),
        ("https://hooks.slack.com/services/T1234567/B", {"services", "hooks.slack.com"}),
    ],
)
def test_ordinary_words_and_known_hosts_stay_readable(url: str, public: set[str]) -> None:
    assert not public & secret_parts(url)


@pytest.mark.parametrize(
    ("url", "short"),
    [
        ("json://user:pw@localhost/x", {"pw"}),
        ("json://user:p%40s@localhost/x", {"p%40s", "p@s"}),
        ("mailto://bob:red@example.org", {"red"}),
        ("json://localhost/aB3x9", {"aB3x9"}),
        ("tgram://12345678:AbCde/123", {"AbCde"}),
        ("slack://T1J/B2K/xyzzk/#ops", {"T1J", "B2K"}),
        ("ntfy://qwrtz", {"qwrtz"}),
        ("json://localhost/hook?token=me&to=you&+X-Api-Key=k1", {"me", "k1"}),
        ("json://localhost:8080/api/v2/Hook/team?format=text&verify=yes", set()),
    ],
)
def test_a_short_piece_is_a_secret_by_its_place_or_its_look(url: str, short: set[str]) -> None:
    assert short_secrets(url) == short
    assert short <= secret_parts(url)


@pytest.mark.parametrize("secret", ["aB3x9", "pw", "x"])
def test_a_short_secret_is_hidden_where_it_stands_alone(secret: str) -> None:
    url = f"json://bob:{secret}@localhost/hook"
    redactor = Redactor(SecretUrl(url).secrets())

    for text in (f"POST /{secret}?a", f'{{"password":"{secret}"}}', f"'{secret}'", f"pw={secret},"):
        assert secret not in redactor.clean(text).replace("pw=", "").replace("password", "")
    assert redactor.clean("expwx paB3x9q extra") == "expwx paB3x9q extra"
    assert mask(f"bob:{secret}@ pwx", frozenset({secret})) == "bob:***@ pwx"


def test_a_text_loses_all_of_a_secret_even_where_one_contains_another() -> None:
    secrets = frozenset({"canary", "canary-token"})

    assert mask("to canary-token and canary", secrets) == "to *** and ***"


@pytest.mark.parametrize(
    ("text", "secret"),
    [("pw12", True), ("abc", True), ("8025", False), ("", False), ("localhost", False)],
)
def test_what_went_into_a_url_is_hidden_unless_that_would_hide_everything(
    text: str, secret: bool
) -> None:
    assert is_secret(text) is secret
