"""This machine: its devices, threads, memory, precision and processes."""

__all__ = [
    "allocator",
    "compiling",
    "device",
    "locks",
    "memory",
    "offload",
    "packages",
    "precision",
    "processes",
    "streams",
    "threads",
]
