"""The published way: a Python loop over windows of 2w rows. State and block are concatenated, every window goes through the
whole layer, and the outputs are concatenated."""

import torch

from common import Model


class Published(Model):
    def scan(self, layer, x, outputs):
        w = self.config.window
        blocks = x.split(w, dim=1)
        y = self.accumulate(layer, blocks) if self.config.variant == "accumulate" else self.forget(layer, blocks)
        return y[:, y.shape[1] - outputs :]

    def forget(self, layer, blocks):
        w = self.config.window
        state = layer(blocks[0])
        y = []
        for block in blocks[1:]:
            window = layer(torch.cat([state, block], dim=1))
            y.append(window[:, :w])
            state = window[:, w:]
        return torch.cat([*y, layer(state)], dim=1)

    def accumulate(self, layer, blocks):
        w = self.config.window
        alpha = self.alpha.clamp(0.0, 1.0)
        first, state = blocks[0], layer(blocks[0])
        y = []
        for block in blocks[1:]:
            carried = alpha * first
            window = layer(torch.cat([carried + state, carried[:, : block.shape[1]] + block], dim=1))
            first, state = window[:, :w], window[:, w:]
            y.append(first)
        return torch.cat([*y, layer(state)], dim=1)


class Transformer(Model):
    """The plain transformer: every layer sees the whole sequence."""

    def scan(self, layer, x, outputs):
        return layer(x)[:, x.shape[1] - outputs :]
