"""HURNET_PAPER_*: chapters of the paper that the rule does not need. By our own figures they answer no
better."""

from __future__ import annotations

from pydantic import Field

from hurnet_stream.core.solve.weights import NO_FEATURES
from hurnet_stream.settings.section import Section
from hurnet_stream.settings.types import KernelFeatures


class PaperSettings(Section):
    """The paper's other chapters, for those who want to try them. Leave them alone otherwise."""

    features: KernelFeatures = Field(
        NO_FEATURES,
        description="Kernel features that the weights work on (equations 7 and 8): gaussian:2048[:width], "
        "laplace:2048[:width] or arccosine:2048. Set the same for solver and responders. Measured: no answer "
        "got better.",
    )
    p: float = Field(
        2.0,
        ge=1.1,
        le=8,
        description="Similarity to the nearest entries in the space lp (equation 12); 2 is the cosine. "
        "Measured: 1.5 to 2 are alike, all others are worse.",
    )
