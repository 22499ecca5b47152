from __future__ import annotations

import pytest
import torch

from vp_mqtt.bundle.manifest import VariantSpec
from vp_mqtt.training.engine import NetworkSet, ThreadedPasses, VariantThreads
from vp_mqtt.training.networks import VariantNetwork

SPECS = [VariantSpec(resolution=40, head=32), VariantSpec(resolution=48, head=48)]


def networks(seed: int) -> list[VariantNetwork]:
    torch.manual_seed(seed)
    return [VariantNetwork(spec, 10, dropout=0.0) for spec in SPECS]


@pytest.mark.parametrize("frozen_blocks", [0, 4])
def test_passes_side_by_side_give_logits_and_gradients_of_each_network_alone(frozen_blocks: int) -> None:
    variants, same = networks(1), networks(1)
    teacher = networks(2)[0].eval()
    inputs = [torch.rand(4, 3, side, side) * 2 - 1 for side in (40, 48, 40)]
    for network in (*variants, *same):
        network.train()
        network.features[:frozen_blocks].requires_grad_(requires_grad=False)
    for network in same:
        network.features[:frozen_blocks].eval()
    passes = ThreadedPasses(NetworkSet(variants, networks(3), [teacher], frozen_blocks), VariantThreads((40, 48), 2))
    passes.begin_epoch()
    outputs, from_teachers = passes.forward(lambda index: inputs[index])
    gradients = [torch.randn_like(output) for output in outputs]
    passes.backward(gradients)
    torch.testing.assert_close(from_teachers[0], teacher(inputs[2]), rtol=1e-4, atol=1e-5)
    for network, alone, x, gradient, output in zip(variants, same, inputs[:2], gradients, outputs, strict=True):
        expected = alone(x)
        expected.backward(gradient)
        torch.testing.assert_close(output, expected, rtol=1e-3, atol=1e-4)
        for found, wanted in zip(network.parameters(), alone.parameters(), strict=True):
            assert (found.grad is None) == (wanted.grad is None)
            if found.grad is not None and wanted.grad is not None:
                torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-2, atol=1e-3)


def test_an_average_is_validated_as_it_is_exported() -> None:
    averages = networks(3)
    passes = ThreadedPasses(NetworkSet(networks(1), averages, []), VariantThreads((40, 48), 1))
    inputs = torch.rand(3, 3, 48, 48)
    torch.testing.assert_close(passes.average_logits(1, inputs), averages[1].eval()(inputs))
    assert not averages[1].training
