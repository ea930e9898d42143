"""Model files for tilth: write one from scikit-learn, read one, and the numpy reference.

    import tilth
    tilth.export(forest, "crops.tilth", features=[...], classes=[...], golden=rows)
    model = tilth.load("crops.tilth")
    labels = model.labels(rows)

Needs numpy only; scikit-learn is used where the caller already has it. docs/model-file.md is the format.
"""
from .container import ModelError
from .export import export
from .model import Model, load

__all__ = ["Model", "ModelError", "export", "load"]
__version__ = "0.1.0"
