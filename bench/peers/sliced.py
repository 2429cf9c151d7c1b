"""The sliced peer's training step: slices of the batch in threads, each with its own forward and backward pass, so that the
operations that PyTorch runs on one core (small batched products, random numbers) keep all cores busy."""

import ctypes
import re
from concurrent.futures import ThreadPoolExecutor

import torch

from common import Trainer

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8


def keep_memory():
    """glibc gives large blocks back at every free and faults them in again at every use; let it keep them."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_ARENA_MAX, 1)
        libc.mallopt(M_MMAP_THRESHOLD, 32 << 20)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def single_threaded_blas():
    """Slices are the parallelism; OpenBLAS must not start threads of its own under each."""
    with open("/proc/self/maps") as maps:
        found = re.search(r"(/\S*libopenblas\S*\.so\S*)", maps.read())
    if found:
        ctypes.CDLL(found.group(1)).openblas_set_num_threads(1)


class SlicedTrainer(Trainer):
    def __init__(self, model, options, threads, slices):
        super().__init__(model, options)
        self.slices = slices
        self.parameters = list(model.parameters())
        single_threaded_blas()
        self.pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))

    def slice(self, ids, targets, share):
        logits = self.model(ids)
        loss = self.model.loss(logits, targets) * share
        return logits.detach(), loss.item(), torch.autograd.grad(loss, self.parameters)

    def gradients(self, ids, targets):
        count = min(self.slices, len(ids))
        parts = zip(ids.tensor_split(count), targets.tensor_split(count))
        jobs = [self.pool.submit(self.slice, i, t, len(i) / len(ids)) for i, t in parts]
        logits, losses, gradients = zip(*[job.result() for job in jobs])
        for parameter, first, *others in zip(self.parameters, *gradients):
            for other in others:
                first.add_(other)
            parameter.grad = first
        return torch.cat(logits), sum(losses)
