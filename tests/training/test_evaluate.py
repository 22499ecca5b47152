from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from itertools import combinations, pairwise
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from tests.support.fusing import fuse
from tests.support.tiny import CLASSES, RESOLUTIONS, write_bundle
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.errors import UserError
from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.nodes.frame_encoder import FrameEncoder
from vp_mqtt.protocol.votes import decode, encode, select
from vp_mqtt.training.datasets import load_evaluation_set
from vp_mqtt.training.evaluation.evaluate import evaluate_bundle, evaluate_probabilities, predict, subsets_alive
from vp_mqtt.training.evaluation.plots import (
    CONFUSION_NAME,
    DEAD_BOARDS_NAME,
    confusion_figure,
    dead_boards_figure,
    write_plots,
)
from vp_mqtt.training.evaluation.results import Evaluation

COLOURS = {"red": (0, 0, 220), "green": (0, 220, 0), "blue": (220, 0, 0), "grey": (128, 128, 128)}
PNG = b"\x89PNG"


def write_colours(root: Path, classes: tuple[str, ...] = CLASSES, per_class: int = 6) -> Path:
    """Write class folders of noisy pictures of one colour, some of another class's colour."""
    rng = np.random.default_rng(0)
    for name in classes:
        (root / name).mkdir(parents=True)
        for number in range(per_class):
            colour = COLOURS["blue" if number == 0 else name]
            picture = np.clip(np.array(colour) + rng.integers(-70, 70, (48, 64, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(root / name / f"{number}.png"), picture)
    return root


def vp(*arguments: str, code: str = "from vp_mqtt.cli.app import main; main()") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_colours(tmp_path_factory.mktemp("colours") / "things")


@pytest.fixture(scope="module")
def result(bundle: Path, pictures: Path) -> Evaluation:
    opened = open_bundle(bundle)
    evaluation_set = load_evaluation_set(str(pictures), everything=True)
    return evaluate_bundle(opened, evaluation_set.for_classes(opened.manifest.classes))


def test_every_figure_is_that_of_one_frame_after_another(bundle: Path, pictures: Path, result: Evaluation) -> None:
    opened = open_bundle(bundle)
    manifest = opened.manifest
    evaluation_set = load_evaluation_set(str(pictures), everything=True).for_classes(manifest.classes)
    probabilities = predict(opened, evaluation_set)
    weights = [variant.weight for variant in manifest.variants]

    def share_right(alive: tuple[int, ...], k: int) -> float:
        right = 0
        for index, label in enumerate(evaluation_set.labels.tolist()):
            votes = {v: decode(encode(select(probabilities[v, index], k, b"1234")), len(CLASSES)) for v in alive}
            right += int(fuse(votes, weights, len(CLASSES)).argmax()) == label
        return right / len(evaluation_set)

    everyone = tuple(range(len(RESOLUTIONS)))
    assert result.images == 24
    assert 0.5 < result.accuracy.fused < 1
    assert result.accuracy.fused == share_right(everyone, manifest.k)
    assert result.accuracy.variants == tuple(share_right((v,), manifest.k) for v in everyone)
    assert result.by_k == {k: share_right(everyone, k) for k in (1, 2)}
    for size, alive in result.by_alive.items():
        shares = {subset: share_right(subset, manifest.k) for subset in combinations(everyone, size)}
        assert alive.mean == pytest.approx(np.mean(list(shares.values())))
        assert alive.worst[0] == shares[alive.worst[1]] == min(shares.values())
        assert alive.best[0] == shares[alive.best[1]] == max(shares.values())
    assert result.confusion.sum(axis=1).tolist() == [6] * 4
    assert np.trace(result.confusion) == round(result.accuracy.fused * 24)
    assert result.mean_per_class.fused == pytest.approx(result.accuracy.fused)


def test_confidence_is_that_which_the_fusion_node_publishes() -> None:
    class Variant:
        def __init__(self, weight: float) -> None:
            self.weight = weight

    class Manifest:
        classes = ("a", "b", "c")
        variants = (Variant(1.0), Variant(3.0))
        calibration = None

    probabilities = np.array([[[0.9, 0.1, 0.0]], [[0.5, 0.3, 0.2]]], dtype=np.float32)
    evaluated = evaluate_probabilities(Manifest(), probabilities, np.array([1]), k=1, by_k=[1])  # type: ignore[arg-type]
    # The label "a" is wrong, so the error is its confidence: the weighted mean of what the variants gave it.
    assert evaluated.ece.fused == pytest.approx((1 * 0.9 + 3 * 0.5) / 4, abs=1e-4)
    assert evaluated.ece.variants == pytest.approx((0.9, 0.5), abs=1e-4)


def test_subsets_of_large_families_are_drawn_by_chance() -> None:
    assert subsets_alive(3) == [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]
    assert len(subsets_alive(6)) == 63
    many = subsets_alive(20)
    assert many == subsets_alive(20)
    by_size = [[subset for subset in many if len(subset) == size] for size in range(1, 21)]
    assert [len(subsets) for subsets in by_size[:2]] == [20, 190]
    assert all(1 <= len(subsets) <= 1140 for subsets in by_size)
    assert all(subset == tuple(sorted(set(subset))) for subset in many)


def test_eval_prints_what_it_promises(bundle: Path, pictures: Path, tmp_path: Path, result: Evaluation) -> None:
    printed = vp("eval", str(bundle), str(pictures), "--all", "--json", "--plots", str(tmp_path / "plots"))
    assert printed.returncode == 0, printed.stderr
    told = json.loads(printed.stdout)
    assert told["images"] == 24
    by_alive = {"by_alive", "by_alive_worst", "by_alive_best", "by_subset"}
    assert set(told["accuracy"]) == {"fused", "variants", "by_k"} | by_alive
    assert len(told["accuracy"]["by_subset"]) == 63
    assert told["accuracy"]["by_subset"]["0,1,2,3,4,5"] == told["accuracy"]["fused"]
    assert told["accuracy"] == result.as_dict()["accuracy"]
    assert list(told["accuracy"]["by_alive"]) == ["1", "2", "3", "4", "5", "6"]
    assert list(told["accuracy"]["by_k"]) == ["1", "2"]
    for figure in ("mean_per_class", "ece"):
        assert set(told[figure]) == {"fused", "variants"}
        assert len(told[figure]["variants"]) == 6
    assert told["plots"] == [str(tmp_path / "plots" / name) for name in (CONFUSION_NAME, DEAD_BOARDS_NAME)]
    assert all(Path(path).read_bytes().startswith(PNG) for path in told["plots"])
    plain = vp("eval", str(bundle), str(pictures), "--all", "--k", "2,1")
    assert "24 pictures of 'things', votes of k = 2 classes" in plain.stdout
    assert "fused label" in plain.stdout
    assert "by k: 1:" in plain.stdout


def test_eval_tells_foreign_pictures_from_those_of_the_classes(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "strange" / "deep"
    foreign.mkdir(parents=True)
    for number in range(3):
        # To the tiny bundle's models every class is as likely as the others.
        (foreign / f"{number}.jpg").write_bytes(encode_jpeg(np.full((40, 60, 3), 128, dtype=np.uint8), 90))
    strange = ("--unknown", str(tmp_path / "strange"))
    told = json.loads(vp("eval", str(bundle), str(pictures), "--all", "--json", *strange).stdout)
    assert list(told["unknown"]) == ["strange"]
    of_strange = told["unknown"]["strange"]
    assert (of_strange["images"], of_strange["by_bundle"]) == (3, None)
    assert set(of_strange) == {"images", "auroc", "accepted_at_95", "accuracy_at_95", "by_bundle"}
    assert 0 <= of_strange["auroc"]["fused"] <= 1
    assert len(of_strange["accepted_at_95"]["variants"]) == 6
    plain = vp("eval", str(bundle), str(pictures), "--all", *strange)
    assert "3 foreign pictures of 'strange'" in plain.stdout
    for folder, says in ((tmp_path / "nothing", "no such folder"), (tmp_path, "")):
        refused = vp("eval", str(bundle), str(pictures), "--unknown", str(folder))
        assert refused.returncode == (2 if says else 0)
        assert says in refused.stderr
    (tmp_path / "empty").mkdir()
    assert "no pictures there" in vp("eval", str(bundle), str(pictures), "--unknown", str(tmp_path / "empty")).stderr


def test_eval_needs_neither_torch_nor_matplotlib(bundle: Path, pictures: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'matplotlib', 'scipy', 'onnx'): sys.modules[name] = None\n"
        "from vp_mqtt.cli.app import main; main()"
    )
    plain = vp("eval", str(bundle), str(pictures), "--json", code=code)
    assert plain.returncode == 0, plain.stderr
    assert json.loads(plain.stdout)["images"] == 4
    assert "evaluating on a sixth of 'things'" in plain.stderr
    refused = vp("eval", str(bundle), str(pictures), "--plots", "x", code=code)
    assert refused.returncode == 2
    assert refused.stderr.endswith("--plots needs matplotlib: `pip install matplotlib`\n")


@pytest.mark.parametrize(
    ("k", "says"),
    [
        ("3", "--k 3: a vote holds at most half of the classes; the bundle 'tiny' has 4, so write 2 or less"),
        ("1,9", "--k 9: a vote holds at most half of the classes"),
        ("0", "--k 0: write the number of classes"),
        ("a", "--k a: write the number of classes"),
        ("1,,2", "--k 1,,2: write the number of classes"),
    ],
)
def test_a_k_that_cannot_be_is_refused(bundle: Path, pictures: Path, k: str, says: str) -> None:
    refused = vp("eval", str(bundle), str(pictures), "--k", k)
    assert refused.returncode == 2
    assert says in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_classes_go_by_name(bundle: Path, tmp_path: Path) -> None:
    # Some of the bundle's classes, and in another order: it has red, green, blue, grey.
    for part in ("train", "test"):
        write_colours(tmp_path / "some" / part, classes=("green", "red"))
    told = json.loads(vp("eval", str(bundle), str(tmp_path / "some"), "--json").stdout)
    assert told["images"] == 12
    assert told["accuracy"]["fused"] > 0.7
    write_colours(tmp_path / "other", classes=("blue", "red"))
    (tmp_path / "other" / "blue").rename(tmp_path / "other" / "cyan")
    refused = vp("eval", str(bundle), str(tmp_path / "other"))
    assert refused.returncode == 2
    assert "'other' has the class 'cyan', which the bundle does not know; it knows red, green, blue" in refused.stderr


def test_one_class_and_test_pictures_alone_will_do(bundle: Path, tmp_path: Path) -> None:
    write_colours(tmp_path / "one" / "test", classes=("red",))
    assert json.loads(vp("eval", str(bundle), str(tmp_path / "one"), "--json").stdout)["images"] == 6
    assert json.loads(vp("eval", str(bundle), str(tmp_path / "one" / "test"), "--all", "--json").stdout)["images"] == 6
    refused = vp("eval", str(bundle), str(tmp_path / "one" / "test"))
    assert refused.returncode == 2
    assert "evaluate on all of it with --all" in refused.stderr
    (tmp_path / "none").mkdir()
    refused = vp("eval", str(bundle), str(tmp_path / "none"), "--all")
    assert refused.returncode == 2
    assert "no class folders there" in refused.stderr


def test_pictures_are_evaluated_as_published_unless_told_otherwise(bundle: Path, pictures: Path) -> None:
    opened = open_bundle(bundle)
    shown = load_evaluation_set(str(pictures), everything=True).for_classes(opened.manifest.classes)

    def reported(*flags: str) -> tuple[object, object]:
        result = json.loads(vp("eval", str(bundle), str(pictures), "--all", "--json", *flags).stdout)
        return result["jpeg"], result["ece"]

    def expected(encoder: FrameEncoder | None) -> dict[str, object]:
        return evaluate_bundle(opened, shown, encoder=encoder).as_dict()["ece"]  # type: ignore[no-any-return]

    assert reported() == ("as published", expected(FrameEncoder(size=None, quality=90, passes_through=True)))
    assert reported("--jpeg", "20") == (20, expected(FrameEncoder(size=None, quality=20, passes_through=False)))
    assert reported("--no-jpeg") == (None, expected(None))
    assert expected(None) != expected(FrameEncoder(size=None, quality=20, passes_through=False))
    both = vp("eval", str(bundle), str(pictures), "--jpeg", "20", "--no-jpeg")
    assert both.returncode == 2
    assert "either --jpeg or --no-jpeg" in both.stderr


def test_what_is_judged_by_was_not_learned_from(bundle: Path, pictures: Path, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(bundle, copy)
    manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    manifest["provenance"]["seed"] = 5
    (copy / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    evaluation_set = load_evaluation_set(str(pictures), seed=5).pictures
    held_out = {Path(evaluation_set.where(i)).read_bytes() for i in range(4)}
    told = vp("samples", str(pictures), "--bundle", str(copy), "--out", str(tmp_path / "samples"), "--per-class", "9")
    assert told.stdout == f"4 pictures in {tmp_path / 'samples'}\n"
    drawn = {file.name: cv2.imread(str(file)) for file in (tmp_path / "samples").rglob("*.png")}
    expected = [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for data in held_out]
    for picture in drawn.values():
        assert any(np.array_equal(np.asarray(picture), np.asarray(other)) for other in expected)
    refused = vp("samples", str(pictures), "--bundle", str(copy), "--seed", "1", "--out", str(tmp_path / "x"))
    assert refused.returncode == 2
    assert "--seed" in refused.stderr


def test_a_picture_that_cannot_be_read_is_named(bundle: Path, tmp_path: Path) -> None:
    folder = write_colours(tmp_path / "things")
    (folder / "red" / "3.png").write_bytes(b"\x89PNG broken")
    refused = vp("eval", str(bundle), str(folder), "--all")
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].endswith(
        "red/3.png: not a picture; repair or remove it; `vp check-data` lists all that cannot be used"
    )


def test_models_that_give_no_numbers_are_refused(pictures: Path, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    broken = onnx.load(folder / "variant-3.onnx")
    weights = next(tensor for tensor in broken.graph.initializer if tensor.name == "weights")
    weights.CopyFrom(onnx.numpy_helper.from_array(np.full((3, 4), np.nan, dtype=np.float32), "weights"))
    onnx.save(broken, folder / "variant-3.onnx")
    digest = hashlib.sha256((folder / "variant-3.onnx").read_bytes()).hexdigest()
    manifest["variants"][3]["sha256"] = digest
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    opened = open_bundle(folder)
    with pytest.raises(UserError, match="models of the bundle 'tiny': probabilities must be finite; export it again"):
        evaluate_bundle(opened, load_evaluation_set(str(pictures)).for_classes(opened.manifest.classes))


def test_plots_say_what_they_show(result: Evaluation, tmp_path: Path) -> None:
    axes = dead_boards_figure(result, "tiny").axes[0]
    assert axes.get_xlabel() == "dead boards, of 6"
    assert axes.get_ylabel() == "accuracy of the fused label, in %"
    np.testing.assert_allclose(
        np.asarray(axes.lines[0].get_ydata()), [100 * result.by_alive[n].mean for n in (6, 5, 4, 3, 2, 1)]
    )
    axes = confusion_figure(result.confusion, CLASSES, "tiny").axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("fused label", "true class")
    assert [tick.get_text() for tick in axes.get_yticklabels()] == list(CLASSES)
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(UserError, match=r"--plots .*file: this is a file; name a folder"):
        write_plots(result, CLASSES, "tiny", tmp_path / "file")


def test_a_folder_for_plots_that_cannot_be_is_told_before_anything_is_read(bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    done = vp("eval", str(bundle), "no-such-data", "--plots", str(file))
    assert done.returncode == 2
    assert done.stderr == f"vp: --plots {file}: this is a file; name a folder\n"


def test_a_hundred_classes_get_a_label_each() -> None:
    names = [f"thing {n}" for n in range(101)]
    figure = confusion_figure(np.eye(101, dtype=np.int64), names, "many")
    axes = figure.axes[0]
    assert len(axes.get_xticklabels()) == 101
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert all(not one.overlaps(other) for one, other in pairwise(boxes))
