# dump-job.bats: registry-dump by an export job (CONTRACT 16, 17).
# shellcheck shell=bash disable=SC2016,SC2034,SC2154

load helper
load jobs

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
    ctl DELETE faults >/dev/null
    job_end release
}

ctl() {
    curl -sS -X "$1" "$HUB_SIM_CONTROL/$2" "${@:3}"
}

fault() {
    ctl POST faults -d "$1" >/dev/null
}

# What shall happen to the hub's job.
job_end() {
    ctl POST jobs/contoso -d "$*" >/dev/null
}

# Containers of our making that are there.
containers() {
    arm GET '/Microsoft.Storage/storageAccounts/contosowestdata/blobServices/default/containers?api-version=2023-05-01' |
        jq -r '.value[].name | select(startswith("hubpipe-"))'
}

# Until the job of a dump in the background runs.
wait_begun() {
    local i
    for ((i = 0; i < 200; i++)); do
        hub GET /jobs | jq -e '.[0].status | . == "running" or . == "enqueued"' \
            >/dev/null && return
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
        openssl dgst -sha256 -mac HMAC -binary \
            -macopt "hexkey:$(printf %s "$STORAGE_KEY" | base64 -d | od -An -v -tx1 | tr -d ' \n')" |
        base64 -w0)
    printf 'sv=2021-12-02&ss=b&srt=sco&sp=%s&se=%s&sig=%s' "$1" "${2//:/%3A}" \
        "$(printf %s "$sig" | jq -sRr @uri)"
}

@test "dumps by calls and by job are the same lines, configurations too" {
    expect_status 0 registry-dump --via=job -o job.txt --manifest=m.json \
        --configurations=job.conf
    has 'by job, as --via says' '300 devices'
    same "$REST" job.txt
    same <(jq -S . "$BATS_FILE_TMPDIR/rest.conf") <(jq -S . job.conf)
    jq -e '.path == "job" and .complete and .devices == 300 and .keys' m.json
    [ "$(jq -r .sha256 m.json)" = "$(sha256sum <job.txt | cut -d' ' -f1)" ]
    expect_status 0 registry-diff --reported "$REST" job.txt
    [ -z "$(containers)" ]
}

@test "with keys of an account, its SAS, or the SAS of one container" {
    local far=2099-01-01T00:00:00Z
    export STORAGE_ACCT_CONN_STRING
    STORAGE_ACCT_CONN_STRING="BlobEndpoint=https://contosowestdata.blob.core.windows.net/;SharedAccessSignature=$(account_sas rwdlac $far)"
    expect_status 0 registry-dump --via=job -o a.txt
    same "$REST" a.txt
    [ -z "$(containers)" ]
    STORAGE_ACCT_CONN_STRING="AccountName=contosowestdata;SharedAccessSignature=?$(sign contosowestdata "$STORAGE_KEY" jobs racwdl)"
    expect_status 2 registry-dump --via=job -o b.txt
    has 'for one container only: name it with --container'
    expect_status 0 registry-dump --via=job -o b.txt --container=jobs
    same "$REST" b.txt
    # What was there before stays, what we wrote does not.
    echo there | put jobs other.txt
    expect_status 0 registry-dump -q --via=job -o b.txt --container=jobs
    [ "$(blob GET jobs other.txt)" = there ]
    run blob GET jobs '' -G --data-urlencode comp=list --data-urlencode restype=container
    has_not devices- hubpipe-contoso
    # It permits too little.
    STORAGE_ACCT_CONN_STRING="AccountName=contosowestdata;SharedAccessSignature=$(sign contosowestdata "$STORAGE_KEY" jobs rl)"
    expect_status 6 registry-dump --via=job -o c.txt --container=jobs
    has AuthorizationPermissionMismatch 'does not permit this'
    has_not "$(grep -o 'sig=.*' <<<"$STORAGE_ACCT_CONN_STRING")"
}

@test "a connection string that is none is told in one line without its secret" {
    local text
    export STORAGE_ACCT_CONN_STRING
    while read -r text words; do
        STORAGE_ACCT_CONN_STRING=$text
        expect_status 2 registry-dump --via=job -o x.txt
        has "'STORAGE_ACCT_CONN_STRING': " "${words}"
        has_not c2VjcmV0 'sig=c2Vj'
    done <<END
AccountName=contosowestdata no AccountKey= and no SharedAccessSignature=
AccountKey=c2VjcmV0 no AccountName=
AccountName=Contoso/;AccountKey=c2VjcmV0 not 3 to 24 small letters and digits
AccountName=contoso;AccountKey=c2VjcmV0* AccountKey= is no base64
HostName=h.azure-devices.net;SharedAccessKeyName=o;SharedAccessKey=c2VjcmV0 connection string of a hub
DefaultEndpointsProtocol=http;AccountName=contoso;AccountKey=c2VjcmV0 could be read on the way
AccountName=contoso;SharedAccessSignature=sv=1&se=2001-01-01&sig=c2VjcmV0 ended at 2001-01-01
AccountName=contoso;SharedAccessSignature=c2VjcmV0 has no sig=
BlobEndpoint=contoso;AccountName=contoso;AccountKey=c2VjcmV0 BlobEndpoint is no URL
END
    # A wrong key.
    STORAGE_ACCT_CONN_STRING='AccountName=contosowestdata;AccountKey=c2VjcmV0'
    expect_status 6 registry-dump --via=job -o x.txt
    has AuthenticationFailed 'is not of this account'
    has_not c2VjcmV0
    unset STORAGE_ACCT_CONN_STRING
    expect_status 2 registry-dump --via=job -o x.txt
    has 'needs a storage account'
    expect_status 2 registry-dump --via=job --storage='AccountKey=c2VjcmV0' -o x.txt
    has_not c2VjcmV0
    expect_status 2 registry-dump --via=job --storage=https://contoso.blob.evil.net -o x.txt
    has 'nor https://NAME.blob.core.windows.net'
    [ ! -e x.txt ]
}

@test "which way: arithmetic, reason, and what cannot be" {
    expect_status 0 registry-dump --share=1 -o a.txt
    has 'calls: about ' 'S1 x1' '; job: ' 'by job, since that is faster'
    same "$REST" a.txt
    expect_status 0 registry-dump -v -o a.txt
    has 'by calls, since they take no quarter of an hour'
    has_not jobs/create
    (
        unset STORAGE_ACCT_CONN_STRING
        expect_status 0 registry-dump --share=1 -o a.txt
        has 'by calls, since no storage account is configured'
    )
    same "$REST" a.txt
    expect_status 0 registry-dump --share=1 --metadata -o a.txt
    has 'by calls, since an export has no $metadata'
    head -1 "$REST" | jq -r .id >ids
    expect_status 2 registry-dump --via=job --ids=ids
    has '--ids, --where and --limit read single devices'
    expect_status 0 registry-dump --via=job --metadata -o m.txt
    has 'only where the service writes them'
    same "$REST" m.txt
}

@test "a tier without jobs: refused, or by calls" {
    fault 'path=/jobs/create,count=0,do=status:403,code=OperationNotAvailableInCurrentTier'
    expect_status 6 registry-dump --via=job -o a.txt
    has OperationNotAvailableInCurrentTier
    [ ! -e a.txt ]
    expect_status 0 registry-dump --share=1 -o a.txt
    has 'by calls, then'
    same "$REST" a.txt
    [ -z "$(containers)" ]
}

@test "without keys: a warning, and a first line that is none" {
    expect_status 0 registry-dump --via=job --exclude-keys -o a.txt
    has 'gets new keys'
    [ "$(wc -l <a.txt)" -eq "$(wc -l <"$REST")" ]
    [ -z "$(jq -c 'select(.authentication != null)' a.txt)" ]
    expect_status 0 registry-dump -q --via=rest --exclude-keys -o b.txt
    same a.txt b.txt
}

@test "blobs are kept when asked for, and never taken for what a dead run left" {
    expect_status 0 registry-dump --via=job --keep-blobs -o a.txt
    has 'kept: https://contosowestdata.blob.core.windows.net/hubpipe-'
    local c
    c=$(containers)
    [ -n "$c" ]
    same <(blob GET "$c" "devices-${c#hubpipe-}.txt" | wc -l) <(wc -l <"$REST")
    expect_status 0 registry-dump --via=job -o b.txt
    has_not 'goes on with'
    [ "$(containers)" = "$c" ]
    arm DELETE "/Microsoft.Storage/storageAccounts/contosowestdata/blobServices/default/containers/$c?api-version=2023-05-01"
}

@test "soft delete would keep the keys: a warning" {
    local service='/Microsoft.Storage/storageAccounts/contosowestdata/blobServices/default?api-version=2023-05-01'
    arm PUT "$service" -d '{"properties":{"deleteRetentionPolicy":{"enabled":true,"days":9}}}'
    expect_status 0 registry-dump --via=job -o a.txt
    has 'keeps deleted blobs for 9 days'
    arm PUT "$service" -d '{"properties":{"deleteRetentionPolicy":{"enabled":false}}}'
    expect_status 0 registry-dump --via=job -o a.txt
    has_not 'keeps deleted blobs'
}

@test "a job that fails, or is cancelled by somebody else" {
    job_end hold
    registry-dump --via=job -o a.txt 2>err 3>&- &
    wait_begun
    job_end fail the disk is broken
    ended $!
    [ "$status" -eq 6 ]
    run cat err
    has "export job" "failed: the disk is broken"
    [ ! -e a.txt ]
    [ -z "$(containers)" ]
    job_end hold
    registry-dump --via=job -o a.txt 2>err 3>&- &
    wait_begun
    hub DELETE "/jobs/$(hub GET /jobs | jq -r '.[0].jobId')"
    ended $!
    [ "$status" -eq 5 ]
    run cat err
    has 'was cancelled by somebody else'
    [ -z "$(containers)" ]
}

@test "the container vanishes, before or while it is read" {
    local c
    job_end hold
    registry-dump --via=job -o a.txt 2>err 3>&- &
    wait_begun
    c=$(containers)
    arm DELETE "/Microsoft.Storage/storageAccounts/contosowestdata/blobServices/default/containers/$c?api-version=2023-05-01"
    job_end release
    ended $!
    [ "$status" -eq 6 ]
    run cat err
    has 'failed: ' 'container does not exist'
    # The blob, when the job is over.
    fault 'method=HEAD,path=*/devices*,count=0,do=status:404,code=BlobNotFound'
    expect_status 5 registry-dump --via=job -o a.txt
    has 'its export is not in container'
    [ ! -e a.txt ]
    ctl DELETE faults
    expect_status 0 registry-dump --via=job -o a.txt
    [ -z "$(containers)" ]
    same "$REST" a.txt
}

@test "another job has the slot: it is waited for" {
    job_end hold
    hub POST /jobs/create "{\"type\":\"export\",\"outputBlobContainerUri\":\"$(container jobs)\"}" >/dev/null
    registry-dump --via=job -o a.txt 2>err 3>&- &
    for ((i = 0; i < 200; i++)); do
        grep -q 'waits until' err && break
        sleep 0.02
    done
    run cat err
    has 'waits until another job is over (export job'
    job_end release
    ended $!
    [ "$status" -eq 0 ]
    same "$REST" a.txt
}

@test "killed while the job runs: the next run goes on with it" {
    local id
    job_end hold
    registry-dump --via=job -o a.txt 2>/dev/null 3>&- &
    wait_begun
    id=$(hub GET /jobs | jq -r '.[0].jobId')
    sleep 0.2
    kill -9 $!
    wait $! || :
    [ -n "$(containers)" ]
    registry-dump --via=job -o a.txt 2>err 3>&- &
    sleep 0.3
    job_end release
    ended $!
    [ "$status" -eq 0 ]
    run cat err
    has "goes on with export job $id"
    same "$REST" a.txt
    [ -z "$(containers)" ]
    # With other options it is another dump: that job is cancelled.
    job_end hold
    registry-dump --via=job -o a.txt 2>/dev/null 3>&- &
    wait_begun
    id=$(hub GET /jobs | jq -r '.[0].jobId')
    sleep 0.2
    kill -9 $!
    wait $! || :
    registry-dump --via=job --exclude-keys -o b.txt 2>err 3>&- &
    sleep 0.5
    job_end release
    ended $!
    [ "$status" -eq 0 ]
    run cat err
    has "cancelled export job $id of a run that died" 'removed from'
    [ -z "$(containers)" ]
}

@test "killed between any two steps: nothing is left after the next run" {
    local at
    # The answer never comes, and the dump is killed.
    for at in 'method=PUT,path=/hubpipe-*export.json,do=hang' \
        'method=PUT,path=/hubpipe-*export.json,skip=1,do=hang' \
        'path=/jobs/create,do=hang' \
        'path=/jobs/create,do=delay:60000' \
        'method=PUT,path=/hubpipe-*export.json,skip=2,do=hang' \
        'method=GET,path=/jobs/*,skip=1,do=hang' \
        'method=HEAD,path=*/devices*,do=hang' \
        'method=GET,path=*/devices*,do=hang' \
        'method=DELETE,path=/hubpipe-*,do=hang'; do
        fault "$at"
        timeout -s KILL 1 registry-dump --via=job -o a.txt 2>err || :
        ctl DELETE faults
        expect_status 0 registry-dump --via=job -o a.txt
        same "$REST" a.txt
        [ -z "$(containers)" ] || {
            echo "left after $at: $(containers)"
            return 1
        }
    done
}

@test "interrupted: the job goes on, or is cancelled if asked" {
    local id
    job_end hold
    registry-dump --via=job -o a.txt 2>err 3>&- &
    wait_begun
    id=$(hub GET /jobs | jq -r '.[0].jobId')
    sleep 0.2
    kill -TERM $!
    ended $!
    [ "$status" -eq 5 ]
    run cat err
    has "export job $id goes on by itself"
    hub GET "/jobs/$id" | jq -e '.status | . == "running" or . == "enqueued"'
    registry-dump --via=job --cancel-on-interrupt -o a.txt 2>err 3>&- &
    sleep 0.5
    kill -TERM $!
    ended $!
    [ "$status" -eq 5 ]
    run cat err
    has "goes on with export job $id" "export job $id was cancelled"
    hub GET "/jobs/$id" | jq -e '.status == "cancelled"'
    [ -z "$(containers)" ]
}

@test "blobs: 503, cuts, half answers and lost ones in the middle" {
    for ((i = 0; i < 3; i++)); do
        fault 'path=*/devices*,skip=1,do=half'
        fault 'host=*.blob.*,every=3,count=4,do=status:503'
        fault 'method=PUT,host=*.blob.*,do=lose'
        fault 'method=DELETE,host=*.blob.*,do=lose'
        fault 'path=/jobs/create,do=lose'
        fault 'path=/jobs/*,method=GET,skip=1,do=status:500'
        expect_status 0 registry-dump --via=job --retry-delay=0.01 -o a.txt
        same "$REST" a.txt
        [ -z "$(containers)" ]
        ctl DELETE faults
    done
}

@test "the hub's identity: which role is missing, and with it" {
    local id roles='/Microsoft.Storage/storageAccounts/contosowestdata/providers/Microsoft.Authorization/roleAssignments/6d1d2f2a-0000-4000-8000-000000000009?api-version=2022-04-01'
    expect_status 6 registry-dump --via=job --storage=contosowestdata -o a.txt
    has BlobContainerValidationError "needs a managed identity with the role 'Storage Blob Data Contributor' on 'contosowestdata'"
    [ -z "$(containers)" ]
    id=$(arm GET '/Microsoft.Devices/IotHubs/contoso?api-version=2023-06-30' |
        jq -r '.identity.userAssignedIdentities | keys[0]')
    arm PUT "$roles" -d "{\"properties\":{\"principalId\":$(
        arm GET '/Microsoft.Devices/IotHubs/contoso?api-version=2023-06-30' |
            jq '[.identity.userAssignedIdentities[]][0].principalId'
    ),\"roleDefinitionId\":\"/subscriptions/$AZURE_SUBSCRIPTION_ID/providers/Microsoft.Authorization/roleDefinitions/ba92f5b4-2d11-453d-a403-e96b0029c9fe\"}}" |
        jq -e .id
    expect_status 0 registry-dump --via=job --storage=contosowestdata \
        --job-identity="$id" -o a.txt
    same "$REST" a.txt
    expect_status 2 registry-dump --via=job --job-identity="$id" -o a.txt
    has '--job-identity goes with --storage'
    # And we ourselves may be refused.
    fault 'host=*.blob.*,count=0,do=status:403,code=AuthorizationPermissionMismatch'
    expect_status 6 registry-dump --via=job --storage=contosowestdata -o b.txt
    has "who is logged in needs the role 'Storage Blob Data Contributor'"
}

@test "a SAS that ends while the job runs" {
    export STORAGE_ACCT_CONN_STRING
    STORAGE_ACCT_CONN_STRING="AccountName=contosowestdata;SharedAccessSignature=$(account_sas rwdlac "$(date -u -d '+4 seconds' +%FT%TZ)")"
    job_end hold
    registry-dump --via=job -o a.txt 2>err 3>&- &
    wait_begun
    sleep 4.2
    job_end release
    ended $!
    [ "$status" -eq 6 ]
    run cat err
    has 'its SharedAccessSignature ends at' 'Unauthorized' 'outlast the job' \
        'could not be removed'
    has_not "$(grep -o 'sig=.*' <<<"$STORAGE_ACCT_CONN_STRING")"
    [ ! -e a.txt ]
}
