"""What a section of the settings is: a frozen pydantic model in which unknown keys are errors.

A section stands beside the role that reads it. ``udfs.settings`` puts the sections of all roles together, ``jobs.settings`` the
whole tree.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

# Marks a setting that changes no row, and so is part of no hash: where a model is reached, how patiently and how fast it is
# asked. Batch sizes are marked too, so that a run that was short of memory can go on with smaller batches. No model sees a row's
# neighbours: padding is masked, YOLO has the same letterbox for all pictures, every hole has its own seed. The size of a batch
# only moves rounding, which in half precision may decide a reply or a grey level. So do the device, the number of tasks and the
# smaller last batch of each task, and no hash covers those either.
NO_ROWS: dict[str, Any] = {"json_schema_extra": {"rows": False}}

# Marks a setting that came after people had roots: part of a hash only where it is not the default, so that those roots go on.
# The default must leave every row that was ok as it was.
LATER: dict[str, Any] = {"json_schema_extra": {"hashed": "if changed"}}


class Section(BaseModel):
    """Base of all sections."""

    model_config = ConfigDict(extra="forbid", frozen=True)
