"""Fine-tunes a family that was taught with frozen backbones, and keeps whichever is better on held-out pictures."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from vp_mqtt.bundle.folder import Bundle, open_bundle
from vp_mqtt.bundle.manifest import FamilySpec, Manifest
from vp_mqtt.errors import UserError
from vp_mqtt.training.builder import build_trainer
from vp_mqtt.training.bundle_writer import new_bundle_folder
from vp_mqtt.training.checkpoint import CHECKPOINT_NAME, Checkpoint, CheckpointUnsavedError, Origin
from vp_mqtt.training.datasets import Dataset
from vp_mqtt.training.evaluation.evaluate import default_encoder, evaluate_bundle
from vp_mqtt.training.export import export_bundle
from vp_mqtt.training.frozen.outcome import Outcome, outcome_of
from vp_mqtt.training.frozen.start import start_from_bundle
from vp_mqtt.training.frozen.teach import teach
from vp_mqtt.training.pretrained.starting_weights import read_starting_weights
from vp_mqtt.training.progress import ProgressReporter
from vp_mqtt.training.recipe import read_recipe
from vp_mqtt.training.trainer import Trainer
from vp_mqtt.training.view_batches import WorkerKilledError

EPOCHS = 8
_RECIPE = "few-pictures"
_BATCH, _FEW_PICTURES, _BATCH_OF_FEW = 32, 1024, 16
# The classifiers fit the backbones already, so that both can learn at once, slowly.
_CHANGES = ("frozen_steps=0", "head_rate=1.0", "learning_rate=2e-4")


@dataclass(frozen=True)
class FineTuned:
    """What fine-tuning has achieved.

    Attributes:
        before: accuracy of the fused label on the validation part with frozen backbones, 0..1.
        after: after fine-tuning, 0..1.
        images: in the validation part.
        is_kept: whether the bundle is the one that was fine-tuned: if it is better.
    """

    before: float
    after: float
    images: int
    is_kept: bool


def fine_tune(
    dataset: Dataset,
    bundle: Path,
    out: Path,
    *,
    data: str,
    root: Path | None,
    seed: int,
    progress: ProgressReporter,
    resumes: bool = False,
) -> FineTuned:
    """Fine-tune the family of a bundle, and replace the bundle if the result is better on the validation part.

    A family that is right for the whole validation part is not fine-tuned: nothing could be better.

    Args:
        dataset: that it was taught; its validation part was not learnt.
        bundle: its folder.
        out: folder for the checkpoint and the history.
        data: where the pictures are, for later exports.
        root: folder of a named data set.
        seed: random seed.
        progress: receives every step.
        resumes: continue from the checkpoint in `out`.

    Raises:
        UserError: a picture cannot be read, or a file cannot be written.
    """
    before = evaluate_bundle(open_bundle(bundle), dataset.validation, encoder=default_encoder()).fused
    if before == 1.0:
        return FineTuned(before, before, len(dataset.validation), is_kept=False)
    frozen = open_bundle(bundle).manifest
    origin = _origin(dataset, frozen, data=data, root=root, seed=seed)
    weights = [] if resumes else read_starting_weights([str(bundle)], None, origin.family)
    trainer = build_trainer(origin, dataset, out, weights=weights, progress=progress)
    if resumes:
        trainer.resume()
    trainer.run()
    tuned = out / "fine-tuned"
    # The zoom stays: chosen anew on the pictures that decide, it would favour the fine-tuned family.
    trained, zoom = Checkpoint.load(out / CHECKPOINT_NAME), frozen.preprocessing.zoom
    export_bundle(trained, tuned, name=origin.family.name, zoom=zoom, dataset=dataset)
    after = evaluate_bundle(open_bundle(tuned), dataset.validation, encoder=default_encoder()).fused
    if after > before:
        shutil.rmtree(bundle)
        tuned.rename(bundle)
    else:
        shutil.rmtree(tuned)
    return FineTuned(before, after, len(dataset.validation), after > before)


@dataclass(frozen=True)
class TunedCopy:
    """A fine-tuned family beside the one that it was made of.

    Attributes:
        manifest: of its bundle.
        before: what the family before says of the test part.
        after: what the fine-tuned family says of the same pictures.
        seconds: that it took.
    """

    manifest: Manifest
    before: Outcome
    after: Outcome
    seconds: float


def fine_tune_copy(
    dataset: Dataset, bundle: Bundle, out: Path, *, name: str, data: str, seed: int, progress: ProgressReporter
) -> TunedCopy:
    """Fine-tune a copy of a bundle's family, and compare the two on the test part, which neither has learnt.

    The classifiers of the copy are taught anew without the validation part, which the bundle's may have learnt, and
    which tells how sure the fine-tuned family is and what is unknown to it.

    Args:
        dataset: that the family was taught.
        bundle: the family.
        out: folder for the new bundle; an existing bundle of the same classes is replaced.
        name: of the new bundle.
        data: where the pictures are, for later exports.
        seed: random seed.
        progress: receives every step.

    Raises:
        UserError: the family has other classes, a picture cannot be read, the folder holds something other than a
            bundle of these classes, or a file cannot be written.
    """
    if bundle.manifest.classes != dataset.classes:
        raise UserError("the bundle has other classes than the pictures: teach it these first")
    began = time.monotonic()
    origin = _origin(dataset, bundle.manifest, data=data, root=None, seed=seed)
    # What is wrong with `out` is said before the work of hours, not after it.
    with new_bundle_folder(out, dataset.classes) as made:
        # On the disk that `out` names, not on that of temporary files, which may be small.
        start, work = made.parent / "start", made.parent / "work"
        zoom = bundle.manifest.preprocessing.zoom
        backbones = start_from_bundle(bundle, bundle.manifest.name)
        teach(dataset, backbones, start, name=name, seed=seed, zoom=zoom, learns_validation=False)
        weights = read_starting_weights([str(start)], None, origin.family)
        trainer = build_trainer(origin, dataset, work, weights=weights, progress=progress)
        trained = _run_to_the_end(trainer, out)
        export_bundle(trained, made, name=name, zoom=zoom, dataset=dataset)
        tuned = open_bundle(made)
        before, after = (outcome_of(one, dataset.classes, dataset.test) for one in (bundle, tuned))
    return TunedCopy(tuned.manifest, before, after, time.monotonic() - began)


def _run_to_the_end(trainer: Trainer, out: Path) -> Checkpoint:
    """Run a training that nothing can continue: what stops it must not advise to."""
    try:
        return trainer.run()
    except CheckpointUnsavedError as error:
        raise UserError(f"--out {out}: no room for the fine-tuning ({error.why}); make space, and try again") from None
    except WorkerKilledError:
        raise UserError(
            "a process that prepares pictures was killed, perhaps for lack of memory: end other programs, and try again"
        ) from None


def _origin(dataset: Dataset, manifest: Manifest, *, data: str, root: Path | None, seed: int) -> Origin:
    """Return what the family of a bundle is trained from."""
    specs = tuple(entry.spec for entry in manifest.variants)
    pictures = len(dataset.train)
    batch = _BATCH if pictures >= _FEW_PICTURES else min(_BATCH_OF_FEW, max(2, pictures // 2))
    version = manifest.preprocessing.version
    return Origin(
        family=FamilySpec(name=manifest.name, variants=specs),
        classes=dataset.classes,
        dataset=dataset.name,
        recipe=read_recipe(
            _RECIPE, _CHANGES, epochs=EPOCHS, batch=batch, seed=seed, k=manifest.k, preprocessing=version
        ),
        pretrained=str(manifest.provenance.get("pretrained", "none")),
        data=data,
        root=None if root is None else str(root),
    )
