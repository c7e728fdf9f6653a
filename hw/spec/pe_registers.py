# SPDX-License-Identifier: Apache-2.0
"""Register map of a processing element.

The first words, up to the status, lie where every device of ours has them. Behind them come one
block to read after a dot product (errors, counts, result) and one to write for a beat (activations,
weights, push), so that each takes a single burst.
"""

from collections.abc import Mapping

from hw.spec.registers import WINDOW, WORD, Field, Register, RegisterMap, build_id

__all__ = ["ERROR_FLAGS", "FUNCTION", "PE_MAGIC", "PE_VERSION", "function_of", "pe_map"]

#: The parameters that decide *what* is computed: BUILD is a hash of these. How it is computed
#: (architecture, pipeline, target) and how it is reached do not matter to a host.
FUNCTION = ("format", "act", "window", "lanes", "max_k", "acc_bits")

PE_MAGIC = int.from_bytes(b"BLPE", "little")
PE_VERSION = 0x01_00_0000  #: Version of the map: major, minor, patch.

_RESULTS, _OPERANDS = 0x080, 0x100

#: Sticky flags of the register ERROR, from bit 0, and what raises them.
ERROR_FLAGS = {
    "BUSY": "operands or a push came while a beat was still waiting; they were ignored",
    "EMPTY": "a pop came while no result was waiting; it was ignored",
    "ACCESS": "an access was answered with an error, whatever the reason",
    "TIMEOUT": "the bridge gave up a frame that took longer than 100 ms",
    "COMMAND": "the bridge swallowed a frame with an unknown command or of no words",
    "FRAMING": "the UART dropped a byte without a stop bit",
    "OVERRUN": "the UART dropped a byte because the bridge was still answering",
}


def _words(bits: int) -> int:
    return -(-bits // WORD)


def _vector(
    stem: str, offset: int, bits: int, access: str, doc: str, guarded: bool = False
) -> list[Register]:
    """Return the registers of a number of ``bits``, least significant word first."""
    return [
        Register(
            f"{stem}{k}",
            offset + 4 * k,
            access,
            f"{doc}, bits {min(bits, WORD * (k + 1)) - 1} to {WORD * k}",
            (Field("VALUE", 0, min(WORD, bits - WORD * k), "part of the vector"),),
            guarded=guarded,
        )
        for k in range(_words(bits))
    ]


def _constant(name: str, offset: int, doc: str, *fields: Field) -> Register:
    return Register(name, offset, "RO", doc, fields, constant=True)


def function_of(parameters: Mapping[str, object]) -> dict[str, object]:
    """Return those of the parameters, as a manifest states them, that BUILD is a hash of."""
    return {name: parameters[name] for name in FUNCTION}


def pe_map(
    parameters: Mapping[str, object],
    *,
    act_bits: int,
    weight_bits: int,
    lanes: int,
    acc_bits: int,
    max_k: int,
    lam: int,
    nan: bool,
) -> RegisterMap:
    """Return the registers of a processing element with these parameters and widths.

    ``parameters`` are those of the manifest. ``lam`` is the exponent of the unit of the result,
    ``nan`` whether results carry a flag for non-finite operands. Raises ``ValueError`` if a beat or
    a result does not fit the window.
    """
    build = build_id(function_of(parameters))
    acts, weights, results = _words(lanes * act_bits), _words(lanes * weight_bits), _words(acc_bits)
    push = _OPERANDS + 4 * (acts + weights)
    if push >= WINDOW:
        raise ValueError(
            f"lanes must be at most {_most_lanes(act_bits, weight_bits)} behind registers, "
            f"not {lanes}: a beat has to fit their window"
        )
    room = (_OPERANDS - _RESULTS) // 4 - 3
    if results > room:
        raise ValueError(f"acc_bits must be at most {WORD * room} behind registers, not {acc_bits}")
    operand = "of the staged beat, lane 0 in the low bits"
    registers = [
        _constant("ID", 0x000, "what this is", Field("MAGIC", 0, 32, '"BLPE"', PE_MAGIC)),
        _constant(
            "VERSION",
            0x004,
            "of this map",
            Field("VERSION", 0, 32, "major.minor.patch", PE_VERSION),
        ),
        _constant(
            "CAP0",
            0x008,
            "shape of a beat",
            Field("ACT_BITS", 0, 8, "bits of an activation code", act_bits),
            Field("WEIGHT_BITS", 8, 8, "bits of a weight code", weight_bits),
            Field("LANES", 16, 16, "products per beat", lanes),
        ),
        _constant(
            "CAP1",
            0x00C,
            "shape of a result",
            Field("ACC_BITS", 0, 16, "bits of the accumulator", acc_bits),
            Field("HAS_NAN", 16, 1, "results carry a flag for non-finite operands", int(nan)),
        ),
        _constant("CAP2", 0x010, "promise", Field("MAX_K", 0, 32, "longest dot product", max_k)),
        _constant(
            "CAP3",
            0x014,
            "unit of a result",
            Field("LAM", 0, 16, "its exponent of two, two's complement", lam & 0xFFFF),
        ),
        _constant(
            "BUILD", 0x018, "which numbers", Field("HASH", 0, 32, "of the parameters", build)
        ),
        Register("SCRATCH", 0x01C, "RW", "no effect", (Field("VALUE", 0, 32, "anything"),)),
        Register(
            "CTRL",
            0x020,
            "WO",
            "commands",
            (Field("RESET", 1, 1, "drop the open dot product and every result, zero the counts"),),
        ),
        Register(
            "STATUS",
            0x024,
            "RO",
            "what goes on",
            (
                Field("IDLE", 0, 1, "every pushed beat is done with, every result popped", 1),
                Field("BUSY", 1, 1, "operands and pushes are refused"),
                Field("RESULT", 2, 1, "a result is waiting"),
                Field("ERROR", 3, 1, "a flag of ERROR is set"),
            ),
        ),
        Register("POP", 0x040, "WO", "drop the waiting result", (Field("ANY", 0, 1, "ignored"),)),
        Register(
            "FEED",
            0x044,
            "WO",
            "operand words in order of address; each full set is pushed with LAST = 0",
            (Field("VALUE", 0, 32, "the next operand word"),),
        ),
        Register(
            "ERROR",
            _RESULTS,
            "W1C",
            "sticky errors",
            tuple(Field(name, k, 1, doc) for k, (name, doc) in enumerate(ERROR_FLAGS.items())),
        ),
        Register(
            "COUNT",
            _RESULTS + 4,
            "RO",
            "since the last reset; both wrap",
            (
                Field("BEATS", 0, 16, "beats accepted"),
                Field("RESULTS", 16, 16, "results popped"),
            ),
        ),
        Register(
            "RESULT",
            _RESULTS + 8,
            "RO",
            "the waiting result",
            (
                Field("VALID", 0, 1, "there is one"),
                Field("NAN", 1, 1, "an operand was not finite"),
            ),
        ),
        *_vector(
            "ACC",
            _RESULTS + 12,
            WORD * results,
            "RO",
            "sum, sign-extended to whole words; 0 if none",
        ),
        *_vector("A", _OPERANDS, lanes * act_bits, "RW", f"activations {operand}", True),
        *_vector("W", _OPERANDS + 4 * acts, lanes * weight_bits, "RW", f"weights {operand}", True),
        Register(
            "PUSH",
            push,
            "WO",
            "send the staged beat into the processing element",
            (Field("LAST", 0, 1, "this beat closes the dot product"),),
            guarded=True,
        ),
    ]
    return RegisterMap("pe", tuple(registers), acts + weights)


def _most_lanes(act_bits: int, weight_bits: int) -> int:
    lanes = 1
    room = (WINDOW - _OPERANDS) // 4 - 1
    while _words((lanes + 1) * act_bits) + _words((lanes + 1) * weight_bits) <= room:
        lanes += 1
    return lanes
