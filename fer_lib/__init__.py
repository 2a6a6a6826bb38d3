"""Reproducing two papers that recognise facial expressions with convolutional networks."""

import os

# TensorFlow reports absent GPUs and its own graph rewrites as errors; what matters it raises.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
