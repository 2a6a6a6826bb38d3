"""How good predictions are and how certain that is: metrics, intervals, records of runs, scores of any predictions."""
