"""Models and the mathematics of training them: numpy models here, ONNX graphs in `models.onnx`.

`catalogue` names every model a job may ask for and gives its architecture hash; it is the one module the programs import.
May import `hushfleet` (the `Trainer` interface and its types) and numpy; the only package that may import onnxruntime.
Randomness comes from the caller, so training is reproducible; nothing here knows of rounds, and only `models.onnx` reads files.
"""

import os

# onnxruntime 1.29 and later reports to its maker unless this is set before its first import; a call afterwards does not help.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
