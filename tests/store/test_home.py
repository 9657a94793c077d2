import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerage.errors import IntegrityError, LocalFault, UnknownVersion, UserError
from peerage.store.config import Config
from peerage.store.home import Home

CONFIG = Config(
    rpc=["http://127.0.0.1:8545", "https://chain.example/ws"],
    directory="0x" + "ab" * 20,
    chain_id=31337,
    genesis="0x" + "01" * 32,
    account="0x" + "Cd" * 20,
    name='Müller "& Söhne"\\ GmbH',
    listen="[::1]:7411",
    endpoint="https://peer.example:7411",
    site="Lyon\t1",
)


def made(path: Path) -> Home:
    home = Home.create(path)
    home.write_file(home.keystore, b"sealed")
    home.save_config(CONFIG)
    return home


def test_a_home_is_made_private_and_opened_again(tmp_path: Path) -> None:
    made(tmp_path / "a" / "home")
    home = Home.open(tmp_path / "a" / "home")
    assert home.config() == CONFIG
    for path in [home.path, *home.path.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert {p.name for p in home.path.iterdir()} == {
        "config.toml", "keystore.bin", "logs", "objects", "run", "version",
    }  # fmt: skip


def test_access_that_others_got_is_taken_back(tmp_path: Path) -> None:
    made(tmp_path / "home").path.chmod(0o755)
    assert stat.S_IMODE(Home.open(tmp_path / "home").path.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("prepare", "error", "message"),
    [
        (lambda h: None, UserError, "there is no home at"),
        (lambda h: Home.create(h), UserError, "was not finished"),
        (lambda h: made(h).version.write_text("2\n"), UnknownVersion, "version 2 and this release knows 1"),
        (lambda h: made(h).version.write_text("x"), IntegrityError, "does not hold a version"),
    ],
)
def test_a_home_that_cannot_be_opened_says_why(
    tmp_path: Path, prepare: "object", error: type[Exception], message: str
) -> None:
    assert callable(prepare)
    prepare(tmp_path / "home")
    with pytest.raises(error, match=message) as caught:
        Home.open(tmp_path / "home")
    assert "\n" not in str(caught.value)


def test_a_home_is_never_made_over_something_else(tmp_path: Path) -> None:
    made(tmp_path / "home")
    with pytest.raises(UserError, match="is a home already"):
        Home.create(tmp_path / "home")
    (tmp_path / "other").mkdir()
    Home.create(tmp_path / "other")
    Home.create(tmp_path / "other")  # no keystore yet: an init that was interrupted may be repeated
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(UserError, match="is not empty"):
        Home.create(tmp_path / "full")
    (tmp_path / "file").touch()
    with pytest.raises(LocalFault, match="cannot be made"):
        Home.create(tmp_path / "file" / "home")


def test_a_home_in_use_names_the_process(tmp_path: Path) -> None:
    home = made(tmp_path / "home")
    code = f"from pathlib import Path; from peerage.store.home import Home; h = Home(Path({str(home.path)!r})).lock()\n"
    process = subprocess.Popen(
        [sys.executable, "-c", code + "print(flush=True); input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    with pytest.raises(UserError, match=f"already in use by process {process.pid}: "):
        home.lock()
    process.kill()  # a lock must not outlive its holder
    process.communicate()
    with home.lock(), pytest.raises(UserError, match=f"process {os.getpid()}"):
        home.lock()
    home.lock().release()


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = made(tmp_path / "home")

    def no_rename(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", no_rename)
    with pytest.raises(LocalFault, match=r"keystore.bin cannot be written \(No space left"):
        home.write_file(home.keystore, b"new")
    assert home.keystore.read_bytes() == b"sealed"
    assert not list(home.path.glob(".*"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rpc = [", "config.toml: "),
        ("colour = 1\n" + CONFIG.to_toml(), "unknown field `colour`"),
        ("", "missing required field `rpc`"),
        (CONFIG.to_toml().replace("31337", '"31337"'), "Expected `int`, got `str` - at `\\$.chain_id`"),
        (CONFIG.to_toml().replace("[::1]:7411", "7411"), "listen '7411' is not host:port"),
        (CONFIG.to_toml().replace("[::1]:7411", "localhost:99999"), "is not host:port"),
        (CONFIG.to_toml().replace("https://peer", "http://peer"), "is not https://host:port"),
        (CONFIG.to_toml().replace("http://127", "ftp://127"), "rpc 'ftp://127"),
        (CONFIG.to_toml().replace("0xabab", "0xabag"), "directory '0xabag"),
    ],
)
def test_a_wrong_configuration_is_one_line_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    home = made(tmp_path / "home")
    home.config_path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        home.config()
    assert "\n" not in str(caught.value)
    assert str(home.config_path) in str(caught.value)


def test_a_configuration_that_is_not_text(tmp_path: Path) -> None:
    home = made(tmp_path / "home")
    home.config_path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not UTF-8"):
        home.config()
    home.policy.write_bytes(b"[give]\n# \xe9\n")
    with pytest.raises(UserError, match=r"policy\.toml is not UTF-8"):
        home.read_text(home.policy)


@given(name=st.text(), site=st.text(st.characters(max_codepoint=0x100, exclude_categories=["Cs"])))
def test_any_text_survives_the_round_trip(name: str, site: str) -> None:
    config = Config(**{**{f: getattr(CONFIG, f) for f in CONFIG.__struct_fields__}, "name": name, "site": site})
    assert Config.from_toml(config.to_toml()) == config


def test_listen_address() -> None:
    assert CONFIG.listen_address() == ("::1", 7411)
    assert Config.from_toml(CONFIG.to_toml().replace("[::1]:7411", "0.0.0.0:0")).listen_address() == ("0.0.0.0", 0)
