"""Settings of the plan."""

from pydantic import Field

from udfs.sections import Section


class ComponentsSettings(Section):
    """How many components a family may have."""

    n: int = Field(3, ge=1, le=6, description="most components of a family; a family has 2^n images")


class PlanSettings(Section):
    """Which components make a family."""

    enter_score: float = Field(0.5, gt=0, lt=1, description="a label enters a family at this detector score")
    remove_score: float = Field(
        0.15, gt=0, lt=1, description="of a label that entered, all instances down to this score are removed"
    )
    min_area: float = Field(0.002, ge=0, le=1, description="smallest share of the image a component may cover")
    max_area: float = Field(0.5, gt=0, le=1, description="largest share of the image a component may cover")
    max_total_area: float = Field(0.7, gt=0, le=1, description="largest share that all components may cover together")
