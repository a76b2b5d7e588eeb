"""Models in numpy and the catalogue that names them. Imports `hushfleet.training` and the ground floor, never an application.

A new model is one file here and one line in `models.catalogue`. `import models` loads nothing but this page.
"""

__all__: list[str] = []
