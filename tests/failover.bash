# failover.bash: what the files hub-failover*.bats share: a small world, and a
# hub-failover that looks ten times a second.  The simulated clock is moved on
# by the control endpoint, never waited for.
# shellcheck shell=bash disable=SC2016

setup_file() {
    cat >"$BATS_FILE_TMPDIR/lib" <<'EOL'
set -o pipefail
H=/subscriptions/$AZURE_SUBSCRIPTION_ID/resourceGroups/west-rg/providers/Microsoft.Devices/IotHubs/contoso
fo() { hub-failover --every=0.1 "$@" contoso; }
go() { fo --confirm=contoso "$@"; }
both() { "$@" 2>&1; }
ended() { local rc=0; "$@" || rc=$?; echo "ended $rc"; }
control() { curl -sS -X PUT -d "$2" "$HUB_SIM_CONTROL/$1" >/dev/null; }
after() { control clock "$1"; }
fault() { curl -sS -d "$1" "$HUB_SIM_CONTROL/faults" >/dev/null; }
mend() { curl -sS -X DELETE "$HUB_SIM_CONTROL/faults" >/dev/null; }
by_microsoft() { curl -sS -X POST "$HUB_SIM_CONTROL/failovers/contoso"; }
# asked METHOD PATTERN: how many such requests are in ./log
asked() { jq -r "select(.method == \"$1\" and (.path | test(\"$2\"))) | .path" log | wc -l; }
# until COMMAND...: waits for what is soon to be.
await() { for _ in $(seq 200); do "$@" >/dev/null 2>&1 && return; sleep 0.05; done; echo "never: $*"; false; }
begun() { [ "$(asked POST /failover)" -gt "${1:-0}" ]; }
EOL
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    export XDG_STATE_HOME=$BATS_TEST_TMPDIR/state
}

# template JQ-FILTER: examples/contoso.json with its hub changed by the filter.
template() {
    jq "(.resources[] | select(.type == \"Microsoft.Devices/IotHubs\")) |= ($1)" \
        "$ROOT/examples/contoso.json" >template.json
}

# sim STATUS [OPTION...] -- SCRIPT: in a world where a failover takes 0.6 s.
sim() {
    local want=$1 options=() from=$ROOT/examples/contoso.json
    shift
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    rm -f log
    [ ! -e template.json ] || from=template.json
    expect_status "$want" hub-sim --from "$from" --operation-ms=600 --token-seconds=1000000 \
        --log log "${options[@]}" -- bash -c '. "$0"; '"$2" "$BATS_FILE_TMPDIR/lib"
}

no_post() {
    run grep -c '/failover"' log
    [ "$output" -eq 0 ]
}
