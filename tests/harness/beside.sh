# A second row of suites beside the first, on an engine of its own: the longest suites wait more than they compute.

BESIDE_PID= BESIDE_LOG=

# A suite that runs in the second row says so in a line of its own.
runs_beside() { grep -q '^// runs: beside the others$' "tests/$1.rs"; }

# Starts the second row where everything runs.
beside_start() {
  local name names=()
  for name in $(names_of_suites); do
    runs_beside "$name" && names+=("$name")
  done
  BESIDE_LOG=$LOGS/beside.log
  HOLDFAST_TEST_BUILT=1 tests/run "${names[@]}" >"$BESIDE_LOG" 2>&1 &
  BESIDE_PID=$!
}

# Waits for it, shows what it said and adds up what it counted.
beside_finish() {
  local code=0 counts passed failed skipped
  [ -n "$BESIDE_PID" ] || return 0
  wait "$BESIDE_PID" || code=$?
  BESIDE_PID=
  sed '$d' "$BESIDE_LOG"
  counts=$(sed -n '$s/^\([0-9]*\) passed, \([0-9]*\) failed, \([0-9]*\) skipped$/\1 \2 \3/p' "$BESIDE_LOG")
  read -r passed failed skipped <<<"${counts:-0 0 0}"
  # One that ended without its last line is a failure, as is one that failed and counted none.
  if [ "$failed" = 0 ] && { [ "$code" != 0 ] || [ -z "$counts" ]; }; then
    say "the second row of suites ended with code $code: $(tail -n 1 "$BESIDE_LOG")"
    failed=1
  fi
  PASSED=$((PASSED + passed)) FAILED=$((FAILED + failed)) SKIPPED=$((SKIPPED + skipped))
}

# Ends it early; it cleans up after itself.
beside_stop() {
  [ -n "$BESIDE_PID" ] || return 0
  kill "$BESIDE_PID" 2>/dev/null || true
  wait "$BESIDE_PID" 2>/dev/null || true
  BESIDE_PID=
}
