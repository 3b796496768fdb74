"""The arithmetic that several solvers share."""
