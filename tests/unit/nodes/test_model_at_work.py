"""A model that never ends is noticed, and is not taken for replaced."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vp_mqtt.bundle.fetch import Interrupted
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.config.settings import VariantSettings
from vp_mqtt.nodes import model_at_work
from vp_mqtt.nodes.loaded_variant import LoadedVariant
from vp_mqtt.nodes.model_at_work import ModelAtWork
from vp_mqtt.nodes.variant import VariantNode

BATCH = np.zeros((1, 3, 8, 8), np.float32)


def first_row(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    row: NDArray[np.float32] = batch[0, 0, 0]
    return row


def slow_row(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    time.sleep(0.05)
    return first_row(batch)


class Hanging:
    """A model that hangs until it is released."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.released = threading.Event()

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        self.entered.set()
        assert self.released.wait(20)
        return first_row(batch)


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    model = Hanging()
    yield model
    model.released.set()


def loaded(bundle: Path, predict: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> LoadedVariant:
    manifest = open_bundle(bundle).manifest
    return LoadedVariant(manifest, manifest.variants[0], 2, predict)


def run_picture(model: ModelAtWork) -> threading.Thread:
    def run() -> None:
        with model.take() as taken:
            assert taken is not None
            taken.predict(BATCH)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_the_newest_model_is_taken(bundle: Path) -> None:
    model = ModelAtWork()
    with model.take() as taken:
        assert taken is None
    model.replace(loaded(bundle, first_row), threading.Event())
    with model.take() as taken:
        assert taken is not None
        assert taken is model.newest
        assert taken.predict(BATCH).shape == (8,)


def test_a_node_that_gives_its_variant_up_takes_no_model_any_more(bundle: Path) -> None:
    model, ended = ModelAtWork(), threading.Event()
    model.replace(loaded(bundle, first_row), ended)
    ended.set()
    model.clear()
    with pytest.raises(Interrupted):
        model.replace(loaded(bundle, first_row), ended)
    assert model.newest is None


def test_a_model_is_replaced_once_the_work_is_out_of_the_one_before(bundle: Path, hanging: Hanging) -> None:
    model, stopping = ModelAtWork(), threading.Event()
    model.replace(loaded(bundle, hanging), threading.Event())
    work = run_picture(model)
    assert hanging.entered.wait(5)
    model.await_newest(stopping)
    model.replace(loaded(bundle, lambda batch: batch), threading.Event())
    ends = threading.Thread(target=model.await_newest, args=(stopping,))
    ends.start()
    ends.join(0.2)
    assert ends.is_alive()
    hanging.released.set()
    ends.join(5)
    assert not ends.is_alive()
    work.join(5)


def test_a_node_that_stops_does_not_wait_for_a_model(bundle: Path, hanging: Hanging) -> None:
    model, stopping = ModelAtWork(), threading.Event()
    model.replace(loaded(bundle, hanging), threading.Event())
    run_picture(model)
    assert hanging.entered.wait(5)
    model.replace(loaded(bundle, lambda batch: batch), threading.Event())
    stopping.set()
    with pytest.raises(Interrupted):
        model.await_newest(stopping)


def test_a_picture_that_takes_too_long_is_noticed_and_many_pictures_in_time_are_none(
    bundle: Path, hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_at_work, "_TICK_S", 0.01)
    monkeypatch.setattr(model_at_work, "LIMIT_S", 0.2)
    model, stopping, hung = ModelAtWork(), threading.Event(), threading.Event()
    watch = threading.Thread(target=model.watch, args=(lambda _: hung.set(), stopping))
    watch.start()
    model.replace(loaded(bundle, slow_row), threading.Event())
    for _ in range(8):
        run_picture(model).join(5)
    with model.take():
        time.sleep(0.4)  # in the decoder, say
    assert not hung.is_set()
    model.replace(loaded(bundle, hanging), threading.Event())
    run_picture(model)
    assert hung.wait(5)
    watch.join(5)
    assert not watch.is_alive()


def test_a_node_whose_work_is_stuck_does_not_say_that_it_runs_the_next_bundle(
    bundle: Path, hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = VariantNode(VariantSettings(variant=0, runtime="onnxruntime"))

    def said() -> str | None:
        return node._node._status.current.bundle

    monkeypatch.setattr("vp_mqtt.nodes.loaded_variant.Trial.run", lambda *_: "onnxruntime")
    node._model.replace(loaded(Path("fashion-mnist"), hanging), threading.Event())
    work = run_picture(node._model)
    assert hanging.entered.wait(5)
    switch = threading.Thread(target=node._switch, args=(0, node._node.stopping, open_bundle(bundle)))
    switch.start()
    switch.join(0.5)
    assert switch.is_alive()
    assert said() is None
    hanging.released.set()
    switch.join(5)
    work.join(5)
    assert said() == "tiny"
    node.stop()
