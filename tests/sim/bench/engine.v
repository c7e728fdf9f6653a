// SPDX-License-Identifier: Apache-2.0
// The least that keeps the contract of matrix engines: 2 x 2 sums of int2 products, one at a time,
// sizes up to 7. `define one of the faults to break it.
module engine(
    input aclk, input aresetn,
    input s_axis_job_tvalid, output s_axis_job_tready, input [63:0] s_axis_job_tdata,
    input s_axis_act_tvalid, output s_axis_act_tready, input [7:0] s_axis_act_tdata,
    input s_axis_act_tlast,
    input s_axis_wgt_tvalid, output s_axis_wgt_tready, input [7:0] s_axis_wgt_tdata,
    input s_axis_wgt_tlast,
    output m_axis_out_tvalid, input m_axis_out_tready, output reg [15:0] m_axis_out_tdata,
    output reg [1:0] m_axis_out_tkeep, output reg [3:0] m_axis_out_tuser,
    output reg m_axis_out_tlast
);
  localparam IDLE = 0, RUN = 1, OUT = 2, DROP = 3, EXTRA = 4;
  reg [2:0] state;
  reg job_full, act_full, wgt_full, act_last, wgt_last, act_open, wgt_open, row, out_full;
  reg [3:0] job;  // the error of the descriptor that waits

  reg [8:0] sizes;
  reg [3:0] act, wgt, code;
  reg [2:0] size_n, size_k, left_m, left_n, left_k;
  reg signed [5:0] acc00, acc01, acc10, acc11;

  wire [63:0] word = s_axis_job_tdata;
  wire zero = !word[15:0] || !word[31:16] || !word[47:32];
  wire signed [1:0] a0 = act[1:0], a1 = act[3:2], w0 = wgt[1:0], w1 = wgt[3:2];
  wire closes = left_k == 1 && left_n <= 2 && left_m <= 2;
  wire act_fault = act_last != closes, wgt_fault = wgt_last != closes;
  wire free = !out_full || m_axis_out_tready;
  wire ends = row || left_m == 1;
  wire one = left_n == 1;
  wire [7:0] column0 = row ? {{2{acc10[5]}}, acc10} : {{2{acc00[5]}}, acc00};
  wire [7:0] column1 = row ? {{2{acc11[5]}}, acc11} : {{2{acc01[5]}}, acc01};

  assign s_axis_job_tready = !job_full;
  assign s_axis_wgt_tready = !wgt_full;
`ifdef READY_FOLLOWS_VALID
  assign s_axis_act_tready = !act_full && s_axis_wgt_tvalid;
`else
  assign s_axis_act_tready = !act_full;
`endif
`ifdef VALID_NEEDS_READY
  assign m_axis_out_tvalid = out_full && m_axis_out_tready;
`else
  assign m_axis_out_tvalid = out_full;
`endif

  task send(input [15:0] data, input [1:0] keep, input [3:0] user, input last);
    begin
      out_full <= 1;
      m_axis_out_tdata <= data; m_axis_out_tkeep <= keep;
      m_axis_out_tuser <= user; m_axis_out_tlast <= last;
    end
  endtask

  initial {m_axis_out_tdata, m_axis_out_tkeep, m_axis_out_tuser, m_axis_out_tlast} = 0;
  always @(posedge aclk) begin
    if (s_axis_job_tvalid && s_axis_job_tready) begin
      job_full <= 1;
      job <= zero ? 1 : word[47:32] > 7 ? 2 : word[63:48] != 0 ? 3 : 0;
      sizes <= {word[34:32], word[18:16], word[2:0]};
    end
    if (s_axis_act_tvalid && s_axis_act_tready) begin
      act_full <= 1; act <= s_axis_act_tdata; act_last <= s_axis_act_tlast;
    end
    if (s_axis_wgt_tvalid && s_axis_wgt_tready) begin
      wgt_full <= 1; wgt <= s_axis_wgt_tdata; wgt_last <= s_axis_wgt_tlast;
    end
    if (m_axis_out_tready) out_full <= 0;
`ifdef VALID_DROPS
    if (out_full && act_full) out_full <= 0;
`endif
`ifdef PAYLOAD_CHANGES
    if (out_full && wgt_full && !m_axis_out_tready) m_axis_out_tdata[0] <= !m_axis_out_tdata[0];
`endif
    case (state)
      IDLE: if (job_full) begin
        job_full <= 0; code <= job; act_open <= 1; wgt_open <= 1; row <= 0;
        {size_k, size_n} <= sizes[8:3];
        {left_k, left_n, left_m} <= sizes;
        {acc00, acc01, acc10, acc11} <= 0;
        state <= job ? DROP : RUN;
      end
      RUN: if (act_full && wgt_full) begin
        act_full <= 0; wgt_full <= 0; left_k <= left_k - 1;
        acc00 <= acc00 + a0 * w0; acc01 <= acc01 + a0 * w1;
        acc10 <= acc10 + a1 * w0; acc11 <= acc11 + a1 * w1;
        if (left_k == 1) state <= OUT;
        if (act_fault || wgt_fault) begin
          state <= DROP;
          code <= act_fault ? (act_last ? 4 : 5) : wgt_last ? 6 : 7;
`ifndef HANG
          act_open <= !act_last;
`endif
          wgt_open <= !wgt_last;
        end
      end
      OUT: if (free) begin
        row <= 1;
`ifdef LOST_ROW
        if (!(row && left_n > 2))
`endif
        send(one ? column0 : {column1, column0}, one ? 2'b01 : 2'b11, 0,
             ends && left_n <= 2 && left_m <= 2);
`ifdef WRONG_KEEP
        m_axis_out_tkeep <= 3;
`endif
`ifdef REPEATED_ROW
        if (row && left_n > 1) m_axis_out_tdata[15:8] <= {{2{acc01[5]}}, acc01};
`endif
        if (ends) begin
          row <= 0; left_k <= size_k; left_n <= left_n - 2;
          {acc00, acc01, acc10, acc11} <= 0;
          if (left_n <= 2) begin left_n <= size_n; left_m <= left_m - 2; end
`ifdef SLOW
          state <= left_n <= 2 && left_m <= 2 ? IDLE : EXTRA;
`else
          state <= left_n <= 2 && left_m <= 2 ? IDLE : RUN;
`endif
        end
      end
      DROP: begin
        if (act_open && act_full) begin act_full <= 0; act_open <= !act_last; end
        if (wgt_open && wgt_full) begin wgt_full <= 0; wgt_open <= !wgt_last; end
        if (!act_open && !wgt_open && free) begin
          send(0, 0, code, 1);
`ifdef AFTER_ERROR
          state <= EXTRA;
`else
          state <= IDLE;
`endif
        end
      end
`ifdef SLOW
      EXTRA: state <= RUN;
`else
      EXTRA: if (free) begin send(0, 0, code, 1); state <= IDLE; end
`endif
    endcase
    if (!aresetn) begin
      state <= IDLE;
      job_full <= 0; act_full <= 0; wgt_full <= 0; out_full <= 0;
    end
  end
endmodule
