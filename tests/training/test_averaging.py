from __future__ import annotations

import math

import torch

from vp_mqtt.bundle.manifest import VariantSpec
from vp_mqtt.training.averaging import UPDATE_EVERY, WeightAverages
from vp_mqtt.training.networks import VariantNetwork

DECAY_PER_STEP = 0.95


def network() -> VariantNetwork:
    torch.manual_seed(0)
    return VariantNetwork(VariantSpec(resolution=32, alpha=0.1, head=16), 3)


def change(current: VariantNetwork, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for tensor in current.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(torch.rand(tensor.shape, generator=generator))


def test_the_average_decays_slowly_only_after_many_updates() -> None:
    current = network()
    averages = WeightAverages([current], DECAY_PER_STEP)
    name = "features.0.1.running_mean"
    expected = current.state_dict()[name].double()
    for step in range(1, 40 * UPDATE_EVERY + 1):
        change(current, step)
        averages.update_after(step)
        if step % UPDATE_EVERY == 0:
            updates = step // UPDATE_EVERY
            decay = min(DECAY_PER_STEP**UPDATE_EVERY, (1 + updates) / (10 + updates))
            expected = decay * expected + (1 - decay) * current.state_dict()[name].double()
    torch.testing.assert_close(averages.networks[0].state_dict()[name].double(), expected, rtol=1e-6, atol=1e-6)
    assert math.isclose(decay, DECAY_PER_STEP**UPDATE_EVERY)


def test_all_floating_point_values_are_averaged_and_nothing_else_changes() -> None:
    current = network()
    averages = WeightAverages([current], DECAY_PER_STEP)
    before = {name: tensor.clone() for name, tensor in averages.networks[0].state_dict().items()}
    averages.update_after(UPDATE_EVERY - 1)
    change(current, 1)
    current.state_dict()["features.0.1.num_batches_tracked"].fill_(5)
    averages.update_after(UPDATE_EVERY - 1)
    after = averages.networks[0].state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    averages.update_after(UPDATE_EVERY)
    assert all(torch.equal(after[name], tensor) != tensor.is_floating_point() for name, tensor in before.items())


def test_restored_averages_continue_like_uninterrupted_ones() -> None:
    current = network()
    whole = WeightAverages([current], DECAY_PER_STEP)
    resumed = WeightAverages([current], DECAY_PER_STEP)
    for step in range(1, 6 * UPDATE_EVERY):
        change(current, step)
        whole.update_after(step)
        if step == 3 * UPDATE_EVERY + 2:
            resumed.restore([whole.networks[0].state_dict()], step)
        elif step > 3 * UPDATE_EVERY + 2:
            resumed.update_after(step)
    for one, other in zip(whole.networks[0].parameters(), resumed.networks[0].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
