"""Model files for tilth: write one from a fitted classifier, read one, and the numpy reference.

    import tilth
    tilth.export(classifier, "crops.tilth", features=[...], classes=[...], golden=rows)
    model = tilth.load("crops.tilth")
    labels = model.labels(rows)

Forests, boosted trees (scikit-learn, LightGBM, XGBoost, CatBoost), votes, stacks and pipelines of
them. Needs numpy only; the libraries are used where the caller already has them. docs/model-file.md is
the format.
"""
from .container import ModelError
from .export import export
from .model import Model, load

__all__ = ["Model", "ModelError", "export", "load"]
__version__ = "0.1.0"
