# SPDX-License-Identifier: Apache-2.0
# Avnet Ultra96: the two radio LEDs. Everything else is reached through the processing system.
set_property -dict {PACKAGE_PIN A9 IOSTANDARD LVCMOS18} [get_ports {led[0]}]
set_property -dict {PACKAGE_PIN B9 IOSTANDARD LVCMOS18} [get_ports {led[1]}]

# Nothing outside samples the LEDs.
set_false_path -to [get_ports {led[*]}]
