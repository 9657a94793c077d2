"""Compiles the contracts into the artifacts that the wheel carries: `python -m peerage_chain.build [--check]`.

Needs a source tree with contracts/node_modules (`npm ci` in contracts). An artifact is a JSON object: contract, abi,
bytecode (creation, hex), compiler, source (SHA-256 of the contract's source files, what they import, and the settings).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SOLC_VERSION = "0.8.37"
CONTRACTS = (
    "Directory", "Council", "Credit", "Members", "Beacon", "Agreements", "Amendments", "Proofs", "Clearing", "Anchors",
    "Demands", "Quality",
)  # fmt: skip
ARTIFACTS = Path(__file__).parent / "artifacts"
ROOT = Path(__file__).parents[2]
SETTINGS: Mapping[str, Any] = {
    # The oldest EVM that members run: GoQuorum and older Besu QBFT networks.
    "evmVersion": "berlin",
    "optimizer": {"enabled": True, "runs": 200},
    # No metadata: the same sources give the same bytes wherever they lie.
    "metadata": {"bytecodeHash": "none", "appendCBOR": False},
    "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object"]}},
}
_IMPORT = re.compile(r'^\s*import\s+(?:[^"]*?\s+from\s+)?"([^"]+)"', re.MULTILINE)


class BuildError(Exception):
    """The contracts cannot be compiled here; the message says what is missing or wrong."""


def compile_contracts(root: Path = ROOT) -> dict[str, str]:
    """Compile every contract of the source tree at root: contract name -> text of its artifact.

    Raises BuildError when there is no compiler, a source is missing, or the compiler reports an error.
    """
    source_folder = root / "contracts" / "src"
    if not source_folder.is_dir():
        raise BuildError(f"no contract sources at {source_folder}: build from a source tree")
    sources: dict[str, str] = {}
    closures = {name: closure(root, f"contracts/src/{name}.sol", sources) for name in CONTRACTS}
    request = {
        "language": "Solidity",
        "sources": {unit: {"content": text} for unit, text in sorted(sources.items())},
        "settings": dict(SETTINGS),
    }
    output = run_compiler(root, request)
    artifacts: dict[str, str] = {}
    for name in CONTRACTS:
        compiled = output["contracts"][f"contracts/src/{name}.sol"][name]
        artifact = {
            "contract": name,
            "compiler": SOLC_VERSION,
            "source": _source_hash(closures[name], sources),
            "abi": compiled["abi"],
            "bytecode": "0x" + compiled["evm"]["bytecode"]["object"],
        }
        artifacts[name] = json.dumps(artifact, indent=1, sort_keys=True) + "\n"
    return artifacts


def write_artifacts(artifacts: Mapping[str, str], folder: Path = ARTIFACTS) -> list[str]:
    """Write artifacts whose text changed; returns their contracts' names."""
    folder.mkdir(parents=True, exist_ok=True)
    changed = differing(artifacts, folder)
    for name in changed:
        (folder / f"{name}.json").write_text(artifacts[name], encoding="utf-8")
    return changed


def differing(artifacts: Mapping[str, str], folder: Path = ARTIFACTS) -> list[str]:
    """Names of the contracts whose stored artifact is missing or is not the given text."""
    changed = []
    for name, text in artifacts.items():
        path = folder / f"{name}.json"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            changed.append(name)
    return changed


def closure(root: Path, unit: str, sources: dict[str, str]) -> list[str]:
    """Read a source unit and all it imports into sources; returns their unit names, sorted."""
    seen: set[str] = set()
    waiting = [unit]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name not in sources:
            sources[name] = _read(root, name)
        for target in _IMPORT.findall(sources[name]):
            if target.startswith("."):
                waiting.append(os.path.normpath(f"{name.rpartition('/')[0]}/{target}"))
            else:
                waiting.append(target)
    return sorted(seen)


def _read(root: Path, unit: str) -> str:
    path = root / "contracts" / "node_modules" / unit if unit.startswith("@") else root / unit
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BuildError(f"cannot read {path} ({error.strerror}): run `npm ci` in {root / 'contracts'}") from error


def _source_hash(units: list[str], sources: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps([SOLC_VERSION, SETTINGS], sort_keys=True).encode())
    for unit in units:
        digest.update(hashlib.sha256(unit.encode()).digest())
        digest.update(hashlib.sha256(sources[unit].encode()).digest())
    return digest.hexdigest()


def run_compiler(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    import solcx

    try:
        output: dict[str, Any] = solcx.compile_standard(request, solc_binary=_compiler(root))
    except solcx.exceptions.SolcError as error:
        raise BuildError(f"solc: {error}") from error
    problems = [e for e in output.get("errors", []) if e["severity"] == "error"]
    if problems:
        raise BuildError("solc:\n" + "\n".join(e["formattedMessage"] for e in problems))
    return output


def _compiler(root: Path) -> Path:
    """A native solc that is installed; else npm's, through the wrapper; else a native one, downloaded."""
    import solcx

    if SOLC_VERSION in {str(version) for version in solcx.get_installed_solc_versions()}:
        return Path(solcx.install.get_executable(SOLC_VERSION))
    if (root / "contracts" / "node_modules" / "solc").is_dir():
        return root / "contracts" / "solc.js"
    try:
        solcx.install_solc(SOLC_VERSION)
    except Exception as error:  # solcx lets the errors of its HTTP library through
        raise BuildError(f"no solc {SOLC_VERSION}: run `npm ci` in {root / 'contracts'}") from error
    return Path(solcx.install.get_executable(SOLC_VERSION))


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0: the artifacts are up to date now; 1: --check found a difference, or the build failed."""
    parser = argparse.ArgumentParser(prog="python -m peerage_chain.build", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare; exit with 1 if an artifact is stale")
    options = parser.parse_args(arguments)
    try:
        artifacts = compile_contracts()
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    if options.check:
        stale = differing(artifacts)
        print(f"stale: {', '.join(stale)}" if stale else "artifacts match the sources", file=sys.stderr)
        return 1 if stale else 0
    changed = write_artifacts(artifacts)
    print(f"built {len(artifacts)}, changed: {', '.join(changed) or 'none'}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
