"""The models of the demo, as a person types them."""

SHORT_NAMES = {"softmax": "softmax:64x10", "mlp": "mlp:64x32x10", "mlp-large": "mlp:64x512x128x10", "lenet": ""}
"""Short name -> the catalogue's; lenet is made from an ONNX file."""
