# SPDX-License-Identifier: Apache-2.0
"""Every unit keeps the stream rules for all time, and the proof notices when one does not.

Of the matrix engines every rule of order is proved for all time (of those with one dataflow), and
of most that something moves while all partners are willing; that the next result comes in time is
only searched, which takes long and is left to `python -m sim prove`. Three engines are proved in
every run, the others in deep ones. Of units that answer beats of rows it is proved that results
wait unchanged; the rules of order and time are searched until after the first results.
"""

import re
from pathlib import Path
from typing import Any

import pytest

from gen.emit import emit
from gen.unit import Unit, discover
from sim import formal
from sim.bench import properties, properties_axi, properties_axis, properties_cfu
from sim.formal import Proof, prove
from tests.verilog.mutants import MUTANTS, mutate

#: What each fault breaks, by the property that must be refuted.
REFUTED = {
    "ready_stuck": "o_value",
    "valid_dropped": "o_valid_kept",
    "valid_needs_ready": "o_valid depends combinationally on o_ready",
    "valid_awaits_ready": "o_in_time",
    "payload_moves": "o_payload_kept",
    "beat_lost": "o_value",
    "beat_twice": "o_value",
    "result_lost": None,
    "result_repeated": "o_not_early",
    "boundary_late": None,
    "reset_ignored": None,
    "deadlock": "i_taken",
}


SLOW = ("array", "mpgemm", "coprocessor", "fnet-mixing")  #: A minute for each case, or more.

#: Engines that are proved in every run: sums that stay in place, serial planes, N:M.
SOON = ({"dataflow": "broadcast"}, {"engine": "bit-plane"}, {"arch": "nm"})

#: Elements whose numbers take a solver long: proved in deep runs.
HEAVY: tuple[dict[str, Any], ...] = (
    {"arch": "simd"},
    {"arch": "bit-serial", "mode": "hardware"},
)

#: Units of which the first case is proved in every run; the others take a minute or more.
FIRST = ("activation", "attention-tiles", "scalar", "softmax")

#: Units whose every case takes long.
LONG = ("attention", "butterfly", "merge", "norm", "rope")


#: Engines of which PDR had no verdict in two minutes whether something always moves.
UNDECIDED: tuple[dict[str, Any], ...] = (
    {"dataflow": "is"},
    {"dataflow": "os"},
    {"dataflow": "ws"},
    {"dataflow": "tree", "pipeline": 1},
    {"engine": "pq", "distance": "l2"},
)

#: Rules that need no core.
ORDER = {"out_not_early", "out_error_last", "out_keep_value", "out_rows_value", "out_code_value"}


def _soon(case: dict[str, Any]) -> bool:
    """Whether a matrix engine is the first one of those."""
    kinds = [kind for kind in SOON if kind.items() <= case.items()]
    units = discover()
    every = [*units["array"].cases, *units["mpgemm"].cases]
    return any(case is next(c for c in every if kind.items() <= c.items()) for kind in kinds)


def _heavy(unit: Unit, case: dict[str, Any]) -> bool:
    return unit.name == "pe" and any(kind.items() <= case.items() for kind in HEAVY)


def _late(unit: Unit, case: dict[str, Any]) -> bool:
    """Whether a case is left to deep runs."""
    if unit.name in FIRST:
        return case is not unit.cases[0]
    return unit.name in LONG or _heavy(unit, case) or (unit.name in SLOW and not _soon(case))


def _cases() -> list[Any]:
    """Every case of every unit; bare cells have no handshake, so no rules of transfer."""
    return [
        pytest.param(
            unit,
            case,
            id=f"{unit.name}-{number}",
            marks=pytest.mark.deep if _late(unit, case) else [],
        )
        for unit in discover().values()
        for number, case in enumerate(unit.cases)
        if case.get("core", "stream") == "stream"
    ]


def proof_of(unit: Unit, case: dict[str, Any], folder: Path, **options: Any) -> Proof:
    return prove(*emit(unit, unit.params(**case)), folder, **options)


@pytest.mark.parametrize(("unit", "case"), _cases())
def test_unit(unit: Unit, case: dict[str, Any], tmp_path: Path) -> None:
    text, manifest = emit(unit, unit.params(**case))
    axi = properties_axi.axi_prefix(manifest) is not None
    if not (manifest["streams"] or axi or properties_cfu.takes_instructions(manifest)):
        with pytest.raises(ValueError, match="cannot be proved"):
            prove(text, manifest, tmp_path)
        return
    if properties_axis.takes_jobs(manifest):
        proof = prove(text, manifest, tmp_path, seconds=300, thorough=False)
        assert proof.refuted is None and proof.independent
        open_ = set(proof.properties) - set(proof.for_all_time)
        if "flow_extra" in manifest["contract"]:  # its sequencer is another
            assert ORDER <= set(proof.searched) and min(proof.searched[rule] for rule in ORDER) > 10
            return
        slow = any(kind.items() <= case.items() for kind in UNDECIDED)
        assert open_ <= {"out_in_time"} | ({"all_in_time"} if slow else set())
        return
    packets = properties.answers_packets(manifest)
    if properties.rows_of(manifest) or packets:
        proof = prove(text, manifest, tmp_path, seconds=300)
        assert proof.refuted is None and proof.independent
        assert set(proof.for_all_time) == {"o_valid_kept", "o_payload_kept"}
        value = set() if packets else {"o_value"}
        assert set(proof.searched) == {"o_not_early", "o_in_time", "i_taken"} | value
        # A whole tile is more cycles than can be searched.
        least = 40 if unit.name == "fnet-mixing" else manifest["latency"] + 2
        assert min(proof.searched.values()) > least
        return
    proof = prove(text, manifest, tmp_path, seconds=120)
    if unit.name == "coprocessor" and not proof.proved:  # no verdict in ten minutes: searched
        depth = re.search(r"none fails in the first (\d+) cycles", proof.refuted or "")
        assert depth and int(depth[1]) >= 12, proof.refuted
        return
    assert proof.proved, proof.refuted
    assert proof.covered >= (4 if "places" in manifest["contract"] else 5)
    if manifest["streams"]:
        assert proof.left_out is None or "places" in manifest["contract"]


#: Fault of an engine's frame -> module, text and what stands there instead, rules that may fail.
FRAME: dict[str, tuple[str, str, str, set[str]]] = {
    "slice drops valid": (
        "out_slice", r"(o__valid <= \S+) ;", r"\1 & o__ready;", {"out_valid_kept"},
    ),
    "payload moves": (
        "out_slice", r"o__payload <= \S+ ;", "o__payload <= i__payload;",
        {"out_payload_kept", "out_keep_value"},
    ),
    "tile lost": (
        "tiles", r"assign takes = i__valid", "assign takes = i__valid & ~used1",
        {"out_rows_value", "out_keep_value"},
    ),
    "row twice": ("writer", r"assign exists = .*;", "assign exists = 1'h1;",
                  {"out_rows_value", "out_not_early"}),
    "tlast early": (
        "writer", r"(assign \S+ +=) tile__payload\[4\] & \S+ ;", r"\1 tile__payload[4];",
        {"out_rows_value", "out_not_early"},
    ),
    "columns": (
        "writer", r"(assign \S+ +=) tile__payload\[3:2\] > 1'h1;", r"\1 1'h1;",
        {"out_keep_value"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [n if n == "tile lost" else pytest.param(n, marks=pytest.mark.deep) for n in FRAME]
)
def test_fault_of_a_frame(name: str, tmp_path: Path) -> None:
    unit = discover()["array"]
    text, manifest = emit(unit, unit.params(**unit.cases[0]))
    module, was, now, rules = FRAME[name]
    start = text.index(f"module {manifest['module']}_{module}(")
    end = text.index("endmodule", start)
    wrong, count = re.subn(was, now, text[start:end])
    assert count == 1
    text = text[:start] + wrong + text[end:]
    proof = prove(text, manifest, tmp_path, seconds=300, thorough=False)
    assert not proof.for_all_time and proof.refuted in rules


@pytest.mark.parametrize(
    ("was", "now", "rules"),
    [
        (r"assign i_ready = .*;", "assign i_ready = 1'h1;", {"o_valid_kept", "o_places"}),
        (r"ends3 <= \S+ ;", "ends3 <= 1'h0;", {"o_places", "o_pace"}),
    ],
)
def test_fault_of_a_deep_pipeline(was: str, now: str, rules: set[str], tmp_path: Path) -> None:
    unit = discover()["attention"]
    text, manifest = emit(unit, unit.params(**unit.cases[0]))
    wrong, count = re.subn(was, now, text)
    assert count == 1
    proof = prove(wrong, manifest, tmp_path)
    assert not proof.proved and proof.refuted in rules, proof.refuted


#: Fault of a unit with rows -> text and what stands there instead.
ROW_FAULTS = {
    "valid drops": (r"(o_valid <= )(\S+) ?;", r"\1\2 & ~o_valid;"),
    "kept bit lost": (r"assign o_keep = o__payload\[\d+\];", "assign o_keep = 1'h0;"),
}


@pytest.mark.parametrize("name", ROW_FAULTS)
def test_fault_of_rows(name: str, tmp_path: Path) -> None:
    unit = discover()["softmax"]
    text, manifest = emit(unit, unit.params(**unit.cases[0]))
    wrong, count = re.subn(*ROW_FAULTS[name], text, count=1)
    assert count == 1
    proof = prove(wrong, manifest, tmp_path, seconds=300)
    assert proof.refuted is not None


@pytest.mark.parametrize("pipeline", [1, 2, 3])
def test_pipeline(pipeline: int, tmp_path: Path) -> None:
    unit = discover()["pe"]
    params = unit.params(format="e2m1", act="int4", lanes=2, pipeline=pipeline)
    proof = prove(*emit(unit, params), tmp_path)
    assert proof.proved and not proof.left_out, proof.refuted


def test_without_a_zero(tmp_path: Path) -> None:
    """Formats without a zero have no beat that adds nothing: the proof says what it leaves out."""
    unit = discover()["pe"]
    proof = prove(*emit(unit, unit.params(format="bipolar2", act="binary")), tmp_path)
    assert proof.proved and proof.left_out is not None
    assert not any(label.endswith("_value") for label in proof.properties)


@pytest.mark.deep
def test_what_is_not_proved_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search says how far it came: as many cycles as it was told, if time allows."""
    monkeypatch.setattr(properties_axis, "depth", lambda manifest: 20)
    monkeypatch.setattr(formal, "_cover", lambda *args: (12, None))
    unit = discover()["array"]
    proof = prove(*emit(unit, unit.params(**unit.cases[0])), tmp_path, seconds=600)
    assert proof.refuted is None and not proof.proved
    assert proof.searched == {"out_in_time": 20}


@pytest.mark.parametrize("name", sorted(REFUTED))
def test_fault(name: str, tmp_path: Path) -> None:
    unit = discover()["pe"]
    text, manifest = emit(unit, unit.params(format="int2", act="int2", max_k=16))
    proof = prove(mutate(text, manifest, name), manifest, tmp_path)
    assert not proof.proved
    if REFUTED[name]:
        assert proof.refuted == REFUTED[name]
    if name != "valid_needs_ready":
        assert proof.trace is not None and proof.trace.exists()


@pytest.mark.parametrize(
    ("changes", "refuted"),
    [
        ({"s_axi_ctrl_bvalid": "c_s_axi_ctrl_bvalid && s_axi_ctrl_bready"}, "depends"),
        ({"s_axi_ctrl_rdata": "c_s_axi_ctrl_rdata ^ {31'b0, n[0]}"}, "r_payload_kept"),
        ({"s_axi_ctrl_rvalid": "c_s_axi_ctrl_rvalid || &n"}, None),
        ({"s_axi_ctrl_arready": "1'b0"}, "r_not_early"),
        ({"c_s_axi_ctrl_bready": "s_axi_ctrl_bready && n[2]"}, None),
    ],
)
def test_fault_of_axi(changes: dict[str, str], refuted: str | None, tmp_path: Path) -> None:
    unit = discover()["pe-axi"]
    text, manifest = emit(unit, unit.params(format="int2", act="int2"))
    count = {"_": "reg [2:0] n = 0; always @(posedge aclk) n <= n + 1;"}
    proof = prove(mutate(text, manifest, count | changes), manifest, tmp_path)
    assert not proof.proved
    assert refuted is None or refuted in (proof.refuted or "")


@pytest.mark.parametrize(
    ("changes", "refuted"),
    [
        ({"rsp_valid": "c_rsp_valid && rsp_ready"}, "depends"),
        ({"rsp_payload_outputs_0": "c_rsp_payload_outputs_0 ^ n[0]"}, "rsp_payload_kept"),
        ({"rsp_valid": "c_rsp_valid && n[2]"}, None),
        ({"rsp_valid": "c_rsp_valid || &n"}, "rsp_not_early"),
        ({"cmd_ready": "1'b1"}, "cmd_one"),
        ({"cmd_ready": "c_cmd_ready && n[2]"}, "cmd_taken"),
        ({"c_reset": "1'b0"}, "rsp_"),
    ],
)
def test_fault_of_instructions(
    changes: dict[str, str], refuted: str | None, tmp_path: Path
) -> None:
    unit = discover()["cfu"]
    text, manifest = emit(unit, unit.params(**unit.cases[0]))
    count = {"_": "reg [2:0] n = 0; always @(posedge clk) n <= n + 1;"}
    proof = prove(mutate(text, manifest, count | changes), manifest, tmp_path)
    assert not proof.proved
    assert refuted is None or refuted in (proof.refuted or ""), proof.refuted


def test_request_never_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a short bound, because the solver's time grows with the length of the wait."""
    monkeypatch.setattr(properties_axi, "WAIT", 4)
    unit = discover()["pe-axi"]
    text, manifest = emit(unit, unit.params(format="int2", act="int2"))
    never = {"s_axi_ctrl_arready": "1'b0", "c_s_axi_ctrl_arvalid": "1'b0"}
    assert prove(mutate(text, manifest, never), manifest, tmp_path).refuted == "ar_taken"


def test_every_fault_of_the_handshake_is_listed() -> None:
    assert set(MUTANTS) - set(REFUTED) == {"sign_lost"}


def test_a_proof_of_nothing_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without traffic nothing can go wrong: only the covers notice."""
    written = formal.harness

    def silent(*args: Any) -> str:
        return written(*args).replace("endmodule", "  always @* assume (!i_valid);\nendmodule")

    monkeypatch.setattr(formal, "harness", silent)
    unit = discover()["pe"]
    proof = prove(*emit(unit, unit.params(format="int2", act="int2")), tmp_path)
    assert not proof.proved
    assert proof.refuted is not None and proof.refuted.startswith("cover not reached: always")


def test_a_cell_has_nothing_to_prove(tmp_path: Path) -> None:
    unit = discover()["pe"]
    with pytest.raises(ValueError, match="one stream each way"):
        prove(*emit(unit, unit.params(core="dot")), tmp_path)
