# SPDX-License-Identifier: Apache-2.0
"""What the frame of a matrix engine must know of the engine inside."""

from dataclasses import dataclass

from hw.mpgemm.sparse import SparseWeights

__all__ = ["Shape"]


@dataclass(frozen=True)
class Shape:
    """Sizes of an engine's tile and of its beats."""

    rows: int  #: Rows of A, and of the result, in a tile.
    columns: int  #: Columns of W, and of the result, in a tile.
    depth: int  #: Products that a step adds to each sum.
    lane_bits: int  #: Bits of one activation.
    zero: int  #: Code of an activation that is zero.
    wgt_bits: int  #: Bits of one beat of weights.
    acc_bits: int  #: Bits of a sum.
    max_k: int  #: Products of the longest sum.
    planes: int = 1  #: Most bit planes of the weights, where they come one after the other.
    planes_per_beat: int = 1
    planes_whole: bool = False  #: Whether a job's planes must fill their beats.
    nan: bool = False  #: Whether a sum can be of codes that are not finite.
    act_lanes: int = 0  #: Activations of a beat, where not ``rows * depth``.
    act_masked: bool = False  #: Whether lanes beyond K are zero when they come.
    wgt_lane_bits: int = 0  #: Bits of one weight, where one can be not finite.
    wgt_zero: int = 0  #: Code of a finite weight, for lanes beyond K.
    scale_steps: bool = False  #: Whether the core takes scales, a beat with each step.
    books: int = 0  #: Beats of scales that the core takes before each tile.
    marked: bool = False  #: Whether steps say which lanes are beyond K.
    group_steps: int = 0  #: Steps of a group of products, 0 for one group of all.
    scale_bits: int = 0  #: Bits of the scales of a group, 0 where groups leave unscaled.
    switched: bool = False  #: Whether jobs say if tiles leave, or single rows of them.
    sparse: SparseWeights | None = None  #: How weights are stored, if not all of them are.
    finish_bits: int = 0  #: Bits above them for what requantises a tile, part of ``scale_bits``.
    unsigned: bool = False  #: Whether what leaves is unsigned.
    batched: bool = False  #: Whether rows are tiles, of which a batch is requantised alike.
    swapped: bool = False  #: Whether a row is a part of one column of the result.

    @property
    def act_bits(self) -> int:
        """Bits of one beat of activations."""
        return (self.act_lanes or self.rows * self.depth) * self.lane_bits

    @property
    def step_wgt_bits(self) -> int:
        """Bits of the weights of a step."""
        sparse = self.sparse
        return self.columns * sparse.lanes * sparse.pick if sparse else self.wgt_bits

    @property
    def flagged(self) -> bool:
        """Whether a column of a result can be marked."""
        return self.nan or self.sparse is not None

    @property
    def scaled(self) -> bool:
        """Whether groups have scales, which do not go to the core."""
        return bool(self.group_bits and not self.core_scaled)

    @property
    def core_scaled(self) -> bool:
        """Whether scales go to the core."""
        return bool(self.scale_bits and (self.scale_steps or self.books))

    @property
    def group_bits(self) -> int:
        """Bits of the scales of a group alone."""
        return self.scale_bits - self.finish_bits

    @property
    def numbered(self) -> int:
        """Columns of the result that a beat has what requantises them for."""
        return 1 if self.swapped else self.columns

    @property
    def beats(self) -> int:
        """Most beats of weights for one beat of activations."""
        return -(-self.planes // self.planes_per_beat)

    @property
    def out_bits(self) -> int:
        """Bits of one sum in the output: 8, 16, 32, 64 and so on."""
        return max(8, 1 << (self.acc_bits - 1).bit_length())
