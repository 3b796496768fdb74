"""Freed memory stays with the process, where the C library can be told so."""

import ctypes
import resource
import sys

import pytest
import torch

from demist.machine import allocator


def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_large_blocks_are_reused_without_page_faults():
    if not allocator.keep_freed_memory():
        pytest.skip("this C library has no mallopt")

    def use():
        for _ in range(20):
            torch.ones(4 * 2**20)  # 16 MB

    use()
    before = faults()
    use()
    assert faults() - before < 4096  # 20 x 4096 pages if each were fetched anew


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert allocator.keep_freed_memory.__wrapped__() is False
