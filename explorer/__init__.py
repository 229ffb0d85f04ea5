"""The explorer: the page of a model in the browser or in Jupyter."""

from prunescope.explorer.notebook import explore
from prunescope.explorer.session import Session

__all__ = ["Session", "explore"]
