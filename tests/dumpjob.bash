# dumpjob.bash: what the tests of dumps by job share.  Load after helper and
# jobs.
# shellcheck shell=bash disable=SC2034,SC2154

setup_file() {
    (umask 077 && jq -nrc --argjson n 300 -f "$ROOT/examples/fleet.jq" \
        >"$BATS_FILE_TMPDIR/fleet.txt")
    sim_start --from "$ROOT/examples/contoso.json" \
        --registry "$BATS_FILE_TMPDIR/fleet.txt"
    jobs_set_up
    declare -px ARM_TOKEN HUB_TOKEN STORAGE_KEY >>"$BATS_FILE_TMPDIR/sim.env"
    hub PUT /configurations/fw '{"id":"fw","content":{"deviceContent":{"properties.desired.fw":{"v":1}}},"targetCondition":"tags.none='"'x'"'","priority":3}' >/dev/null
    registry-dump -q --via=rest -o "$BATS_FILE_TMPDIR/rest.txt" \
        --configurations="$BATS_FILE_TMPDIR/rest.conf"
}

teardown_file() {
    sim_stop
}

setup() {
    REST=$BATS_FILE_TMPDIR/rest.txt
    cd "$BATS_TEST_TMPDIR" || return
    control DELETE faults
    job_end release
    # Those of the tests before may still be at work.
    BEFORE=$(hub GET /jobs | jq -c 'map(.jobId)')
}

fault() {
    control POST faults "$1"
}

# What shall happen to the hub's job.
job_end() {
    control POST jobs/contoso "$*"
}

# Containers of our making that are there.
containers() {
    arm GET '/Microsoft.Storage/storageAccounts/contosowestdata/blobServices/default/containers?api-version=2023-05-01' |
        jq -r '.value[].name | select(startswith("hubpipe-"))'
}

# Until the job of a dump in the background runs.
wait_begun() {
    local i
    for ((i = 0; i < 1000; i++)); do
        hub GET /jobs | jq -e --argjson before "$BEFORE" 'map(select(.jobId as $id | $before | index($id) | not)) |
            .[0].status | . == "running" or . == "enqueued"' >/dev/null && return
        sleep 0.02
    done
    return 1
}

# The status of what ran in the background.
ended() {
    status=0
    wait "$1" || status=$?
}

# account SAS of contosowestdata, PERMISSIONS, EXPIRY (as @azure/storage-blob)
account_sas() {
    local sig
    sig=$(printf 'contosowestdata\n%s\nb\nsco\n\n%s\n\n\n2021-12-02\n\n' "$1" "$2" |
        hmac "$STORAGE_KEY")
    printf 'sv=2021-12-02&ss=b&srt=sco&sp=%s&se=%s&sig=%s' "$1" "${2//:/%3A}" \
        "$(printf %s "$sig" | jq -sRr @uri)"
}
