# SPDX-License-Identifier: Apache-2.0
"""The butterflies between what the banks give and what they take."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.arith.wires import wire
from hw.butterfly.banks import Rule, from_banks, pairs, to_banks, unpaired
from hw.butterfly.enter import over_limits, record_layout
from hw.butterfly.issue import Issue
from hw.butterfly.pair import Pair, shift_of
from hw.butterfly.params import EXP_BITS, ButterflyParams
from hw.butterfly.walk import Walk

__all__ = ["Work"]


class Work(wiring.Component):
    """Transform the vectors of two sets of banks in turn, in place.

    Parameters
    ----------
    params : :class:`ButterflyParams`

    Members
    -------
    loaded : ``In(2)``
        Which sets have a vector that waits.
    records : ``In``
        What is known of that of either set.
    sigma : ``In``
        Shifts of the stages, of either set of weights.
    put_weights, put_at, put_data
        A beat of weights that is stored.
    ended : ``Out(2)``
        Whose last beat begins.
    reads : ``Out(2)``, even, odd : ``Out(row_bits)``
        Whose banks are read, and where.
    words : ``In``
        What the banks of either set give, in the next cycle.
    writes : ``Out(2)``, to_even, to_odd, results : ``Out``
        Whose banks are written, where and with what.
    done : ``Out(2)``, exp : ``Out(engines * EXP_BITS)``
        Whose last results are written, and the exponents of its rows.
    """

    def __init__(self, params: ButterflyParams):
        self.params = params
        self.issue = Issue(params)
        bits = params.lanes * params.engines * 2 * params.state_bits
        put = {
            name: In(getattr(self.issue, name).shape())
            for name in ("put_weights", "put_at", "put_data")
        }
        super().__init__(
            {
                "loaded": In(2), **put, "sigma": In(8 * params.stages),
                "record0": In(record_layout(params)), "record1": In(record_layout(params)),
                "ended": Out(2), "reads": Out(2),
                "even": Out(params.row_bits), "odd": Out(params.row_bits),
                "words0": In(bits), "words1": In(bits), "writes": Out(2),
                "to_even": Out(params.row_bits), "to_odd": Out(params.row_bits),
                "results": Out(bits), "done": Out(2), "exp": Out(EXP_BITS * params.engines),
            }
        )  # fmt: skip

    def elaborate(self, platform: Any) -> Module:
        m, params = Module(), self.params
        rule = Rule(params)
        m.submodules.issue = issue = self.issue
        m.submodules.walk = walk = Walk(params)
        slot = issue.slot
        m.d.comb += [
            issue.loaded.eq(self.loaded),
            issue.record.eq(Mux(slot, self.record1, self.record0)),
            issue.put_weights.eq(self.put_weights),
            issue.put_at.eq(self.put_at),
            issue.put_data.eq(self.put_data),
            self.ended.eq(issue.ended << slot),
            self.even.eq(issue.even),
            self.odd.eq(issue.odd),
            self.reads.eq(issue.tag.go << issue.tag.slot),
        ]
        tags = [issue.tag]
        for number in range(1, 7):
            tag = Signal(issue.tag.shape(), name=f"tag{number}")
            m.d.sync += tag.eq(tags[-1])
            tags.append(tag)

        moves = (issue.exchange, issue.first, issue.second)
        given = wire(m, Mux(tags[1].slot, self.words1, self.words0), "given")
        width = params.engines * 2 * params.state_bits
        banks = [given.word_select(k, width) for k in range(params.lanes)]
        elements = pairs(m, from_banks(m, rule, banks, moves), issue.near)
        extra, exp = self._amounts(m, tags)
        plus_im = Signal(params.lanes // 2)
        m.d.sync += plus_im.eq(~issue.negative)
        plus_re = [Signal(name=f"plus_re{k}") for k in range(params.lanes // 2)]
        results, over = [], []
        for k in range(params.lanes // 2):
            m.d.sync += plus_re[k].eq(issue.negative[k] | tags[2].real)
            found: list[list[Value]] = [[], []]
            for engine in range(params.engines):
                cell = self._pair(m, k, engine, elements[2 * k : 2 * k + 2])
                m.d.comb += [
                    cell.real.eq(tags[1].real),
                    *(
                        getattr(cell, f"w{n}").eq(
                            issue.factors.word_select(4 * k + n, params.factor_bits)
                        )
                        for n in range(4)
                    ),
                    cell.plus_re.eq(plus_re[k]),
                    cell.plus_im.eq(plus_im[k]),
                    cell.extra.eq(extra[engine]),
                ]
                second = wire(m, Mux(tags[6].real, cell.x_im, cell.y_re), "second")
                found[0] += [cell.x_re, cell.x_im]
                found[1] += [second, cell.y_im]
                over.append((engine, [cell.x_re, cell.x_im, cell.y_re, cell.y_im]))
            results += [wire(m, Cat(*part), "result") for part in found]
        self._watch(m, tags[6], over)

        number = tags[5].slot
        m.d.comb += [
            walk.start.eq(tags[5].start),
            walk.go.eq(tags[5].go),
            walk.log2n.eq(Mux(number, self.record1.log2n, self.record0.log2n)),
            self.to_even.eq(walk.even),
            self.to_odd.eq(walk.odd),
            self.writes.eq(tags[6].go << tags[6].slot),
            self.done.eq(tags[6].done << tags[6].slot),
            self.exp.eq(exp),
        ]
        moves = (walk.exchange, walk.first, walk.second)
        m.d.comb += self.results.eq(Cat(*to_banks(m, rule, unpaired(m, results, walk.near), moves)))
        return m

    def _pair(self, m: Module, k: int, engine: int, elements: list[Value]) -> Pair:
        params, bits = self.params, self.params.state_bits
        cell = Pair(params)
        m.submodules[f"pair{k}_{engine}"] = cell
        for stem, word in zip("ac", elements, strict=True):
            m.d.comb += [
                getattr(cell, f"{stem}_re").eq(word.word_select(2 * engine, bits)),
                getattr(cell, f"{stem}_im").eq(word.word_select(2 * engine + 1, bits)),
            ]
        return cell

    def _amounts(self, m: Module, tags: list[Any]) -> tuple[list[Signal], Value]:
        """Return by how much each engine shifts, and the exponents of its row."""
        params = self.params
        _, turn, weight, most = shift_of(params)
        tag = tags[4]
        record = Signal(self.record0.shape(), name="record_now")
        m.d.comb += record.eq(Mux(tag.slot, self.record1, self.record0))
        size = 4 * params.stages
        given = wire(m, Mux(record.set, self.sigma[size:], self.sigma[:size]), "given_sigma")
        rest = Signal(size)
        sigma = wire(m, Mux(tag.opens, given, rest), "sigma_now")
        with m.If(tag.first):
            m.d.sync += rest.eq(sigma[4:])
        extras, exps = [], []
        self._over = []
        for engine in range(params.engines):
            if params.scaling == "bfp":
                over = Signal(2, name=f"over{engine}")
                self._over.append(over)
                entered = record.over.word_select(engine, 2)
                now = wire(m, Mux(tag.opens, entered, over), "over_now")
                shift = Cat(now[0] & ~now[1], now[1])
            else:
                shift = Const(int(params.scaling == "half"), 2)
            shift = wire(m, Mux(tag.real, sigma[:4], shift), "shift")
            extra = Signal(most.bit_length(), name=f"extra{engine}")
            exp = Signal(signed(EXP_BITS), name=f"exp{engine}")
            base = Mux(record.inverse, -record.log2n, 0)
            with m.If(tag.first):
                m.d.sync += [
                    extra.eq(shift + Mux(tag.real, weight, turn)),
                    exp.eq(Mux(tag.opens, base, exp) + shift),
                ]
            extras.append(extra)
            exps.append(exp)
        return extras, Cat(*exps)

    def _watch(self, m: Module, tag: Any, results: list[Any]) -> None:
        """Note which rows exceed the limits of a stage's results."""
        if self.params.scaling != "bfp":
            return
        for engine, over in enumerate(self._over):
            words = [word for number, found in results if number == engine for word in found]
            now = over_limits(m, self.params, words)
            with m.If(tag.go):
                m.d.sync += over.eq(now | Mux(tag.first, 0, over))
