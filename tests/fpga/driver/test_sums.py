# SPDX-License-Identifier: Apache-2.0
"""Products that are added to what C holds: numbers of the host's, other products, long sums."""

import numpy as np
import pytest

from fpga.driver.accelerator import Accelerator, Quantized
from fpga.driver.errors import AcceleratorError
from fpga.driver.golden import GoldenTransport
from fpga.products import manifest_of
from hw.coprocessor.params import CoprocessorParams

CUBE = "array --dataflow cube --rows 2 --columns 3"
ENGINES = (
    f"{CUBE} --lanes 4 --format int4 --max-k 16",
    f"{CUBE} --lanes 2 --format int4 --group 4 --scale e8m0 --max-k 16",
    f"{CUBE} --format int4 --requant rhu --max-k 16",
    f"{CUBE} --format e2m1 --max-k 16",
)
RNG = np.random.default_rng(3)
A, W = RNG.integers(-128, 128, (5, 13)), RNG.integers(-8, 8, (13, 7))
C = RNG.integers(-(2**31), 2**31, (5, 7))


def driver(queue=4, engine=None, accumulate=True):
    engine = engine or "; ".join(ENGINES)
    manifest = manifest_of(CoprocessorParams(engine=engine, accumulate=accumulate))
    return Accelerator(GoldenTransport(manifest), manifest, queue=queue)


@pytest.fixture
def device():
    with driver() as found:
        yield found
        assert not found._tickets
        assert {b.address for b in found.transport._heap._taken} == {found.device._ring.address}


@pytest.mark.parametrize("queue", [0, 4])
def test_numbers_of_the_host(queue):
    with driver(queue) as device:
        due = (A @ W + C + 2**31) % 2**32 - 2**31  # what does not fit wraps
        assert (device.gemm(A, W, add=C) == due).all()
        assert (device.gemm(A, W, add=C, activation="relu") == np.maximum(due, 0)).all()
        assert (device.gemm(A, W, add=-A @ W, clamp=(-3, 3)) == 0).all()
        own = np.zeros((5, 7), dtype=np.int32)
        for count in range(1, 4):
            device.gemm(A, W, add=own, out=own)
            assert (own == count * (A @ W)).all()


def test_other_products(device):
    loaded = device.load_weights(W)
    first = device.submit(A, loaded)
    second = device.submit(A, W, onto=first)
    third = device.submit(A, loaded, onto=second, clamp=(-128, 127))
    with pytest.raises(ValueError, match="a product needs the weights"):
        device.free(loaded)
    assert (device.wait(third) == np.clip(3 * (A @ W), -128, 127)).all()
    for old in (first, second):
        with pytest.raises(ValueError, match="another product was added to this one"):
            device.wait(old)
    device.free(loaded)


@pytest.mark.parametrize("queue", [0, 2, 8])
@pytest.mark.parametrize("k", [16, 17, 32, 33, 100])
def test_long_sums(queue, k):
    a, w = RNG.integers(-128, 128, (3, k)), RNG.integers(-8, 8, (k, 4))
    with driver(queue) as device:
        assert (device.gemm(a, w) == a @ w).all()
        add = RNG.integers(-9, 9, (3, 4))
        found = device.gemm(a, Quantized(w & 15), add=add, activation="relu")
        assert (found == np.maximum(a @ w + add, 0)).all()


def test_a_product_that_fails_spoils_what_is_added_to_it(device):
    a = device.submit(A, W)
    device.wait(device.submit(A, W))  # all is done, a too
    a.run.error = AcceleratorError(2, 0x1000)
    later = device.submit(A, W, onto=a)
    with pytest.raises(AcceleratorError):
        device.wait(later)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"add": C, "engine": 1, "scales": np.ones((4, 7))}, "engines that give sums of integers"),
        ({"add": C[:2]}, r"add must have shape \(5, 7\), not \(2, 7\)"),
        ({"add": C + 0.5}, "add must hold integers"),
        ({"add": C + 2**33}, "add must be -2147483648 to 2147483647, not"),
    ],
)
def test_refusals(device, given, told):
    with pytest.raises(ValueError, match=told):
        device.gemm(A, W, **given)


def test_what_one_can_be_added_to(device):
    numbers = {"m": np.full(7, 3), "s": np.full(7, 4)}
    tickets = [device.submit(A, W), device.submit(A, W, engine=2, numbers=numbers)]
    for onto, told in (
        (tickets[0], r"onto must be \(4, 7\) in units of 2\*\*0, not \(5, 7\) of 2\*\*0"),
        (tickets[1], "onto must be "),
    ):
        with pytest.raises(ValueError, match=told):
            device.submit(A[:4], W, onto=onto)
    with pytest.raises(ValueError, match=r"units of 2\*\*-1, not \(5, 7\) of 2\*\*0"):
        device.submit(A, np.clip(W, -1, 1), engine=3, onto=tickets[0])
    with pytest.raises(ValueError, match="add must not be given with onto"):
        device.submit(A, W, onto=tickets[0], add=C)
    for ticket in tickets:
        device.wait(ticket)
    with pytest.raises(ValueError, match="submitted here and not fetched"):
        device.submit(A, W, onto=tickets[0])


def test_devices_that_cannot_add():
    a, w = RNG.integers(-128, 128, (3, 17)), RNG.integers(-8, 8, (17, 4))
    with driver(accumulate=False) as device:
        with pytest.raises(ValueError, match="in devices generated with accumulate"):
            device.gemm(A, W, add=C)
        with pytest.raises(ValueError, match="K must be at most 16, not 17"):
            device.gemm(a, w)
    engine = f"{CUBE} --lanes 4 --format int4 --max-k 16 --acc-bits 31"
    a, w = RNG.integers(-128, 128, (3, 40)), RNG.integers(-8, 8, (40, 4))
    with (
        driver(engine=engine) as device,
        pytest.raises(ValueError, match="K must be at most 32 for C to hold the sums, not 40"),
    ):
        device.gemm(a, w)
