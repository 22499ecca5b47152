"""Pictures to learn from: folders of class folders, and named sets in the files that their authors publish."""

from vp_mqtt.training.datasets.catalog import NAMED, Judged, load, load_judged
from vp_mqtt.training.datasets.pictures import Dataset, Pictures
from vp_mqtt.training.datasets.split import stratified_split

__all__ = ["NAMED", "Dataset", "Judged", "Pictures", "load", "load_judged", "stratified_split"]
