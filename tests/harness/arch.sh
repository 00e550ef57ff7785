# The agent as a device gets it, for other processors: built beside the suites that do not need it, at lower priority.

ARCH_PID= NO_ARCH=

# Begins to build for 64-bit ARM; in CI for 32-bit ARM and with --all for x86 as well.
arch_start() {
  local targets=(aarch64-unknown-linux-musl)
  if [ -n "${HOLDFAST_TEST_ALL:-}" ] || [ "${CI:-}" = true ]; then targets+=(armv7-unknown-linux-musleabihf); fi
  if [ -n "${HOLDFAST_TEST_ALL:-}" ]; then targets+=(x86_64-unknown-linux-musl); fi
  # `timeout` takes its children along when this run ends early.
  timeout --kill-after=10 "${ARCH_LIMIT_SECONDS:-2400}" nice -n 3 cross/build "${targets[@]}" >"$LOGS/arch.log" 2>&1 &
  ARCH_PID=$!
  ARCH_START=$SECONDS
}

# Waits for it and says where the binaries are; leaves the reason in NO_ARCH when there are none.
arch_finish() {
  local target folder=${CARGO_TARGET_DIR:-target} code=0
  [ -n "$ARCH_PID" ] || return 0
  wait "$ARCH_PID" || code=$?
  ARCH_PID=
  if [ "$code" != 0 ]; then
    NO_ARCH="cross/build does not work here: $(tail -n 1 "$LOGS/arch.log")"
    return 0
  fi
  grep -h ' bytes' "$LOGS/arch.log" || true
  say "device builds took $((SECONDS - ARCH_START)) s beside the other suites"
  export HOLDFAST_TEST_DEVICE_BUILDS
  HOLDFAST_TEST_DEVICE_BUILDS=$(cd "$folder" && pwd)
}
