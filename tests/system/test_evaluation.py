"""`vp eval` and a live site give the same votes and labels, frame by frame."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from tests.support.fusing import fuse
from tests.support.jpegs import turned, with_secrets
from tests.support.site import Site
from tests.support.tiny import CLASSES
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.inference.pictures import encode_jpeg
from vp_mqtt.nodes.frame_encoder import FrameEncoder
from vp_mqtt.protocol import topics
from vp_mqtt.protocol.frames import FrameId
from vp_mqtt.protocol.topics import Kind
from vp_mqtt.protocol.votes import Vote, decode, encode, select
from vp_mqtt.site.synthetic_photos import synthetic_photo
from vp_mqtt.training.datasets import load_evaluation_set
from vp_mqtt.training.evaluation.evaluate import predict

VARIANTS = (0, 5)


def write_photos(root: Path) -> list[Path]:
    """Write photographs of many kinds in class folders; return their paths in the order of play."""
    for number, name in enumerate(sorted(CLASSES)):
        photo = synthetic_photo(640 - 200 * (number % 2), 480, number)
        small = np.ascontiguousarray(photo[:40, :60])
        progressive = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
        contents = {
            "0.jpg": with_secrets(encode_jpeg(small, 60), b"a place"),
            "1.png": cv2.imencode(".png", photo)[1].tobytes(),
            "2.jpg": progressive,
            "3.jfif": turned(encode_jpeg(photo, 70)),
            "4.webp": cv2.imencode(".webp", photo)[1].tobytes(),
        }
        (root / name).mkdir(parents=True)
        for file, data in contents.items():
            (root / name / file).write_bytes(data)
    files = [path.name for path in sorted((root / CLASSES[0]).iterdir())]
    return [root / name / file for file in files for name in sorted(CLASSES)]


def content(vote: Vote) -> list[tuple[int, float]]:
    return list(zip(vote.classes, vote.probabilities, strict=True))


def test_votes_and_labels_of_an_evaluation_are_those_of_a_live_site(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    played = write_photos(folder)
    bundle = open_bundle(site.bundle)
    manifest = bundle.manifest
    photos = load_evaluation_set(str(folder), everything=True).for_classes(manifest.classes)
    probabilities = predict(bundle, photos, FrameEncoder(size=None, quality=90, passes_through=True))
    expected = {
        photos.where(index): {
            variant: decode(encode(select(probabilities[variant, index], manifest.k, b"1234")), len(CLASSES))
            for variant in VARIANTS
        }
        for index in range(len(photos))
    }

    site.start_all(VARIANTS, "--deadline-ms", "5000")
    site.start("camera", "camera", "--source", str(folder), "--once", "--fps", "10", "--encode", "never")
    assert site.wait("camera", 40) == 0
    site.probe.until(lambda: len(site.probe.labels()) == len(played), "a label for every photograph")

    weights = [variant.weight for variant in manifest.variants]
    for message in site.probe.of(Kind.VOTE):
        variant = topics.parse(message.topic).variant
        assert variant is not None
        assert message.correlation is not None
        file = played[FrameId.decode(message.correlation).sequence]
        assert content(decode(message.payload, len(CLASSES))) == content(expected[str(file)][variant]), file
    assert len(site.probe.of(Kind.VOTE)) == len(VARIANTS) * len(played)
    for label in site.probe.labels():
        file = played[FrameId.parse(label.frame).sequence]
        assert label.truth == file.parent.name
        assert label.class_index == int(fuse(expected[str(file)], weights, len(CLASSES)).argmax())
