"""Build time: turns an inference ONNX file into a bundle that plain onnxruntime can train. Needs `onnx`; never on a device.

`normalise` reads any exporter's file, `engine` runs the reverse pass and knows no operator, `families` hold one derivative per
operator, `losses` the losses, `check` compares with finite differences, `prepare` puts them together.
"""
