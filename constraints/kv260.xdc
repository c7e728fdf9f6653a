# SPDX-License-Identifier: Apache-2.0
# AMD Kria KV260 has no LEDs of the fabric's own: these are for a module in pins 1 and 2 of the Pmod
# connector. Everything else is reached through the processing system.
set_property -dict {PACKAGE_PIN H12 IOSTANDARD LVCMOS33} [get_ports {led[0]}]
set_property -dict {PACKAGE_PIN E10 IOSTANDARD LVCMOS33} [get_ports {led[1]}]

# Nothing outside samples the LEDs.
set_false_path -to [get_ports {led[*]}]
