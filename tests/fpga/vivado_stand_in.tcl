# SPDX-License-Identifier: Apache-2.0
# A stand-in for Vivado in tests. It executes the scripts as Tcl, refuses commands that Vivado does
# not have and files that are not there, and writes down what was asked for. It says nothing about
# whether Vivado would accept the options, the block design or the constraints.
#
#     vivado_stand_in.tcl -mode batch -source FILE.tcl ... [PROJECT.xpr]

if {"-version" in $argv} { puts "vivado v0.0 (a stand-in)"; exit 0 }

set log [open vivado_stand_in.log a]
set project [lindex [glob -nocomplain *.xpr] 0]
set hook [file exists hook.txt]
proc note {args} { puts $::log [join $args] }
proc fail {message} { puts "ERROR: $message"; close $::log; exit 1 }

foreach command {
    apply_bd_automation assign_bd_address close_bd_design connect_bd_intf_net connect_bd_net
    create_bd_cell create_bd_design create_bd_port generate_target make_bd_intf_pins_external
    make_bd_pins_external open_run report_timing_summary report_utilization reset_runs
    save_bd_design validate_bd_design wait_on_run write_edif write_verilog
} {
    proc $command {args} "note $command {*}\$args"
}
foreach command {
    current_bd_design current_fileset current_project current_run get_bd_addr_segs
    get_bd_addr_spaces get_bd_cells get_bd_intf_pins get_bd_intf_ports get_bd_pins get_bd_ports
    get_files get_filesets get_runs get_timing_paths list_property
} {
    proc $command {args} "lindex \$args end"
}
foreach command {read_verilog read_xdc} {
    proc $command {file} "note $command \$file; if {!\[file exists \$file\]} {fail \"no \$file\"}"
}
proc get_cells {args} { return {one two} }
proc current_project {} { return [file rootname $::project] }
proc create_project {name args} { close [open [set ::project $name.xpr] w]; note create_project $name }
proc set_property {args} {
    note set_property {*}$args
    if {[lindex $args 0] eq "STEPS.WRITE_BITSTREAM.TCL.PRE"} {
        set file [open hook.txt w]
        puts -nonewline $file [lindex $args 1]
        close $file
    }
}
proc get_property {name args} {
    switch $name {
        PROGRESS { return [expr {[file exists top.bit] ? "100%" : "0%"}] }
        NEEDS_REFRESH { return 0 }
        DIRECTORY { return . }
        top { return top }
        SLACK { return [expr {[info exists ::env(SLACK)] ? $::env(SLACK) : 2.0}] }
    }
    fail "the stand-in has no property $name"
}
proc launch_runs {args} {
    note launch_runs {*}$args
    if {"write_bitstream" in $args} {
        set file [open hook.txt]
        source [read $file]
        close [open top.bit w]
    }
}

foreach argument $argv {
    if {[file extension $argument] ni {.tcl .xpr}} continue
    if {![file exists $argument]} { fail "no $argument" }
    if {[file extension $argument] eq ".tcl" && [catch { source $argument } message options]} {
        fail "$argument: [dict get $options -errorinfo]"
    }
}
close $log
