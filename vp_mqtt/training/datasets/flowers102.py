"""Oxford Flowers 102, from the folder `jpg` and the two MATLAB files that its authors publish."""

from __future__ import annotations

from pathlib import Path

from vp_mqtt.errors import UserError
from vp_mqtt.training.datasets.matlab import read_mat, to_integers
from vp_mqtt.training.datasets.pictures import Dataset, PictureFiles
from vp_mqtt.training.datasets.published import Published, listed_files, to_labels

# The authors' files have numbers only; these are the customary names of classes 1, 2, ..
_NAMES = """
pink primrose, hard-leaved pocket orchid, canterbury bells, sweet pea, english marigold, tiger lily, moon orchid,
bird of paradise, monkshood, globe thistle, snapdragon, colt's foot, king protea, spear thistle, yellow iris,
globe-flower, purple coneflower, peruvian lily, balloon flower, giant white arum lily, fire lily,
pincushion flower, fritillary, red ginger, grape hyacinth, corn poppy, prince of wales feathers, stemless gentian,
artichoke, sweet william, carnation, garden phlox, love in the mist, mexican aster, alpine sea holly,
ruby-lipped cattleya, cape flower, great masterwort, siam tulip, lenten rose, barbeton daisy, daffodil, sword lily,
poinsettia, bolero deep blue, wallflower, marigold, buttercup, oxeye daisy, common dandelion, petunia, wild pansy,
primula, sunflower, pelargonium, bishop of llandaff, gaura, geranium, orange dahlia, pink-yellow dahlia,
cautleya spicata, japanese anemone, black-eyed susan, silverbush, californian poppy, osteospermum, spring crocus,
bearded iris, windflower, tree poppy, gazania, azalea, water lily, rose, thorn apple, morning glory,
passion flower, lotus, toad lily, anthurium, frangipani, clematis, hibiscus, columbine, desert-rose, tree mallow,
magnolia, cyclamen, watercress, canna lily, hippeastrum, bee balm, ball moss, foxglove, bougainvillea, camellia,
mallow, mexican petunia, bromelia, blanket flower, trumpet creeper, blackberry lily
"""
FLOWERS102_CLASSES = tuple(name.strip() for name in _NAMES.split(","))

_PUBLISHED = Published(
    "Oxford Flowers 102",
    "102flowers.tgz, imagelabels.mat and setid.mat",
    "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
    ("flowers-102", "flowers102", "102flowers"),
)
_PARTS = ("trnid", "valid", "tstid")


def flowers102(root: Path | None, seed: int) -> Dataset:  # noqa: ARG001 (every reader has it; the authors split this data set)
    """Return Oxford Flowers 102 (Nilsback, Zisserman 2008): 1,020 + 1,020 + 6,149 pictures of 102 flowers.

    Args:
        root: folder with `jpg`, `imagelabels.mat` and `setid.mat`.
        seed: unused: the authors define the split.

    Raises:
        UserError: a file is missing or not of the published format.
    """
    folder = _PUBLISHED.find(root, ("jpg", "imagelabels.mat", "setid.mat"))
    if folder is None:
        raise _PUBLISHED.missing(root, "jpg, imagelabels.mat, setid.mat")
    labels_file, split_file = folder / "imagelabels.mat", folder / "setid.mat"
    (numbers,) = read_mat(labels_file, ("labels",))
    labels = to_labels(to_integers(numbers, labels_file) - 1, len(FLOWERS102_CLASSES), labels_file)
    parts: list[PictureFiles] = []
    for values in read_mat(split_file, _PARTS):
        members = to_integers(values, split_file)
        if members.size and not 1 <= int(members.min()) <= int(members.max()) <= len(labels):
            raise UserError(f"{split_file}: lists a picture without a label in {labels_file}; download both again")
        files = [folder / "jpg" / f"image_{member:05d}.jpg" for member in members.tolist()]
        parts.append(listed_files(files, labels[members - 1], split_file))
    train, validation, test = parts
    return Dataset("flowers102", FLOWERS102_CLASSES, train, validation, test)
