# SPDX-License-Identifier: Apache-2.0
"""Memories are cut out of a netlist and simulated beside it; scripts say what must be found."""

import numpy as np
import pytest

from fpga.synth.cut import Memory, cut
from gen.emit import emit
from gen.unit import discover
from sim.bench.accelerator_script import script_of
from sim.bench.drive_memory import _STEPS, _ordered

#: A memory whose word is the address in another one.
TWO = """\
module two(input clk, input we, input [1:0] at, input [2:0] data, output [3:0] found);
  reg [2:0] first [3:0]; reg [3:0] second [7:0];
  integer k; initial begin
    for (k = 0; k < 4; k = k + 1) first[k] = 0;
    for (k = 0; k < 8; k = k + 1) second[k] = 0;
  end
  always @(posedge clk) if (we) begin first[at] <= data; second[data] <= {at, data[1:0]}; end
  assign found = second[first[at] ^ 3'd5] + 4'd1;
endmodule
"""


def test_memories_are_cut_out(tmp_path):
    machine, memories = cut(TWO, "two", tmp_path, ("strash", "map"))
    assert {(m.words, m.width) for m in memories} == {(4, 3), (8, 4)}
    assert not len(machine.latches), "the words are no registers"
    for memory in memories:
        assert isinstance(memory, Memory)
        (at, data), (enable, address, word) = memory.reads[0], memory.writes[0]
        assert len(machine.inputs[data]) == len(machine.outputs[word]) == memory.width
        assert len(machine.outputs[enable]) == memory.width
        assert 1 << len(machine.outputs[at]) == 1 << len(machine.outputs[address]) == memory.words


def test_a_read_comes_after_its_address(tmp_path):
    machine, memories = cut(TWO, "two", tmp_path, ("strash", "map"))
    every, shown = _ordered(machine, memories, ["found"])
    reads = [(machine.outputs[at], machine.inputs[data]) for m in memories for at, data in m.reads]
    inside = {bit for _, data in reads for bit in data}
    for order in (every, shown):
        known: set[int] = set(range(machine.variables)) - {row[0] for row in every} - inside
        for at, left, right in order:
            if at < 0:
                address, data = reads[~at]
                assert {bit >> 1 for bit in address} <= known
                known |= set(data)
            else:
                assert {left >> 1, right >> 1} <= known
                known.add(at)
        assert {bit >> 1 for bit in machine.outputs["found"]} <= known
    assert len([row for row in every if row[0] < 0]) == 2


@pytest.mark.parametrize("contents", ["3'd1"])
def test_a_memory_with_contents_is_refused(tmp_path, contents):
    text = TWO.replace("first[k] = 0", f"first[k] = {contents}")
    with pytest.raises(ValueError, match="has contents"):
        cut(text, "two", tmp_path, ("strash", "map"))


def test_a_script_is_the_same_for_the_same_seed_and_uses_every_address_bit():
    unit = discover()["coprocessor"]
    _, manifest = emit(unit, unit.params(**unit.cases[0]))
    script, again = script_of(manifest, 1), script_of(manifest, 1)
    assert script == again and script.steps != script_of(manifest, 2).steps
    kinds = {_STEPS[step[0]] for step in script.steps}
    assert kinds == set(_STEPS) - {"wait"} | {"wait"}
    starts = [step[1] for step in script.steps if _STEPS[step[0]] == "windows"]
    both = np.bitwise_or.reduce(starts), ~np.bitwise_and.reduce(starts)
    assert all(int(bits) >> 12 & 0xFFFFF == 0xFFFFF for bits in both)
