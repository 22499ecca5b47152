"""Data sets: folders of class folders, and named data sets in the files that their authors publish."""

from vp_mqtt.training.datasets.catalog import NAMED, EvaluationSet, load, load_evaluation_set
from vp_mqtt.training.datasets.pictures import Dataset, Pictures
from vp_mqtt.training.datasets.split import stratified_split

__all__ = ["NAMED", "Dataset", "EvaluationSet", "Pictures", "load", "load_evaluation_set", "stratified_split"]
