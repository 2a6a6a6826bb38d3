"""From a picture to labelled faces, for programs: no Keras, TensorFlow, pandas or plotting is imported here."""
