"""One loop for every task: a canvas, its table of noise levels, a solver, guidance."""
