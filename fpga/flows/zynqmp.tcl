# SPDX-License-Identifier: Apache-2.0
# Block design: the processing system of a Zynq UltraScale+, clock and reset for the fabric, and one
# AXI4-Lite bus out of it; if the unit has them, one AXI4 bus from it into memory and one interrupt.
# settings.tcl, read before, sets what is not fixed here; a width of 0 says that there is no such bus.

create_bd_design system

create_bd_cell -type ip -vlnv xilinx.com:ip:zynq_ultra_ps_e ps
apply_bd_automation -rule xilinx.com:bd_rule:zynq_ultra_ps_e \
    -config {apply_board_preset "1"} [get_bd_cells ps]
set_property -dict [list \
    CONFIG.PSU__USE__M_AXI_GP0 1 \
    CONFIG.PSU__MAXIGP0__DATA_WIDTH 32 \
    CONFIG.PSU__USE__M_AXI_GP1 0 \
    CONFIG.PSU__USE__M_AXI_GP2 0 \
    CONFIG.PSU__OVERRIDE__BASIC_CLOCK 0 \
    CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ $clock_mhz \
] [get_bd_cells ps]

create_bd_cell -type ip -vlnv xilinx.com:ip:axi_interconnect interconnect
set_property CONFIG.NUM_MI 1 [get_bd_cells interconnect]
create_bd_cell -type ip -vlnv xilinx.com:ip:proc_sys_reset reset

make_bd_pins_external -name aclk [get_bd_pins ps/pl_clk0]
foreach pin {
    ps/maxihpm0_fpd_aclk
    reset/slowest_sync_clk
    interconnect/ACLK
    interconnect/S00_ACLK
    interconnect/M00_ACLK
} {
    connect_bd_net [get_bd_pins ps/pl_clk0] [get_bd_pins $pin]
}

connect_bd_net [get_bd_pins ps/pl_resetn0] [get_bd_pins reset/ext_reset_in]
make_bd_pins_external -name aresetn [get_bd_pins reset/peripheral_aresetn]
foreach pin {interconnect/ARESETN interconnect/S00_ARESETN interconnect/M00_ARESETN} {
    connect_bd_net [get_bd_pins reset/interconnect_aresetn] [get_bd_pins $pin]
}

connect_bd_intf_net [get_bd_intf_pins ps/M_AXI_HPM0_FPD] [get_bd_intf_pins interconnect/S00_AXI]
make_bd_intf_pins_external -name m_axi_ctrl [get_bd_intf_pins interconnect/M00_AXI]
set_property -dict [list \
    CONFIG.PROTOCOL AXI4LITE \
    CONFIG.DATA_WIDTH 32 \
    CONFIG.ADDR_WIDTH $address_width \
] [get_bd_intf_ports m_axi_ctrl]
assign_bd_address -offset $base -range $range -force \
    -target_address_space [get_bd_addr_spaces ps/Data] [get_bd_addr_segs m_axi_ctrl/Reg]
set buses m_axi_ctrl

if {$memory_data_width} {
    set_property -dict [list \
        CONFIG.PSU__USE__S_AXI_GP2 1 \
        CONFIG.PSU__SAXIGP2__DATA_WIDTH 128 \
    ] [get_bd_cells ps]
    create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect memory
    set_property -dict [list CONFIG.NUM_SI 1 CONFIG.NUM_MI 1] [get_bd_cells memory]
    foreach pin {ps/saxihp0_fpd_aclk memory/aclk} {
        connect_bd_net [get_bd_pins ps/pl_clk0] [get_bd_pins $pin]
    }
    connect_bd_net [get_bd_pins reset/interconnect_aresetn] [get_bd_pins memory/aresetn]
    make_bd_intf_pins_external -name s_axi_mem [get_bd_intf_pins memory/S00_AXI]
    set_property -dict [list \
        CONFIG.PROTOCOL AXI4 \
        CONFIG.DATA_WIDTH $memory_data_width \
        CONFIG.ADDR_WIDTH $memory_address_width \
        CONFIG.ID_WIDTH 0 \
        CONFIG.HAS_REGION 0 \
        CONFIG.SUPPORTS_NARROW_BURST 0 \
    ] [get_bd_intf_ports s_axi_mem]
    connect_bd_intf_net [get_bd_intf_pins memory/M00_AXI] [get_bd_intf_pins ps/S_AXI_HP0_FPD]
    assign_bd_address -offset 0 -range 2G -force \
        -target_address_space [get_bd_addr_spaces s_axi_mem] \
        [get_bd_addr_segs ps/SAXIGP2/HP0_DDR_LOW]
    lappend buses s_axi_mem
}
set_property CONFIG.ASSOCIATED_BUSIF [join $buses :] [get_bd_ports aclk]

if {$interrupt} {
    set_property CONFIG.PSU__USE__IRQ0 1 [get_bd_cells ps]
    create_bd_port -dir I -type intr interrupt
    set_property CONFIG.SENSITIVITY LEVEL_HIGH [get_bd_ports interrupt]
    connect_bd_net [get_bd_ports interrupt] [get_bd_pins ps/pl_ps_irq0]
}

validate_bd_design
save_bd_design
close_bd_design [current_bd_design]
set_property synth_checkpoint_mode None [get_files system.bd]
generate_target all [get_files system.bd]

# PYNQ wants the hand-off file beside the bitstream, under the same name.
foreach folder {gen srcs} {
    set handoff $name.$folder/sources_1/bd/system/hw_handoff/system.hwh
    if {[file exists $handoff]} { file copy -force $handoff $name.hwh }
}
