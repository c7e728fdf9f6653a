// SPDX-License-Identifier: Apache-2.0
// A design compiled by CXXRTL between an AXI4-Lite master and an AXI4 memory, for sim/coprocessor.py.
//
// Included after the design, whose class is DUT. Every cycle samples both sides of every channel, judges what the design does (sheet C.5) and
// decides what the memory shows in the next one. The first rule that is broken stops the run.

#include <algorithm>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

#define PORT(name) top.p_##name

namespace {

using cxxrtl::value;
using cxxrtl::wire;

template <size_t N> const value<N> &shown(const value<N> &port) { return port; }
template <size_t N> const value<N> &shown(const wire<N> &port) { return port.curr; }

template <class P> uint64_t get(const P &port) {
    const auto &v = shown(port);
    uint64_t found = v.data[0];
    if (v.chunks > 1) found |= uint64_t(v.data[v.chunks > 1 ? 1 : 0]) << 32;
    return found;
}

template <size_t N> void set(value<N> &port, uint64_t word) {
    port.data[0] = uint32_t(word) & (N < 32 ? (1u << (N & 31)) - 1 : ~0u);
    if (port.chunks > 1) port.data[port.chunks > 1 ? 1 : 0] = uint32_t(word >> 32);
}

enum { OKAY = 0, SLVERR = 2, DECERR = 3, WRONG_RLAST = 4 };
enum { AR, R, AW, W, B, LITE, CHANNELS };

struct Config {
    uint64_t base, size, seed;
    uint32_t read_latency, write_latency;  // cycles from the request to the first beat, the response
    uint32_t bandwidth;                    // beats in 1024 cycles, for either direction
    uint32_t max_burst, outstanding;       // what the design promises; 0: anything
    uint32_t shy;                          // AWREADY waits for WVALID
    uint32_t stall[CHANNELS];              // percent of cycles
};

struct Statistics {
    uint64_t cycles, read_bursts, read_beats, write_bursts, write_beats, write_bytes, interrupts;
};

struct Burst {
    uint64_t addr;
    uint32_t left;
    uint64_t ready;  // first cycle in which the memory may answer
    uint32_t resp;
};

struct Range {
    uint64_t from, to;
    uint32_t reads, writes, resp;
};

struct Bench {
    DUT top;
    Config config;
    uint8_t *memory;
    uint64_t other = 0;
    Statistics seen{};
    std::string fault;
    std::vector<Range> ranges;

    static constexpr unsigned BYTES = decltype(top.p_m__axi__wdata)::bits / 8;
    std::deque<Burst> reads, writes, responses;
    uint64_t state, read_credit = 0, write_credit = 0;
    // What was shown in the cycle before, to see that it stays.
    std::vector<uint32_t> held[3];
    bool rvalid = false, bvalid = false;  // shown and not taken

    Bench(uint8_t *where, const Config &given) : config(given), memory(where) {
        state = given.seed * 2 + 0x9E3779B97F4A7C15ull;
    }

    bool stalls(int channel) {
        if (!config.stall[channel]) return false;
        state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
        return (state * 0x2545F4914F6CDD1Dull >> 33) % 100 < config.stall[channel];
    }

    void fail(const char *form, ...) {
        if (!fault.empty()) return;
        char text[200];
        va_list rest;
        va_start(rest, form);
        vsnprintf(text, sizeof text, form, rest);
        va_end(rest);
        fault = "cycle " + std::to_string(seen.cycles) + ": " + text;
    }

    void clock() {
        PORT(aclk).set(true);
        top.step();
        PORT(aclk).set(false);
    }

    void reset(unsigned cycles) {
        begin_reset();
        PORT(aclk).set(false);
        top.step();
        for (unsigned k = 0; k < cycles; k++) clock(), top.step(), seen.cycles++;
        end_reset();
        top.step();
    }

    void begin_reset() {
        reads.clear(), writes.clear(), responses.clear();
        for (auto &each : held) each.clear();
        PORT(aresetn).set(false);
        set(PORT(m__axi__arready), 0), set(PORT(m__axi__awready), 0), set(PORT(m__axi__wready), 0);
        set(PORT(m__axi__rvalid), 0), set(PORT(m__axi__bvalid), 0);
        set(PORT(s__axi__ctrl__awvalid), 0), set(PORT(s__axi__ctrl__wvalid), 0);
        set(PORT(s__axi__ctrl__arvalid), 0);
        set(PORT(s__axi__ctrl__bready), 0), set(PORT(s__axi__ctrl__rready), 0);
    }

    void end_reset() {
        if (get(PORT(m__axi__arvalid)) || get(PORT(m__axi__awvalid)) || get(PORT(m__axi__wvalid)) ||
            get(PORT(s__axi__ctrl__bvalid)) || get(PORT(s__axi__ctrl__rvalid)))
            fail("VALID is up in reset");
        PORT(aresetn).set(true);
    }

    // Where a word lies in the memory, of which half is at `other` if that is not 0; or -1.
    int64_t place(uint64_t addr) const {
        const uint64_t size = other ? config.size / 2 : config.size;
        if (addr >= config.base && addr + BYTES <= config.base + size) return addr - config.base;
        if (other && addr >= other && addr + BYTES <= other + size) return addr - other + size;
        return -1;
    }

    uint32_t answer(uint64_t addr, bool write) const {
        for (const auto &range : ranges)
            if (addr < range.to && addr + BYTES > range.from && (write ? range.writes : range.reads))
                return range.resp;
        return place(addr) < 0 ? DECERR : OKAY;
    }

    void steady(int which, const char *name, bool waits, std::vector<uint32_t> &&now) {
        // `now` begins with VALID; `waits`: READY was down.
        if (!held[which].empty() && held[which] != now)
            fail("%s changes while it waits, or is taken back", name);
        held[which].clear();
        if (now[0] && waits) held[which] = std::move(now);
    }

    void request(const char *name, uint64_t addr, uint64_t beats, uint64_t size, uint64_t burst,
                 size_t open) {
        uint64_t first = addr / BYTES * BYTES;
        if (BYTES != 1u << size) fail("A%sSIZE is %u, not that of the bus", name, unsigned(size));
        if (burst != 1) fail("A%sBURST is %u, not INCR", name, unsigned(burst));
        if (config.max_burst && beats > config.max_burst)
            fail("A%sLEN asks for %u beats, more than %u", name, unsigned(beats), config.max_burst);
        if (first / 4096 != (first + beats * BYTES - 1) / 4096)
            fail("A%s burst at %#llx crosses 4 KiB", name, (unsigned long long)addr);
        if (config.outstanding && open >= config.outstanding)
            fail("more than %u A%s bursts are outstanding", config.outstanding, name);
    }

    void store(Burst &burst) {
        uint64_t word = burst.addr / BYTES * BYTES;
        uint32_t resp = answer(word, true);
        uint8_t data[BYTES];
        memcpy(data, shown(PORT(m__axi__wdata)).data, BYTES);
        const auto &strobes = shown(PORT(m__axi__wstrb));
        for (unsigned k = 0; k < BYTES; k++) {
            if (!(strobes.data[k / 32] >> k % 32 & 1)) continue;
            if (word + k < burst.addr)
                fail("WSTRB %u is below the burst at %#llx", k, (unsigned long long)burst.addr);
            if (resp == OKAY) memory[place(word) + k] = data[k];
            seen.write_bytes++;
        }
        if (resp > burst.resp) burst.resp = resp;
        burst.addr = word + BYTES;
    }

    void cycle() {
        before();
        clock();
        after();
        top.step();
    }

    // What was shown and taken until the edge, and what is shown after it.
    void before() {
        const bool ar = get(PORT(m__axi__arvalid)), aw = get(PORT(m__axi__awvalid)),
                   w = get(PORT(m__axi__wvalid));
        const bool arready = get(PORT(m__axi__arready)), awready = get(PORT(m__axi__awready)),
                   wready = get(PORT(m__axi__wready));
        const uint64_t now = ++seen.cycles;
        seen.interrupts += bool(get(PORT(interrupt)));

        auto both = [](uint64_t valid, uint64_t addr, uint64_t len, uint64_t rest) {
            return std::vector<uint32_t>{uint32_t(valid), uint32_t(addr), uint32_t(addr >> 32),
                                         uint32_t(len), uint32_t(rest)};
        };
        if (ar || !held[0].empty())
            steady(0, "AR", !arready, both(ar, get(PORT(m__axi__araddr)), get(PORT(m__axi__arlen)), 0));
        if (aw || !held[1].empty())
            steady(1, "AW", !awready, both(aw, get(PORT(m__axi__awaddr)), get(PORT(m__axi__awlen)), 0));
        if ((w && !wready) || !held[2].empty()) {
            std::vector<uint32_t> beat{w, uint32_t(get(PORT(m__axi__wlast)))};
            const auto &data = shown(PORT(m__axi__wdata));
            const auto &strobes = shown(PORT(m__axi__wstrb));
            beat.insert(beat.end(), data.data, data.data + data.chunks);
            beat.insert(beat.end(), strobes.data, strobes.data + strobes.chunks);
            steady(2, "W", !wready, std::move(beat));
        }

        if (ar && arready) {
            uint64_t addr = get(PORT(m__axi__araddr)), beats = get(PORT(m__axi__arlen)) + 1;
            request("R", addr, beats, get(PORT(m__axi__arsize)), get(PORT(m__axi__arburst)),
                    reads.size());
            reads.push_back({addr / BYTES * BYTES, uint32_t(beats), now + config.read_latency, OKAY});
            seen.read_bursts++;
        }
        if (aw && awready) {
            uint64_t addr = get(PORT(m__axi__awaddr)), beats = get(PORT(m__axi__awlen)) + 1;
            request("W", addr, beats, get(PORT(m__axi__awsize)), get(PORT(m__axi__awburst)),
                    writes.size() + responses.size());
            writes.push_back({addr, uint32_t(beats), 0, OKAY});
            seen.write_bursts++;
        }
        if (w && wready) {
            Burst &burst = writes.front();
            store(burst);
            seen.write_beats++;
            const bool last = get(PORT(m__axi__wlast));
            if (last != (burst.left == 1))
                fail(last ? "WLAST comes %u beats early" : "WLAST is missing", burst.left - 1);
            if (--burst.left == 0) {
                burst.ready = now + config.write_latency;
                responses.push_back(burst);
                writes.pop_front();
            }
        }

        rvalid = get(PORT(m__axi__rvalid)), bvalid = get(PORT(m__axi__bvalid));
        if (rvalid && get(PORT(m__axi__rready))) {
            Burst &burst = reads.front();
            burst.addr += BYTES;
            if (--burst.left == 0) reads.pop_front();
            seen.read_beats++;
            rvalid = false;
        }
        if (bvalid && get(PORT(m__axi__bready))) responses.pop_front(), bvalid = false;
        lite_take();
    }

    void after() {
        const uint64_t now = seen.cycles;
        read_credit = std::min<uint64_t>(read_credit + config.bandwidth, 2047);
        write_credit = std::min<uint64_t>(write_credit + config.bandwidth, 2047);
        if (!rvalid && !reads.empty() && reads.front().ready <= now && read_credit >= 1024 &&
            !stalls(R)) {
            Burst &burst = reads.front();
            uint32_t resp = answer(burst.addr, false);
            // A burst that is cut short, or whose end is not marked.
            const bool wrong = resp == WRONG_RLAST, cut = wrong && burst.left > 1;
            if (wrong) resp = OKAY;
            if (cut) burst.left = 1;
            auto &data = PORT(m__axi__rdata).data;
            memset(data, 0, sizeof data);
            if (resp == OKAY) memcpy(data, memory + place(burst.addr), BYTES);
            set(PORT(m__axi__rresp), resp);
            set(PORT(m__axi__rlast), burst.left == 1 && (cut || !wrong));
            rvalid = true;
            read_credit -= 1024;
        }
        set(PORT(m__axi__rvalid), rvalid);
        if (!bvalid && !responses.empty() && responses.front().ready <= now && !stalls(B)) {
            set(PORT(m__axi__bresp), responses.front().resp);
            bvalid = true;
        }
        set(PORT(m__axi__bvalid), bvalid);
        set(PORT(m__axi__arready), !stalls(AR));
        set(PORT(m__axi__awready), !stalls(AW) && (!config.shy || get(PORT(m__axi__wvalid))));
        // A beat of data is taken only after its address, which the standard leaves to the memory.
        const bool take = !writes.empty() && write_credit >= 1024 && !stalls(W);
        if (take) write_credit -= 1024;
        set(PORT(m__axi__wready), take);
        lite_show();
    }

    // The AXI4-Lite master: one access at a time.
    struct {
        bool write, aw, w, ar, waits;
        uint32_t addr, data, strobes, resp;
    } lite{};
    uint32_t shown_resp = 0, shown_data = 0;
    bool shown_valid = false;

    void lite_take() {
        const bool b = get(PORT(s__axi__ctrl__bvalid)), r = get(PORT(s__axi__ctrl__rvalid));
        if ((b || r) && !lite.waits) fail("a response on the registers without a request");
        if (get(PORT(s__axi__ctrl__awvalid)) && get(PORT(s__axi__ctrl__awready))) lite.aw = false;
        if (get(PORT(s__axi__ctrl__wvalid)) && get(PORT(s__axi__ctrl__wready))) lite.w = false;
        if (get(PORT(s__axi__ctrl__arvalid)) && get(PORT(s__axi__ctrl__arready))) lite.ar = false;
        const bool valid = lite.write ? b : r;
        const uint32_t resp =
            lite.write ? get(PORT(s__axi__ctrl__bresp)) : get(PORT(s__axi__ctrl__rresp));
        const uint32_t data = lite.write ? 0 : get(PORT(s__axi__ctrl__rdata));
        if (lite.waits && (lite.write ? r : b)) fail("a response on the wrong channel of the registers");
        if (shown_valid && (!valid || resp != shown_resp || data != shown_data))
            fail("the response of a register changes while it waits, or is taken back");
        shown_valid = false;
        if (!lite.waits || !valid) return;
        if (resp == 1) fail("EXOKAY from a register");
        if (lite.aw || lite.w || lite.ar) fail("a register answers before it was asked");
        const bool ready =
            lite.write ? get(PORT(s__axi__ctrl__bready)) : get(PORT(s__axi__ctrl__rready));
        if (ready) {
            lite.waits = false;
            lite.resp = resp;
            lite.data = data;
        } else {
            shown_valid = true, shown_resp = resp, shown_data = data;
        }
    }

    void lite_show() {
        const bool awvalid = lite.aw && (get(PORT(s__axi__ctrl__awvalid)) || !stalls(LITE));
        const bool wvalid = lite.w && (get(PORT(s__axi__ctrl__wvalid)) || !stalls(LITE));
        set(PORT(s__axi__ctrl__awvalid), awvalid);
        set(PORT(s__axi__ctrl__wvalid), wvalid);
        set(PORT(s__axi__ctrl__arvalid), lite.ar);
        set(PORT(s__axi__ctrl__awaddr), lite.addr);
        set(PORT(s__axi__ctrl__araddr), lite.addr);
        set(PORT(s__axi__ctrl__wdata), lite.data);
        set(PORT(s__axi__ctrl__wstrb), lite.strobes);
        set(PORT(s__axi__ctrl__bready), lite.waits && lite.write && !stalls(LITE));
        set(PORT(s__axi__ctrl__rready), lite.waits && !lite.write && !stalls(LITE));
    }

    int access(bool write, uint32_t addr, uint32_t data, uint32_t strobes, uint32_t *found) {
        lite = {write, write, write, !write, true, addr, data, strobes, 0};
        for (unsigned k = 0; lite.waits && fault.empty(); k++) {
            if (k == 10000) fail("no answer from the register at %#x", addr);
            cycle();
        }
        *found = lite.data;
        return fault.empty() ? int(lite.resp) : -1;
    }

    int run(uint64_t cycles, bool until_interrupt) {
        while (cycles-- && fault.empty()) {
            if (until_interrupt && get(PORT(interrupt))) return 1;
            cycle();
        }
        return fault.empty() ? int(until_interrupt && get(PORT(interrupt))) : -1;
    }
};

}  // namespace

extern "C" {
void *bench_create(uint8_t *memory, const Config *config) { 
    auto *bench = new Bench(memory, *config);
    bench->reset(16);
    return bench;
}
void bench_destroy(void *bench) { delete static_cast<Bench *>(bench); }
void bench_reset(void *bench) { static_cast<Bench *>(bench)->reset(16); }
int bench_run(void *bench, uint64_t cycles, int until_interrupt) {
    return static_cast<Bench *>(bench)->run(cycles, until_interrupt);
}
int bench_access(void *bench, int write, uint32_t addr, uint32_t data, uint32_t strobes,
                 uint32_t *found) {
    return static_cast<Bench *>(bench)->access(write, addr, data, strobes, found);
}
void bench_answer(void *bench, uint64_t from, uint64_t to, int reads, int writes, int resp) {
    static_cast<Bench *>(bench)->ranges.push_back(
        {from, to, uint32_t(reads), uint32_t(writes), uint32_t(resp)});
}
void bench_forget(void *bench) { static_cast<Bench *>(bench)->ranges.clear(); }
void bench_statistics(void *bench, Statistics *found) { *found = static_cast<Bench *>(bench)->seen; }
const char *bench_fault(void *bench) { return static_cast<Bench *>(bench)->fault.c_str(); }
int bench_interrupt(void *bench) { return get(static_cast<Bench *>(bench)->PORT(interrupt)); }
int bench_bytes(void) { return Bench::BYTES; }
}
