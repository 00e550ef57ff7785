# What the benchmarks have in common: the binary they measure and the private engine they measure it on. Sourced after
# packages.sh and engine.sh.

. cross/flags.sh

# Builds the device profile for this machine unless HOLDFAST_TEST_BINARY names a binary. Arguments go to cargo.
bench_binary() {
  if [ -z "${HOLDFAST_TEST_BINARY:-}" ]; then
    local host
    host=$(rustc -vV | sed -n 's/^host: //p')
    say "building the device profile"
    # With a target named, the flags are for what is built and not for what helps building it.
    env RUSTFLAGS="$DEVICE_RUSTFLAGS" "CFLAGS_${host//-/_}=$DEVICE_CFLAGS" \
      cargo build --profile device --target "$host" "$@" 2>"$LOGS/bench-build.log" || { cat "$LOGS/bench-build.log"; exit 1; }
    HOLDFAST_TEST_BINARY=$(cd "${CARGO_TARGET_DIR:-target}/$host/device" && pwd)/holdfast
  fi
  export HOLDFAST_TEST_BINARY
}

# Starts an engine that is stopped when the script ends.
bench_engine() {
  [ "$(id -u)" = 0 ] || { say "needs root, for a private engine"; exit 1; }
  trap '[ -z "$ENGINE_DIR" ] || engine_stop "$ENGINE_DIR"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  packages_install || { say "missing:" $(packages_missing); exit 1; }
  engine_start || { say "the private engine did not start"; exit 1; }
  export HOLDFAST_TEST_ENGINE=$ENGINE_DIR
}

# Where logs go, as the harness expects it.
bench_logs() {
  LOGS=${CARGO_TARGET_DIR:-target}/test-logs ENGINE_DIR=
  mkdir -p "$LOGS"
  LOGS=$(cd "$LOGS" && pwd)
}

say() { printf '%s\n' "$*"; }
