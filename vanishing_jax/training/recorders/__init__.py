"""Recorders: what training can note of an update beside loss, metric and gradient norm.

To add one, write one pure function of an `Update` in one new file and a row in `RECORDERS`.
"""

from ._clip import clip
from ._exponents import exponents
from ._gradient_profile import gradient_profile
from ._recorder import Recorder, leaf_names
from ._saturation import activation_labels, saturation
from ._update import Update as Update
from ._update_ratio import update_ratio

RECORDERS: dict[str, Recorder] = {
    "gradient_profile": Recorder(gradient_profile, "log ||dL/ds_0||", "first"),
    "clip": Recorder(clip, "share clipped", "first", needs_cell=False, every_update=True),
    "saturation": Recorder(saturation, "most saturated", "largest", labels=activation_labels),
    "update_ratio": Recorder(
        update_ratio, "median update ratio", "median", needs_cell=False, labels=leaf_names
    ),
    "exponents": Recorder(exponents, "largest exponent", "largest"),
}
"""name in `train(..., record=...)` -> recorder"""
