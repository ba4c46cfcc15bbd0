"""Floor 7: the step, the loop, data and what is reported."""
