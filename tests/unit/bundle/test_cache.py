"""Bundles on disk: found only while they are whole, and deleted once no pointer names them."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from tests.unit.bundle.helpers import SITE, pointer, ref_of
from vp_mqtt import files
from vp_mqtt.bundle.cache import Cache, default_folder
from vp_mqtt.bundle.folder import open_bundle
from vp_mqtt.bundle.manifest import MANIFEST_NAME
from vp_mqtt.bundle.signing import SignatureError, Verifier
from vp_mqtt.errors import UserError
from vp_mqtt.protocol.bundle_pointer import BundlePointer, BundleRef

VARIANT = 2
MODEL = "variant-2.onnx"
RAN = f"ran-{VARIANT}.json"


class Refusing(Verifier):
    """Accepts nothing that is not signed."""

    def __init__(self) -> None:
        super().__init__(None)
        self.checked: list[tuple[bytes, str | None]] = []

    def check(self, manifest: bytes, signature: str | None) -> None:
        self.checked.append((manifest, signature))
        if signature is None:
            raise SignatureError("the bundle is not signed")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "deep" / "cache", SITE, Verifier(None))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "cache" / SITE


def fill(cache: Cache, folder: Path) -> BundleRef:
    ref = ref_of(folder)
    cache.put(ref, MODEL, (folder / MODEL).read_bytes())
    cache.put(ref, MANIFEST_NAME, (folder / MANIFEST_NAME).read_bytes())
    return ref


def test_the_default_is_below_the_systems_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHE_DIRECTORY", "/var/cache/vp-mqtt")
    assert default_folder() == Path("/var/cache/vp-mqtt/bundles")


def test_what_was_put_is_found(cache: Cache, place: Path, bundle: Path) -> None:
    assert cache.find(ref_of(bundle), VARIANT) is None
    ref = fill(cache, bundle)
    found = cache.find(ref, VARIANT)
    assert found is not None
    assert found.folder == place / ref.digest
    assert found.manifest == open_bundle(bundle).manifest
    assert found.model_bytes(VARIANT) == (bundle / MODEL).read_bytes()
    assert [path.stat().st_mode & 0o777 for path in found.folder.iterdir()] == [0o600] * 2


def test_a_model_is_needed_only_by_a_variant(cache: Cache, bundle: Path) -> None:
    ref = ref_of(bundle)
    cache.put(ref, MANIFEST_NAME, (bundle / MANIFEST_NAME).read_bytes())
    assert cache.find(ref, None) is not None
    assert cache.find(ref, 0) is None
    with pytest.raises(UserError, match="variant 6: the bundle 'tiny' has variants 0 to 5"):
        cache.find(ref, 6)


@pytest.mark.parametrize("file", [MANIFEST_NAME, MODEL])
@pytest.mark.parametrize("damage", ["missing", "changed", "truncated", "folder"])
def test_a_damaged_bundle_is_not_found(cache: Cache, place: Path, bundle: Path, file: str, damage: str) -> None:
    ref = fill(cache, bundle)
    path = place / ref.digest / file
    data = path.read_bytes()
    path.unlink()
    if damage == "changed":
        path.write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
    elif damage == "truncated":
        path.write_bytes(data[:-1])
    elif damage == "folder":
        path.mkdir()
    assert cache.find(ref, VARIANT) is None
    assert (cache.find(ref, None) is None) == (file == MANIFEST_NAME)


def test_the_newest_switch_is_kept(cache: Cache, place: Path) -> None:
    assert cache.newest_switch == 0
    for number in (7, 5):
        cache.note_switch(number)
        assert Cache(place.parent, SITE, Verifier(None)).newest_switch == cache.newest_switch == 7


def test_the_signature_is_checked_whenever_a_bundle_is_found(tmp_path: Path, bundle: Path) -> None:
    verifier = Refusing()
    cache = Cache(tmp_path, SITE, verifier)
    ref = fill(cache, bundle)
    with pytest.raises(SignatureError, match="not signed"):
        cache.find(ref, None)
    signed = ref.model_copy(update={"signature": "ab" * 64})
    assert cache.find(signed, None) is not None
    manifest = (bundle / MANIFEST_NAME).read_bytes()
    assert verifier.checked == [(manifest, None), (manifest, "ab" * 64)]
    cache.remember(pointer(ref), None)
    assert cache.recall(None) == []
    cache.remember(pointer(signed), None)
    assert len(cache.recall(None)) == 1


def test_the_bundle_that_ran_last_is_recalled(cache: Cache, place: Path, bundle: Path, other_bundle: Path) -> None:
    assert cache.recall(VARIANT) == []
    ref, previous = fill(cache, bundle), fill(cache, other_bundle)
    assert cache.recall(VARIANT) == [], "never ran"
    cache.remember(pointer(ref, previous), VARIANT)
    assert (place / "current.json").stat().st_mode & 0o777 == 0o600
    assert [one.manifest.name for one in cache.recall(VARIANT)] == ["tiny"]
    cache.remember(pointer(previous), VARIANT)
    assert [one.manifest.name for one in cache.recall(VARIANT)] == ["other", "tiny"], "kept, though no pointer names it"
    cache.remember(pointer(ref), VARIANT)
    assert [one.manifest.name for one in cache.recall(VARIANT)] == ["tiny", "other"]
    assert (cache.has_run(ref.digest, VARIANT), cache.has_run(ref.digest, 3)) == (True, False)
    assert cache.recall(6) == [], "no such variant"
    (place / ref.digest / MODEL).unlink()
    assert [one.manifest.name for one in cache.recall(VARIANT)] == ["other"]
    assert len(cache.recall(None)) == 1, "as earlier versions wrote it down"


@pytest.mark.parametrize("content", [b"", b"\xff", b"{}", b'{"current": null, "pushed": 0}'])
def test_a_damaged_record_of_what_ran_last_recalls_nothing(
    cache: Cache, place: Path, bundle: Path, content: bytes
) -> None:
    fill(cache, bundle)
    (place / "current.json").write_bytes(content)
    assert cache.recall(VARIANT) == []


def test_bundles_that_no_pointer_names_are_deleted(
    cache: Cache, place: Path, bundle: Path, other_bundle: Path, tmp_path: Path
) -> None:
    kept, gone = fill(cache, bundle), fill(cache, other_bundle)
    stranger = BundleRef(name="next", digest="ab" * 32)
    cache.put(stranger, "variant-0.onnx", b"partly there")
    other_site = tmp_path / "deep" / "cache" / "other-site"
    shutil.copytree(place, other_site)
    for name in ("ab" * 31, "AB" * 32, "ab" * 33, f"x{'ab' * 32}"):
        (place / name).mkdir()
    cache.remember(pointer(kept, following=stranger), VARIANT)
    left = {path.name for path in place.iterdir()}
    assert left == {kept.digest, stranger.digest, "current.json", RAN, "ab" * 31, "AB" * 32, "ab" * 33, f"x{'ab' * 32}"}
    assert (other_site / gone.digest).is_dir()
    assert BundlePointer.decode((place / "current.json").read_bytes()) == pointer(kept, following=stranger)


def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be written before something has been deleted."""
    remove, write = shutil.rmtree, files.write_atomically
    removed: list[object] = []

    def removing(path: Path, *, ignore_errors: bool) -> None:
        removed.append(path)
        remove(path, ignore_errors=ignore_errors)

    def writing(path: Path, data: bytes | str, *, mode: int | None = None) -> None:
        if not removed:
            raise OSError(28, "No space left on device")
        write(path, data, mode=mode)

    monkeypatch.setattr(shutil, "rmtree", removing)
    monkeypatch.setattr(files, "write_atomically", writing)


def test_a_full_disk_is_emptied_before_it_is_written_to(
    cache: Cache, place: Path, bundle: Path, other_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref, gone = fill(cache, bundle), fill(cache, other_bundle)
    (place / "partial" / ("ab" * 32)).mkdir(parents=True)
    full_disk(monkeypatch)
    cache.remember(pointer(ref), VARIANT)
    assert not (place / gone.digest).exists()
    assert list((place / "partial").iterdir()) == []
    assert [one.manifest.name for one in Cache(place.parent, SITE, Verifier(None)).recall(VARIANT)] == ["tiny"]


def test_room_is_made_for_what_a_pointer_names_and_what_has_run_stays(
    cache: Cache, place: Path, bundle: Path, other_bundle: Path
) -> None:
    ran, following = fill(cache, bundle), fill(cache, other_bundle)
    cache.remember(pointer(ran, following=following), VARIANT)
    invented = [digit * 64 for digit in "abc"]
    for digest in invented:
        (place / digest).mkdir()
        (place / "partial" / digest).mkdir(parents=True)
    cache.make_room(pointer(BundleRef(name="x", digest=invented[0])))
    left = {path.name for path in place.iterdir()}
    assert left == {ran.digest, invented[0], "partial", "current.json", RAN}
    assert [path.name for path in (place / "partial").iterdir()] == [invented[0]]
    cache.partial(following)
    assert list((place / "partial").iterdir()) == []


def test_a_bundle_whose_model_hung_is_tried_again_once_and_then_refused(
    cache: Cache, place: Path, bundle: Path, other_bundle: Path
) -> None:
    good, hanging = fill(cache, bundle), fill(cache, other_bundle)
    cache.remember(pointer(good), VARIANT)
    for _ in range(2):
        cache.remember(pointer(hanging, good), VARIANT)
        assert cache.has_run(hanging.digest, VARIANT)
        cache.note_hang(hanging.digest, VARIANT)
        assert not cache.has_run(hanging.digest, VARIANT)
        assert next(one.manifest.name for one in cache.recall(VARIANT)) == "tiny"
    with pytest.raises(UserError, match=r"^its model has hung on this machine repeatedly; push another bundle$"):
        cache.find(hanging, VARIANT)
    assert cache.find(hanging, 3) is None, "not fetched for another variant, but not refused"
    assert [one.manifest.name for one in cache.recall(VARIANT)] == ["tiny"]
    cache.remember(pointer(good), VARIANT)
    assert Cache(place.parent, SITE, Verifier(None)).find(hanging, VARIANT) is None, "forgiven with the next push"


def test_abandoned_partial_files_are_deleted_but_not_those_of_another_node_at_work(
    cache: Cache, place: Path, bundle: Path
) -> None:
    ref = fill(cache, bundle)
    now = time.time()
    ages = {".old.part": 3700, ".new.part": 3500, "old.part": 3700, ".old.onnx": 3700}
    for folder in (place, place / ref.digest):
        for name, age in ages.items():
            (folder / name).write_bytes(b"")
            os.utime(folder / name, (now - age, now - age))
    cache.remember(pointer(ref), VARIANT)
    for folder in (place, place / ref.digest):
        assert {path.name for path in folder.iterdir()} & ages.keys() == ages.keys() - {".old.part"}


def test_files_that_another_node_deletes_at_the_same_time_are_no_error(
    cache: Cache, place: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = fill(cache, bundle)
    gone = place / ("ab" * 32)
    gone.mkdir()
    (place / ".old.part").write_bytes(b"")
    os.utime(place / ".old.part", (0, 0))
    unlink, scan = Path.unlink, Path.iterdir

    def unlinked_already(self: Path, *, missing_ok: bool = False) -> None:
        unlink(self, missing_ok=missing_ok)
        unlink(self, missing_ok=missing_ok)

    def folder_gone_already(self: Path) -> list[Path]:
        found = list(scan(self))
        shutil.rmtree(gone)
        return found

    monkeypatch.setattr(Path, "unlink", unlinked_already)
    monkeypatch.setattr(Path, "iterdir", folder_gone_already)
    cache.remember(pointer(ref), VARIANT)
    monkeypatch.undo()
    assert {path.name for path in place.iterdir()} == {ref.digest, "current.json", RAN}


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(files, "_TEMPORARY", [])
    (tmp_path / "file").write_bytes(b"")
    cache = Cache(tmp_path / "file", SITE, Verifier(None))
    fill(cache, bundle)
    cache.remember(pointer(ref_of(bundle)), VARIANT)
    found = cache.find(ref_of(bundle), VARIANT)
    assert found is not None
    assert found.model_bytes(VARIANT)
    assert cache.recall(None) == []
    assert caplog.text.count("Not a directory): continuing without a cache that lasts") == len(caplog.records) == 1


def test_a_bundle_of_which_a_file_cannot_be_written_is_whole_elsewhere(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_TEMPORARY", [])
    cache = Cache(tmp_path, SITE, Verifier(None))
    ref = ref_of(bundle)
    cache.put(ref, MANIFEST_NAME, (bundle / MANIFEST_NAME).read_bytes())
    # As on a disk that has become full.
    (tmp_path / SITE / ref.digest / MODEL / "in the way").mkdir(parents=True)
    cache.put(ref, MODEL, (bundle / MODEL).read_bytes())
    assert cache.find(ref, VARIANT) is not None
