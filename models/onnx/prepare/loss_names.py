"""The losses of `models.onnx.prepare.losses`, for whoever names one before onnx is loaded. A test compares the two."""

LOSS_NAMES = ("softmax-cross-entropy", "mse", "huber", "binary-cross-entropy")
