"""Checks of a board itself: its clock, camera, bundle and speed.

Each returns what was seen, None if that cannot be found out, and raises a `CheckError` if something is wrong.
"""

from __future__ import annotations

import statistics
import subprocess
import time

import numpy as np

from vp_mqtt.bundle.cache import Cache, default_folder
from vp_mqtt.bundle.folder import Bundle, open_bundle
from vp_mqtt.bundle.manifest import Manifest
from vp_mqtt.bundle.signing import Verifier
from vp_mqtt.config.camera_settings import CameraSettings
from vp_mqtt.config.settings import CommonSettings, FamilySettings, VariantSettings
from vp_mqtt.errors import UserError
from vp_mqtt.inference import runtimes
from vp_mqtt.inference.pictures import PictureError, decode, encode_jpeg, prepare
from vp_mqtt.masking import hide_in_address
from vp_mqtt.nodes.claiming import remembered
from vp_mqtt.nodes.sources import LiveStream, open_source
from vp_mqtt.site.accounts import unit_name
from vp_mqtt.site.broker_checks import is_online
from vp_mqtt.site.finding import PATIENCE_S, CheckError

_FRAMES = 30
_FRAME_SHAPE = (480, 640)
_POLL_S = 0.05
_OTHER_BUNDLE = "provision again with a bundle that has it, or push one: vp push"


def clock() -> str | None:
    """Check with systemd whether the clock is synchronised with a time server."""
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    command = ["timedatectl", "show", "--property", "NTPSynchronized", "--value"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match answer.stdout.strip():
        case "yes":
            return f"{now}, synchronised"
        case "no":
            raise CheckError(f"{now}, not synchronised", "sudo timedatectl set-ntp true; can it reach a time server?")
    return None


def service(settings: CommonSettings) -> str | None:
    """Ask systemd whether the node's service runs; unknown where the node is not run by one."""
    unit = unit_name(settings.role, _variant(settings))
    command = ["systemctl", "show", unit, "--property", "LoadState,ActiveState,SubState,Result,NRestarts,UnitFileState"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = dict(line.split("=", 1) for line in answer.stdout.splitlines() if "=" in line)
    if answer.returncode != 0 or found.get("LoadState") != "loaded":
        return None
    state, restarts = found.get("ActiveState"), found.get("NRestarts", "0")
    if state == "active" and found.get("UnitFileState") == "disabled":
        raise CheckError(f"{unit} is active, but would not start when the board does", f"sudo systemctl enable {unit}")
    if state == "active":
        return f"{unit} is active" + ("" if restarts == "0" else f", restarted {restarts} times since it was started")
    raise CheckError(
        f"{unit} is {state} ({found.get('SubState')}, result: {found.get('Result')}, restarts: {restarts})",
        f"see why: journalctl -u {unit} -n 20; then: sudo systemctl restart {unit}",
    )


def camera(settings: CameraSettings) -> str:
    """Take a picture."""
    remedy = "check the cable and --source (v4l2-ctl --list-devices); is the user in the group 'video'?"
    try:
        address = settings.read_source()
        if "://" in address:
            remedy = "is the camera on, and are its address, user and password right? see docs/cameras.md"
        shown = hide_in_address(address)
        source = open_source(address)
    except UserError as error:
        if settings.source.isdecimal() and is_online(settings):
            return f"webcam {settings.source} is in use by the camera node, which is online"
        raise CheckError(str(error), remedy) from None
    try:
        # A live stream blocks until it has a picture.
        if isinstance(source, LiveStream) and not _has_picture(source):
            raise CheckError(f"{shown}: {source.problem}, for {PATIENCE_S:g} s", remedy)
        captured = next(source.captures(), None)
        size = captured.picture.shape[1::-1] if captured is not None else None
    except (UserError, PictureError) as error:
        raise CheckError(str(error), remedy) from None
    finally:
        source.close()
    if size is None:
        raise CheckError(f"{shown} has no pictures", remedy)
    width, height = size
    return f"{shown}: a picture of {width} x {height} pixels"


def _has_picture(stream: LiveStream) -> bool:
    """Wait for a stream's first picture; return False if there is none in time."""
    until = time.monotonic() + PATIENCE_S
    while stream.pictures_seen == 0 and time.monotonic() < until:
        time.sleep(_POLL_S)
    return stream.pictures_seen > 0


def _variant(settings: CommonSettings) -> int | None:
    """Return the variant that a node runs; of one that chooses it, what it ran last. None if it runs none."""
    if not isinstance(settings, VariantSettings):
        return None
    if settings.variant == "auto":
        return remembered(settings, settings.node_name(settings.variant))
    return settings.variant


def _chosen(settings: VariantSettings, manifest: Manifest) -> int:
    """Return the variant to check: of a node that chooses it and has never run, the one that it would like best."""
    variant = _variant(settings)
    return manifest.ranked()[0] if variant is None else variant


def _open_bundle(settings: FamilySettings) -> Bundle:
    variant = _variant(settings)
    try:
        if settings.bundle not in {"auto", "broker"}:
            return open_bundle(settings.bundle)
        cache = Cache(settings.bundle_cache or default_folder(), settings.site, Verifier(settings.bundle_key))
        found = cache.recall(variant)
        if not found and settings.bundle == "broker":
            raise CheckError("there is none yet", "push one: vp push BUNDLE --broker ..")
        return found[0] if found else open_bundle(settings.fallback)
    except UserError as error:
        raise CheckError(str(error), _OTHER_BUNDLE) from None


def bundle(settings: FamilySettings) -> str:
    """Open the bundle that the node would start with, and a variant's model in it."""
    bundle = _open_bundle(settings)
    manifest = bundle.manifest
    if isinstance(settings, VariantSettings):
        try:
            bundle.model_bytes(_chosen(settings, manifest))
        except UserError as error:
            raise CheckError(str(error), _OTHER_BUNDLE) from None
    return f"'{manifest.name}' ({manifest.short_digest.hex()}), {len(manifest.classes)} classes, complete"


def speed(settings: VariantSettings, deadline_ms: float) -> str:
    """Measure the time that the board takes for a frame, from the JPEG to the probabilities."""
    bundle = _open_bundle(settings)
    try:
        variant = _chosen(settings, bundle.manifest)
        entry = bundle.variant(variant)
        model, classes = bundle.model_bytes(variant), len(bundle.manifest.classes)
        name: str = settings.runtime
        resolution, threads = entry.resolution, settings.threads
        if name == runtimes.AUTO:
            name, predict = runtimes.load_fastest(model, resolution=resolution, classes=classes, threads=threads)
        else:
            predict = runtimes.load(name, model, resolution=resolution, classes=classes, threads=threads)
    except UserError as error:
        raise CheckError(str(error), _OTHER_BUNDLE) from None
    noise = np.random.default_rng(0).integers(0, 256, (*_FRAME_SHAPE, 3), dtype=np.uint8)
    jpeg = encode_jpeg(np.ascontiguousarray(noise), 85)
    times = []
    for _ in range(_FRAMES):
        started = time.perf_counter()
        predict(prepare(decode(jpeg), entry.resolution, bundle.manifest.preprocessing))
        times.append((time.perf_counter() - started) * 1000)
    slow = statistics.quantiles(times, n=20)[-1]
    measured = f"{statistics.median(times):.1f} ms a frame of 640 x 480 (19 of 20 within {slow:.1f} ms) in {name}"
    if slow > deadline_ms:
        raise CheckError(
            f"{measured}: more than the deadline of {deadline_ms:g} ms",
            "give this board a smaller variant (a lower index), more threads, or raise deadline_ms in site.toml",
        )
    return f"{measured}; the deadline is {deadline_ms:g} ms"
