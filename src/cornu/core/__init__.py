"""Floor 2: variables, the state scope, symbolic tensors, ops, graphs and configurables."""
