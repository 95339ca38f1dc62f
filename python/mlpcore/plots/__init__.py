"""Pictures of a fit and of a network, for the screen and for print.

Every function takes the ``ax`` to draw on and returns it; without one it makes a figure of its
own, which needs no display and touches neither ``pyplot`` nor matplotlib's global settings:
``ax.figure.savefig("picture.pdf")``.  matplotlib is needed here alone; without it each function
raises an ImportError that says how to get it.
"""

from mlpcore.plots.curves import learning_curves
from mlpcore.plots.hinton import weights
from mlpcore.plots.parity import predicted_against_true
from mlpcore.plots.regions import decision_regions
from mlpcore.plots.sizes import sweep
from mlpcore.plots.slopes import sensitivities
from mlpcore.plots.style import figure

__all__ = [
    "decision_regions",
    "figure",
    "learning_curves",
    "predicted_against_true",
    "sensitivities",
    "sweep",
    "weights",
]
