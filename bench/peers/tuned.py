"""The recurrent transformer as fast as we can make it in PyTorch on a CPU, same mathematics as published.py.

Forget: queries, keys and values of the input are one product before the chain, the chain computes w rows a step, keys and
values of a state are computed once, and the readout of all blocks is one batch after the chain. Both variants: attention
without copies of heads, residual and dropout in one pass, dropout from 16 random bits an element, nothing computed that is
not read. In one stream of operations, as PyTorch is used; sliced.py cuts the batch into slices with a thread each."""

import math
import threading

import torch
import torch.nn.functional as F

from common import Model

local = threading.local()


def random_mask(shape, p):
    """0 with probability p (to within 2^-17), else 1 / (1 - p)."""
    if not hasattr(local, "generator"):
        local.generator = torch.Generator().manual_seed(threading.get_ident() & 0xFFFFFFFF)
    count = math.prod(shape)
    words = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None, generator=local.generator)
    bits = words.view(torch.int16)[:count].view(shape)
    return (bits >= round(p * 65536) - 32768) * (1.0 / (1.0 - p))


class Attend(torch.autograd.Function):
    """softmax(q k' / sqrt(D) + bias) v per head: q (B, n, C), kv (B, m, 2C) after an optional prefix (B, l, 2C), bias (n, l + m),
    mask (H, B, n, l + m) or None. Heads are strided views; only scores are stored."""

    @staticmethod
    def forward(ctx, q, kv, prefix, bias, mask, heads):
        if prefix is not None:
            kv = torch.cat([prefix, kv], dim=1)
        (batch, rows, width), keys = q.shape, kv.shape[1]
        scale = 1.0 / math.sqrt(width // heads)
        weights = q.new_empty(heads, batch, rows, keys)
        for scores, (qh, kh, _) in zip(weights, split_heads(q, kv, heads)):
            torch.baddbmm(bias, qh, kh.transpose(1, 2), alpha=scale, out=scores)
        weights = weights.softmax(dim=3)
        dropped = weights if mask is None else weights * mask
        output = torch.empty_like(q, memory_format=torch.contiguous_format)
        for a, o, (_, _, vh) in zip(dropped, output.chunk(heads, dim=2), split_heads(q, kv, heads)):
            torch.bmm(a, vh, out=o)
        ctx.save_for_backward(q, kv, weights, dropped, mask)
        ctx.heads, ctx.scale, ctx.prefix = heads, scale, 0 if prefix is None else prefix.shape[1]
        return output

    @staticmethod
    def backward(ctx, doutput):
        q, kv, weights, dropped, mask = ctx.saved_tensors
        heads = ctx.heads
        dq = torch.empty_like(q, memory_format=torch.contiguous_format)
        dkv = torch.empty_like(kv, memory_format=torch.contiguous_format)
        dweights = torch.empty_like(weights)
        own, gradients = list(split_heads(q, kv, heads)), list(split_heads(dq, dkv, heads))
        for h, do in enumerate(doutput.chunk(heads, dim=2)):
            torch.bmm(do, own[h][2].transpose(1, 2), out=dweights[h])
            torch.bmm(dropped[h].transpose(1, 2), do, out=gradients[h][2])
        if mask is not None:
            dweights.mul_(mask)
        dscores = torch._softmax_backward_data(dweights, weights, 3, weights.dtype)
        for ds, (qh, kh, _), (dqh, dkh, _) in zip(dscores, own, gradients):
            torch.bmm(ds, kh, out=dqh)
            torch.bmm(ds.transpose(1, 2), qh, out=dkh)
        dq.mul_(ctx.scale)
        dkv[:, :, : q.shape[2]].mul_(ctx.scale)
        if ctx.prefix == 0:
            return dq, dkv, None, None, None, None
        return dq, dkv[:, ctx.prefix :], dkv[:, : ctx.prefix], None, None, None


def split_heads(q, kv, heads):
    """q, k and v of each head, as strided views (B, rows, D)."""
    width = q.shape[2]
    return zip(q.chunk(heads, dim=2), kv[:, :, :width].chunk(heads, dim=2), kv[:, :, width:].chunk(heads, dim=2))


class Window(torch.autograd.Function):
    """[alpha f + s ; alpha f + x] in two passes; `previous` (B, w + n, C) is [f ; s] and only its first rows of f meet a shorter x."""

    @staticmethod
    def forward(ctx, previous, x, alpha, w):
        a, rows = alpha.item(), x.shape[1]
        window = x.new_empty(x.shape[0], w + rows, x.shape[2])
        first = previous[:, :w]
        torch.add(previous[:, w:], first, alpha=a, out=window[:, :w])
        torch.add(x, first[:, :rows], alpha=a, out=window[:, w:])
        ctx.save_for_backward(first)
        ctx.alpha, ctx.w = a, w
        return window

    @staticmethod
    def backward(ctx, dwindow):
        (first,) = ctx.saved_tensors
        w, rows = ctx.w, dwindow.shape[1] - ctx.w
        dprevious = torch.empty(dwindow.shape[0], 2 * w, dwindow.shape[2])
        dfirst = dprevious[:, :w]
        dfirst.copy_(dwindow[:, :w])
        dfirst[:, :rows].add_(dwindow[:, w:])
        dalpha = (dfirst * first).sum().reshape(1)
        dfirst.mul_(ctx.alpha)
        dprevious[:, w:] = dwindow[:, :w]
        return dprevious, dwindow[:, w:], dalpha, None


class Tuned(Model):
    def scan(self, layer, x, outputs):
        accumulate = self.config.variant == "accumulate"
        return self.accumulate(layer, x, outputs) if accumulate else self.forget(layer, x, outputs)

    # Parts of the layer.

    def projections(self, layer):
        """Weights and biases of q and of k, v together."""
        linear, width = layer.attn["c_attn"], self.config.width
        weights = linear.weight.split([width, 2 * width])
        biases = (None, None) if linear.bias is None else linear.bias.split([width, 2 * width])
        return tuple(zip(weights, biases))

    def add(self, x, branch):
        """x + dropout(branch) in one pass."""
        p = self.config.dropout
        return torch.addcmul(x, branch, random_mask(branch.shape, p)) if self.training and p > 0 else x + branch

    def bias(self, rows, keys):
        """0 where the last `rows` of `keys` positions may look, minus infinity at what comes after them."""
        return torch.full((rows, keys), float("-inf")).triu_(keys - rows + 1)

    def finish(self, layer, x, q, kv, prefix=None):
        """Everything after the projections, for the rows x (the last of those that kv stands for)."""
        p, heads = self.config.dropout, self.config.heads
        keys = kv.shape[1] + (0 if prefix is None else prefix.shape[1])
        mask = random_mask((heads, q.shape[0], q.shape[1], keys), p) if self.training and p > 0 else None
        attended = Attend.apply(q, kv, prefix, self.bias(q.shape[1], keys), mask, heads)
        h = self.add(x, layer.attn["c_proj"](attended))
        return self.add(h, layer.mlp["c_proj"](layer.act(layer.mlp["c_fc"](layer.ln_2(h)))))

    def whole(self, layer, x, rows=None):
        """T(x), or its last rows."""
        (wq, bq), (wkv, bkv) = self.projections(layer)
        normed = layer.ln_1(x)
        if rows is None or rows == x.shape[1]:
            q, kv = layer.attn["c_attn"](normed).split([x.shape[2], 2 * x.shape[2]], dim=2)
            return self.finish(layer, x, q, kv)
        start = x.shape[1] - rows
        return self.finish(layer, x[:, start:], F.linear(normed[:, start:], wq, bq), F.linear(normed, wkv, bkv))

    # The scans.

    def forget(self, layer, x, outputs):
        w = self.config.window
        groups = self.by_block(x)
        (wq, bq), (wkv, bkv) = self.projections(layer)
        normed = [layer.ln_1(group) for group in groups]
        q = [block for group in normed for block in F.linear(group, wq, bq).unbind(0)]
        kv = [block for group in normed for block in F.linear(group, wkv, bkv).unbind(0)]
        x = [block for group in groups for block in group.unbind(0)]
        states, state_kv = [], []
        for k in range(len(x)):
            states.append(self.finish(layer, x[k], q[k], kv[k], state_kv[-1] if k > 0 else None))
            state_kv.append(F.linear(layer.ln_1(states[-1]), wkv, bkv))
        read = -(-(outputs + len(x) * w - sum(block.shape[1] for block in x)) // w)
        y = [self.readout(layer, states[k:end], state_kv[k:end]) for k, end in self.runs(x, read)]
        return torch.cat(y, dim=1)[:, -outputs:]

    def runs(self, x, read):
        """Ranges of equally long blocks among the last `read`."""
        start, end = max(0, len(x) - read), len(x)
        full = end if x[-1].shape == x[0].shape else end - 1
        return [(a, b) for a, b in ((start, full), (max(start, full), end)) if a < b]

    def by_block(self, x):
        """x (B, N, C) as contiguous (K, B, w, C), and (1, B, r, C) for what remains."""
        (batch, length, width), w = x.shape, self.config.window
        full = length // w * w
        parts = []
        if full > 0:
            parts.append(x[:, :full].view(batch, full // w, w, width).transpose(0, 1).contiguous())
        if full < length:
            parts.append(x[:, full:].contiguous().unsqueeze(0))
        return parts

    def readout(self, layer, states, kv):
        """y_k = T(s_k) for all blocks as one batch of windows; keys and values are at hand."""
        (wq, bq), _ = self.projections(layer)
        count, (batch, rows, width) = len(states), states[0].shape
        states = torch.stack(states).view(count * batch, rows, width)
        q = F.linear(layer.ln_1(states), wq, bq)
        y = self.finish(layer, states, q, torch.stack(kv).view(count * batch, rows, 2 * width))
        return y.view(count, batch, rows, width).transpose(0, 1).reshape(batch, count * rows, width)

    def accumulate(self, layer, x, outputs):
        w, length = self.config.window, x.shape[1]
        alpha = self.alpha.clamp(0.0, 1.0)
        blocks = [block for group in self.by_block(x) for block in group.unbind(0)]
        last = blocks[-1].shape[1]
        y, state = [], self.whole(layer, blocks[0])
        previous = torch.cat([blocks[0], state], dim=1) if len(blocks) > 1 else None
        for k, block in enumerate(blocks[1:], 2):
            window = Window.apply(previous, block, alpha, w)
            if k == len(blocks) and outputs <= last:
                state = self.whole(layer, window, last)
                break
            previous = self.whole(layer, window)
            state = previous[:, w:]
            if (k - 1) * w > length - outputs:
                y.append(previous[:, :w])
        y.append(self.whole(layer, state, min(outputs, last)))
        return torch.cat(y, dim=1)[:, -outputs:] if len(y) > 1 else y[0]
