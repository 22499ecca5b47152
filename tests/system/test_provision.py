"""`vp site provision` as a process, and what other programs say of its files."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.provisioned import ProvisionedSite

ROOT = Path(__file__).parents[2]


@pytest.fixture
def site() -> Iterator[ProvisionedSite]:
    with ProvisionedSite() as provisioned:
        yield provisioned


def test_a_full_disk_leaves_the_site_as_it_was(site: ProvisionedSite) -> None:
    before = site.contents()
    site.edit("deadline_ms = 2000", "deadline_ms = 500")
    limited = subprocess.run(
        [sys.executable, "-m", "vp_mqtt", "site", "provision", str(site.file), "--rotate", "pi-1"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        # Coverage could not write its data file either, and says so with a traceback.
        env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")},
    )
    assert limited.returncode == 2, limited.stderr
    assert limited.stderr.startswith("vp: ")
    assert "Traceback" not in limited.stderr
    assert site.contents() == before
    site.provision()
    assert site.contents() != before
    assert sorted(path.name for path in site.folder.glob(".provisioned.*")) == [".provisioned.lock"]


@pytest.mark.parametrize("unit", ["vp-camera.service", "vp-fusion.service", "vp-node@.service", "vp-web.service"])
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path, unit: str) -> None:
    text = (ROOT / "deploy" / "systemd" / unit).read_text(encoding="utf-8")
    # The one thing that is missing here, and that systemd looks for.
    there = tmp_path / unit.replace("@", "@0")
    there.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE), encoding="utf-8")
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("NOT SHOWN: no systemd-analyze here: apt-get install systemd")
    done = subprocess.run([program, "verify", str(there)], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_boards_get_the_units_of_deploy_and_scripts_with_valid_syntax(site: ProvisionedSite) -> None:
    units = {path.name: path.read_bytes() for path in (ROOT / "deploy" / "systemd").iterdir()}
    given = {path.name: path.read_bytes() for path in site.root.glob("boards/*/units/*")}
    assert given == units
    scripts = list(site.root.rglob("install.sh"))
    assert len(scripts) == 8
    for script in scripts:
        assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0
        assert "$$" not in script.read_text(encoding="utf-8")
