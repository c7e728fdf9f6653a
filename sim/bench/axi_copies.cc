// SPDX-License-Identifier: Apache-2.0
// Many copies of a design, each with a fault of its own, before memories of their own: for sim/bench/drive_memory.py.
//
// Included after axi_memory.cc, whose Bench judges each copy, and a DUT that is nothing but ports: inputs, then outputs, in chunks of 32 bits. The
// gates are those of fpga/synth/cut.py, each an operation on a bit of every copy. All copies follow one script, each at its own pace; one that
// answers otherwise is dead.

namespace {

constexpr int WORDS = 8, COPIES = 64 * WORDS, KINDS = 5;
typedef uint64_t V __attribute__((vector_size(8 * WORDS)));

struct Gate {
    int32_t at, left, right;  // variable and literals; at < 0: memory read ~at
};

struct Spoilt {
    V left, right, turned, low, high;
};

// Rows of `bits` literals or variables from `first` on in the table of bits.
struct Port {
    int32_t first, bits;
};

struct Read {
    int32_t memory;
    Port at, data;
};

struct Write {
    int32_t memory;
    Port enable, at, data;
};

struct Step {
    uint32_t kind, a, b, c, d, e;
};

enum { WRITE, READ, POLL, WAIT, RESET, FILL, COMPARE, ANSWER, HEAL, MOOD, INTERRUPT, WINDOWS, ATTRIBUTES };
constexpr uint32_t ANY = 1 << 16;

void transpose(uint64_t *a) {
    uint64_t mask = 0xFFFFFFFFull;
    for (int j = 32; j; j >>= 1, mask ^= mask << j)
        for (int k = 0; k < 64; k = ((k | j) + 1) & ~j) {
            const uint64_t t = ((a[k] >> j) ^ a[k | j]) & mask;
            a[k] ^= t << j, a[k | j] ^= t;
        }
}

struct Copy {
    Bench bench;
    std::vector<uint8_t> memory;
    size_t step = 0;
    enum { NEXT, ACCESS, PAUSE, RESETTING } mode = NEXT;
    uint64_t count = 0, since = 0;
    bool over = false;
    uint32_t attributes = ANY;
    int32_t died = -1;

    Copy(const Config &config) : bench(nullptr, config), memory(config.size) {}
};

struct Copies {
    std::vector<V> value;
    std::vector<Gate> gates, shown;
    std::vector<int32_t> special, shown_special;  // places of gates with a fault and of reads
    std::vector<int32_t> spoilt_at;               // gate -> index of Spoilt, or -1
    std::vector<Spoilt> spoilt;
    std::vector<std::pair<int32_t, int32_t>> latches;
    std::vector<int32_t> bits;
    std::vector<Read> reads;
    std::vector<Write> writes;
    std::vector<std::vector<uint64_t>> memories;  // (copy, word, row)
    std::vector<int32_t> rows, words;
    Port in, out;
    std::vector<V> next;
    std::vector<Copy> copies;
    std::vector<Step> script;
    const uint8_t *images = nullptr;
    uint64_t cycles = 0;

    V literal(int32_t bit) const { return bit & 1 ? ~value[bit >> 1] : value[bit >> 1]; }

    // 64 bits of each copy, from literals.
    void gather(const int32_t *from, int count, uint64_t *to) const {
        V block[64];
        for (int k = 0; k < 64; k++) block[k] = k < count && from[k] >= 0 ? literal(from[k]) : V{};
        for (int g = 0; g < WORDS; g++) {
            for (int k = 0; k < 64; k++) to[64 * g + k] = block[k][g];
            transpose(to + 64 * g);
        }
    }

    void spread(const uint64_t *from, const int32_t *to, int count) {
        uint64_t block[COPIES];
        memcpy(block, from, sizeof block);
        for (int g = 0; g < WORDS; g++) transpose(block + 64 * g);
        for (int k = 0; k < count; k++)
            if (to[k] >= 0)
                for (int g = 0; g < WORDS; g++) value[to[k] >> 1][g] = block[64 * g + k];
    }

    void read(const Read &port) {
        uint64_t at[COPIES], data[COPIES];
        gather(&bits[port.at.first], port.at.bits, at);
        const int each = rows[port.memory], depth = words[port.memory];
        const auto &memory = memories[port.memory];
        for (int row = 0; row < each; row++) {
            for (int c = 0; c < COPIES; c++)
                data[c] = at[c] < uint64_t(depth) ? memory[(c * depth + at[c]) * each + row] : 0;
            spread(data, &bits[port.data.first + 64 * row], std::min(64, port.data.bits - 64 * row));
        }
    }

    void write(const Write &port) {
        V any{};
        for (int k = 0; k < port.enable.bits; k++) any |= literal(bits[port.enable.first + k]);
        bool some = false;
        for (int g = 0; g < WORDS; g++) some |= any[g] != 0;
        if (!some) return;
        uint64_t at[COPIES], data[COPIES], enable[COPIES];
        gather(&bits[port.at.first], port.at.bits, at);
        const int each = rows[port.memory], depth = words[port.memory];
        auto &memory = memories[port.memory];
        for (int row = 0; row < each; row++) {
            const int left = std::min(64, port.data.bits - 64 * row);
            gather(&bits[port.data.first + 64 * row], left, data);
            gather(&bits[port.enable.first + 64 * row], left, enable);
            for (int c = 0; c < COPIES; c++)
                if (enable[c] && at[c] < uint64_t(depth)) {
                    uint64_t &word = memory[(c * depth + at[c]) * each + row];
                    word = (word & ~enable[c]) | (data[c] & enable[c]);
                }
        }
    }

    void evaluate(const std::vector<Gate> &list, const std::vector<int32_t> &stops) {
        size_t at = 0;
        for (size_t s = 0; s <= stops.size(); s++) {
            const size_t end = s < stops.size() ? size_t(stops[s]) : list.size();
            for (; at < end; at++) {
                const Gate &g = list[at];
                value[g.at] = literal(g.left) & literal(g.right);
            }
            if (end == list.size()) break;
            const Gate &g = list[at++];
            if (g.at < 0) {
                read(reads[~g.at]);
                continue;
            }
            const Spoilt &f = spoilt[spoilt_at[g.at]];
            const V both = (literal(g.left) ^ f.left) & (literal(g.right) ^ f.right);
            value[g.at] = ((both ^ f.turned) | f.high) & ~f.low;
        }
    }

    void clock() {
        uint64_t image[COPIES];
        for (int row = 0; 64 * row < in.bits; row++) {
            for (int c = 0; c < COPIES; c++)
                memcpy(&image[c], reinterpret_cast<const char *>(&copies[c].bench.top) + 8 * row, 8);
            spread(image, &bits[in.first + 64 * row], 64);
        }
        evaluate(gates, special);
        for (const auto &port : writes) write(port);
        for (size_t k = 0; k < latches.size(); k++) next[k] = literal(latches[k].second);
        for (size_t k = 0; k < latches.size(); k++) value[latches[k].first] = next[k];
        evaluate(shown, shown_special);
        for (int row = 0; 64 * row < out.bits; row++) {
            gather(&bits[out.first + 64 * row], 64, image);
            for (int c = 0; c < COPIES; c++)
                memcpy(reinterpret_cast<char *>(&copies[c].bench.top) + in.bits / 8 + 8 * row, &image[c], 8);
        }
        cycles++;
    }

    // Begin steps of the script until one takes time.
    void advance(Copy &copy) {
        while (copy.mode == Copy::NEXT && copy.died < 0) {
            if (copy.step == script.size()) {
                copy.over = true;
                return;
            }
            const Step &s = script[copy.step];
            Bench &bench = copy.bench;
            const size_t size = copy.memory.size();
            bool good = true;
            switch (s.kind) {
            case WRITE:
                bench.lite = {true, true, true, false, true, s.a, s.b, s.c, 0};
                copy.mode = Copy::ACCESS, copy.count = 0;
                return;
            case POLL:
                if (!copy.since) copy.since = bench.seen.cycles;
                // fall through
            case READ:
                bench.lite = {false, false, false, true, true, s.a, 0, 0, 0};
                copy.mode = Copy::ACCESS, copy.count = 0;
                return;
            case WAIT:
                copy.mode = Copy::PAUSE, copy.count = s.a;
                return;
            case RESET:
                bench.begin_reset();
                copy.mode = Copy::RESETTING, copy.count = s.a;
                return;
            case FILL: memcpy(copy.memory.data(), images + s.a * size, size); break;
            case COMPARE:
                for (size_t k = 0; k < size && good; k++) {
                    good = !((copy.memory[k] ^ images[s.a * size + k]) & images[s.b * size + k]);
                    if (!good) bench.fail("memory differs at %#x", unsigned(k));
                }
                break;
            case ANSWER: bench.ranges.push_back({s.a, s.a + s.b, s.c, s.d, s.e}); break;
            case HEAL: bench.ranges.clear(); break;
            case MOOD:
                bench.config.read_latency = s.a, bench.config.write_latency = s.b;
                bench.config.bandwidth = s.c, bench.config.shy = s.d;
                for (auto &stall : bench.config.stall) stall = s.e;
                break;
            case WINDOWS: bench.config.base = s.a, bench.other = s.b; break;
            case ATTRIBUTES: copy.attributes = s.a; break;
            case INTERRUPT: good = get(bench.top.p_interrupt) == s.a; break;
            }
            if (!good) copy.died = int32_t(copy.step);
            copy.step++;
        }
    }

    // Attributes of a burst as in the register AXI_ATTR; no lock.
    void attributes(Copy &copy) {
        auto &top = copy.bench.top;
        const bool ar = get(top.p_m__axi__arvalid), aw = get(top.p_m__axi__awvalid);
        if (copy.attributes == ANY || !(ar || aw)) return;
        const uint64_t read = get(top.p_m__axi__arcache) | get(top.p_m__axi__arprot) << 4 |
                              get(top.p_m__axi__arqos) << 8 | get(top.p_m__axi__arlock) << 12;
        const uint64_t write = get(top.p_m__axi__awcache) | get(top.p_m__axi__awprot) << 4 |
                               get(top.p_m__axi__awqos) << 8 | get(top.p_m__axi__awlock) << 12;
        if ((ar && read != copy.attributes) || (aw && write != copy.attributes))
            copy.bench.fail("attributes %#x, %#x", unsigned(read), unsigned(write));
    }

    void answered(Copy &copy) {
        const Step &s = script[copy.step];
        const auto &lite = copy.bench.lite;
        copy.mode = Copy::NEXT;
        bool good = s.kind == WRITE ? lite.resp == s.d : lite.resp == s.d && (lite.data & s.b) == s.c;
        if (s.kind == POLL && !good && copy.bench.seen.cycles - copy.since < s.e) {
            copy.mode = Copy::PAUSE, copy.count = 20;
            return;
        }
        copy.since = 0;
        if (!good) copy.died = int32_t(copy.step);
        copy.step++;
    }

    void run() {
        for (;;) {
            bool any = false;
            for (auto &copy : copies) {
                if (copy.over || copy.died >= 0) continue;
                advance(copy);
                if (copy.over || copy.died >= 0) continue;
                any = true;
                if (copy.mode == Copy::RESETTING) continue;
                attributes(copy);
                copy.bench.before();
            }
            if (!any) return;
            clock();
            for (auto &copy : copies) {
                if (copy.over || copy.died >= 0) continue;
                if (copy.mode == Copy::RESETTING) {
                    copy.bench.seen.cycles++;
                    if (--copy.count == 0) copy.bench.end_reset(), copy.mode = Copy::NEXT, copy.step++;
                } else {
                    copy.bench.after();
                    if (copy.mode == Copy::ACCESS) {
                        if (!copy.bench.lite.waits) answered(copy);
                        else if (++copy.count > 1000) copy.bench.fail("no answer");
                    } else if (copy.mode == Copy::PAUSE) {
                        if (--copy.count == 0) {
                            copy.mode = Copy::NEXT;
                            copy.step += script[copy.step].kind == WAIT;
                        }
                    }
                }
                if (!copy.bench.fault.empty() && copy.died < 0) copy.died = int32_t(copy.step);
            }
        }
    }
};

}  // namespace

extern "C" {
// What `sizes` counts, in this order; `in` and `out` are places in `bits`.
struct Sizes {
    int32_t variables, gates, shown, latches, bits, reads, writes, memories, faults, steps;
    int32_t in, in_bits, out, out_bits, copies;
};

// Run the script; `died` receives the step at which each copy erred or -1, `spent` the cycles of the first.
void copies_run(const Sizes *sizes, const Gate *gates, const Gate *shown, const int32_t *latches,
                const int32_t *bits, const Read *reads, const Write *writes,
                const int32_t *memories, const int32_t *faults, const Step *script,
                const uint8_t *images, const Config *config, int32_t *died, uint64_t *spent,
                char *text) {
    auto *all = new Copies;
    Copies &c = *all;
    c.value.assign(sizes->variables, V{});
    c.gates.assign(gates, gates + sizes->gates);
    c.shown.assign(shown, shown + sizes->shown);
    for (int k = 0; k < sizes->latches; k++) c.latches.push_back({latches[2 * k], latches[2 * k + 1]});
    c.next.assign(sizes->latches, V{});
    c.bits.assign(bits, bits + sizes->bits);
    c.reads.assign(reads, reads + sizes->reads);
    c.writes.assign(writes, writes + sizes->writes);
    for (int k = 0; k < sizes->memories; k++) {
        c.words.push_back(memories[2 * k]), c.rows.push_back((memories[2 * k + 1] + 63) / 64);
        c.memories.emplace_back(size_t(COPIES) * c.words.back() * c.rows.back());
    }
    c.spoilt_at.assign(sizes->variables, -1);
    for (int k = 0; k < sizes->faults; k++) {
        const int32_t gate = faults[3 * k], kind = faults[3 * k + 1], copy = faults[3 * k + 2];
        if (c.spoilt_at[gate] < 0) c.spoilt_at[gate] = int32_t(c.spoilt.size()), c.spoilt.push_back(Spoilt{});
        (&c.spoilt[c.spoilt_at[gate]].left)[kind][copy / 64] |= uint64_t(1) << copy % 64;
    }
    for (auto [list, stops] : {std::pair{&c.gates, &c.special}, std::pair{&c.shown, &c.shown_special}})
        for (size_t k = 0; k < list->size(); k++)
            if ((*list)[k].at < 0 || c.spoilt_at[(*list)[k].at] >= 0) stops->push_back(int32_t(k));
    c.in = {sizes->in, sizes->in_bits}, c.out = {sizes->out, sizes->out_bits};
    c.script.assign(script, script + sizes->steps);
    c.images = images;
    for (int k = 0; k < COPIES; k++) {
        c.copies.emplace_back(*config);
        c.copies.back().bench.memory = nullptr;
        c.copies.back().over = k >= sizes->copies;
    }
    for (auto &copy : c.copies) copy.bench.memory = copy.memory.data();
    c.run();
    for (int k = 0; k < sizes->copies; k++) died[k] = c.copies[k].died;
    *spent = c.copies[0].bench.seen.cycles;
    snprintf(text, 200, "%s", c.copies[0].bench.fault.c_str());
    delete all;
}
}
