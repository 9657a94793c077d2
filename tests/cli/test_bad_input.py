"""Every bad input of node/spec/cli.md that needs no network: one line, its exit code, and nothing lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from peerage.flow import enrol
from peerage.store.home import Home

from .conftest import PASSPHRASE, WORDS, Answer, Peerage, identity

NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens there


@pytest.fixture(autouse=True)
def _logs_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    """`up` sets the process's logging up, for good: not in this one, whose stderr is another in each test."""
    monkeypatch.setattr("peerage.daemon.main.configure_logging", lambda: None)


def refused(answer: Answer, code: int, *says: str) -> None:
    """One line on stderr that says what to do; nothing on stdout."""
    assert answer.code == code, answer
    lines = answer.err.strip().splitlines()
    assert len(lines) == 1, answer.err
    assert lines[0].startswith("peerage: error: ")
    for text in says:
        assert text in lines[0], lines[0]
    assert answer.out == ""


def test_usage_errors_are_code_2(peerage: Peerage) -> None:
    refused(peerage("backup"), 2, "PATH", "--help")
    refused(peerage("no-such-verb"), 2, "no-such-verb")
    refused(peerage("init"), 2, "--rpc")
    refused(peerage("audit", "qos", "--rpc", "ftp://x"), 2, "http")
    refused(peerage("audit", "qos", "--rpc", NOWHERE, "--directory", "0x12"), 2, "not an address")


def test_an_error_is_one_object_with_json(peerage: Peerage, tmp_path: Path) -> None:
    for arguments in (("--json", "backup", tmp_path / "no"), ("backup", tmp_path / "no", "--json")):
        answer = peerage(*arguments)
        assert answer.code == 5
        assert answer.json["exit_code"] == 5
        assert answer.json["error"]["kind"] == "UserError"
        assert answer.json["error"]["message"] in answer.err
    assert peerage("backup", "--json").json["error"]["kind"] == "UsageError"


def test_a_path_that_is_not_there(peerage: Peerage, home: Path, tmp_path: Path) -> None:
    refused(peerage("--home", home, "backup", tmp_path / "missing"), 5, "missing")


def test_no_daemon_is_running(peerage: Peerage, home: Path, tmp_path: Path) -> None:
    for verb in (("status",), ("snapshots",), ("agreements",), ("policy",), ("ls", "latest"), ("backup", tmp_path)):
        refused(peerage("--home", home, *verb), 5, "no daemon runs", "up")


def test_there_is_no_home(peerage: Peerage, tmp_path: Path) -> None:
    refused(peerage("--home", tmp_path / "none", "up"), 5, "peerage init")


def test_a_home_is_in_use(peerage: Peerage, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERAGE_PASSPHRASE", PASSPHRASE)
    with Home.open(home).lock():
        refused(peerage("--home", home, "up"), 5, "already in use")


def test_a_wrong_passphrase(peerage: Peerage, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERAGE_PASSPHRASE", "wrong")
    before = (home / "keystore.bin").read_bytes()
    answer = peerage("--home", home, "up")
    refused(answer, 5, "passphrase")
    assert "wrong\n" not in answer.err.replace("wrong passphrase", "")
    assert (home / "keystore.bin").read_bytes() == before


def test_no_passphrase_and_no_terminal(peerage: Peerage, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(peerage("--home", home, "up"), 5, "PEERAGE_PASSPHRASE_FILE")
    monkeypatch.setenv("PEERAGE_PASSPHRASE_FILE", str(home / "none"))
    refused(peerage("--home", home, "up"), 5, "PEERAGE_PASSPHRASE_FILE")


def test_a_target_that_is_not_empty(peerage: Peerage, home: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "kept").write_text("kept")
    refused(peerage("--home", home, "restore", "latest", "--target", target), 5, "not empty")
    words = tmp_path / "words"
    words.write_text(" ".join(WORDS))
    recover = ("--home", tmp_path / "new", "recover", "--words-file", words, "--rpc", NOWHERE, "--target")
    refused(peerage(*recover, target), 5, "not empty")
    refused(peerage(*recover, target / "kept"), 5, "not a directory")
    assert (target / "kept").read_text() == "kept"


def test_init_refuses_a_home_that_has_a_member(peerage: Peerage, home: Path) -> None:
    before = (home / "keystore.bin").read_bytes()
    refused(peerage("--home", home, "init", "--rpc", NOWHERE), 5, "is a home already")
    refused(
        peerage("--home", home, "recover", "--words-file", home / "version", "--rpc", NOWHERE, "--target", home / "x"),
        5,
        "is a home already",
    )
    assert (home / "keystore.bin").read_bytes() == before


def test_no_chain_answers(peerage: Peerage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEERAGE_PASSPHRASE", "")
    refused(peerage("--home", tmp_path / "new", "init", "--rpc", NOWHERE), 7, "no chain answers")
    assert not (tmp_path / "new" / "keystore.bin").exists()
    answer = peerage("audit", "members", "--rpc", NOWHERE, "--json")
    assert answer.json["error"]["kind"] == "ChainUnavailable"
    assert answer.json["exit_code"] == answer.code == 7


def recover(peerage: Peerage, tmp_path: Path, words: str) -> Answer:
    file = tmp_path / "words"
    file.write_text(words)
    new = tmp_path / "new"
    answer = peerage("--home", new, "recover", "--words-file", file, "--rpc", NOWHERE, "--target", tmp_path / "back")
    assert not new.exists()
    assert not (tmp_path / "back").exists()
    return answer


def test_a_word_that_is_not_on_the_list(peerage: Peerage, tmp_path: Path) -> None:
    refused(recover(peerage, tmp_path, " ".join([*WORDS[:5], "peerage", *WORDS[6:]])), 5, "word 6", "peerage")


def test_a_wrong_or_missing_word_without_parity(peerage: Peerage, tmp_path: Path) -> None:
    refused(recover(peerage, tmp_path, " ".join([*WORDS[:23], "zoo"])), 5)
    refused(recover(peerage, tmp_path, " ".join([*WORDS[:23], "?"])), 5, "parity")
    refused(recover(peerage, tmp_path, " ".join(WORDS[:23])), 5, "23")


def test_too_many_wrong_words(peerage: Peerage, tmp_path: Path) -> None:
    sheet = enrol.sheet_of(identity())
    wrong = ["zoo"] * 4 + list(sheet.words[4:])
    refused(recover(peerage, tmp_path, " ".join([*wrong, *sheet.parity])), 5, "too many words are wrong")
    missing = ["?"] * 7 + list(sheet.words[7:])
    refused(recover(peerage, tmp_path, " ".join([*missing, *sheet.parity])), 5, "7 of the 30 words")


def test_a_words_file_that_is_none(peerage: Peerage, tmp_path: Path) -> None:
    arguments = ("--home", tmp_path / "new", "recover", "--rpc", NOWHERE, "--target", tmp_path / "back", "--words-file")
    refused(peerage(*arguments, tmp_path / "none"), 5, "words file")
    (tmp_path / "big").write_bytes(b"word " * 20_000)
    refused(peerage(*arguments, tmp_path / "big"), 5, "not a words file")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    refused(peerage(*arguments, tmp_path / "binary"), 5, "not a words file")


def test_an_unexpected_error_is_code_1_and_says_where_its_traceback_is(
    peerage: Peerage, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("peerage.net.owner_client.call", broken)
    answer = peerage("--home", home, "status")
    refused(answer, 1, "internal error, RuntimeError", str(home / "logs" / "crash.log"))
    assert "secret detail" not in answer.err
    assert "secret detail" in (home / "logs" / "crash.log").read_text()


def test_an_interrupt_is_code_130(peerage: Peerage, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("peerage.net.owner_client.call", interrupted)
    refused(peerage("--home", home, "status"), 130, "interrupted")
