from __future__ import annotations

import pytest
import torch

from vp_mqtt.bundle.manifest import VariantSpec
from vp_mqtt.training import engine
from vp_mqtt.training.engine import NetworkSet, ThreadedPasses, VariantThreads
from vp_mqtt.training.networks import VariantNetwork, freeze_norms

SPECS = [VariantSpec(resolution=40, head=32), VariantSpec(resolution=48, head=48)]


def networks(seed: int) -> list[VariantNetwork]:
    torch.manual_seed(seed)
    return [VariantNetwork(spec, 10, dropout=0.0) for spec in SPECS]


@pytest.mark.parametrize("frozen_blocks", [0, 4])
def test_passes_side_by_side_give_logits_and_gradients_of_each_network_alone(
    frozen_blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "cpu_has_bfloat16", lambda: False)
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


def test_passes_in_bfloat16_give_nearly_the_same_logits_and_gradients_in_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inputs = [torch.rand(8, 3, side, side) * 2 - 1 for side in (40, 48, 40)]
    gradients = [torch.randn(8, 10, generator=torch.Generator().manual_seed(1)) for _ in SPECS]

    def outputs_and_gradients(*, has_bfloat16: bool) -> tuple[list[torch.Tensor], torch.Tensor]:
        monkeypatch.setattr(engine, "cpu_has_bfloat16", lambda: has_bfloat16)
        variants = [network.train() for network in networks(1)]
        for network in variants:
            freeze_norms(network)
        teacher = networks(2)[0].eval()
        passes = ThreadedPasses(NetworkSet(variants, networks(3), [teacher]), VariantThreads((40, 48), 2))
        passes.begin_epoch()
        outputs, from_teachers = passes.forward(lambda index: inputs[index])
        passes.backward(gradients)
        parameters = [parameter for network in variants for parameter in network.parameters()]
        flat = torch.cat([parameter.grad.flatten() for parameter in parameters if parameter.grad is not None])
        return [*outputs, *from_teachers], flat

    exact, exact_gradients = outputs_and_gradients(has_bfloat16=False)
    rough, rough_gradients = outputs_and_gradients(has_bfloat16=True)
    assert rough_gradients.dtype == torch.float32
    assert not torch.equal(rough_gradients, exact_gradients)
    assert torch.cosine_similarity(rough_gradients, exact_gradients, dim=0) > 0.99
    for found, wanted in zip(rough, exact, strict=True):
        assert found.dtype == torch.float32
        assert (found - wanted).norm() < 0.05 * wanted.norm()
