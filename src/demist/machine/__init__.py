"""This machine: its devices, threads, memory, precision and processes."""

__all__ = [
    "allocator",
    "device",
    "memory",
    "precision",
    "processes",
    "threads",
]
