"""deploy/: linted, and checked against what it promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
# Installed beside the interpreter, whether or not its environment is activated.
TOOLS = Path(sys.executable).parent


def _lint(*command: str) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_hadolint_finds_nothing_wrong_with_the_dockerfile() -> None:
    _lint(str(TOOLS / "hadolint"), "deploy/Dockerfile")


def test_the_compose_file_fits_the_schema_of_compose() -> None:
    _lint(str(TOOLS / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", "deploy/compose.yaml")


def test_the_compose_file_runs_one_service_per_role_without_privileges() -> None:
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
    services = compose["services"]
    assert {"broker", "fusion", "camera", *(f"variant-{v}" for v in range(6))} == set(services)
    for name, service in services.items():
        assert service["restart"] == "unless-stopped"
        if name == "broker":
            continue
        assert service["command"][0] in {"fusion", "camera", "node"}
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["depends_on"] == ["broker"]
        assert {mount.partition(":")[0] for mount in service.get("volumes", [])} <= set(compose["volumes"])
        build = ROOT / "deploy" / service["build"]["context"]
        assert (build / service["build"]["dockerfile"]).is_file()
    assert (ROOT / "deploy" / services["broker"]["volumes"][0].partition(":")[0]).is_file()


def test_the_dockerfile_ends_as_an_unprivileged_user_without_torch() -> None:
    lines = [
        line.split(maxsplit=1)
        for line in (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
        if line.strip() and not line.startswith("#")
    ]
    instructions = [line[0] for line in lines]
    known = {"FROM", "RUN", "COPY", "USER", "ENV", "ENTRYPOINT", "WORKDIR", "VOLUME"}
    assert set(instructions) <= known
    assert instructions[0] == "FROM"
    users = [argument for instruction, argument in lines if instruction == "USER"]
    assert users == ["10001"]
    assert instructions.index("USER") < instructions.index("ENTRYPOINT")
    assert not any("torch" in argument or "[train]" in argument for _, argument in lines)
    for instruction, argument in lines:
        if instruction == "COPY" and "--from" not in argument:
            assert all((ROOT / source).exists() for source in argument.split()[:-1])
