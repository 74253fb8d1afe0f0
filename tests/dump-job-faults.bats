# dump-job-faults.bats: what may happen to an export job and its
# container.
# shellcheck shell=bash disable=SC2016,SC2030,SC2031,SC2034,SC2154

load helper
load jobs
load dumpjob

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
    control DELETE faults
    expect_status 0 registry-dump --via=job -o a.txt
    [ -z "$(containers)" ]
    same "$REST" a.txt
}

@test "another job has the slot: it is waited for" {
    job_end hold
    hub POST /jobs/create "{\"type\":\"export\",\"outputBlobContainerUri\":\"$(container jobs)\"}" >/dev/null
    registry-dump --via=job -o a.txt 2>err 3>&- &
    until_said err 'waits until'
    run cat err
    has 'waits until another job is over (export job'
    job_end release
    ended $!
    [ "$status" -eq 0 ]
    same "$REST" a.txt
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
        control DELETE faults
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
    local ends=$((EPOCHSECONDS + 12))
    export STORAGE_ACCT_CONN_STRING
    STORAGE_ACCT_CONN_STRING="AccountName=contosowestdata;SharedAccessSignature=$(account_sas rwdlac "$(date -u -d "@$ends" +%FT%TZ)")"
    job_end hold
    registry-dump --via=job -o a.txt 2>err 3>&- &
    wait_begun
    while [ "$EPOCHSECONDS" -le "$ends" ]; do sleep 0.2; done
    job_end release
    ended $!
    [ "$status" -eq 6 ]
    run cat err
    has 'its SharedAccessSignature ends at' 'Unauthorized' 'outlast the job' \
        'could not be removed'
    has_not "$(grep -o 'sig=.*' <<<"$STORAGE_ACCT_CONN_STRING")"
    [ ! -e a.txt ]
}

@test "any answer may be wrong, of the hub and of blobs: the dump is the same" {
    local kind
    for kind in status:503 cut lose half empty garbage badjson delay:100 \
        throttle:2; do
        fault "host=contoso.azure-devices.net,prob=0.04,count=0,do=$kind"
        fault "host=*.blob.*,prob=0.04,count=0,do=$kind"
    done
    for ((i = 0; i < 4; i++)); do
        expect_status 0 registry-dump --via=job --retry-delay=0.02 -o a.txt
        same "$REST" a.txt
        rm a.txt
    done
    control DELETE faults
    # What could not be removed is, by the next one.
    expect_status 0 registry-dump --via=job -o a.txt
    [ -z "$(containers)" ]
}
