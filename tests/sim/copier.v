// SPDX-License-Identifier: Apache-2.0
// Copies words from SRC to DST through a buffer of 16, for the tests of sim/coprocessor.py.
// 0x00 SRC, 0x04 DST, 0x08 WORDS (64 bits each), 0x0C START, 0x10 {RESP, DONE}, 0x14 MODE, a rule
// of the bus to break. Everything else is answered with SLVERR.
module copier (
    input aclk, input aresetn, output interrupt,
    input [11:0] s_axi_ctrl_awaddr, input s_axi_ctrl_awvalid, output reg s_axi_ctrl_awready,
    input [31:0] s_axi_ctrl_wdata, input [3:0] s_axi_ctrl_wstrb, input s_axi_ctrl_wvalid,
    output reg s_axi_ctrl_wready, output reg [1:0] s_axi_ctrl_bresp, output reg s_axi_ctrl_bvalid,
    input s_axi_ctrl_bready, input [11:0] s_axi_ctrl_araddr, input s_axi_ctrl_arvalid,
    output reg s_axi_ctrl_arready, output reg [31:0] s_axi_ctrl_rdata,
    output reg [1:0] s_axi_ctrl_rresp, output reg s_axi_ctrl_rvalid, input s_axi_ctrl_rready,
    output reg [31:0] m_axi_awaddr, output reg [7:0] m_axi_awlen, output [2:0] m_axi_awsize,
    output [1:0] m_axi_awburst, output reg m_axi_awvalid, input m_axi_awready,
    output [63:0] m_axi_wdata, output [7:0] m_axi_wstrb, output m_axi_wlast,
    output m_axi_wvalid, input m_axi_wready, input [1:0] m_axi_bresp, input m_axi_bvalid,
    output m_axi_bready, output reg [31:0] m_axi_araddr, output reg [7:0] m_axi_arlen,
    output [2:0] m_axi_arsize, output [1:0] m_axi_arburst, output reg m_axi_arvalid,
    input m_axi_arready, input [63:0] m_axi_rdata, input [1:0] m_axi_rresp, input m_axi_rlast,
    input m_axi_rvalid, output m_axi_rready
);
    reg [31:0] src, dst, words, mode;
    reg [2:0] state;
    reg [1:0] resp;
    reg done, aw_sent;
    reg [63:0] buffer [0:15];
    reg [4:0] count, beats;

    wire [9:0] room_src = 10'd512 - {1'b0, src[11:3]};
    wire [9:0] room_dst = 10'd512 - {1'b0, dst[11:3]};
    wire [9:0] room = room_src < room_dst ? room_src : room_dst;
    wire [31:0] most = mode == 1 ? 16 : room < 16 ? room : 16;
    wire [4:0] burst = words < most ? words[4:0] : most[4:0];

    assign interrupt = done;
    assign m_axi_awsize = mode == 2 ? 3'd2 : 3'd3;
    assign m_axi_arsize = 3'd3;
    assign m_axi_awburst = mode == 3 ? 2'd0 : 2'd1;
    assign m_axi_arburst = 2'd1;
    assign m_axi_rready = state == 2;
    assign m_axi_bready = 1;
    assign m_axi_wvalid = state == 3 && count < beats;
    assign m_axi_wdata = buffer[count[3:0]] ^ (mode == 4 && !m_axi_wready);
    assign m_axi_wlast = mode == 5 ? 1'b0 : mode == 6 ? count + 2 >= beats : count + 1 == beats;
    // A first word of which only the upper half is written, where DST says so.
    assign m_axi_wstrb = mode != 7 && dst[2] && count == 0 ? 8'hF0 : 8'hFF;

    always @(posedge aclk) begin
        if (!aresetn) begin
            state <= 0; done <= 0; resp <= 0; mode <= 0; src <= 0; dst <= 0; words <= 0;
            m_axi_arvalid <= 0; m_axi_awvalid <= 0; aw_sent <= 0; count <= 0; beats <= 0;
            s_axi_ctrl_awready <= 0; s_axi_ctrl_wready <= 0; s_axi_ctrl_bvalid <= 0;
            s_axi_ctrl_arready <= 0; s_axi_ctrl_rvalid <= 0;
        end else begin
            s_axi_ctrl_awready <= 0; s_axi_ctrl_wready <= 0; s_axi_ctrl_arready <= 0;
            if (s_axi_ctrl_bready) s_axi_ctrl_bvalid <= 0;
            if (s_axi_ctrl_rready) s_axi_ctrl_rvalid <= 0;
            if (s_axi_ctrl_awvalid && s_axi_ctrl_wvalid && !s_axi_ctrl_awready && !s_axi_ctrl_bvalid)
            begin
                s_axi_ctrl_awready <= 1; s_axi_ctrl_wready <= 1; s_axi_ctrl_bvalid <= 1;
                s_axi_ctrl_bresp <= 0;
                case (s_axi_ctrl_awaddr)
                    12'h00: src <= s_axi_ctrl_wdata;
                    12'h04: dst <= s_axi_ctrl_wdata;
                    12'h08: words <= s_axi_ctrl_wdata;
                    12'h0C: begin state <= 1; done <= 0; resp <= 0; end
                    12'h14: mode <= s_axi_ctrl_wdata;
                    default: s_axi_ctrl_bresp <= 2;
                endcase
            end
            if (s_axi_ctrl_arvalid && !s_axi_ctrl_arready && !s_axi_ctrl_rvalid) begin
                s_axi_ctrl_arready <= 1; s_axi_ctrl_rvalid <= 1; s_axi_ctrl_rresp <= 0;
                case (s_axi_ctrl_araddr)
                    12'h00: s_axi_ctrl_rdata <= src;
                    12'h10: s_axi_ctrl_rdata <= {resp, done};
                    default: begin s_axi_ctrl_rdata <= 0; s_axi_ctrl_rresp <= 2; end
                endcase
            end
            if (mode == 8 && s_axi_ctrl_rvalid) s_axi_ctrl_rdata <= s_axi_ctrl_rdata + 1;

            if (m_axi_arready) m_axi_arvalid <= 0;
            if (mode == 9 && m_axi_arvalid && !m_axi_arready) m_axi_arvalid <= 0;
            if (m_axi_awready) m_axi_awvalid <= 0;
            case (state)
                1: if (words == 0) begin state <= 0; done <= 1; end
                else begin
                    beats <= burst; count <= 0; state <= 2;
                    m_axi_araddr <= src; m_axi_arlen <= burst - 1; m_axi_arvalid <= 1;
                end
                2: if (m_axi_rvalid) begin
                    buffer[count[3:0]] <= m_axi_rdata;
                    if (m_axi_rresp != 0) resp <= m_axi_rresp;
                    count <= count + 1;
                    if (m_axi_rlast) begin
                        count <= 0; state <= 3;
                        m_axi_awaddr <= dst; m_axi_awlen <= beats - 1; m_axi_awvalid <= 1;
                    end
                end
                3: begin
                    if (m_axi_wvalid && m_axi_wready) count <= count + 1;
                    if (m_axi_bvalid) begin
                        if (m_axi_bresp != 0) resp <= m_axi_bresp;
                        src <= src + beats * 8; dst <= {dst[31:3], 3'b0} + beats * 8;
                        words <= words - beats;
                        state <= 1;
                    end
                end
            endcase
        end
    end
endmodule
