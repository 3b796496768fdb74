"""The number of threads is measured."""

import time

import pytest
import torch

from demist.machine import threads


@pytest.fixture(autouse=True)
def threads_kept():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("slow", [1, 2, 4])
def test_takes_the_count_that_is_fastest(monkeypatch, slow):
    """With waits put in for all counts but one."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    def convolve(layers):
        time.sleep(0 if torch.get_num_threads() == slow else 0.005)

    monkeypatch.setattr(threads, "_convolve", convolve)
    torch.set_num_threads(4)
    assert threads.fastest_threads() == slow
    assert torch.get_num_threads() == 4


def test_keeps_what_the_environment_says(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    torch.set_num_threads(3)
    assert threads.fastest_threads() == 3


def test_measures_something_real(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    torch.set_num_threads(2)
    assert threads.fastest_threads() in (1, 2)
