# SPDX-License-Identifier: Apache-2.0
"""Tables of the format specification, typed from its text, as the tests compare with them."""

__all__ = ["CODE_BOOKS", "FLOATS", "MAGNITUDES", "POSITS", "WIDTHS"]


def _columns(text: str) -> dict[str, list[str]]:
    """Columns of a table whose first row names formats and whose rows are codes 0, 1, ..."""
    head, *rows = [line.split() for line in text.strip().splitlines()]
    return {name: [row[i] for row in rows] for i, name in enumerate(head)}


#: Format -> value of every code as text; ``x`` is illegal, ``-0`` a negative zero.
CODE_BOOKS: dict[str, list[str]] = {
    **_columns(
        """
        int4 uint4 sm4 e2m1 e1m2 e3m0  posit4_0 posit4_1 bipolar4 shift4
         0    0    0    0    0    0     0        0       -15       1
         1    1    1    0.5  0.5  0.25  0.25     0.0625  -13       2
         2    2    2    1    1    0.5   0.5      0.25    -11       4
         3    3    3    1.5  1.5  1     0.75     0.5      -9       8
         4    4    4    2    2    2     1        1        -7      16
         5    5    5    3    2.5  4     1.5      2        -5      32
         6    6    6    4    3    8     2        4        -3      64
         7    7    7    6    3.5 16     4       16        -1     128
        -8    8    0   -0   -0   -0     nan      nan       1      -1
        -7    9   -1   -0.5 -0.5 -0.25 -4      -16         3      -2
        -6   10   -2   -1   -1   -0.5  -2       -4         5      -4
        -5   11   -3   -1.5 -1.5 -1    -1.5     -2         7      -8
        -4   12   -4   -2   -2   -2    -1       -1         9     -16
        -3   13   -5   -3   -2.5 -4    -0.75    -0.5      11     -32
        -2   14   -6   -4   -3   -8    -0.5     -0.25     13     -64
        -1   15   -7   -6   -3.5 -16   -0.25    -0.0625   15    -128
        """
    ),
    # The victim mark of flint4 and the unused codes of abfloat read 0.
    **_columns(
        """
        flint4 abfloat4_2 abfloat4_3 e2m1_sr e2m1_sp e2m1_sp1 razer+5 razer-5 razer+8 razer-8
          0      0     0    0    0    0     0    0    0    0
          1     12    24    0.5  0.5  0.5   0.5  0.5  0.5  0.5
          2     16    32    1    1    1     1    1    1    1
          3     24    48    1.5  1.5  1.5   1.5  1.5  1.5  1.5
         16     32    64    2    2    2     2    2    2    2
          8     48    96    3    3    3     3    3    3    3
          4     64   128    4    4    4     4    4    4    4
          6     96   192    6    6    6     6    6    6    6
          0      0     0    8    5    2.5   5   -5    8   -8
         -1    -12   -24   -0.5 -0.5 -0.5  -0.5 -0.5 -0.5 -0.5
         -2    -16   -32   -1   -1   -1    -1   -1   -1   -1
         -3    -24   -48   -1.5 -1.5 -1.5  -1.5 -1.5 -1.5 -1.5
        -16    -32   -64   -2   -2   -2    -2   -2   -2   -2
         -8    -48   -96   -3   -3   -3    -3   -3   -3   -3
         -4    -64  -128   -4   -4   -4    -4   -4   -4   -4
         -6    -96  -192   -6   -6   -6    -6   -6   -6   -6
        """
    ),
    **_columns(
        """
        fp4_er+ fp4_er- fp4_ea+ fp4_ea- nf4   sf4
          0    0    0    0   -127 -127
          0.5  0.5  0.5  0.5  -88  -80
          1    1    1    1    -67  -58
          1.5  1.5  1.5  1.5  -50  -42
          2    2    2    2    -36  -30
          3    3    3    3    -23  -19
          4    4    4    4    -12  -10
          6    6    6    6      0    0
          5   -5    8   -8     10    8
         -0.5 -0.5 -0.5 -0.5   20   17
         -1   -1   -1   -1     31   26
         -1.5 -1.5 -1.5 -1.5   43   36
         -2   -2   -2   -2     56   48
         -3   -3   -3   -3     71   62
         -4   -4   -4   -4     92   83
         -6   -6   -6   -6    127  127
        """
    ),
    **_columns(
        """
        int3 sm3 e2m0 fp3_er+ fp3_er- fp3_ea+ fp3_ea- e1m1 posit3_0 shift3 bipolar3
         0    0   0    0   0   0   0   0   0    1  -7
         1    1   1    1   1   1   1   1   0.5  2  -5
         2    2   2    2   2   2   2   2   1    4  -3
         3    3   4    4   4   4   4   3   2    8  -1
        -4    0  -0    3  -3   6  -6  -0  nan  -1   1
        -3   -1  -1   -1  -1  -1  -1  -1  -2   -2   3
        -2   -2  -2   -2  -2  -2  -2  -2  -1   -4   5
        -1   -3  -4   -4  -4  -4  -4  -3  -0.5 -8   7
        """
    ),
    **_columns(
        """
        int2 uint2 ternary ternary_i2s bipolar2 shift2
         0    0     0      -1          -3        1
         1    1     1       0          -1        2
        -2    2     x       1           1       -1
        -1    3    -1       x           3       -2
        """
    ),
    "iq4_nl": "-127 -104 -83 -65 -49 -35 -22 -10 1 13 25 38 53 69 89 113".split(),
    "binary": ["-1", "1"],
    "bipolar1": ["-1", "1"],
    "pot3": ["0", "1", "2", "4", "0", "-1", "-2", "-4"],
}

#: Format -> values of the codes without sign.
MAGNITUDES = {
    "e1m1": "0 1 2 3",
    "e2m0": "0 1 2 4",
    "e1m2": "0 .5 1 1.5 2 2.5 3 3.5",
    "e3m0": "0 .25 .5 1 2 4 8 16",
    "e1m3": "0 .25 .5 .75 1 1.25 1.5 1.75 2 2.25 2.5 2.75 3 3.25 3.5 3.75",
    "e2m2": "0 .25 .5 .75 1 1.25 1.5 1.75 2 2.5 3 3.5 4 5 6 7",
    "e3m1": "0 .125 .25 .375 .5 .75 1 1.5 2 3 4 6 8 12 16 24",
    "apot4": "0 .0625 .125 .1875 .25 .375 .5 .625",
}

#: Format -> bias, largest, least normal, least subnormal, infinities, NaN codes.
FLOATS: dict[str, tuple[int, float, float, float, set[int], set[int]]] = {
    "e2m1": (1, 6, 1, 0.5, set(), set()),
    "e2m3": (1, 7.5, 1, 0.125, set(), set()),
    "e3m2": (3, 28, 0.25, 0.0625, set(), set()),
    "e4m3": (7, 448, 2**-6, 2**-9, set(), {0x7F, 0xFF}),
    "e5m2": (15, 57344, 2**-14, 2**-16, {0x7C, 0xFC}, {0x7D, 0x7E, 0x7F, 0xFD, 0xFE, 0xFF}),
    "e4m3_ieee": (7, 240, 2**-6, 2**-9, {0x78, 0xF8}, {*range(0x79, 0x80), *range(0xF9, 0x100)}),
    "e3m4_ieee": (
        3, 15.5, 0.25, 2**-6, {0x70, 0xF0}, {*range(0x71, 0x80), *range(0xF1, 0x100)},
    ),
    "e3m4_fn": (3, 30, 0.25, 2**-6, set(), {0x7F, 0xFF}),
    "e4m3_fnuz": (8, 240, 2**-7, 2**-10, set(), {0x80}),
    "e5m2_fnuz": (16, 57344, 2**-15, 2**-17, set(), {0x80}),
    "e4m3_b11fnuz": (11, 30, 2**-10, 2**-13, set(), {0x80}),
    "fp16": (
        15, 65504, 2**-14, 2**-24, {0x7C00, 0xFC00},
        {*range(0x7C01, 0x8000), *range(0xFC01, 0x10000)},
    ),
    "bf16": (
        127, 255 / 128 * 2.0**127, 2.0**-126, 2.0**-133, {0x7F80, 0xFF80},
        {*range(0x7F81, 0x8000), *range(0xFF81, 0x10000)},
    ),
    "ue4m3": (7, 448, 2**-6, 2**-9, set(), {0x7F}),
    "ue5m3": (15, 114688, 2**-14, 2**-17, set(), {0xFF}),
    "ue3m3": (3, 28, 2**-2, 2**-5, set(), {0x3F}),
}  # fmt: skip

#: Format -> least and largest positive value, as exponents of two.
POSITS = {"posit4_1": (-4, 4), "posit8_0": (-6, 6), "posit8_1": (-12, 12), "posit16_1": (-28, 28)}

#: Weight, activation, exponent of the product, accumulator bits for 1 ... 4096 products (B.12).
WIDTHS = [
    line.split()
    for line in """
    int4     int4       0    8  12  13  15  16  18  20
    int4     int8       0   12  16  17  19  20  22  24
    int8     int8       0   16  20  21  23  24  26  28
    int16    int16      0   32  36  37  39  40  42  44
    ternary  int8       0    9  13  14  16  17  19  21
    int4     fp16     -24   44  48  49  51  52  54  56
    int6     fp16     -24   46  50  51  53  54  56  58
    int8     fp16     -24   48  52  53  55  56  58  60
    e2m1     e2m1      -2    9  13  14  16  17  19  21
    e2m1_sr  e2m1_sr   -2   10  14  15  17  18  20  22
    e2m1     int8      -1   12  16  17  19  20  22  24
    e2m1     e4m3     -10   23  27  28  30  31  33  35
    e2m1     fp16     -25   45  49  50  52  53  55  57
    e3m0     e3m0      -4   14  18  19  21  22  24  26
    e2m3     e2m3      -6   13  17  18  20  21  23  25
    e3m2     e3m2      -8   19  23  24  26  27  29  31
    e3m4_ieee e3m4_ieee -12 21  25  26  28  29  31  33
    e4m3     e4m3     -18   37  41  42  44  45  47  49
    e4m3     e5m2     -25   51  55  56  58  59  61  63
    e5m2     e5m2     -32   65  69  70  72  73  75  77
    fp16     fp16     -48   81  85  86  88  89  91  93
    bf16     bf16    -266  523 527 528 530 531 533 535
    posit4_1 posit4_1  -8   18  22  23  25  26  28  30
    posit8_0 posit8_0 -12   26  30  31  33  34  36  38
    posit8_1 posit8_1 -24   50  54  55  57  58  60  62
    posit16_1 posit16_1 -56 114 118 119 121 122 124 126
    posit4_1 posit8_0 -10   22  26  27  29  30  32  34
    """.strip().splitlines()
]
