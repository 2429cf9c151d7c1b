"""A PyTorch rival as a program, for bench/*.mjs.

    peer.py MODEL info                          one line of JSON: versions
    peer.py MODEL check DIRECTORY               compare with golden cases, one line each; exit 1 when one is off
    peer.py MODEL time --config JSON            read lines "step N", train N steps on random data, answer {"seconds": [...]}
    peer.py MODEL generate --config JSON --tokens N   the author's way of generating: the last `length` tokens again for each

--device cuda runs on a GPU, in --precision fp32, tf32, bf16 or fp16 (the last two autocast, fp32 weights), --compile with
torch.compile and CUDA graphs.
MODEL: published; tuned, which is better PyTorch; sliced, which is tuned with slices of the batch in threads of their own;
transformer, plain. --threads N (default 2), --slices N for sliced (default one per thread)."""

import argparse
import json
import pathlib
import sys
import time

import torch

from common import Config, Trainer, blas, read_safetensors
from published import Published, Transformer
from tuned import Tuned
from sliced import SlicedTrainer, keep_memory

MODELS = {"published": Published, "tuned": Tuned, "sliced": Tuned, "transformer": Transformer}
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
TOLERANCE = 1e-4


def build(name, config):
    return (Transformer if config.window == 0 else MODELS[name])(config).train()


def trainer_of(name, model, options, slices=0, half=None):
    if name in ("tuned", "sliced") and not half:
        keep_memory()
    if name != "sliced":
        return Trainer(model, options, half)
    threads = torch.get_num_threads()
    return SlicedTrainer(model, options, threads, slices or threads)


def golden_config(case, tensors):
    """The settings of a golden case; its tensors say what its JSON leaves open."""
    head = tensors.get("param.lm_head.weight")
    targets = tensors["input.targets"].shape[1]
    return Config({
        "batch": case["batch"],
        "length": case["length"],
        "window": case["window"],
        "width": case["config"]["n_embd"],
        "heads": case["config"]["n_head"],
        "layers": case["config"]["n_layer"],
        "vocabulary": case["config"]["vocab_size"],
        "outputs": targets if case["kind"] in ("copy", "image") else 0,
        "classes": 0 if case["tied_embeddings"] else head.shape[0],
        "variant": "forget" if case["alpha"] is None else "accumulate",
        "alpha": case["alpha"],
        "positions": case["positional_embedding"],
        "activation": case["activation"],
        "bias": case["config"]["bias"],
        "optimizer": case["optimizer"],
    })


def distance(found, expected):
    """Norm of the difference over the norm of what was expected."""
    found, expected = found.double().flatten(), expected.double().flatten()
    return ((found - expected).norm() / expected.norm().clamp_min(1e-30)).item()


def without_key_bias(key, *tensors):
    """A bias on the keys shifts all scores of a row alike: its gradient is zero but for rounding, which Adam makes steps of."""
    if not key.endswith("c_attn.bias"):
        return tensors
    width = len(tensors[0]) // 3
    return tuple(torch.cat([t[:width], t[2 * width :]]) for t in tensors)


def check_case(name, path):
    """Worst relative distance of each quantity of one case."""
    tensors = read_safetensors(path.with_suffix(".safetensors"))
    config = golden_config(json.loads(path.read_text()), tensors)
    model = build(name, config)
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for key, parameter in parameters.items():
            parameter.copy_(tensors[f"param.{key}"].reshape(parameter.shape))
    trainer = trainer_of(name, model, config.optimizer)
    ids, targets = tensors["input.ids"], tensors["input.targets"]
    logits, loss = trainer.gradients(ids, targets)
    worst = {
        "logits": distance(logits, tensors["expect.logits"]),
        "loss": distance(torch.as_tensor(loss).reshape(1), tensors["expect.loss"]),
        "gradients": max(distance(p.grad, tensors[f"expect.grad.{key}"]) for key, p in parameters.items()),
    }
    for step in range(3):
        if step > 0:
            trainer.gradients(ids, targets)
        trainer.update()
    after = {key: (p.detach(), tensors[f"expect.after3.{key}"]) for key, p in parameters.items()}
    worst["weights"] = max(distance(*without_key_bias(key, *pair)) for key, pair in after.items())
    return worst


def check(name, directory):
    paths = sorted(pathlib.Path(directory).glob("*.json"))
    failed = 0
    for path in paths:
        worst = check_case(name, path)
        fine = all(value <= TOLERANCE for value in worst.values())
        failed += not fine
        print(f"{'ok  ' if fine else 'OFF '} {name} {path.stem}: " + ", ".join(f"{k} {v:.1e}" for k, v in worst.items()))
    if failed or not paths:
        sys.exit(f"{name}: {failed} of {len(paths)} golden cases in {directory} are off")


def say(**answer):
    print(json.dumps(answer), flush=True)


def versions():
    return {"torch": torch.__version__, "blas": blas(), "threads": torch.get_num_threads(), "python": sys.version.split()[0]}


def time_steps(name, config, options):
    """Training steps on one random batch, at the caller's pace, so that rivals can take turns. A GPU is waited for once per turn."""
    cuda = options.device == "cuda"
    torch.backends.cuda.matmul.allow_tf32 = options.precision != "fp32"
    started = time.perf_counter()
    model = build(name, config).to(options.device)
    trainer = trainer_of(name, model, config.optimizer, options.slices, HALVES.get(options.precision))
    if options.compile:
        model.forward = torch.compile(model.forward, mode="reduce-overhead")
    ids = torch.randint(config.vocabulary, (config.batch, config.length), device=options.device)
    targets = torch.randint(
        config.classes or config.vocabulary, (config.batch, config.outputs or config.length), device=options.device
    )

    def run(steps):
        seconds = []
        start = time.perf_counter()
        for _ in range(steps):
            if options.compile:
                torch.compiler.cudagraph_mark_step_begin()
            trainer.gradients(ids, targets)
            trainer.update()
            if not cuda:
                seconds.append(time.perf_counter() - start)
                start = time.perf_counter()
        host = time.perf_counter() - start
        if cuda:
            torch.cuda.synchronize()
            seconds = [(time.perf_counter() - start) / steps] * steps
        return seconds, host / steps

    if cuda:
        run(4 if options.compile else 1)
    say(ready=True, parameters=sum(p.numel() for p in model.parameters()), start=time.perf_counter() - started, **versions())
    for line in sys.stdin:
        if not line.startswith("step"):
            break
        seconds, host = run(int(line.split()[1]))
        memory = torch.cuda.max_memory_allocated() if cuda else None
        say(seconds=seconds, host=host if cuda else None, memory=memory)


def generate(name, config, tokens):
    """For each new token the last `length` tokens go through the whole model again, as the author's code does."""
    model = build(name, config).eval()
    ids = torch.randint(config.vocabulary, (1, config.length))
    start = time.perf_counter()
    with torch.no_grad():
        for _ in range(tokens):
            logits = model(ids[:, -config.length :])[:, -1]
            ids = torch.cat([ids, torch.multinomial(logits.softmax(dim=-1), 1)], dim=1)
    seconds = time.perf_counter() - start
    say(tokens=tokens, seconds=seconds, tokensPerSecond=tokens / seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("action", choices=["info", "check", "time", "generate"])
    parser.add_argument("directory", nargs="?", help="golden cases, for check")
    parser.add_argument("--config", type=json.loads, default={}, help='JSON: {"task": "shakespeare", "batch": 32, ...}')
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--slices", type=int, default=0, help="of the batch, sliced only; 0: one per thread")
    parser.add_argument("--tokens", type=int, default=20)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["fp32", "tf32", "bf16", "fp16"], default="fp32")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    if options.action == "info":
        say(**versions())
    elif options.action == "check":
        check(options.model, options.directory)
    elif options.action == "time":
        time_steps(options.model, Config(options.config), options)
    else:
        generate(options.model, Config(options.config), options.tokens)


if __name__ == "__main__":
    main()
