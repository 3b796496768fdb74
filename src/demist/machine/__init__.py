"""This machine: its devices, threads, memory, precision and processes."""
