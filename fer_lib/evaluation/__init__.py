"""How good predictions are and how sure that is: metrics, intervals, records of runs, anybody's predictions scored."""
