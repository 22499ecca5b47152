"""Names of the classes in votes, which carry indices only. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from vp_mqtt.protocol.messages import LabelMessage

_MAX_BUNDLES = 4
_MAX_LEARNED = 4096


class ClassNames:
    """Class names by bundle: those of known bundles, and of others those that labels have shown with their index."""

    def __init__(self, known: Mapping[str, Sequence[str]] | None = None) -> None:
        """Start with the class names of known bundles, by the short digest in hexadecimal."""
        self._known = dict(known or {})
        self._noted: OrderedDict[str, Sequence[str]] = OrderedDict()
        self._learned: OrderedDict[str, dict[int, str]] = OrderedDict()

    def note_bundle(self, digest: str, classes: Sequence[str]) -> None:
        """Learn the class names of a bundle, by its short digest in hexadecimal."""
        self._noted.pop(digest, None)
        self._noted[digest] = classes
        if len(self._noted) > _MAX_BUNDLES:
            self._noted.popitem(last=False)

    def note_label(self, label: LabelMessage) -> None:
        """Learn the name of a label's class."""
        if label.digest is None or label.class_index is None or label.label is None:
            return
        if label.digest in self._known or label.digest in self._noted:
            return
        names = self._learned.setdefault(label.digest, {})
        if len(names) < _MAX_LEARNED:
            names[label.class_index] = label.label
        self._learned.move_to_end(label.digest)
        if len(self._learned) > _MAX_BUNDLES:
            self._learned.popitem(last=False)

    def name(self, digest: str, index: int) -> str:
        """Return the name of a class of the bundle with this short digest; "class 17" if it is not known yet."""
        known = self._known.get(digest) or self._noted.get(digest)
        if known is not None and index < len(known):
            return known[index]
        return self._learned.get(digest, {}).get(index, f"class {index}")
