# SPDX-License-Identifier: Apache-2.0
"""How large and how fast a module becomes on a target: one record for every kind of target.

A record is a JSON object, the same for all targets:

============== ==================================================================================
``schema``     version of this layout
``unit``       unit and its ``parameters`` as given to the generator; ``null`` for foreign Verilog
``module``     name of the top module, and ``sha256`` of the Verilog text
``target``     one of :data:`TARGETS`, and the ``device`` placed and routed for
``options``    what was asked for: ``dsp``, ``seeds``, ``liberty`` (name and sha256 of each file)
``counts``     cells by resource (FPGA) or by name (gates)
``fmax``       ``median``, ``all`` frequencies and their ``seeds``, ``unit``; or ``null``
``area``       ``total``, its ``sequential`` share, ``unit``; ``null`` for an FPGA
``delay``      ``value`` of the longest combinational path, ``unit``; ``null`` for an FPGA
``points``     every measured point (``lut`` and ``dsp``, or ``area`` and ``fast``) with the four
               fields above; the first is repeated in the record itself
``notes``      what could not be measured, one sentence each
``tools``      tool -> version
============== ==================================================================================

Counts are of the bare module, flattened. Frequencies are of the module between registers, out of
context (iCE40: between shift registers, so that any module has pins enough). The delay of a
combinational path has no wires, no clock-to-output and no setup time in it.
"""

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fpga import tools
from fpga.synth import cache, gates, pnr
from fpga.synth.lut import FAMILIES, Family
from fpga.synth.yosys import Design, quiet

__all__ = ["SCHEMA", "TARGETS", "own_target", "report", "report_unit", "split_target"]

SCHEMA = 1  #: Version of the record's layout.
TARGETS = (*FAMILIES, "gates")
TIMEOUT = 600.0  #: Longest time of one call of a tool, in seconds.


def split_target(target: str) -> tuple[str, str | None]:
    """Return family and device of ``"ecp5:85k"``; the device of ``"ecp5"`` is its default.

    Raises ``ValueError`` for a family or device that is not known.
    """
    name, colon, device = target.partition(":")
    if name not in TARGETS:
        raise ValueError(f"target must be one of {', '.join(TARGETS)}, not {name!r}")
    devices = FAMILIES[name].devices if name in FAMILIES else None
    if devices is None:
        if colon:
            raise ValueError(f"target {name} has no devices to choose from, not {device!r}")
        return name, None
    if colon and device not in devices:
        raise ValueError(f"device of {name} must be one of {', '.join(devices)}, not {device!r}")
    return name, device if colon else next(iter(devices))


def report(
    verilog: str,
    top: str,
    target: str,
    *,
    liberty: Sequence[Path] = (),
    seeds: int = 3,
    dsp: bool | None = None,
    timeout: float = TIMEOUT,
    use_cache: bool = True,
    progress: Callable[[str], None] = quiet,
) -> dict[str, Any]:
    """Return the record of module ``top`` of the text ``verilog`` on ``target``.

    Parameters
    ----------
    target
        One of :data:`TARGETS`, with ``:device`` where there is a choice.
    liberty
        Cell libraries for ``gates``; none means the project's generic one.
    seeds
        How often to place and route; 0 leaves out Fmax.
    dsp
        Whether multipliers may use DSP blocks. ``None``: measure without, and also with them where
        that makes a difference.
    timeout
        Longest time of one call of a tool, in seconds.
    use_cache
        Take the record from the user's cache if it is there, and put it there if not. Its key is
        the content of everything that decides the result, versions of tools included.
    progress
        Called with a few words before each call of a tool.

    Raises ``ValueError`` for a wrong argument and :class:`fpga.tools.ToolError`, a ``ValueError``
    too, for Verilog that Yosys refuses and for a tool that is missing, fails or takes too long.
    """
    name, device = split_target(target)
    if liberty and name != "gates":
        raise ValueError(f"Liberty files are for target gates, not {name}")
    if not isinstance(seeds, int) or not 0 <= seeds <= 1000:
        raise ValueError(f"seeds must be in 0 ... 1000, not {seeds!r}")
    if not 0 < timeout <= 1e6:
        raise ValueError(f"timeout must be above 0 and at most 1e6 seconds, not {timeout!r}")
    family = FAMILIES.get(name)
    if family and device in family.plain_devices:
        if dsp:
            raise ValueError(f"device {device} of {name} has no DSP blocks")
        dsp = False
    library = None
    if family is None:
        library = gates.read_liberty(list(liberty)) if liberty else gates.generic()
    needed = ["yosys"]
    if family and family.nextpnr and seeds:
        needed.append(family.nextpnr)
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "unit": None,
        "parameters": None,
        "module": top,
        "sha256": hashlib.sha256(verilog.encode()).hexdigest(),
        "target": name,
        "device": device,
        "options": {
            "dsp": dsp if family else None,
            "seeds": seeds if family and family.nextpnr else 0,
            "liberty": library.identity if library else [],
        },
        "tools": {tool: tools.version(tool) for tool in needed},
    }
    key = cache.key(record)
    if use_cache and (known := cache.load(key)) is not None:
        return known
    with tempfile.TemporaryDirectory(prefix="bitloom-") as folder:
        design = Design(verilog, top, Path(folder), timeout, progress)
        if library:
            points, notes = gates.points(design, library)
        else:
            assert family
            points, notes = _fpga(design, family, device, dsp, seeds)
    for point in points:
        for field in ("counts", "fmax", "area", "delay"):
            point.setdefault(field, None)
    main = {field: points[0][field] for field in ("counts", "fmax", "area", "delay")}
    record |= {**main, "points": points, "notes": notes}
    # A try that ran out of time may succeed on another day.
    if use_cache and not any("took longer" in note for note in notes):
        cache.store(key, record)
    return record


def _fpga(
    design: Design, family: Family, device: str | None, dsp: bool | None, seeds: int
) -> tuple[list[dict[str, Any]], list[str]]:
    points: list[dict[str, Any]] = []
    notes: list[str] = []
    both = (False, True) if design.multiplies else (False,)
    for use in both if dsp is None else (dsp,):
        point: dict[str, Any] = {"name": "dsp" if use else "lut"}
        point["counts"] = family.synthesize(design, use)
        if dsp is None and use and not point["counts"]["DSP"]:
            break
        if device and seeds:
            point["fmax"], note = pnr.fmax(design, family, device, use, seeds)
            notes += [f"{point['name']}: {note}"] if note else []
        points.append(point)
    return points, notes


def own_target(unit: Any, family: str) -> str:
    """Return a unit's own ``target`` for a family: its name, or that of what is alike."""
    own = unit.choices.get("target", (family,))
    if family in own:
        return family
    return "fpga" if "fpga" in own else "ecp5"  # tables of four inputs too


def report_unit(
    unit: str, parameters: Mapping[str, Any], target: str, **options: Any
) -> dict[str, Any]:
    """Generate ``unit`` with ``parameters`` and return its record on ``target``.

    A unit that has a parameter ``target`` itself gets what :func:`own_target` says. ``options`` are
    those of :func:`report`. Arguments and result can be pickled, so that any
    ``concurrent.futures.Executor`` can run this. Raises ``ValueError`` as :func:`report` and the
    unit do.
    """
    from gen.emit import emit
    from gen.unit import discover

    if unit not in discover():
        raise ValueError(f"unit must be one of {', '.join(discover())}, not {unit!r}")
    found = discover()[unit]
    family, _ = split_target(target)
    fields = {field.name for field in dataclasses.fields(found.params)}
    if unknown := sorted(set(parameters) - fields):
        raise ValueError(f"unit {unit} has no parameter {unknown[0]!r}")
    own = {"target": own_target(found, family)} if "target" in fields else {}
    verilog, manifest = emit(found, found.params(**{**parameters, **own}))
    record = report(verilog, manifest["module"], target, **options)
    # Through JSON, so that a record is the same whether it was cached or not.
    given: dict[str, Any] = json.loads(json.dumps(manifest["parameters"]))
    return {**record, "unit": unit, "parameters": given}
