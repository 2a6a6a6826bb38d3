"""What the papers claim, what was measured for each claim, and the verdicts, by rules written before."""
