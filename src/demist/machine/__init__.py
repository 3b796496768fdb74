"""This machine: its devices, threads, memory, precision and processes."""

__all__ = [
    "allocator",
    "compiling",
    "device",
    "locks",
    "memory",
    "precision",
    "processes",
    "streams",
    "threads",
]
