"""What the papers claim, what our runs measured for each claim, and the verdicts, by fixed rules."""
