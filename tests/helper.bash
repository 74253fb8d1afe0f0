# helper.bash: what every .bats file loads.
#
# Tools run from $O/bin.  A test is a pipeline a user would type; a simulator
# is started per test by "hub-sim [OPTIONS] -- COMMAND", or once per file by
# sim_start, which must be called in setup_file.
# shellcheck shell=bash

ROOT=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
export ROOT
: "${O:=$ROOT/build}"
export O PATH="${HUBPIPE_BIN:-$O/bin}:$O/bin:$PATH"
export FIXTURES="$ROOT/tests/fixtures"
SHARED=$ROOT/../shared
export SHARED
# shellcheck source=tests/hmac.bash
. "$ROOT/tests/hmac.bash"

# No test may depend on what the caller has set.
unset IOTHUB_CONN_STRING DEST_IOTHUB_CONN_STRING STORAGE_ACCT_CONN_STRING
unset HUBPIPE_CONNECT_TO HUBPIPE_PACE SSL_CERT_FILE HTTPS_PROXY https_proxy NO_PROXY
unset AZURE_TENANT_ID AZURE_CLIENT_ID AZURE_CLIENT_SECRET
unset AZURE_SUBSCRIPTION_ID AZURE_CLOUD MAKEFLAGS MFLAGS MAKELEVEL
export LC_ALL=C.UTF-8 TZ=UTC
# hub-sim notes by these which test met which doubt (tests/doubts).
export BATS_TEST_FILENAME BATS_TEST_DESCRIPTION
export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1
export LSAN_OPTIONS="suppressions=$ROOT/tests/lsan.supp:print_suppressions=0"
LSAN_OPTIONS+=:fast_unwind_on_malloc=0:malloc_context_size=40

# expect_status N COMMAND...: run it, stdout and stderr into $output; fail
# when it ends otherwise, and always on a signal or a sanitizer's report.
expect_status() {
    local want=$1
    shift
    run "$@"
    if [ "$status" -ge 126 ]; then
        echo "ended with $status (signal or not run): $*"
        echo "$output"
        return 1
    fi
    if [[ $output == *Sanitizer* || $output == *"runtime error:"* ]]; then
        echo "$output"
        return 1
    fi
    if [ "$status" -ne "$want" ]; then
        echo "status $status instead of $want: $*"
        echo "$output"
        return 1
    fi
}

# The same for a pipeline given as text, with pipefail.
expect_pipe() {
    local want=$1
    shift
    expect_status "$want" bash -o pipefail -c "$@"
}

# simulate [OPTION...] : STATUS [OPTION...] -- TEXT: the text in bash, in a
# simulator with these options.  A file's sim() is this with options of its own.
simulate() {
    local options=() want
    while [ "$1" != : ]; do
        options+=("$1")
        shift
    done
    want=$2
    shift 2
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    expect_status "$want" hub-sim "${options[@]}" -- bash -o pipefail -c "$2"
}

# has TEXT...: each TEXT occurs in $output.
has() {
    local text
    for text; do
        if [[ $output != *"$text"* ]]; then
            printf 'missing: %s\nin:\n%s\n' "$text" "$output"
            return 1
        fi
    done
}

has_not() {
    local text
    for text; do
        if [[ $output == *"$text"* ]]; then
            printf 'unwanted: %s\nin:\n%s\n' "$text" "$output"
            return 1
        fi
    done
}

# same FILE FILE: byte for byte.
same() {
    cmp "$1" "$2" || {
        diff "$1" "$2" | head -20
        return 1
    }
}

# sim_start [OPTION...]: a simulator for this file; its variables are exported,
# and found again by every test, since this file is loaded before each.
# Call in setup_file, and sim_stop in teardown_file.
sim_start() {
    local i
    rm -f "$BATS_FILE_TMPDIR/sim.env"
    hub-sim "$@" >"$BATS_FILE_TMPDIR/sim.env" 2>"$BATS_FILE_TMPDIR/sim.err" \
        3>&- 4>&- </dev/null &
    SIM_PID=$!
    export SIM_PID
    for ((i = 0; i < 200; i++)); do
        grep -q '^# ready' "$BATS_FILE_TMPDIR/sim.env" && break
        kill -0 "$SIM_PID" || {
            cat "$BATS_FILE_TMPDIR/sim.err" >&2
            return 1
        }
        sleep 0.05
    done
    # shellcheck disable=SC1091 # made just now
    . "$BATS_FILE_TMPDIR/sim.env"
}

sim_stop() {
    kill "$SIM_PID" 2>/dev/null && wait "$SIM_PID" 2>/dev/null
    return 0
}

need_shared() {
    [ -d "$SHARED/azure" ] || skip "needs ../shared"
}

# What sim_start exported, which the lines above have unset.
if [ -s "${BATS_FILE_TMPDIR-}/sim.env" ]; then
    # shellcheck disable=SC1091 # made by sim_start
    . "$BATS_FILE_TMPDIR/sim.env"
fi
