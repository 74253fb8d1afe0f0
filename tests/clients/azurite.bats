# azurite.bats: the jobs of hub-sim with a blob store that is not its own:
# Microsoft's Azurite, which checks every signature by itself.
# shellcheck shell=bash disable=SC2154

load ../helper
load ../jobs

# Public, the same everywhere (CONTRACT 17.5).
account=devstoreaccount1
account_key=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==

setup_file() {
    [ -d "$O/clients/node_modules/azurite" ] || return 0
    (umask 077 && jq -nrc --argjson n 120 -f "$ROOT/examples/fleet.jq" \
        >"$BATS_FILE_TMPDIR/fleet.txt")
    AZURITE=127.0.0.1:$((20000 + RANDOM % 20000))
    "$O/clients/node_modules/.bin/azurite-blob" --blobHost 127.0.0.1 \
        --blobPort "${AZURITE#*:}" --inMemoryPersistence --disableTelemetry \
        --skipApiVersionCheck \
        >"$BATS_FILE_TMPDIR/azurite.log" 2>&1 3>&- 4>&- </dev/null &
    AZURITE_PID=$!
    sim_start --from "$ROOT/examples/contoso.json" \
        --registry "$BATS_FILE_TMPDIR/fleet.txt"
    jobs_set_up
    export AZURITE AZURITE_PID
    declare -px ARM_TOKEN HUB_TOKEN AZURITE AZURITE_PID \
        >>"$BATS_FILE_TMPDIR/sim.env"
    local i
    for ((i = 0; i < 200; i++)); do
        curl -s -o "$BATS_FILE_TMPDIR/up" "http://$AZURITE/$account" && break
        sleep 0.1
    done
    azurite_container jobs
}

teardown_file() {
    [ -z "${AZURITE_PID-}" ] || kill "$AZURITE_PID"
    sim_stop
}

setup() {
    [ -d "$O/clients/node_modules/azurite" ] || skip "needs make check-clients"
}

azurite_container() {
    NODE_PATH="$O/clients/node_modules" URL="http://$AZURITE/$account" \
        KEY="$account_key" NAME="$1" node -e '
        const { ContainerClient, StorageSharedKeyCredential } =
            require("@azure/storage-blob");
        new ContainerClient(process.env.URL + "/" + process.env.NAME,
            new StorageSharedKeyCredential("devstoreaccount1", process.env.KEY))
            .create().catch(e => { console.error(e.message); process.exit(1); });'
}

# container NAME [PERMISSIONS [EXPIRY]], instead of that of jobs.bash: all its
# other functions then speak to Azurite.
container() {
    printf 'http://%s/%s/%s?%s' "$AZURITE" "$account" "$1" \
        "$(sign "$account" "$account_key" "$1" "${2:-racwdl}" ${3+"$3"})"
}

# blob METHOD CONTAINER NAME [CURL OPTION...]
blob() {
    local uri
    uri=$(container "$2")
    curl -sS --max-time 20 -X "$1" -H 'x-ms-version: 2021-12-02' \
        -H 'x-ms-blob-type: BlockBlob' "${uri%%\?*}/$3?${uri#*\?}" "${@:4}"
}

@test "an export into Azurite is what a dump by REST says" {
    export_to jobs '{outputBlobName: "a folder/devices one.txt"}' |
        jq -e '.status == "completed"'
    blob GET jobs a%20folder/devices%20one.txt -f >"$BATS_TEST_TMPDIR/export.txt"
    registry-dump -q -o "$BATS_TEST_TMPDIR/dump.txt"
    expect_status 0 registry-diff --reported "$BATS_TEST_TMPDIR/dump.txt" \
        "$BATS_TEST_TMPDIR/export.txt"
    has "equal: $(wc -l <"$BATS_TEST_TMPDIR/export.txt") entries"
    blob HEAD jobs a%20folder/devices%20one.txt -I |
        grep -i '^x-ms-blob-type: BlockBlob'
}

@test "an import from Azurite, its errors back to it, and nothing where there are none" {
    import jobs <<'END' | jq -e '.status == "completed" and .failureReason == null'
{"id":"az-1","status":"enabled","tags":{"from":"azurite"}}
{"id":"az-1","importMode":"create","status":"enabled"}
not json
END
    hub GET /twins/az-1 | jq -e '.tags.from == "azurite"'
    run blob GET jobs importErrors.log -f
    jq -se 'map([.deviceId, .errorCode]) == [["az-1", 409001], [null, 400012]]' <<<"$output"
    echo '{"id":"az-1","importMode":"delete","status":"enabled"}' | import jobs
    [ "$(blob GET jobs importErrors.log -f | wc -c)" -eq 0 ]
    [ "$(hub_status GET /devices/az-1)" = '404 DeviceNotFound' ]
}

@test "what Azurite refuses fails the job; what a SAS says is seen before" {
    [ "$(hub_status POST /jobs/create "{\"type\":\"export\",\"outputBlobContainerUri\":\"$(container jobs rwl)\"}")" = \
        '400 BlobContainerValidationError' ]
    [ "$(hub_status POST /jobs/create "{\"type\":\"export\",\"outputBlobContainerUri\":\"$(container jobs rwdl 2020-01-01T00:00:00Z)\"}")" = \
        '400 BlobContainerValidationError' ]
    local uri
    uri=$(container jobs)
    run run_job "{\"type\":\"export\",\"outputBlobContainerUri\":\"${uri%sig=*}sig=AAAA\"}"
    jq -e '.status == "failed" and (.failureReason | test("answered PUT .* with 403"))' <<<"$output"
    run run_job "{\"type\":\"export\",\"outputBlobContainerUri\":\"$(container missing)\"}"
    jq -e '.status == "failed" and (.failureReason | test("with 404"))' <<<"$output"
    run run_job "{\"type\":\"import\",\"inputBlobContainerUri\":\"$uri\",\"outputBlobContainerUri\":\"$uri\",\"inputBlobName\":\"none\"}"
    jq -e '.status == "failed" and (.failureReason | test("GET .*none.* with 404"))' <<<"$output"
    uri=${uri/$AZURITE/127.0.0.1:1}
    run run_job "{\"type\":\"export\",\"outputBlobContainerUri\":\"$uri\"}"
    jq -e '.status == "failed" and (.failureReason | test("refused"))' <<<"$output"
}

@test "a file of many megabytes, both ways" {
    jq -nrc 'range(2500) | {id: "big-\(.)", status: "enabled",
        tags: {t: ("x" * 3500)}}' | import jobs | jq -e '.status == "completed"'
    [ "$(blob GET jobs importErrors.log -f | wc -c)" -eq 0 ]
    export_to jobs '{outputBlobName: "big.txt"}' | jq -e '.status == "completed"'
    blob GET jobs big.txt -f >"$BATS_TEST_TMPDIR/big.txt"
    [ "$(grep -c '"id":"big-' "$BATS_TEST_TMPDIR/big.txt")" -eq 2500 ]
    [ "$(jq -r 'select(.tags.t) | .tags.t | length' "$BATS_TEST_TMPDIR/big.txt" |
        sort -u)" = 3500 ]
}
