"""Where the arithmetic runs: device, precision, threads, determinism, and what a forked worker must not do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import joblib
import torch
from torch import Tensor

from alenv import memory
from alenv.errors import UnknownName
from alenv.nets.classifier import Classifier, Outputs

CPU_FACTS = Path("/proc/cpuinfo")

_forked = False


def _after_fork() -> None:
    # A forked child that inherits torch's used thread pool hangs at its first parallel region.
    global _forked  # noqa: PLW0603  (one flag per process is what a fork handler has)
    _forked = True
    torch.set_num_threads(1)


os.register_at_fork(after_in_child=_after_fork)


@dataclass(frozen=True)
class Runtime:
    """A resolved device, precision and thread count.

    Attributes:
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.
        precision: ``"bf16"`` or ``"fp32"``.
        threads: CPU threads of torch's operators; 1 in forked workers whatever is asked for.
    """

    device: str
    precision: str
    threads: int

    @contextmanager
    def active(self) -> Iterator[None]:
        """Sets what torch keeps globally for one call, and restores it: an agent's settings train no classifier.

        Threads, deterministic kernels, gradients, the default dtype and the default device.
        """
        threads = 1 if _forked else self.threads
        before, dtype = torch.get_num_threads(), torch.get_default_dtype()
        elsewhere = torch.get_default_device().type != "cpu"
        if threads != before:
            torch.set_num_threads(threads)
        torch.set_default_dtype(torch.float32)
        try:
            with (
                _deterministic() if self.device.startswith("cuda") else nullcontext(),
                torch.device("cpu") if elsewhere else nullcontext(),
                torch.inference_mode(False),
                torch.enable_grad(),
            ):
                yield
        finally:
            torch.set_default_dtype(dtype)
            if threads != before:
                torch.set_num_threads(before)

    @property
    def records(self) -> bool:
        """Whether training steps are recorded and replayed (CUDA graphs); ``ALENV_CUDA_GRAPHS=0`` switches it off."""
        return self._on_cuda and os.environ.get("ALENV_CUDA_GRAPHS", "1") != "0"

    def outputs(self, classifier: Classifier, pictures: Tensor) -> Outputs:
        """Classifies normalized images, float32 (n, C, H, W), in this precision."""
        with self.autocast():
            return classifier.outputs(pictures)

    def autocast(self) -> AbstractContextManager[object]:
        """Returns the mixed-precision context of this runtime."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(torch.device(self.device).type, dtype=torch.bfloat16)

    def memory(self) -> float:
        """Returns the memory held now in MB: the device's on CUDA, else this process's resident set."""
        return torch.cuda.memory_allocated(self.device) / 1e6 if self._on_cuda else memory.resident()

    def peak_memory(self) -> float:
        """Returns the most memory held in MB since ``forget_peak_memory``, or where that does nothing, ever."""
        return torch.cuda.max_memory_allocated(self.device) / 1e6 if self._on_cuda else memory.resident_peak()

    def forget_peak_memory(self) -> None:
        """Makes ``peak_memory`` count from now, on CUDA and where the system can."""
        if self._on_cuda:
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            memory.forget_resident_peak()

    @property
    def _on_cuda(self) -> bool:
        return self.device.startswith("cuda")


@contextmanager
def _deterministic() -> Iterator[None]:
    # cuBLAS reads the workspace setting when its handle is made, so it must stand before the first product.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    flags = torch.backends.cudnn
    before = (flags.benchmark, flags.deterministic)
    mode = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]  # a property
    flags.benchmark, flags.deterministic = False, True
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # it costs time
    try:
        yield
    finally:
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]  # a property
        flags.benchmark, flags.deterministic = before
        torch.use_deterministic_algorithms(mode[0], warn_only=mode[1])


def prefers_bf16(device: str) -> bool:
    """Says whether ``device`` trains faster in bf16 than in fp32."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_capability(device)[0] >= 8  # Ampere and later
    if device == "cpu":
        # AMX tiles, or AVX-512's bf16 dot products: twice the fp32 arithmetic on AMD, less than it on Intel.
        tiles, products = (
            getattr(torch.cpu, name, lambda: False)()
            for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
        )
        return bool(tiles or (products and _is_amd()))
    return False


def _is_amd() -> bool:
    try:
        return "AuthenticAMD" in CPU_FACTS.read_text()
    except OSError:
        return False  # not Linux


def resolve(device: str, precision: str, threads: int | None, default_device: str = "auto") -> Runtime:
    """Turns what the user asked for into what this machine will do.

    Args:
        device: ``"auto"`` (then ``default_device``; then CUDA, MPS, CPU in this order) or a torch device.
        precision: ``"auto"``, ``"bf16"`` or ``"fp32"``.
        threads: CPU threads; None takes every core that this process may use.
        default_device: What ``"auto"`` means for this environment id.

    Raises:
        UnknownName: The device does not exist here.
    """
    device = default_device if device == "auto" else device
    if device == "auto":
        device = (
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    _check_device(device)
    if precision == "auto":
        precision = "bf16" if prefers_bf16(device) else "fp32"
    if threads is None:
        threads = joblib.cpu_count()
    return Runtime(device, precision, int(threads))


def _check_device(device: str) -> None:
    if device == "cpu":
        return
    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.append("mps")
    if torch.cuda.is_available():
        if _forked and device.startswith("cuda"):
            raise UnknownName(
                "A CUDA device was asked for in a forked worker, where CUDA cannot start; use "
                "AsyncVectorEnv(..., context='spawn') or SubprocVecEnv(..., start_method='spawn')."
            )
        available += ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if device not in available:
        raise UnknownName(
            f"There is no device {device!r} on this machine; choose 'auto' or one of {', '.join(available)}."
        )
