"""Files of a bundle as they come in: in any order, with gaps, twice, broken, and after a restart."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.unit.bundle.helpers import NAMES, chunks_of, received, ref_of
from vp_mqtt.bundle.incoming import LEFT_FREE_BYTES, IncomingFiles, PartialFiles
from vp_mqtt.bundle.manifest import MANIFEST_NAME


def incoming(tmp_path: Path, bundle: Path, variant: int | None, now: float = 0.0) -> IncomingFiles:
    return IncomingFiles(ref_of(bundle).digest, variant, PartialFiles(tmp_path / "partial"), now)


def is_of(topic: str, variant: int | None) -> bool:
    return ("/manifest/" if variant is None else f"/model/{variant}/") in topic


def add_all(files: IncomingFiles, chunks: dict[str, bytes]) -> None:
    """Add all chunks, and accept the manifest between them."""
    for is_manifest in (True, False):
        for topic, chunk in chunks.items():
            if is_of(topic, None) is is_manifest:
                files.add(received(topic, chunk))
        if is_manifest and files.manifest.is_complete:
            files.accept_manifest()


@pytest.mark.parametrize("variant", [None, 0, 5])
def test_the_manifest_and_then_one_model_are_put_together(tmp_path: Path, bundle: Path, variant: int | None) -> None:
    files = incoming(tmp_path, bundle, variant, 0.0)
    chunks = chunks_of(bundle)
    for wanted in (None,) if variant is None else (None, variant):
        for at, (topic, chunk) in enumerate(chunks.items()):
            progress_at = files.progress_at
            files.add(received(topic, chunk, at + 1.0))
            assert files.progress_at == (at + 1.0 if is_of(topic, wanted) else progress_at)
        assert files.complete.is_set() == (wanted is not None)
        files.accept_manifest()
    assert files.complete.is_set()
    assert files.refusal is None
    assert files.wanted(NAMES) == set()
    assert files.manifest.data == (bundle / MANIFEST_NAME).read_bytes()
    if variant is None:
        assert files.model is None
    else:
        assert files.model is not None
        assert files.model.data == (bundle / f"variant-{variant}.onnx").read_bytes()


def test_before_the_manifest_is_accepted_no_model_is_asked_for_taken_or_kept(tmp_path: Path, bundle: Path) -> None:
    files, chunks = incoming(tmp_path, bundle, 1), chunks_of(bundle)
    for topic, chunk in chunks.items():
        files.add(received(topic, chunk))
        assert all(is_of(wanted, None) for wanted in files.wanted(NAMES))
    assert files.manifest.is_complete
    assert files.model is not None
    assert files.model.total_bytes == 0
    assert not (tmp_path / "partial").exists()
    files.accept_manifest()
    assert files.wanted(NAMES) == {NAMES.model(ref_of(bundle).digest, 1, 0)}


@pytest.mark.parametrize("part", ["manifest", "model"])
def test_with_a_chunk_missing_the_files_are_not_complete(tmp_path: Path, bundle: Path, part: str) -> None:
    ref = ref_of(bundle)
    missing = NAMES.manifest(ref.digest, 1) if part == "manifest" else NAMES.model(ref.digest, 1, 0)
    files = incoming(tmp_path, bundle, 1, 0.0)
    chunks = chunks_of(bundle)
    add_all(files, {topic: chunk for topic, chunk in chunks.items() if topic != missing})
    assert not files.complete.is_set()
    add_all(files, chunks)
    assert files.complete.is_set()


def test_messages_that_are_no_chunks_of_it_are_ignored(tmp_path: Path, bundle: Path, other_bundle: Path) -> None:
    ref, stranger = ref_of(bundle), ref_of(other_bundle)
    files = incoming(tmp_path, bundle, 1, 5.0)
    chunk = chunks_of(bundle)[NAMES.manifest(ref.digest, 0)]
    for topic, payload in (
        (NAMES.manifest(stranger.digest, 0), chunk),
        (NAMES.model(ref.digest, 0, 0), chunk),
        (NAMES.manifest(ref.digest, 0), b""),
        (NAMES.bundle(), chunk),
        (NAMES.status(ref.digest), chunk),
    ):
        files.add(received(topic, payload, 9.0))
    assert (files.progress_at, files.refusal, files.complete.is_set()) == (5.0, None, False)


def test_the_last_refusal_is_remembered_and_does_not_count_as_progress(tmp_path: Path, bundle: Path) -> None:
    files = incoming(tmp_path, bundle, None, 5.0)
    files.add(received(NAMES.manifest(ref_of(bundle).digest, 0), b"\x01", 9.0))
    assert (files.progress_at, files.refusal) == (5.0, "chunk too short")
    files.add(received("vp/home/other", b"", 9.0))
    assert (files.progress_at, files.refusal) == (5.0, "unknown topic")


def test_a_chunk_twice_and_a_file_that_begins_anew_are_no_progress(tmp_path: Path, bundle: Path) -> None:
    ref = ref_of(bundle)
    files = incoming(tmp_path, bundle, None)
    large, small = chunks_of(bundle, 300), chunks_of(bundle, 100)
    topic = NAMES.manifest(ref.digest, 0)
    for at, chunk in enumerate((large[topic], large[topic], small[topic], large[topic]), start=1):
        files.add(received(topic, chunk, at))
    assert files.progress_at == 1
    files.add(received(NAMES.manifest(ref.digest, 1), large[NAMES.manifest(ref.digest, 1)], 9.0))
    assert files.progress_at == 9.0


def test_after_a_restart_only_what_is_missing_is_wanted(tmp_path: Path, bundle: Path) -> None:
    chunks = {t: c for t, c in chunks_of(bundle, 100).items() if is_of(t, None) or is_of(t, 1)}
    gone = NAMES.model(ref_of(bundle).digest, 1, 1)
    add_all(incoming(tmp_path, bundle, 1), {topic: chunk for topic, chunk in chunks.items() if topic != gone})
    second = incoming(tmp_path, bundle, 1)
    add_all(second, {topic: chunk for topic, chunk in chunks.items() if is_of(topic, None)})
    assert second.wanted(NAMES) == {gone}
    assert second.received_bytes < second.total_bytes
    second.add(received(gone, chunks[gone]))
    assert second.complete.is_set()
    assert second.received_bytes == second.total_bytes
    second.forget()
    assert not (tmp_path / "partial").exists()


def test_what_was_kept_is_checked_and_what_cannot_be_kept_does_no_harm(tmp_path: Path, bundle: Path) -> None:
    kept = PartialFiles(tmp_path / "partial")
    kept.keep(1, 0, b"nonsense")
    kept.keep(1, 99_999, b"")
    files = incoming(tmp_path, bundle, 1)
    files.accept_manifest()
    assert files.wanted(NAMES) == {NAMES.model(ref_of(bundle).digest, 1, 0)}
    (tmp_path / "file").write_bytes(b"")
    nowhere = PartialFiles(tmp_path / "file" / "folder")
    nowhere.keep(1, 0, b"x")
    nowhere.forget(1)
    assert list(nowhere.read(1)) == []


def test_chunks_of_another_size_replace_those_that_were_kept(tmp_path: Path, bundle: Path) -> None:
    files = incoming(tmp_path, bundle, 1)
    files.accept_manifest()
    for size in (100, 200):
        for index in range(2):
            topic = NAMES.model(ref_of(bundle).digest, 1, index)
            files.add(received(topic, chunks_of(bundle, size)[topic]))
    assert len(list((tmp_path / "partial").iterdir())) == 2


def test_a_disk_that_is_nearly_full_keeps_no_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = {"bytes": LEFT_FREE_BYTES}
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free["bytes"]))
    kept = PartialFiles(tmp_path / "partial")
    kept.keep(1, 0, b"x")
    free["bytes"] -= 1
    kept.keep(1, 1, b"y")
    assert list(kept.read(1)) == [(0, b"x")]
