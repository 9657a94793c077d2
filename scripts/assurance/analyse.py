"""scripts/assure slither: runs slither over contracts/src and compares the findings with what slither.toml explains."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from peerage_chain import build

ROOT = Path(__file__).resolve().parents[2]
EXPLAINED = Path(__file__).with_name("slither.toml")
SLITHER = ROOT / ".venv-assure" / "bin" / "slither"
OUTPUTS = ("abi", "evm.bytecode.object", "evm.bytecode.sourceMap", "evm.deployedBytecode", "evm.methodIdentifiers")
FORGE = '[profile.default]\nsrc = "contracts/src"\nout = "out"\nlibs = []\noffline = true\n'


def project(folder: Path) -> None:
    """Lay out the sources and the compiler's word on them as slither knows it from forge, without forge compiling."""
    sources: dict[str, str] = {}
    for path in sorted((ROOT / "contracts" / "src").rglob("*.sol")):
        build.closure(ROOT, str(path.relative_to(ROOT)), sources)
    request = {
        "language": "Solidity",
        "sources": {unit: {"content": text} for unit, text in sorted(sources.items())},
        "settings": {
            **build.SETTINGS,
            "optimizer": {"enabled": False},
            "outputSelection": {"*": {"*": [*OUTPUTS, "userdoc", "devdoc"], "": ["ast"]}},
        },
    }
    output = build.run_compiler(ROOT, request)
    for unit, text in sources.items():
        (folder / unit).parent.mkdir(parents=True, exist_ok=True)
        (folder / unit).write_text(text, encoding="utf-8")
    version = {"id": "peerage", "solcVersion": build.SOLC_VERSION, "solcLongVersion": build.SOLC_VERSION}
    (folder / "out" / "build-info").mkdir(parents=True)
    info = json.dumps({**version, "input": request, "output": output})
    (folder / "out" / "build-info" / "peerage.json").write_text(info, encoding="utf-8")
    (folder / "foundry.toml").write_text(FORGE, encoding="utf-8")


def findings() -> list[dict[str, Any]]:
    """Everything that slither finds in our own sources."""
    with tempfile.TemporaryDirectory(prefix="peerage-slither-") as name:
        project(Path(name))
        command = [SLITHER, ".", "--ignore-compile", "--filter-paths", "@openzeppelin", "--json", "-"]
        done = subprocess.run(command, cwd=name, env=environment(), capture_output=True, text=True, check=False)
        try:
            return list(json.loads(done.stdout)["results"].get("detectors", []))
        except (ValueError, KeyError):
            sys.exit(f"slither failed: {done.stderr[-4000:]}")


def environment() -> dict[str, str]:
    """Ours, without forge's settings for this repository."""
    return {name: value for name, value in os.environ.items() if name != "FOUNDRY_CONFIG"}


def place(finding: dict[str, Any]) -> str:
    """Contract.function of what is found, or as much of it as there is."""
    element = finding["elements"][0]
    parent = element.get("type_specific_fields", {}).get("parent", {})
    if element["type"] in ("node", "variable") and parent.get("type") == "function":
        element, parent = parent, parent.get("type_specific_fields", {}).get("parent", {})
    return f"{parent['name']}.{element['name']}" if parent.get("type") == "contract" else str(element["name"])


def main() -> int:
    explained = tomllib.loads(EXPLAINED.read_text(encoding="utf-8"))["finding"]
    used: Counter[int] = Counter()
    open_: list[str] = []
    found = findings()
    for finding in found:
        where = place(finding)
        for number, entry in enumerate(explained):
            if entry["check"] == finding["check"] and re.fullmatch(entry["where"], where):
                used[number] += 1
                break
        else:
            open_.append(f"{finding['impact']} {finding['check']} at {where}: {finding['description'].strip()}")
    print("\n".join(open_))
    stale = [entry for number, entry in enumerate(explained) if not used[number]]
    for entry in stale:
        print(f"slither.toml explains what is no longer found: {entry['check']} at {entry['where']}")
    print(f"slither: {len(found)} findings, {sum(used.values())} explained, {len(open_)} not")
    return 1 if open_ or stale else 0


if __name__ == "__main__":
    sys.exit(main())
