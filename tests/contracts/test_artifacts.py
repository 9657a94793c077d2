"""The compiled contracts in the wheel are what the sources compile to; the contracts' own tests run in forge."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from peerage_chain import build

ROOT = Path(__file__).parents[2]
MAX_CODE_SIZE = 24_576  # bytes, EIP-170

needs_node_modules = pytest.mark.skipif(
    not (ROOT / "contracts/node_modules/solc").is_dir(), reason="no contracts/node_modules: run `npm ci` in contracts"
)


@needs_node_modules
def test_artifacts_match_the_sources() -> None:
    assert build.differing(build.compile_contracts()) == []


@needs_node_modules
def test_a_changed_source_is_noticed(tmp_path: Path) -> None:
    for name in ("contracts/src", "contracts/node_modules", "contracts/solc.js"):
        source = ROOT / name
        target = tmp_path / name
        target.parent.mkdir(exist_ok=True)
        if name != "contracts/src":
            target.symlink_to(source)
            continue
        for path in source.rglob("*.sol"):
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    anchors = tmp_path / "contracts/src/Anchors.sol"
    anchors.write_text(anchors.read_text().replace("number <= current.number", "number < current.number"))
    assert build.differing(build.compile_contracts(tmp_path)) == ["Anchors"]


def test_no_sources_no_build(tmp_path: Path) -> None:
    with pytest.raises(build.BuildError, match="no contract sources"):
        build.compile_contracts(tmp_path)


@pytest.mark.parametrize("name", build.CONTRACTS)
def test_every_artifact_can_be_deployed(name: str) -> None:
    artifact = json.loads((build.ARTIFACTS / f"{name}.json").read_text())
    assert artifact["contract"] == name
    code = bytes.fromhex(artifact["bytecode"].removeprefix("0x"))
    assert 0 < len(code) < MAX_CODE_SIZE
    constructor = [entry["inputs"] for entry in artifact["abi"] if entry["type"] == "constructor"]
    assert [len(inputs) for inputs in constructor] == [{"Directory": 0, "Council": 3}.get(name, 1)]


@needs_node_modules
@pytest.mark.timeout(600)
def test_forge() -> None:
    environment = {**os.environ, "FOUNDRY_CONFIG": str(ROOT / "contracts/foundry.toml")}
    forge = next((ROOT / "contracts/node_modules/@foundry-rs").glob("forge-*/bin/forge"))
    for arguments in (["fmt", "--check", "contracts/src", "tests/contracts"], ["test"]):
        command = [str(forge), *arguments, "--root", str(ROOT)]
        outcome = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=580, check=False
        )
        assert outcome.returncode == 0, outcome.stdout[-8000:] + outcome.stderr[-4000:]
