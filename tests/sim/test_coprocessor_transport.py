# SPDX-License-Identifier: Apache-2.0
"""The simulated transport on a small design whose every fault is known."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fpga.driver.transport import DeviceError
from sim.bench.cxxrtl import compiled
from sim.coprocessor import MemoryModel, SimTransport

VERILOG = Path(__file__).with_name("copier.v")
BENCH = Path(__file__).parents[2] / "sim" / "bench" / "axi_memory.cc"
MANIFEST = {
    "module": "copier",
    "contract": {"addr_bits": 32, "max_burst": 16, "outstanding": 2},
}
SRC, DST, WORDS, START, STATE, MODE = range(0, 24, 4)

Make = Callable[..., SimTransport]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("simulators")


@pytest.fixture
def make(cache: Path) -> Make:
    def made(**model: object) -> SimTransport:
        return SimTransport(VERILOG, MANIFEST, MemoryModel(**model), cache=cache)  # type: ignore[arg-type]

    return made


def copy(
    board: SimTransport, words: int, skew: int = 0, mode: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return what was there and what came; ``skew`` shifts the target off a page's start."""
    source = np.random.default_rng(words).integers(0, 256, 8 * words, dtype=np.uint8)
    a, c = board.alloc(8 * words, 4096), board.alloc(8 * words + 8192, 4096)
    board.upload(a.address, source.tobytes())
    board.write(MODE, [mode])
    board.write(SRC, [a.address + 0, c.address + 4096 + skew, words])
    board.write(START, [1])
    assert board.wait_interrupt(20)
    found = np.frombuffer(board.download(c.address, c.size), dtype=np.uint8)
    board.free(a)
    board.free(c)
    return source, found


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"seed": 1},
        {"seed": 2, "stalls": 80},
        {"seed": 3, "stalls": {"w": 70, "b": 90}, "shy": True},
        {"read_latency": 1, "write_latency": 1, "bandwidth": 0.25},
    ],
)
def test_copies(make: Make, model: dict[str, object]) -> None:
    """Every byte of the target and none beside it, whatever the memory's moods."""
    with make(**model) as board:
        source, found = copy(board, 700, skew=4096 - 24)
        where = 4096 + 4096 - 24
        assert (found[where : where + len(source)] == source[: len(found) - where]).all()
        assert not found[:where].any()
        seen = board.statistics()
        assert seen["read_beats"] == seen["write_beats"] == 700
        assert seen["write_bytes"] == 5600


def test_strobes(make: Make) -> None:
    """A byte without a strobe keeps its value."""
    with make() as board:
        source, found = copy(board, 20, skew=4)
        assert not found[4096:4100].any()
        assert (found[4100 : 4096 + 160] == source[4:]).all()


def test_time(make: Make) -> None:
    """Latency and bandwidth cost what they say."""
    cycles = {}
    for name, model in {
        "fast": {"read_latency": 1},
        "late": {"read_latency": 101},
        "slow": {"read_latency": 1, "bandwidth": 0.25},
    }.items():
        with make(**model) as board:
            copy(board, 160)
            cycles[name] = board.statistics()["cycles"]
    assert cycles["late"] - cycles["fast"] == 10 * 100
    assert 2.5 < cycles["slow"] / cycles["fast"] < 4


def test_same_seed_same_cycles(make: Make) -> None:
    found = []
    for seed in (5, 5, 6):
        with make(seed=seed) as board:
            copy(board, 100)
            found.append(board.statistics()["cycles"])
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        (1, "crosses 4 KiB"),
        (2, "AWSIZE is 2"),
        (3, "AWBURST is 0"),
        (4, "W changes while it waits"),
        (5, "WLAST is missing"),
        (6, "WLAST comes 1 beats early"),
        (7, "WSTRB 0 is below the burst"),
        (8, "the response of a register changes"),
        (9, "AR changes while it waits, or is taken back"),
    ],
)
def test_broken_rules(make: Make, mode: int, message: str) -> None:
    """Each rule is broken once, and from then on nothing goes on."""
    with make(seed=1, stalls=60) as board:
        with pytest.raises(DeviceError, match=message):
            copy(board, 600, skew=4 if mode == 7 else 4096 - 24, mode=mode)
            board.read(STATE, 1)
            for _ in range(20):
                board.read(SRC, 1)
        with pytest.raises(DeviceError, match=message):
            board.step(1)


def test_promises_of_the_manifest(cache: Path) -> None:
    contract = {"addr_bits": 32, "max_burst": 8, "outstanding": 2}
    with (
        SimTransport(VERILOG, {"module": "copier", "contract": contract}, cache=cache) as board,
        pytest.raises(DeviceError, match="ARLEN asks for 16 beats, more than 8"),
    ):
        copy(board, 100)


@pytest.mark.parametrize("response", ["SLVERR", "DECERR"])
@pytest.mark.parametrize("write", [False, True])
def test_injected_errors(make: Make, response: str, write: bool) -> None:
    """They reach the design, nothing is written there, and they can be taken back."""
    code = {"SLVERR": 2, "DECERR": 3}[response]
    with make() as board:
        start = board.base + (4096 * 2 if write else 0)
        board.answer(start + 64, 8, response, reads=not write, writes=write)
        source, found = copy(board, 32)
        assert board.read(STATE, 1) == [code << 1 | 1]
        assert (found[4096 + 72 : 4096 + 256] == source[72:]).all()
        assert not found[4096 + 64 : 4096 + 72].any()
        board.heal()
        source, found = copy(board, 32)
        assert board.read(STATE, 1) == [1]
        assert (found[4096 : 4096 + 256] == source).all()


def test_wrong_answers(make: Make) -> None:
    with make() as board:
        with pytest.raises(ValueError, match="must be SLVERR, DECERR, RLAST, not 'OKAY'"):
            board.answer(0, 8, "OKAY", reads=True, writes=True)
        with pytest.raises(ValueError, match="writes must be False with RLAST"):
            board.answer(0, 8, "RLAST", reads=True, writes=True)


def test_outside_is_decerr(make: Make) -> None:
    with make() as board:
        board.write(SRC, [board.base - 8, board.base, 1])
        board.write(START, [1])
        assert board.wait_interrupt(5)
        assert board.read(STATE, 1) == [0b111]


def test_registers_refuse(make: Make) -> None:
    with make() as board:
        with pytest.raises(DeviceError, match="a read of the register at 0x008 was refused"):
            board.read(WORDS, 1)
        with pytest.raises(DeviceError, match="a write to the register at 0x018 was refused"):
            board.write(0x18, [1])
        assert board.access(WORDS) == (0, 2)


def test_no_interrupt(make: Make) -> None:
    with make() as board:
        assert not board.wait_interrupt(0)
        before = board.statistics()["cycles"]
        assert not board.step(50_000)
        assert board.statistics()["cycles"] == before + 50_000


def test_reset(make: Make) -> None:
    with make() as board:
        board.write(SRC, [8])
        board.reset()
        assert board.read(SRC, 1) == [0]


def test_memory_is_shared(make: Make) -> None:
    with make() as board:
        board.memory[5] = 7
        assert board.download(board.base, 8) == bytes([0, 0, 0, 0, 0, 7, 0, 0])
        with pytest.raises(ValueError, match="are not in the device's memory"):
            board.upload(board.base + len(board.memory) - 1, b"ab")


def test_closed(make: Make) -> None:
    board = make()
    board.close()
    with pytest.raises(ValueError, match="the simulation is closed"):
        board.step(1)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"bandwidth": 2.0}, "bandwidth must be"),
        ({"base": 100}, "multiples of 4096"),
        ({"seed": 1, "stalls": {"x": 1}}, "stalls must name"),
        ({"seed": 1, "stalls": 99}, "0 to 95 percent"),
    ],
)
def test_bad_models(model: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MemoryModel(**model)  # type: ignore[arg-type]


def test_the_same_design_is_compiled_once(cache: Path) -> None:
    text = VERILOG.read_text(encoding="utf-8")
    first, second = (
        compiled(comment + text, "copier", BENCH, cache)
        for comment in ("", "// Made by another command.\n")
    )
    assert first == second and len(list(cache.glob("copier*.so"))) == 1


def test_beyond_the_bus(cache: Path) -> None:
    manifest = {"module": "copier", "contract": {"addr_bits": 28}}
    with pytest.raises(ValueError, match="is beyond the bus"):
        SimTransport(VERILOG, manifest, MemoryModel(base=1 << 28, size=4096), cache=cache)
