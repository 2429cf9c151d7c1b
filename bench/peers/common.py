"""What the PyTorch peers share: configuration, weights under the golden names, one layer in plain operations, the training
step and a reader of safetensors. The peers differ only in how they scan a sequence (published.py, tuned.py)."""

import json
import math
import re
import struct

import torch
import torch.nn as nn
import torch.nn.functional as F

HAVE_SDPA = hasattr(F, "scaled_dot_product_attention")

DEFAULTS = {
    "batch": 64,
    "length": 256,
    "window": 16,  # 0: a plain transformer
    "width": 384,
    "heads": 6,
    "layers": 1,
    "vocabulary": 65,
    "outputs": 0,  # how many last positions are read; 0: all
    "classes": 0,  # of an untied head; 0: the head is the embedding
    "variant": "forget",
    "alpha": None,  # initial value of the learned alpha of "accumulate"
    "positions": True,
    "activation": "gelu",
    "bias": False,
    "dropout": 0.0,
    "optimizer": {"name": "adamw", "lr": 1e-3, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.1, "clip_norm": 1.0},
}
ADAM = {"name": "adam", "lr": 5e-4, "betas": [0.9, 0.999], "eps": 1e-8}

TASKS = {
    "shakespeare": {"dropout": 0.2},
    "copy": {"length": 160, "window": 32, "width": 96, "vocabulary": 16, "outputs": 16, "variant": "accumulate",
             "alpha": 0.5, "activation": "relu", "dropout": 0.05, "optimizer": ADAM},
    "image": {"batch": 120, "length": 1024, "window": 32, "width": 32, "heads": 4, "vocabulary": 256, "outputs": 1,
              "classes": 10, "variant": "accumulate", "alpha": 0.5, "activation": "relu", "dropout": 0.05, "optimizer": ADAM},
    "large": {"batch": 12, "length": 1024, "window": 32, "width": 768, "heads": 12, "vocabulary": 50304},
    "transformer": {"batch": 12, "length": 1024, "window": 0, "width": 768, "heads": 12, "layers": 12, "vocabulary": 50304},
}


class Config:
    """A task's settings with whatever the caller overrides."""

    def __init__(self, given):
        settings = {**DEFAULTS, **TASKS.get(given.get("task"), {}), **{k: v for k, v in given.items() if k != "task"}}
        unknown = set(settings) - set(DEFAULTS)
        if unknown:
            raise SystemExit(f"unknown settings: {', '.join(sorted(unknown))}")
        self.__dict__.update(settings)


class Norm(nn.Module):
    """Layer norm whose bias may be absent (nn.LayerNorm learned that only in torch 2.1)."""

    def __init__(self, width, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def forward(self, x):
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)


class Layer(nn.Module):
    """One pre-norm transformer layer on windows (B, n, C), causal, in plain operations."""

    def __init__(self, config):
        super().__init__()
        width, bias = config.width, config.bias
        self.heads, self.dropout, self.activation = config.heads, config.dropout, config.activation
        self.ln_1 = Norm(width, bias)
        self.attn = nn.ModuleDict(
            {"c_attn": nn.Linear(width, 3 * width, bias=bias), "c_proj": nn.Linear(width, width, bias=bias)}
        )
        self.ln_2 = Norm(width, bias)
        self.mlp = nn.ModuleDict(
            {"c_fc": nn.Linear(width, 4 * width, bias=bias), "c_proj": nn.Linear(4 * width, width, bias=bias)}
        )

    def drop(self, x):
        return F.dropout(x, self.dropout, self.training)

    def act(self, x):
        return F.gelu(x) if self.activation == "gelu" else F.relu(x)

    def attention(self, x):
        batch, rows, width = x.shape
        q, k, v = self.attn["c_attn"](x).split(width, dim=2)
        q, k, v = (t.view(batch, rows, self.heads, width // self.heads).transpose(1, 2) for t in (q, k, v))
        if HAVE_SDPA:
            p = self.dropout if self.training else 0.0
            y = F.scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=True)
        else:
            scores = (q @ k.transpose(2, 3)) / math.sqrt(q.shape[3])
            future = torch.ones(rows, rows, dtype=torch.bool).triu(1)
            y = self.drop(scores.masked_fill(future, float("-inf")).softmax(dim=3)) @ v
        return self.attn["c_proj"](y.transpose(1, 2).reshape(batch, rows, width))

    def forward(self, x):
        x = x + self.drop(self.attention(self.ln_1(x)))
        return x + self.drop(self.mlp["c_proj"](self.act(self.mlp["c_fc"](self.ln_2(x)))))


class Model(nn.Module):
    """Embedding, `scan` of each layer over the sequence (by the peer), final norm, head on the positions that are read."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        parts = {
            "wte": nn.Embedding(config.vocabulary, config.width),
            "h": nn.ModuleList([Layer(config) for _ in range(config.layers)]),
            "ln_f": Norm(config.width, config.bias),
        }
        if config.positions:
            parts["wpe"] = nn.Embedding(config.length, config.width)
        self.transformer = nn.ModuleDict(parts)
        if config.classes:
            self.lm_head = nn.Linear(config.width, config.classes, bias=False)
        if config.variant == "accumulate":
            self.alpha = nn.Parameter(torch.tensor([float(config.alpha)]))
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                residual = name.endswith("c_proj.weight")
                nn.init.normal_(parameter, 0.0, 0.02 / math.sqrt(2 * config.layers) if residual else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def scan(self, layer, x, outputs):
        """The layer's last `outputs` output rows for the input rows x (B, N, C)."""
        raise NotImplementedError

    def forward(self, ids):
        """Logits (B, M, V) of the M positions that are read."""
        x = F.embedding(ids, self.transformer["wte"].weight)
        if self.config.positions:
            x = x + self.transformer["wpe"].weight[: ids.shape[1]]
        x = F.dropout(x, self.config.dropout, self.training)
        outputs = min(self.config.outputs or ids.shape[1], ids.shape[1])
        layers = self.transformer["h"]
        for index, layer in enumerate(layers):
            x = self.scan(layer, x, outputs if index == len(layers) - 1 else ids.shape[1])
        head = self.lm_head if self.config.classes else self.transformer["wte"]
        return F.linear(self.transformer["ln_f"](x), head.weight)

    def loss(self, logits, targets):
        return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))


class Trainer:
    """Forward, backward, clip, optimiser step; weight decay on tensors of two or more dimensions only."""

    def __init__(self, model, options, half=None):
        """half: type of operands, bfloat16 or float16; weights kept in fp32."""
        self.model, self.clip, self.half = model, options.get("clip_norm"), half
        arguments = {"lr": options["lr"], "betas": tuple(options["betas"]), "eps": options["eps"]}
        if next(model.parameters()).is_cuda:
            arguments["fused"] = True
        parameters = list(model.parameters())
        if options["name"] == "adamw":
            groups = [
                {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": options["weight_decay"]},
                {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
            ]
            self.optimizer = torch.optim.AdamW(groups, **arguments)
        else:
            self.optimizer = torch.optim.Adam(parameters, **arguments)

    def gradients(self, ids, targets):
        """Leaves gradients in the parameters; returns logits and loss, a tensor so that a GPU need not be waited for."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(ids.device.type, dtype=self.half, enabled=self.half is not None):
            logits = self.model(ids)
            loss = self.model.loss(logits, targets)
        if self.half == torch.float16:
            # As Rivulet: the gradient of the sum of losses times 16 to 32, which float16 can hold.
            scale = 2.0 ** (4 + math.ceil(math.log2(targets.numel())))
            (loss * scale).backward()
            torch._foreach_mul_([p.grad for p in self.model.parameters() if p.grad is not None], 1 / scale)
        else:
            loss.backward()
        return logits.detach(), loss.detach()

    def update(self):
        if self.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()


def read_safetensors(path):
    """All tensors of a safetensors file, by name: 8 bytes of header length, a JSON header, then the raw data."""
    types = {"F32": torch.float32, "F64": torch.float64, "I64": torch.int64, "I32": torch.int32}
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = bytearray(file.read())
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        kind = types[entry["dtype"]]
        tensors[name] = torch.frombuffer(data[start:end], dtype=kind).reshape(entry["shape"])
    return tensors


def blas():
    """The library behind matrix products, by the files mapped into this process."""
    configuration = torch.__config__.show()
    if "MKL=ON" in configuration or "USE_MKL=1" in configuration or "Math Kernel Library" in configuration:
        return "MKL"
    with open("/proc/self/maps") as maps:
        mapped = maps.read()
    if re.search(r"openblas", mapped):
        return "OpenBLAS"
    return "reference BLAS" if re.search(r"libblas\.so", mapped) else "unknown BLAS"
