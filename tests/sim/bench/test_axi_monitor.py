# SPDX-License-Identifier: Apache-2.0
"""Mirror of ``sim/bench/axi_monitor.py``: legal traffic passes, and each rule can fire."""

import re
from pathlib import Path

import pytest

from sim.bench import axi_monitor
from sim.bench.axi_monitor import CHANNELS, AxiRules, AxiViolation

ADDRESS = {"addr": 0x1FE0, "len": 3, "size": 2, "burst": 1, "lock": 0, "cache": 3, "prot": 2}
PAYLOAD = {
    "aw": {**ADDRESS, "qos": 0},
    "ar": {**ADDRESS, "qos": 0},
    "w": {"data": 5, "strb": 15, "last": 0},
    "b": {"resp": 0},
    "r": {"data": 7, "resp": 0, "last": 0},
}
RESET = "reset"


def pins(*shown):
    """One cycle: each of ``shown`` is a channel, a ``-`` in front if not ready, and its changes."""
    cycle = {}
    for channel, fields in CHANNELS.items():
        cycle |= {f"{channel}{f}": PAYLOAD[channel][f] for f in fields}
        cycle |= {f"{channel}valid": 0, f"{channel}ready": 1}
    for text in shown:
        stalled, channel, changes = re.fullmatch(r"(-?)(\w+) ?(.*)", text).groups()
        cycle |= {f"{channel}valid": 1, f"{channel}ready": int(not stalled)}
        for name, value in re.findall(r"(\w+)=(\S+)", changes):
            cycle[channel + name] = None if value == "x" else int(value, 0)
    return cycle


def play(cycles, **options):
    options = {"max_burst": 4, "outstanding": 2} | options
    rules = AxiRules(32, **options)
    for cycle in cycles if cycles[0] == RESET else [(), *cycles]:
        if cycle == RESET:
            rules.step(pins(), reset=True)
        elif cycle[:1] == (RESET,):
            rules.step(pins(*cycle[1:]), reset=True)
        else:
            rules.step(pins(*cycle))
    return rules


WRITE = [("aw",), ("w",), ("w",), ("w",), ("w last=1",), ("b",)]
DATA_FIRST = [("w",), ("w",), ("w",), ("w last=1",), ("aw",), ("b",)]
READ = [("ar",), ("r",), ("r",), ("r",), ("r last=1",)]

LEGAL = {
    "write": WRITE,
    "data_first": DATA_FIRST,
    "read": READ,
    "stalls": [("-aw",), ("aw", "-w"), ("w",), *WRITE[2:-1], ("-b",), ("b",), ("-ar",), *READ],
    "errors": [*WRITE[:-1], ("b resp=3",), READ[0], ("r resp=2",), *READ[2:]],
    "two_in_flight": [("aw",), ("aw",), *WRITE[1:5], *WRITE[1:5], ("b",), ("b",)],
    "response_and_next": [*WRITE[:5], ("aw",), ("aw", "b")],
    "to_the_page": [("ar addr=0x1ff0",), *READ[1:]],
    "reset_drops": [("-aw", "-w"), (RESET, "-aw", "-w"), RESET, (), *WRITE],
}


@pytest.mark.parametrize("name", LEGAL)
def test_legal(name):
    rules = play([RESET, RESET, (), *LEGAL[name]])
    assert rules.quiet == (name != "response_and_next")


@pytest.mark.parametrize("cycles", [[("-ar",)], [("aw",)], [("ar",)], [("w",)], [("w last=1",)]])
def test_not_quiet(cycles):
    assert not play(cycles).quiet


def address_faults(c):
    start = f"{c} addr=0x1ff4"
    return {
        f"{c}_VALID_RESET": [RESET, RESET, (c,)],
        f"{c}_STABLE": [(f"-{c}",), (f"{c} addr=0x1fc0",)],
        f"{c}_X": [(f"{c} addr=x",)],
        f"{c}_ADDR_BOUNDARY": [(start,)],
        f"{c}_SIZE": [(f"{c} size=1",)],
        f"{c}_BURST": [(f"{c} burst=2",)],
        f"{c}_LEN": [(f"{c} len=4",)],
        f"{c}_CACHE": [(f"{c} cache=4",)],
        f"{c}_LOCK": [(f"{c} lock=1",)],
        f"{c}_ADDR_ALIGN": [(f"{c} addr=0x1fe2",)],
        f"{c}_OUTSTANDING": [(c,)] * 3,
    }


FAULTS = {
    **address_faults("aw"),
    **address_faults("ar"),
    "w_VALID_RESET": [RESET, (RESET, "w")],
    "w_STABLE": [("-w",), ()],
    "w_X": [("w strb=x",)],
    "b_STABLE": [*WRITE[:-1], ("-b",), ("b resp=2",)],
    "b_X": [*WRITE[:-1], ("b resp=x",)],
    "r_STABLE": [("ar",), ("-r",), ("r data=8",)],
    "r_X": [("ar",), ("r last=x",)],
    "AR_OUTSIDE": [("ar addr=0x1004",)],
    "W_LAST": [("aw",), ("w",), ("w last=1",)],
    "W_OUTSIDE": [("aw addr=0x1004 len=0",), ("w last=1 strb=8",)],
    "W_OWED": [("w last=1",)] * 3,
    "B_EARLY": [("aw",), ("w",), ("b",)],
    "R_EARLY": [("r",)],
    "R_LAST": [("ar",), ("r",), ("r last=1",)],
    "B_EXOKAY": [*WRITE[:-1], ("b resp=1",)],
    "R_EXOKAY": [("ar",), ("r resp=1",)],
}

#: Other ways to break a rule that has more than one.
MORE = {
    "AR_STABLE": [[("-ar",), ()]],
    "AW_X": [[("aw valid=x",)], [("aw ready=x",)]],
    "AW_VALID_RESET": [[("aw",), (RESET, "aw"), (RESET, "aw")]],
    "W_LAST": [
        [("aw",), *[("w",)] * 4],
        [("w",), ("w last=1",), ("aw",)],
        [("w",)] * 5,
        [("aw",), *WRITE[1:5], ("aw len=0",), ("w",)],
    ],
    "B_EARLY": [[("w last=1",), ("b",)], [*WRITE, ("b",)], [*WRITE[:-2], ("w last=1", "b")]],
    "R_EARLY": [[*READ, ("r",)], [("ar", "r")]],
    "R_LAST": [[("ar",), *[("r",)] * 4]],
}

CASES = [(rule.upper(), cycles) for rule, cycles in FAULTS.items()]
CASES += [(rule, cycles) for rule, several in MORE.items() for cycles in several]


@pytest.mark.parametrize(("rule", "cycles"), CASES)
def test_fault(rule, cycles):
    with pytest.raises(AxiViolation, match=f"^{rule}: ") as found:
        play(cycles, writable=lambda a: a != 0x1007, readable=lambda a: a >> 2 != 0x401)
    assert found.value.rule == rule


def test_every_rule_has_its_fault():
    """The names in the code, and no others, are those that can fire."""
    text = Path(axi_monitor.__file__).read_text(encoding="utf-8")
    names = set(re.findall(r'AxiViolation\("(\w+)"', text))
    suffixes = re.findall(r'AxiViolation\(f"\{\w+\}_(\w+)"', text)
    assert set(suffixes) == {"VALID_RESET", "X", "STABLE"}
    names |= {f"{c}_{s}".upper() for c in CHANNELS for s in ("X", "STABLE")}
    names |= {f"{c}_VALID_RESET" for c in ("AW", "W", "AR")}
    shared = re.findall(r'^ {12}"(\w+)":', text, re.M)
    names |= {f"{c}_{s}" for c in ("AW", "AR") for s in shared}
    assert names == {rule for rule, _ in CASES}
    for name in names:
        channel, rule = name.split("_", 1)
        spellings = {name, f"<c>_{rule}", *([f"<a>_{rule}"] if channel[0] == "A" else [])}
        assert any(f"``{spelling}``" in axi_monitor.__doc__ for spelling in spellings), name


def test_the_slave_may_go_unjudged():
    play([("r valid=0", *READ[0])], slave=False)
    play([("ar",), ("-r",), ("r data=8 last=1",)], slave=False)
    with pytest.raises(AxiViolation, match="AR_LEN"):
        play([("ar len=9",)], slave=False)
