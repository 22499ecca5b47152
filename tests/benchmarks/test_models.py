from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from vp_mqtt.bundle.manifest import VariantSpec
from vp_mqtt.training.cost import Cost, compare, cost
from vp_mqtt.training.networks import VariantNetwork
from vp_mqtt.training.presets import load_family

MOBILENET_V2 = 2_236_682  # of 10 classes: 3,504,872 of 1,000 classes, less 990 rows of 1,281


def test_the_base_is_mobilenet_v2() -> None:
    assert MOBILENET_V2 == 3_504_872 - 990 * 1_281
    report = compare(load_family("paper"), 10)
    assert report.baseline.params == MOBILENET_V2
    assert report.baseline.macs == pytest.approx(300e6, rel=0.01)  # 300 million, as its authors say


@pytest.mark.parametrize("classes", [2, 10, 101, 150])
def test_the_paper_s_family_costs_as_little_as_promised(classes: int) -> None:
    report = compare(load_family("paper"), classes)
    assert [variant.resolution for variant in report.variants] == [96, 128, 160, 192, 224, 256]
    assert all(variant.params_ratio >= 5.8 for variant in report.variants)
    ratios = [variant.macs_ratio for variant in report.variants]
    assert ratios == sorted(ratios, reverse=True)
    assert min(ratios) <= 4.3
    assert max(ratios) >= 31.0


def test_macs_are_those_of_the_convolutions() -> None:
    spec = VariantSpec(resolution=64, alpha=0.35, head=64)
    network = VariantNetwork(spec, 7).eval()
    macs = 0

    def count(module: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal macs
        assert isinstance(module, nn.Conv2d)
        height, width = module.kernel_size
        macs += output.numel() * module.in_channels // module.groups * height * width

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.zeros(1, 3, 64, 64))
    assert cost(spec, 7) == Cost(sum(parameter.numel() for parameter in network.parameters()), macs)


@pytest.mark.parametrize(("family", "variants"), [("paper", 6), ("paper-7", 7), ("small", 6)])
def test_the_command_prints_what_it_promises(family: str, variants: int) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "vp_mqtt", "bench", "models", "--family", family, "--classes", "101"]
    printed = subprocess.run([*command, "--json"], env=environment, capture_output=True, text=True, check=True)
    found = json.loads(printed.stdout)
    assert found["baseline"] == {"params": 2_353_253, "macs": found["baseline"]["macs"]}
    assert len(found["variants"]) == variants
    for index, variant in enumerate(found["variants"]):
        assert set(variant) >= {"index", "resolution", "alpha", "params", "macs", "params_ratio", "macs_ratio"}
        assert variant["index"] == index
        assert variant["params_ratio"] == round(2_353_253 / variant["params"], 2)
        assert variant["macs_ratio"] == round(found["baseline"]["macs"] / variant["macs"], 2)
    table = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert "2,353,253" in table
    assert "…" not in table


def test_a_wrong_family_is_one_line() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "vp_mqtt", "bench", "models", "--family", "none"]
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert "--family none" in refused.stderr
