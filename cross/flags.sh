# How device builds are compiled beside their profile. Sourced. Paths are the workspace's.
# A panic ends the agent at once, so nobody reads the tables for unwinding; they would be a sixth of the file.
DEVICE_RUSTFLAGS="-C force-unwind-tables=no -C llvm-args=-enable-machine-outliner=always"
# What seldom runs lies apart from what always runs, for the sake of memory (cross/profile); its list has names of this kind.
DEVICE_RUSTFLAGS+=" -C symbol-mangling-version=v0 -C link-arg=-Wl,-T,cross/seldom.ld"
DEVICE_CFLAGS="-fno-unwind-tables -fno-asynchronous-unwind-tables"
