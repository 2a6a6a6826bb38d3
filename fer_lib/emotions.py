"""The emotions that FER2013 labels, in the order of its codes."""

FER2013 = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""Code 0 to 6 of the ``emotion`` column (Goodfellow et al. 2013; Kaggle's data page)."""
