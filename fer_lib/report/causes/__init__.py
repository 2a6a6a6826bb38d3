"""Why the papers' figures are what they are: from records to numbers with intervals (``collapse``, ``networks``,
``rows``), pictures (``figures``), and what a reader sees of them (``page``). No training, no Keras.

Accuracies and differences are fractions of 0 to 1. ``spread`` is a mean over seeds with its t interval (how far other
seeds would move it), ``rows`` a mean over rows with its interval (how far other rows would).
"""
