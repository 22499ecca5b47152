"""The topics of model parallelism: `vp/SITE/camera/CAM/stage/I` carries feature maps for stage I."""

from __future__ import annotations

from vp_mqtt.protocol import topics
from vp_mqtt.protocol.topics import ROOT

_LEVELS = 6


def feature_map_topic(site: str, camera: str, stage: int | str) -> str:
    """Return the topic of feature maps of a camera's frames; `vp_mqtt.protocol.topics.ANY` makes a filter.

    Args:
        site: the site's name.
        camera: the camera's name.
        stage: index of the stage that continues with them.
    """
    return f"{ROOT}/{site}/camera/{camera}/stage/{stage}"


def camera_of(topic: str) -> str:
    """Return the camera whose frame or feature map a topic carries.

    Raises:
        TopicError: it is neither a topic of the scheme nor one of feature maps.
    """
    levels = topic.split("/")
    if len(levels) == _LEVELS and levels[4] == "stage":
        return topics.parse("/".join([*levels[:4], "frame"])).source
    return topics.parse(topic).source
