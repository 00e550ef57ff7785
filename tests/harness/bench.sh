# What the benchmarks have in common: the binary they measure and the private engine they measure it on. Sourced after
# packages.sh and engine.sh.

# Builds what a device of this machine's kind gets, unless HOLDFAST_TEST_BINARY names a binary. Arguments go to cargo; with
# any, the machine's own C library is linked, since `cross/build` builds without the sandbox only.
bench_binary() {
  if [ -z "${HOLDFAST_TEST_BINARY:-}" ]; then
    local folder=${CARGO_TARGET_DIR:-target} target
    target=$(uname -m)-unknown-linux-musl
    say "building the device profile"
    if [ $# = 0 ] && cross/build "$target" >"$LOGS/bench-build.log" 2>&1; then
      folder=$folder/$target
    else
      # Tables for unwinding stay in this one: the standard library that came with the compiler brings them along.
      [ $# -gt 0 ] || set -- --no-default-features
      cargo build --profile device "$@" 2>"$LOGS/bench-build.log" || { cat "$LOGS/bench-build.log"; exit 1; }
    fi
    HOLDFAST_TEST_BINARY=$(cd "$folder/device" && pwd)/holdfast
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
