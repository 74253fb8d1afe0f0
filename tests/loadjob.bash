# loadjob.bash: what the tests of loads by job share.  Load after helper, jobs
# and records.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154

setup_file() {
    sim_start --from "$ROOT/examples/contoso.json" --operation-ms 1
    jobs_set_up
    STORAGE_ACCT_CONN_STRING="DefaultEndpointsProtocol=https;AccountName=contosowestdata;AccountKey=$STORAGE_KEY;EndpointSuffix=core.windows.net"
    export STORAGE_ACCT_CONN_STRING
    declare -px ARM_TOKEN HUB_TOKEN STORAGE_KEY STORAGE_ACCT_CONN_STRING \
        >>"$BATS_FILE_TMPDIR/sim.env"
}

teardown_file() {
    sim_stop
}

# Each test has a hub of its own.
setup() {
    cd "$BATS_TEST_TMPDIR" || return
    umask 077
    HUB=hub-$BATS_TEST_NUMBER
    export HUB
    make_hub "$HUB"
}

teardown() {
    control DELETE faults
    control PUT doubts/import-error-module given
    control PUT doubts/import-output-name log
    control PUT doubts/reported-on-create applied
    control PUT doubts/bulk-module-managed-by dropped
    [ -z "${BACK-}" ] || kill -9 "$BACK" 2>/dev/null || true
}

# What happens to the job of this hub.
knob() {
    control POST "jobs/$HUB" "$1"
}

fleet() {
    jq -nrc --argjson n "$1" -f "$ROOT/examples/fleet.jq"
}

# many PREFIX N [JQ: more members]: records, quickly
many() {
    jq -nc --arg p "$1" --argjson n "$2" '("x" * 24 | @base64) as $k | range($n)
        | {id: "\($p)\(.)", status: "enabled", authentication: {type: "sas",
            symmetricKey: {primaryKey: $k, secondaryKey: $k}}}'" + ${3-{\}}"
}

by_job() {
    registry-load --via=job --retry-delay=0.01 "$@" "$HUB"
}

# What is on the hub, without what differs by hub.
there() {
    registry-dump -q --via=rest --retry-delay=0.01 "$HUB" |
        sed 's/"\(eTag\|twinETag\)":"[^"]*",//g'
}

# lists CONTAINER: names of its blobs.
lists() {
    blob GET "$1" '' -G -d restype=container -d comp=list | grep -o '<Name>[^<]*' | cut -c7-
}

# How many containers of runs there are.
containers() {
    container_names | grep -c . || true
}

container_names() {
    arm GET '/Microsoft.Storage/storageAccounts/contosowestdata/blobServices/default/containers?api-version=2023-05-01' |
        jq -r '.value[].name | select(startswith("hubpipe-"))'
}

# jobs STATUS: how many of that the hub knows.
jobs() {
    hub GET /jobs | jq --arg s "$1" 'map(select(.status == $s and .type == "import")) | length'
}

# Waits until a job of the hub has begun, and is not over.
await_job() {
    local i
    for ((i = 0; i < 300; i++)); do
        hub GET /jobs | jq -e 'any(.status == "enqueued" or .status == "running")' >/dev/null && return
        sleep 0.02
    done
    return 1
}

# configuration ID CONTENT [MORE MEMBERS]
configuration() {
    echo "{\"Id\":\"$1\",\"Content\":$2,\"TargetCondition\":\"tags.site='x'\",\"Priority\":10${3-}}"
}

# In the order in which they must not be applied.
configurations() {
    configuration layer '{"ModulesContent":{"$edgeAgent":{"properties.desired.modules.x":{"v":1.0}}}}'
    configuration base '{"ModulesContent":{"$edgeAgent":{"properties.desired":{"modules":{}}}}}'
    configuration dev '{"DeviceContent":{"properties.desired.fw":{"v":9007199254740993}}}'
}
