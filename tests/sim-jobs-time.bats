# sim-jobs-time.bats: jobs of hub-sim that take time, are interrupted, meet a
# doubt or outlive the program; each test has a simulator of its own.
# shellcheck shell=bash disable=SC2034,SC2154 # jobs.bash uses them

load helper
load jobs

# A simulator of its own for one test, with other options.
other_sim() {
    BATS_FILE_TMPDIR=$BATS_TEST_TMPDIR
    OTHER=1
    sim_start --from "$ROOT/examples/contoso.json" "$@"
    jobs_set_up
}

teardown() {
    [ -z "${OTHER-}" ] || sim_stop
}

@test "one job at a time for each hub; it can be cancelled; the clock decides" {
    local u job
    other_sim --timing=real --dest contoso-east
    u=$(container jobs)
    job=$(hub POST /jobs/create "{\"type\":\"export\",\"outputBlobContainerUri\":\"$u\"}" | jq -r .jobId)
    [ "$(hub_status POST /jobs/create "{\"type\":\"export\",\"outputBlobContainerUri\":\"$u\"}")" = \
        '403 JobQuotaExceeded' ]
    run jq -r .Message "$BATS_TEST_TMPDIR/body"
    has 'ErrorCode:JobQuotaExceeded;Error: 403 ErrorCode: JobQuotaExceeded' \
        $'\nMessage: Job quota has been exceeded\nTimestamp: ' $'\nTracking ID: '
    run hub GET "/jobs/$job"
    jq -e '.status == "enqueued"' <<<"$output"
    [ "$(hub_status DELETE "/jobs/$job")" = '204 ' ]
    run hub GET "/jobs/$job"
    jq -e '.status == "cancelled" and .endTimeUtc' <<<"$output"
    [ "$(hub_status DELETE "/jobs/$job")" = '204 ' ]
    [ "$(hub_status POST /jobs/create "{\"type\":\"export\",\"outputBlobContainerUri\":\"$u\"}")" = '200 ' ]
    run blob GET jobs devices.txt
    has BlobNotFound
}

@test "a large job takes its time and says how far it is" {
    local job u
    jq -nrc 'range(300) | {id: "d\(.)", status: "enabled"}' >"$BATS_TEST_TMPDIR/f"
    other_sim --registry "$BATS_TEST_TMPDIR/f" --timing=real --speed=2
    u=$(container jobs)
    job=$(hub POST /jobs/create "{\"type\":\"export\",\"outputBlobContainerUri\":\"$u\"}" | jq -r .jobId)
    local i seen='' p
    for ((i = 0; i < 200; i++)); do
        run hub GET "/jobs/$job"
        p=$(jq -r '"\(.status) \(.progress)"' <<<"$output")
        [[ $seen == *"$p"* ]] || seen+="$p,"
        [[ $p != completed* ]] || break
        sleep 0.02
    done
    [[ $seen == 'enqueued 0,running '*',completed 100,' ]]
    [ "$(tr -cd , <<<"$seen" | wc -c)" -gt 3 ]
    [ "$(blob GET jobs devices.txt | wc -l)" -eq 300 ]
}

@test "a SAS that expires in the middle ends the job, and so does a container that goes" {
    local job u
    jq -nrc 'range(2000) | {id: "d\(.)", status: "enabled"}' >"$BATS_TEST_TMPDIR/f"
    other_sim --registry "$BATS_TEST_TMPDIR/f" --timing=real --speed=8
    make_container short
    # Signatures are held against the clock that --speed does not move.
    u=$(container short racwdl "$(date -u -d '+2 seconds' +%FT%TZ)")
    run run_job "{\"type\":\"export\",\"outputBlobContainerUri\":\"$u\"}"
    echo "$output"
    jq -e '.status == "failed" and (.failureReason | test("Unauthorized to write to output"))' <<<"$output"
    u=$(container short)
    job=$(hub POST /jobs/create "{\"type\":\"export\",\"outputBlobContainerUri\":\"$u\"}" | jq -r .jobId)
    arm DELETE '/Microsoft.Storage/storageAccounts/contosowestdata/blobServices/default/containers/short?api-version=2023-05-01'
    run wait_job "$job"
    jq -e '.status == "failed" and (.failureReason | test("container does not exist"))' <<<"$output"
}

@test "doubts: line ends, metadata, warning, comments, uris, cancelling, names" {
    jq -nrc 'range(3) | {id: "d\(.)", status: "enabled"}' >"$BATS_TEST_TMPDIR/f"
    other_sim --registry "$BATS_TEST_TMPDIR/f" --doubt export-line-end=crlf \
        --doubt export-metadata=yes --doubt export-warning-line=no \
        --doubt import-comment-line=skipped --doubt job-container-uri=echoed \
        --doubt cancel-unknown-job=404 --doubt import-output-name=ignored \
        --doubt import-error-module=left-out --doubt list-order=created
    export_to jobs '{excludeKeysInExport: true}' >"$BATS_TEST_TMPDIR/job"
    jq -e --arg u "$(container jobs)" '.outputBlobContainerUri == $u' "$BATS_TEST_TMPDIR/job"
    blob GET jobs devices.txt >"$BATS_TEST_TMPDIR/x"
    [ "$(grep -c $'\r$' "$BATS_TEST_TMPDIR/x")" -eq 3 ]
    jq -se 'all(.properties.desired["$version"] == 1 and .authentication == null)' \
        "$BATS_TEST_TMPDIR/x"
    [ "$(hub_status DELETE /jobs/none)" = '404 JobNotFound' ]
    { echo '# comment' && echo '{"id":"z","moduleId":"m","status":"enabled"}'; } |
        import jobs '{outputBlobName: "other.log"}'
    run blob GET jobs importErrors.log
    jq -e '.errorCode == 404001 and (has("moduleId") | not)' <<<"$output"
}

@test "an export that shows what it has before it is complete" {
    jq -nrc 'range(300) | {id: "d\(.)", status: "enabled"}' >"$BATS_TEST_TMPDIR/f"
    other_sim --registry "$BATS_TEST_TMPDIR/f" --doubt export-partial-blob=yes \
        --timing=real
    local u
    u=$(container jobs)
    hub POST /jobs/create "{\"type\":\"export\",\"outputBlobContainerUri\":\"$u\"}"
    local i
    for ((i = 0; i < 200; i++)); do
        run blob GET jobs devices.txt
        [[ $output == *BlobNotFound* ]] || break
        sleep 0.02
    done
    [ "${#lines[@]}" -lt 300 ]
    jq -e .id <<<"${lines[0]}"
}

@test "kill -9 in the middle of an import: it goes on, and does no line twice" {
    local job i before u
    other_sim --db "$BATS_TEST_TMPDIR/db" --timing=real --speed=5
    jq -nrc 'range(8000) | if . % 2 == 0 then {id: "k\(.)", status: "enabled", importMode: "create"}
        else {id: "k\(.)", status: "enabled", importMode: "update"} end' |
        put jobs devices.txt
    u=$(container jobs)
    job=$(hub POST /jobs/create "{\"type\":\"import\",\"inputBlobContainerUri\":\"$u\",\"outputBlobContainerUri\":\"$u\"}" | jq -r .jobId)
    # --clock: a clock that starts anew must not be behind what it was.
    for ((i = 1; i <= 3; i++)); do
        sleep 0.25
        kill -9 "$SIM_PID"
        wait "$SIM_PID" 2>/dev/null || :
        sim_start --db "$BATS_TEST_TMPDIR/db" --timing=real --speed=5 \
            --clock=$((20 * i))
        run hub GET "/jobs/$job"
        echo "$output"
        jq -e '.status == "running"' <<<"$output"
    done
    sim_stop
    sim_start --db "$BATS_TEST_TMPDIR/db" --timing=real --speed=50 --clock=100
    before=$(wait_job "$job")
    jq -e '.status == "completed"' <<<"$before"
    # A create done twice would be a conflict in the log.
    run blob GET jobs importErrors.log
    [ "${#lines[@]}" -eq 4000 ]
    same <(jq -c .errorCode <<<"$output" | sort | uniq -c) <(printf '%7d 404001\n' 4000)
    hub GET /statistics/devices | jq -e '.totalDeviceCount == 4000'
    # And an export is whole after the same.
    job=$(hub POST /jobs/create "{\"type\":\"export\",\"outputBlobContainerUri\":\"$u\"}" | jq -r .jobId)
    sleep 0.2
    kill -9 "$SIM_PID"
    wait "$SIM_PID" 2>/dev/null || :
    sim_start --db "$BATS_TEST_TMPDIR/db" --timing=real --speed=50 --clock=9000
    HUB_TOKEN=$(entra https://iothubs.azure.net)
    wait_job "$job" | jq -e '.status == "completed"'
    [ "$(blob GET jobs devices.txt | sort -u | wc -l)" -eq 4000 ]
}

@test "jobs are remembered for thirty days" {
    other_sim --db "$BATS_TEST_TMPDIR/db"
    export_to jobs
    sim_stop
    sim_start --db "$BATS_TEST_TMPDIR/db" --clock $((29 * 86400))
    HUB_TOKEN=$(entra https://iothubs.azure.net)
    hub GET /jobs | jq -e 'length == 1'
    sim_stop
    sim_start --db "$BATS_TEST_TMPDIR/db" --clock $((31 * 86400))
    HUB_TOKEN=$(entra https://iothubs.azure.net)
    hub GET /jobs | jq -e 'length == 0'
}

@test "scheduled jobs: one at a time in the smallest tier, and no longer than they may" {
    local i body
    jq -nrc 'range(50) | {id: "d\(.)", status: "enabled"}' >"$BATS_TEST_TMPDIR/f"
    other_sim --registry "$BATS_TEST_TMPDIR/f" --timing=real
    body='{"type":"scheduleUpdateTwin","updateTwin":{"tags":{"a":1}},"queryCondition":"*","maxExecutionTimeInSeconds":1}'
    [ "$(hub_status PUT /jobs/v2/a "$body")" = '200 ' ]
    [ "$(hub_status PUT /jobs/v2/b "$body")" = '429 ThrottlingMaxActiveJobCountExceeded' ]
    for ((i = 0; i < 100; i++)); do
        run hub GET /jobs/v2/a
        [[ $output != *'"failed"'* ]] || break
        sleep 0.05
    done
    jq -e '.status == "failed" and .deviceJobStatistics.pendingCount > 0' <<<"$output"
}
