# dump-job.bats: registry-dump by an export job (CONTRACT 16, 17).
# shellcheck shell=bash disable=SC2016,SC2030,SC2031,SC2034,SC2154

load helper
load jobs
load dumpjob

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
    has other.txt
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
    curl -fsS -X PUT -d no "$HUB_SIM_CONTROL/doubts/export-metadata"
    expect_status 0 registry-dump --via=job --metadata -o m.txt
    has 'its export has no $metadata and $version'
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

@test "progress is that of the job, then of what is read" {
    expect_status 0 hub-sim --from "$ROOT/examples/contoso.json" \
        --registry "$BATS_FILE_TMPDIR/fleet.txt" --timing=real --speed=2 -- \
        sh -c 'registry-dump --progress=json --via=job 2>&1 >job.txt'
    run jq -cR 'fromjson? | [.what, .total, .done <= 300]' <<<"$output"
    same <(sort -u <<<"$output") <(echo '["devices",300,true]')
    [ "$(wc -l <job.txt)" -eq "$(wc -l <"$REST")" ]
}

@test "whatever an export may be like: line ends, metadata, warning line, names" {
    expect_status 0 hub-sim --from "$ROOT/examples/contoso.json" \
        --registry "$BATS_FILE_TMPDIR/fleet.txt" \
        --doubt export-line-end=crlf --doubt export-metadata=yes \
        --doubt export-warning-line=no --doubt job-container-uri=echoed \
        --doubt cancel-unknown-job=404 --doubt list-order=created \
        --doubt export-partial-blob=yes -- sh -ec '
            for o in "" --metadata --exclude-keys; do
                registry-dump -q --via=rest $o -o rest.txt
                registry-dump -q --via=job $o -o job.txt
                cmp rest.txt job.txt
                wc -l <job.txt
            done'
    has "$(wc -l <"$REST")"
    has_not 'its export has no'
}
