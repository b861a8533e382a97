"""Memory that is freed stays with the process."""

import platform
import resource

import pytest
import torch

from atmorep.memory import keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_memory_is_used_again():
    """After some rounds; without, the kernel hands out each of 32768 pages anew every time."""
    keep_freed_memory()
    faults = []
    for _ in range(10):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.empty(2**25).fill_(1)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    assert min(faults[-3:]) < 1000
