"""Data to learn from, by name.

`tasks` is the catalogue of regression tasks on the unit sphere: measured data (`digits_and_diabetes`), D25's target
functions (`target_functions`) and synthetic targets (`sphere_targets`), all prepared by `regression_task`. The deep
networks' points, which are not on the sphere, are in `cubes_and_curves`. Language models read a `text`, whose files are
found by `text_sources`; their rival is `ngram`, and `choices` asks them questions.
"""

from ntk1bit.data.own_data import from_arrays
from ntk1bit.data.own_files import from_file
from ntk1bit.data.regression_task import Task
from ntk1bit.data.tasks import describe, dims_allowed, load, names

__all__ = ["Task", "describe", "dims_allowed", "from_arrays", "from_file", "load", "names"]
