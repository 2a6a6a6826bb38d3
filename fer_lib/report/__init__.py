"""What a reader opens: tables, figures and pages made from records and verdicts."""
