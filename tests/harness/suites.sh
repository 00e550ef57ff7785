# Runs cargo's tests suite by suite, keeps cargo's output in a log each, and adds up what they report.

PASSED=0 FAILED=0 SKIPPED=0 SKIPPED_ENGINE=0
SUITE_LIMIT_SECONDS=${SUITE_LIMIT_SECONDS:-900}
BUILD_LIMIT_SECONDS=${BUILD_LIMIT_SECONDS:-1800}
SUITE_PID=

# suite_cargo SECONDS LOG arguments…: in the background, so that an interrupt is handled at once; `timeout` takes its
# children along.
suite_cargo() {
  local code=0
  timeout --kill-after=10 "$1" cargo test "${@:3}" >"$2" 2>&1 &
  SUITE_PID=$!
  wait "$SUITE_PID" || code=$?
  SUITE_PID=
  return "$code"
}

# suite NAME cargo-arguments…: one line when it went well, the failures in full when not.
suite() {
  local name=$1 log="$LOGS/$1.log" code=0 start=$SECONDS passed failed skipped
  shift
  # What is built for this suite alone takes none of its time; what goes wrong with it is said again by the run.
  case " $* " in *" --profile "*) suite_cargo "$BUILD_LIMIT_SECONDS" "$log" "$@" --no-run || true ;; esac
  suite_cargo "$SUITE_LIMIT_SECONDS" "$log" "$@" || code=$?
  read -r passed failed skipped < <(suite_counts "$log")
  # A suite that ended badly without saying so (does not compile, crashed, ran out of time) is one failure.
  [ "$code" = 0 ] || [ "$failed" -gt 0 ] || failed=1
  # So is one that ran nothing: its file is no part of tests/suites.rs.
  [ $((passed + failed + skipped)) -gt 0 ] || { failed=1; say "$name ran no test: does tests/suites.rs name it?"; }
  PASSED=$((PASSED + passed)) FAILED=$((FAILED + failed)) SKIPPED=$((SKIPPED + skipped))
  say "$(printf '%-28s %4d passed %4d failed %4d skipped %5d s' "$name" "$passed" "$failed" "$skipped" $((SECONDS - start)))"
  [ "$failed" = 0 ] || suite_show_failures "$log" "$code"
}

# Sums the `test result:` lines of a log; libtest's `ignored` are our skipped.
suite_counts() {
  awk '/^test result: / {
         for (i = 2; i <= NF; i++) {
           if ($i ~ /^passed/) p += $(i - 1); if ($i ~ /^failed/) f += $(i - 1); if ($i ~ /^ignored/) s += $(i - 1)
         }
       }
       END { print p + 0, f + 0, s + 0 }' "$1"
}

suite_show_failures() {
  case $2 in 124 | 137) echo "    ran out of time ($SUITE_LIMIT_SECONDS s)" ;; esac
  if grep -q '^failures:$' "$1"; then
    sed -n '/^failures:$/,/^test result: /p' "$1"
  else
    tail -n 60 "$1"
  fi | sed 's/^/    /'
  echo "    whole log: $1"
}

# Counts the tests of a suite that cannot run here as skipped.
suite_skip() {
  local name=$1 why=$2 log="$LOGS/$1.log" count
  shift 2
  count=$(cargo test "$@" --list 2>"$log" | grep -c ': test$' || true)
  SKIPPED=$((SKIPPED + count)) SKIPPED_ENGINE=$((SKIPPED_ENGINE + 1))
  say "$(printf '%-28s %4d skipped: %s' "$name" "$count" "$why")"
}
