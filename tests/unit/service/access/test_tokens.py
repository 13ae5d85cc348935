"""Bearer tokens from files."""

import hmac
import logging
import time
from pathlib import Path

import pytest
from zdc_common.errors import ConfigError, UnauthenticatedError
from zdc_service.access import files
from zdc_service.access.tokens import Tokens

ALICE, BOB, CAROL = "alice-0123456789abcdef", "bob/0123456789+abcdef==", "carol.0123456789~abcdef"


@pytest.fixture(autouse=True)
def _look_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_INTERVAL", 0.0)


def written(folder: Path, text: str, name: str = "tokens") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def known(tokens: Tokens, token: str) -> bool:
    try:
        tokens.check(f"Bearer {token}")
    except UnauthenticatedError:
        return False
    return True


def test_several_files_of_several_tokens_with_comments(tmp_path: Path) -> None:
    first = written(tmp_path, f"# people\n\n  {ALICE}  \n{BOB} # until June\r\n", "first")
    tokens = Tokens([first, written(tmp_path, CAROL, "second")])
    assert [known(tokens, token) for token in (ALICE, BOB, CAROL)] == [True] * 3
    for wrong in ("people", "", ALICE[:-1], ALICE + "x", ALICE.upper(), f"{ALICE} {BOB}", "#"):
        assert not known(tokens, wrong)


@pytest.mark.parametrize("header", [f"bearer {ALICE}", f"BEARER  {ALICE} ", f"Bearer {ALICE}".encode()])
def test_the_scheme_is_read_as_rfc_6750_has_it(tmp_path: Path, header: str | bytes) -> None:
    Tokens([written(tmp_path, ALICE)]).check(header)


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (None, "send Authorization: Bearer <token>"),
        (ALICE, "must have the form Bearer <token>"),
        (f"Basic {ALICE}", "must have the form Bearer <token>"),
        (b"Bearer \xff\xfe", "this server does not know the token"),
        ("Bearer", "this server does not know the token"),
    ],
)
def test_refusals_say_what_to_send(tmp_path: Path, header: str | bytes | None, text: str) -> None:
    with pytest.raises(UnauthenticatedError, match=text):
        Tokens([written(tmp_path, ALICE)]).check(header)


def test_every_token_is_compared_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = Tokens([written(tmp_path, f"{ALICE}\n{BOB}\n{CAROL}")])
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def noted(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", noted)
    assert known(tokens, ALICE)
    assert not known(tokens, "short")
    assert compared == [(32, 32)] * 6


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "has no token"),
        ("# nothing\n\n", "has no token"),
        (f"{ALICE}\ntwo words of sixteen", "line 2 is not a token"),
        ("short", "line 1 has 5 characters, but a token needs at least 16"),
        ("gefälscht-0123456789", "line 1 is not a token"),
    ],
)
def test_files_that_hold_no_tokens_are_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as refused:
        Tokens([written(tmp_path, text)])
    assert "openssl rand -hex 32" in str(refused.value)
    assert ALICE not in str(refused.value)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"token file {tmp_path}/none: No such file or directory"):
        Tokens([tmp_path / "none"])
    with pytest.raises(ConfigError, match="Is a directory"):
        Tokens([tmp_path])
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\xff\xfe")
    with pytest.raises(ConfigError, match="not a text file"):
        Tokens([tmp_path / "bytes"])


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = written(tmp_path, ALICE)
    tokens = Tokens([path])
    path.write_text(f"{BOB}\n{CAROL}\n")
    assert [known(tokens, token) for token in (ALICE, BOB, CAROL)] == [False, True, True]


def test_a_link_that_turns_is_read_again(tmp_path: Path) -> None:
    """Replaced like a mounted secret of Kubernetes: same name, size and time, but another file."""
    link = tmp_path / "tokens"
    link.symlink_to(written(tmp_path, "first-0123456789abcdef", "one"))
    written(tmp_path, "other-0123456789abcdef", "two")
    tokens = Tokens([link])
    (tmp_path / "turned").symlink_to(tmp_path / "two")
    (tmp_path / "turned").rename(link)
    assert known(tokens, "other-0123456789abcdef")
    assert not known(tokens, "first-0123456789abcdef")


def test_the_last_good_tokens_stay_and_it_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path, ALICE)
    tokens = Tokens([path])
    with caplog.at_level(logging.INFO, "zdc_service"):
        path.unlink()
        assert known(tokens, ALICE)
        assert known(tokens, ALICE)
        assert [record.levelname for record in caplog.records] == ["ERROR"]  # once, not at every look
        assert "No such file or directory; write one" in caplog.text
        assert "the previous tokens stay valid" in caplog.text
        path.write_text("")
        assert known(tokens, ALICE)
        path.write_text(BOB)
        assert not known(tokens, ALICE)
        assert known(tokens, BOB)
    assert ALICE not in caplog.text


def test_files_are_looked_at_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_INTERVAL", 1.0)
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    path = written(tmp_path, ALICE)
    tokens = Tokens([path])
    path.write_text(BOB)
    assert known(tokens, ALICE)
    now[0] += 1.1
    assert not known(tokens, ALICE)
