"""Kinds of jobs: one file each, found where it lies, imported by the worker only.

A kind has a frozen dataclass `Settings`, whose fields and their docstrings draw its form, and
`run(settings, folder, tell)`: work that writes files into `folder` and tells of its steps.
"""
