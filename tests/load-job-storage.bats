# registry-load --via=job: the storage account, who may use it, the container,
# and what is said before and meanwhile.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # $edgeAgent; HUB

load helper
load jobs
load records
load loadjob

ACCOUNT=/Microsoft.Storage/storageAccounts/contosowestdata
ROLE="$ACCOUNT/providers/Microsoft.Authorization/roleAssignments/6d1d2f2a-0000-4000-8000-00000000000"

# grant NUMBER PRINCIPAL: the role on the account; revoke NUMBER.
grant() {
    arm PUT "$ROLE$1?api-version=2022-04-01" -d "{\"properties\":{\"principalId\":\"$2\",\"roleDefinitionId\":\"/subscriptions/$AZURE_SUBSCRIPTION_ID/providers/Microsoft.Authorization/roleDefinitions/ba92f5b4-2d11-453d-a403-e96b0029c9fe\"}}" |
        jq -e .id
}
revoke() {
    arm DELETE "$ROLE$1?api-version=2022-04-01"
}
principal() {
    arm GET "/Microsoft.Devices/IotHubs/$HUB?api-version=2023-06-30" | jq -er .identity.principalId
}

by_identity() {
    STORAGE_ACCT_CONN_STRING='' by_job --storage=contosowestdata "$@"
}

@test "the hub's identity: none, without the role, with it, and it is taken away" {
    fleet 30 >f.txt
    expect_status 6 by_identity <f.txt
    has BlobContainerValidationError "needs a managed identity with the role 'Storage Blob Data Contributor' on 'contosowestdata'"
    [ "$(hub GET /jobs | jq length)" -eq 0 ]
    [ "$(containers)" -eq 0 ]
    # Without the role it is tried for a while, and then goes on.
    make_hub "$HUB" S1 ',"identity":{"type":"SystemAssigned"}'
    by_identity --outcomes=all <f.txt >out 2>err &
    BACK=$!
    until_said err 'a role that was just given counts after half a minute: trying for 45 s'
    grant 1 "$(principal)"
    wait "$BACK"
    expect_status 0 registry-diff -q f.txt "$HUB"
    [ "$(containers)" -eq 0 ]
    # Nobody had a key.
    hub GET /jobs | jq -e 'length == 2 and all(.storageAuthenticationType == "identityBased")'
    # While the job runs: that is said, and nothing is lost.
    device late >g.txt
    knob hold
    by_identity <g.txt >out 2>err &
    BACK=$!
    await_job
    revoke 1
    knob release
    wait "$BACK"
    [ "$(grep -c "import job .* failed: Unauthorized to .*needs a managed identity with the role 'Storage Blob Data Contributor'" err)" -eq 1 ] || { cat err; false; }
    grep -q '1 records are looked at one by one' err
    hub GET /devices/late | jq -e '.status == "enabled"'
}

@test "an identity that the user has assigned, and who may name one" {
    local id="/subscriptions/$AZURE_SUBSCRIPTION_ID/resourceGroups/west-rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/contoso-router"
    fleet 10 >f.txt
    make_hub "$HUB" S1 ",\"identity\":{\"type\":\"UserAssigned\",\"userAssignedIdentities\":{\"$id\":{}}}"
    grant 2 "$(arm GET "/Microsoft.Devices/IotHubs/$HUB?api-version=2023-06-30" | jq -er '[.identity.userAssignedIdentities[]][0].principalId')"
    # The one that the system assigns is none here.
    expect_status 6 by_identity <f.txt
    has "needs a managed identity"
    expect_status 0 by_identity --job-identity="$id" <f.txt
    expect_status 0 registry-diff -q f.txt "$HUB"
    expect_status 2 by_job --job-identity="$id" <f.txt
    has '--job-identity goes with --storage'
    [ "$(containers)" -eq 0 ]
}

@test "who is logged in has no role on the account: that is said, and nothing is sent" {
    fleet 10 >f.txt
    control POST faults 'host=*.blob.core.windows.net,count=0,do=status:403,code=AuthorizationPermissionMismatch'
    expect_status 6 by_identity <f.txt
    [ "$(grep -c "who is logged in needs the role 'Storage Blob Data Contributor' on 'contosowestdata'" <<<"$output")" -eq 1 ]
    [ "$(hub GET /jobs | jq length)" -eq 0 ]
    there 2>/dev/null >out
    [ ! -s out ]
}

@test "a given container: its signature alone will do, and what is not ours stays" {
    device a >f.txt
    make_container "mine-$HUB"
    echo there | put "mine-$HUB" other.txt
    local uri
    uri=$(container "mine-$HUB")
    STORAGE_ACCT_CONN_STRING="BlobEndpoint=https://contosowestdata.blob.core.windows.net;SharedAccessSignature=${uri#*\?}" \
        expect_status 2 by_job <f.txt
    has 'for one container only: name it with --container'
    STORAGE_ACCT_CONN_STRING="BlobEndpoint=https://contosowestdata.blob.core.windows.net;SharedAccessSignature=${uri#*\?}" \
        expect_status 0 by_job --container="mine-$HUB" <f.txt
    [ "$(lists "mine-$HUB")" = other.txt ]
    expect_status 0 registry-diff -q f.txt "$HUB"
    expect_status 2 by_job --container=No_Name <f.txt
    has "'No_Name': --container: a name has 3 to 63"
}

@test "blobs that are kept are never taken for what a dead run left; of a dead run they go" {
    device a >f.txt
    expect_status 0 by_job --keep-blobs <f.txt
    has 'kept: https://contosowestdata.blob.core.windows.net/hubpipe-'
    local kept
    kept=$(container_names)
    lists "$kept" | grep -q '^devices-0-'
    # Fresh, and nobody's without a key.
    [[ $kept =~ ^hubpipe-[0-9a-f]{16}$ ]]
    to_sim -o body -w '%{http_code}\n' "https://contosowestdata.blob.core.windows.net/$kept/$(lists "$kept" | grep ^devices-0-)" >code
    grep -qv 200 code
    run cat body
    has_not symmetricKey
    grep -qF "$(sas a)" <(blob GET "$kept" "$(lists "$kept" | grep ^devices-0-)")
    expect_status 0 by_job <f.txt
    has_not 'goes on with' 'removed from'
    [ "$(container_names)" = "$kept" ]
    # Another input does not go on with the job of a dead run, and removes what it left.
    knob hold
    registry-load --via=job "$HUB" <f.txt 2>err >out &
    BACK=$!
    await_job
    sleep 0.3
    kill -9 "$BACK"
    wait "$BACK" || true
    [ "$(containers)" -eq 2 ]
    device b >g.txt
    expect_status 5 by_job <g.txt
    has 'still imports another input' 'wait for it, or cancel it'
    knob release
    for ((i = 0; i < 100; i++)); do
        [ "$(jobs completed)" -eq 3 ] && break
        sleep 0.05
    done
    expect_status 0 by_job <g.txt
    has 'removed from'
    [ "$(container_names)" = "$kept" ]
    arm DELETE "$ACCOUNT/blobServices/default/containers/$kept?api-version=2023-05-01"
    hub GET /devices/a | jq -e .deviceId
    hub GET /devices/b | jq -e .deviceId
}

@test "an account that keeps what is deleted, by soft delete or by versions: a warning" {
    local service="$ACCOUNT/blobServices/default?api-version=2023-05-01"
    device a >f.txt
    arm PUT "$service" -d '{"properties":{"deleteRetentionPolicy":{"enabled":true,"days":9}}}' | jq -e .name
    expect_status 0 by_job <f.txt
    has 'keeps deleted blobs for 9 days (soft delete)'
    arm PUT "$service" -d '{"properties":{"deleteRetentionPolicy":{"enabled":false},"isVersioningEnabled":true}}' | jq -e .name
    expect_status 0 by_job <f.txt
    has 'keeps versions of blobs: those that are deleted, with the keys in them, too'
    has_not 'soft delete'
    arm PUT "$service" -d '{"properties":{"isVersioningEnabled":false}}' | jq -e .name
    expect_status 0 by_job <f.txt
    has_not 'keeps versions' 'soft delete'
}

@test "input that begins with a text, as an export without keys does" {
    { echo 'Warning: keys were excluded'; device a; device b; } >f.txt
    expect_status 0 by_job --expect=2 <f.txt
    has "begins with a text" "2 applied"
    expect_status 0 registry-diff -q <(sed 1d f.txt) "$HUB"
}

@test "by job or by calls: the arithmetic aloud, and why" {
    fleet 100 >f.txt
    expect_status 0 registry-load --share=1 "$HUB" <f.txt
    has 'bulk: about ' ' h at S1 x1, share 1 %; job: ' 'by job, since that is faster'
    [ "$(jobs completed)" -eq 2 ]
    expect_status 0 registry-load -v "$HUB" <f.txt
    has 'bulk: ' '; job: ' 'by calls, since they take no quarter of an hour'
    has_not jobs/create
    STORAGE_ACCT_CONN_STRING='' expect_status 0 registry-load --share=1 "$HUB" <f.txt
    has 'bulk: ' 'by calls, since no storage account is configured (STORAGE_ACCT_CONN_STRING, or --storage)'
    has_not jobs/create
    expect_status 0 registry-load --via=rest --share=1 "$HUB" <f.txt
    has_not '; job: '
    control POST faults "host=$HUB.*,path=/jobs/create,count=0,do=status:403,code=OperationNotAvailableInCurrentTier"
    expect_status 0 registry-load --share=1 "$HUB" <f.txt
    has 'by job, since that is faster' OperationNotAvailableInCurrentTier 'by calls, then'
    expect_status 6 by_job <f.txt
    has OperationNotAvailableInCurrentTier
    [ "$(containers)" -eq 0 ]
}

@test "the arithmetic counts the calls that a job leaves, and how many they are is said" {
    # Those of half a twin are all left: a job would do nothing.
    many d 100 '{tags: {a: 1}, importMode: "updateTwin"}' | jq -c 'del(.authentication)' >half.txt
    expect_status 0 registry-load -nv --share=1 "$HUB" <half.txt
    has 'bulk: about ' 'by calls, since a job is not twice as fast'
    # managedBy is two calls each, and a look at the twin; of 40 records 12 are probed.
    { many d 20; many d 20 '{moduleId: "m", managedBy: "x"}'; } >f.txt
    expect_status 0 registry-load -n --via=job "$HUB" <f.txt
    has '{"step":"import job 1","records":40,"calls":1}' '{"step":"look at modules with managedBy","records":20,"calls":20}' \
        'beside the job: 52 identity operations, 32 twin reads: '
    {
        many locked 1 '{status: "disabled"}'
        many locked 1 '{moduleId: "m"}'
        many edge 1 '{capabilities: {iotEdge: true}, deviceScope: "ms-azure-iot-edge://edge0-1"}'
        many below 1 '{capabilities: {iotEdge: true}, deviceScope: "ms-azure-iot-edge://below0-2", parentScopes: ["ms-azure-iot-edge://edge0-1"]}'
        jq -nc '{id: "edge0", moduleId: "$edgeAgent", managedBy: "iotEdge", properties: {desired: {a: 1}}}'
    } >>f.txt
    expect_status 0 registry-load -v --via=job --share=1 "$HUB" <f.txt
    has '; job: about ' ' of it for calls beside it: by job, as --via says' "45 applied"
    # As many as were said, but that of few records fewer can be probed.
    said=$(sed -nE "s/.* beside the job: ([0-9]+) identity operations.*/\1/p" <<<"$output")
    seen=$(grep -cE '> (GET|PUT) [^ ]*azure-devices.net/devices/' <<<"$output")
    echo "said $said, seen $seen"
    [ "$said" -ge "$seen" ] && [ "$((said - seen))" -le 12 ]
}

@test "progress is that of the job, then of what is left" {
    fleet 250 >f.txt
    expect_status 0 hub-sim --from "$ROOT/examples/contoso.json" --timing=real --speed=2 -- \
        sh -c 'unset IOTHUB_CONN_STRING; registry-load --progress=json --via=job contoso <f.txt 2>&1 >out'
    run jq -crR 'fromjson? | select(.what == "lines") | [.total, .done > 0, .done <= .total] | @json' <<<"$output"
    grep -q 'true,true' <<<"$output"
}

@test "lines go to the blob and nowhere else: no file but those of the ledger" {
    fleet 300 >f.txt
    knob hold
    by_job < <(cat f.txt) >out 2>err 3>&- &
    BACK=$!
    await_job
    # Two without a name: the input as it came, and an index of it.
    find "/proc/$(pgrep -P "$BACK" registry-load || echo "$BACK")/fd" -lname '/*deleted*' -printf '%l\n' >open
    [ "$(wc -l <open)" -eq 2 ] || { cat open; false; }
    knob release
    wait "$BACK"
    # And a dump needs no disk at all.
    (ulimit -f 0 && registry-dump -q --via=job "$HUB" 2>/dev/null) | cat >dump.txt
    expect_status 0 registry-diff -q f.txt dump.txt
}
