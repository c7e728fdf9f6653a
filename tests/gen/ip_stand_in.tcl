# SPDX-License-Identifier: Apache-2.0
# A stand-in for Vivado's packager in tests: it runs the script given as Tcl, knows the commands below
# and no others, and prints what was asked for.

namespace eval ipx {}
set things {}
proc note {args} { puts [join $args] }
foreach command {create_project update_compile_order set_property} {
    proc $command {args} "note $command {*}\$args"
}
proc current_fileset {} { return sources_1 }
proc add_files {flag file} {
    note add_files [file tail $file]
    if {![file exists $file]} { error "no $file" }
}
proc ipx::current_core {} { return core }
foreach command {
    package_project infer_bus_interface associate_bus_interfaces remove_segment
    create_xgui_files update_checksums check_integrity save_core
} {
    proc ipx::$command {args} "note ipx::$command {*}\$args"
}
# What is made is found again by its name.
foreach {maker finder} {
    add_bus_parameter get_bus_parameters
    add_memory_map get_memory_maps
    add_address_block get_address_blocks
    add_address_space get_address_spaces
} {
    proc ipx::$maker {name parent} "note ipx::$maker \$name \$parent
        lappend ::things $finder:\$name
        return \$name"
    proc ipx::$finder {args} "lindex \$args 0"
}
proc ipx::get_bus_interfaces {args} {
    # Signals are not there before they are inferred.
    if {[lindex $args 0] eq "-quiet"} { return [expr {[string match *axi* $args] ? "there" : ""}] }
    return [lindex $args 0]
}
foreach finder {get_bus_parameters get_memory_maps get_address_spaces} {
    proc ipx::$finder {args} "
        if {\[lindex \$args 0] eq {-quiet}} {
            set name \[lindex \$args 1]
            return \[expr {\"$finder:\$name\" in \$::things ? \$name : {}}]
        }
        return \[lindex \$args 0]"
}

source [lindex $argv 0]
