"""Attention on a CPU in single precision by a kernel of its own, faster than PyTorch's for narrow heads.

It is compiled when a training begins, for the machine it runs on, as :func:`torch.compile` would do; where
there is no C++ compiler, attention stays PyTorch's. What it computes is the same to rounding, and to the last
bit with any number of threads.

Shapes: B batch, A heads, N queries, P keys, d width of a head.
"""

from __future__ import annotations

import ctypes
import functools
import os
import shlex
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SOURCE = Path(__file__).with_name("attention.cpp")
FLAGS = ("-std=c++17", "-O3", "-march=native", "-shared", "-fPIC", "-pthread")
WIDEST = 64
"""Features a head that the kernel can have."""
LEAST_TOKENS = 512
"""Queries and keys from which it is used: below, there is nothing to gain."""


class _Sizes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("heads", "queries", "keys", "d")]


class _Tensor(ctypes.Structure):
    _fields_ = [("values", ctypes.c_void_p), *((n, ctypes.c_long) for n in ("sample", "head", "row"))]


@functools.cache
def kernel() -> ctypes.CDLL | None:
    """Compile the kernel and load it into this process; None, with a warning, where that is impossible."""
    compiler = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    try:
        return _compiled(shlex.split(compiler or "c++"))
    except subprocess.CalledProcessError as error:
        why = f"{compiler} fails: {error.stderr.strip()[-500:]}"
    except OSError as error:
        why = f"there is no C++ compiler, or what it makes cannot be loaded ({error})"
    warnings.warn(
        f"attention on the CPU stays PyTorch's, slower than it could be: {why}; "
        "install a C++ compiler or name one by the environment variable CXX",
        stacklevel=2,
    )
    return None


def _compiled(compiler: Sequence[str]) -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "attention.so"
        command = [*compiler, *FLAGS, str(SOURCE), "-o", str(library)]
        subprocess.run(command, check=True, capture_output=True, text=True)
        return ctypes.CDLL(str(library))  # which stays when its file goes


def suits(q: Tensor, k: Tensor, present: Tensor | None) -> bool:
    """Whether the kernel computes this attention: large, without a mask, in single precision on a CPU."""
    return (
        present is None
        and q.device.type == "cpu"
        and q.dtype == torch.float32
        and q.shape[-1] <= WIDEST
        and min(q.shape[-2], k.shape[-2]) >= LEAST_TOKENS
    )


def attend(
    plain: Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor],
    q: Tensor,
    k: Tensor,
    v: Tensor,
    present: Tensor | None,
) -> Tensor:
    """Do what :class:`~atmorep.model.attention.Attend` does, by ``plain`` where the kernel does not suit."""
    if not suits(q, k, present):
        return plain(q, k, v, present)
    y: Tensor = attention(q, k, v)[0]
    return y.flatten(2)


@torch.library.custom_op("atmorep::attention", mutates_args=(), device_types="cpu")
def attention(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Queries (B, A, N, d), keys and values (B, A, P, d) to (B, N, A, d) and log₂ Σ exp(scores) (B, A, N)."""
    y, lse = _results(q)
    _call("forward", q, k, (q, k, v, y.transpose(1, 2)), lse)
    return y, lse


@torch.library.custom_op("atmorep::attention_backward", mutates_args=(), device_types="cpu")
def attention_backward(
    dy: Tensor, q: Tensor, k: Tensor, v: Tensor, y: Tensor, lse: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients with respect to queries (B, N, A, d), keys and values (B, P, A, d)."""
    gradients = _gradients(q, k, v)
    heads_first = (x.transpose(1, 2) for x in (y, dy, *gradients))
    _call("backward", q, k, (q, k, v, *heads_first), lse)
    return gradients


def _results(q: Tensor) -> tuple[Tensor, Tensor]:
    return _tokens_first(q), q.new_empty(q.shape[:-1])


def _gradients(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return _tokens_first(q), _tokens_first(k), _tokens_first(v)


def _tokens_first(x: Tensor) -> Tensor:
    """Room for what is like ``x`` (B, A, N, d), as (B, N, A, d)."""
    samples, heads, tokens, d = x.shape
    return x.new_empty(samples, tokens, heads, d)


def _call(direction: str, q: Tensor, k: Tensor, tensors: Sequence[Tensor], lse: Tensor) -> None:
    rows = [x if x.stride(-1) == 1 else x.contiguous() for x in tensors]
    described = (_Tensor * len(rows))(*(_Tensor(x.data_ptr(), *x.stride()[:3]) for x in rows))
    function = getattr(kernel(), f"attention_{direction}")
    sizes = _Sizes(q.shape[1], q.shape[2], k.shape[2], q.shape[3])
    threads, samples = ctypes.c_long(torch.get_num_threads()), ctypes.c_long(q.shape[0])
    function(threads, samples, sizes, described, ctypes.c_void_p(lse.data_ptr()))


@attention.register_fake
def _(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    return _results(q)


@attention_backward.register_fake
def _(dy: Tensor, q: Tensor, k: Tensor, v: Tensor, y: Tensor, lse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return _gradients(q, k, v)


def _keep(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, *output)


def _backward(ctx: Any, dy: Tensor, _: Tensor) -> tuple[Tensor, ...]:
    return tuple(gradient.transpose(1, 2) for gradient in attention_backward(dy, *ctx.saved_tensors))


attention.register_autograd(_backward, setup_context=_keep)
