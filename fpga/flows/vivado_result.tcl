# SPDX-License-Identifier: Apache-2.0
# Run before the bitstream is written: leave timing and cell counts beside the project.

set folder [file dirname [info script]]
report_timing_summary -file [file join $folder timing.rpt]
report_utilization -file [file join $folder utilisation.rpt]

set rows [list "\"slack_ns\": [get_property SLACK [get_timing_paths -setup -max_paths 1]]"]
foreach {name pattern} {LUT LUT* FF FD* DSP DSP48E* BRAM RAMB*} {
    set cells [get_cells -quiet -hierarchical -filter "IS_PRIMITIVE && REF_NAME =~ $pattern"]
    lappend rows "\"$name\": [llength $cells]"
}
set file [open [file join $folder result.json] w]
puts $file "{[join $rows {, }]}"
close $file
