"""Derivatives of ONNX operators, one file per family. Every module in here registers itself when `registry.load` imports it."""
