# How device builds are compiled beside their profile. Sourced.
# A panic ends the agent at once, so nobody reads the tables for unwinding; they would be a sixth of the file.
DEVICE_RUSTFLAGS="-C force-unwind-tables=no -C llvm-args=-enable-machine-outliner=always"
DEVICE_CFLAGS="-fno-unwind-tables -fno-asynchronous-unwind-tables"
