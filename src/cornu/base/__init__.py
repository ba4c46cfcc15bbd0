"""Floor 0: configuration, dtypes, policies, trees, specs and errors. Imports nothing of ours."""
