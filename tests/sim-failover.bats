# Failover, hub states, conflicts, roles and the time that operations take
# (CONTRACT 3.2, 4.2, 6), as an operator sees them who asks with curl and jq.
# The simulated clock is moved on by the control endpoint, never waited for.
# shellcheck shell=bash disable=SC2016,SC2034

load helper

setup_file() {
    cat >"$BATS_FILE_TMPDIR/lib" <<'EOF'
set -o pipefail
C="curl -sS --connect-to ::$HUBPIPE_CONNECT_TO"
SUB=/subscriptions/$AZURE_SUBSCRIPTION_ID
P=$SUB/resourceGroups/west-rg/providers
HUBS=$P/Microsoft.Devices/IotHubs
H=$HUBS/contoso
A=https://management.azure.com
token() { # SCOPE
    $C -d grant_type=client_credentials -d "client_id=$AZURE_CLIENT_ID" \
        -d "client_secret=$AZURE_CLIENT_SECRET" -d "scope=$1/.default" \
        "https://login.microsoftonline.com/$AZURE_TENANT_ID/oauth2/v2.0/token" |
        jq -r .access_token
}
TOKEN=$(token https://management.azure.com)
DATA=$(token https://iothubs.azure.net)
# arm METHOD PATH [BODY]: "STATUS BODY", headers in ./head.
arm() {
    local url=$2
    [[ $url == https:* ]] || url=$A$url
    [[ $url == *api-version=* ]] || url+="?api-version=2023-06-30"
    $C -D head -X "$1" -H "Authorization: Bearer $TOKEN" -H Content-Type:\ application/json \
        ${3:+-d "$3"} -o body -w '%{http_code} ' "$url" && cat body && echo
}
get() { arm GET "$1" | cut -d' ' -f2-; }
# data METHOD PATH [BODY [CURL-OPTION...]]
data() {
    $C -X "$1" -H "Authorization: Bearer $DATA" ${3:+-d "$3"} "${@:4}" -w '\n%{http_code}\n' \
        "https://contoso.azure-devices.net$2?api-version=2021-04-12"
}
after() { # SECONDS: so much simulated time passes
    curl -sS -X PUT -d "$1" "$HUB_SIM_CONTROL/clock" >/dev/null
}
header() { tr -d '\r' <head | sed -n "s/^$1: //Ip"; }
failover() { arm POST "${2:-$H}/failover" "{\"failoverRegion\":\"$1\"}"; }
# What a watcher looks at.
seen() {
    get "${1:-$H}" | jq -c '[.properties.state, .properties.locations[0].location,
        (.properties.eventHubEndpoints.events.endpoint // "-" | sub(".*-"; "") | sub("[.].*"; ""))]'
}
tag() { arm PATCH "$H" "{\"tags\":$1}" >/dev/null; }
EOF
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
}

# is TEXT: all of $output.
is() {
    [ "$output" = "$1" ] || diff <(cat <<<"$1") <(cat <<<"$output")
}

# sim STATUS [OPTION...] -- SCRIPT
sim() {
    simulate --from "$ROOT/examples/contoso.json" --timing=real : "${@:1:$#-1}" '. "$BATS_FILE_TMPDIR/lib"; '"${!#}"
}

@test "failover: the timeline, and what is another afterwards" {
    sim 0 -- 'get "$H" >before; seen
        failover "East US" | cut -c1-4
        header azure-asyncoperation >async; header location >location
        seen; after 100; seen; after 400; seen; after 80; seen
        get "$H" >after
        jq -c "[.location, .properties.hostName, .properties.eventHubEndpoints.events.path]" before after
        jq -c "[.properties.locations[].role]" after
        jq -s ".[0].etag != .[1].etag" before after
        jq -r .properties.eventHubEndpoints.events.endpoint before after | sed "s/-[0-9a-f]*[.].*//" | uniq | wc -l
        jq -r .properties.provisioningState after'
    first=$(sed -n 1p <<<"$output" | jq -r '.[2]')
    second=$(sed -n 4p <<<"$output" | jq -r '.[2]')
    [[ $first =~ ^[0-9a-f]{10}$ && $second =~ ^[0-9a-f]{10}$ && $first != "$second" ]]
    is "[\"Active\",\"West US\",\"$first\"]
202 
[\"FailingOver\",\"West US\",\"$first\"]
[\"FailingOver\",\"West US\",\"$second\"]
[\"Active\",\"East US\",\"$second\"]
[\"Active\",\"East US\",\"$second\"]
[\"westus\",\"contoso.azure-devices.net\",\"contoso\"]
[\"westus\",\"contoso.azure-devices.net\",\"contoso\"]
[\"primary\",\"secondary\"]
true
1
Succeeded"
}

@test "failover: both headers, the minimal bodies, an empty end" {
    sim 0 -- 'failover "East US" >/dev/null
        header azure-asyncoperation >async; header location >location
        sed "s/.*operationResults//" async location | sed "s,/[^?]*,/ID,"
        sed "s/[?].*//; s,.*/,," async location | uniq | base64 -d | sed "s/_[0-9a-f-]*$/_GUID/"; echo
        arm GET "$(cat async)"; arm GET "$(cat location)"; header location | cmp - location && echo same
        after 560; arm GET "$(cat async)"; arm GET "$(cat location)" | cut -c1-4
        after 20; arm GET "$(cat async)"; arm GET "$(cat location)"; header location | cmp - location && echo same
        arm GET "$(sed "s/management.azure.com/management.usgovcloudapi.net/" async)"
        arm GET "$SUB/providers/Microsoft.Devices/locations/westus/operationResults/bm9uZQ" | cut -c1-4'
    id='?api-version=2023-06-30&operationSource=os_ih'
    is "/ID$id&asyncinfo
/ID$id
os_ih_GUID
200 {\"status\":\"Running\"}
202 
same
200 {\"status\":\"Running\"}
202 
200 {\"status\":\"Succeeded\"}
200 
same
200 {\"status\":\"Succeeded\"}
404 "
    sim 0 --doubt operation-id=region -- 'failover "East US" >/dev/null
        header location | sed "s/[?].*//; s,.*/,,; s/$/==/" | base64 -di 2>/dev/null || true'
    [[ $output =~ ^id=os_ih_[0-9a-f-]{36}\;region=westus$ ]]
}

@test "failover: it is slow as Azure's, in proportion with --timing=fast, and --operation-ms wins" {
    expect_status 0 hub-sim --from "$ROOT/examples/contoso.json" --operation-ms=3420000 -- \
        bash -c '. "$0"; failover "East US" >/dev/null; after 480; seen; after 120; seen; after 2220; seen; after 120; seen
            header azure-asyncoperation >async
            after 600; seen' "$BATS_FILE_TMPDIR/lib"
    [ "$(cut -d, -f1,2 <<<"$output")" = '["FailingOver","West US"
["FailingOver","West US"
["FailingOver","West US"
["Active","East US"
["Active","East US"' ]
    [ "$(cut -d, -f3 <<<"$output" | uniq | wc -l)" -eq 2 ]
    sim 0 -- 'arm PUT "$HUBS/new" "{\"location\":\"westus\",\"sku\":{\"name\":\"S1\",\"capacity\":1},\"properties\":{}}" | cut -c1-4
        header azure-asyncoperation >async; after 160; arm GET "$(cat async)"; seen "$HUBS/new"; after 6; arm GET "$(cat async)"; seen "$HUBS/new" | cut -c1-9
        get "$HUBS/new" | arm PUT "$HUBS/new" "$(cat)" | cut -c1-4
        header azure-asyncoperation >async; after 40; arm GET "$(cat async)"; after 6; arm GET "$(cat async)"
        arm DELETE "$HUBS/new"
        header azure-asyncoperation >async; after 45; arm GET "$(cat async)"; seen "$HUBS/new" | cut -c1-11; after 6; arm GET "$(cat async)"
        arm GET "$HUBS/new" | cut -c1-4'
    run='200 {"status":"Running"}' end='200 {"status":"Succeeded"}'
    is "201 
$run
[\"Activating\",\"West US\",\"\"]
$end
[\"Active\"
201 
$run
$end
202 
$run
[\"Deleting\"
$end
404 "
}

@test "failover: the data plane goes on, is cut off, and comes back" {
    sim 0 -- 'failover "East US" >/dev/null; data GET /devices | tail -1; after 125
        data GET /devices "" -D - | tr -d "\r" | sed -n "s/iothub-errorcode: //Ip"
        data GET /devices | tail -1
        after 360; data GET /devices | tail -1'
    is $'200\nIotHubFailingOver\n404\n200'
    sim 0 --doubt failover-data-plane=401001 -- 'failover "East US" >/dev/null; after 125
        data GET /devices "" -D - | tr -d "\r" | sed -n "s/iothub-errorcode: //Ip"
        C="curl -sS --connect-to ::$HUBPIPE_CONNECT_TO"
        data GET /devices | tail -1'
    is $'IotHubNotFound\n401'
}

@test "failover: changes are refused until it is over, reads go on" {
    sim 0 -- 'failover "East US" >/dev/null
        refused() { arm "$@" | jq -Rr "[.[0:4], (.[4:] | fromjson | .code)] | map(tostring) | join(\"\")"; }
        refused POST "$H/failover" "{\"failoverRegion\":\"East US\"}"
        refused PUT "$H" "$(get "$H")"; refused PATCH "$H" "{\"tags\":{}}"; refused DELETE "$H"
        refused PUT "$H/eventHubEndpoints/events/ConsumerGroups/x" "{}"
        refused PUT "$H/certificates/x" "{\"properties\":{\"certificate\":\"eA==\"}}"
        get "$H/IotHubStats" | jq -c "keys"
        after 485; seen | cut -c1-9; refused PATCH "$H" "{\"tags\":{}}"
        after 90; arm PATCH "$H" "{\"tags\":{}}" | cut -c1-4'
    is '409 409002
409 409002
409 409002
409 409002
409 409002
409 409002
["disabledDeviceCount","enabledDeviceCount","totalDeviceCount"]
["Active"
409 409002
200 '
}

@test "failover: keys and consumer groups hang, or come at once" {
    sim 0 -- 'failover "East US" >/dev/null
        arm POST "$H/listkeys" | cut -c1-3 >keys & arm GET "$H/eventHubEndpoints/events/ConsumerGroups" >groups &
        C="$C --max-time 0.3"; arm POST "$H/IotHubKeys/service/listkeys" 2>&1; echo
        after 490; arm POST "$H/listkeys" | cut -c1-3'
    has "28" "timed out" "200"
    sim 0 --doubt failover-keys=answer -- 'arm PUT "$H/eventHubEndpoints/events/ConsumerGroups/mine" "{\"properties\":{\"name\":\"mine\"}}" | cut -c1-4
        after 10; keys() { arm POST "$H/listkeys" | md5sum; }; keys; failover "East US" >/dev/null; after 200; keys
        after 600; keys
        get "$H/eventHubEndpoints/events/ConsumerGroups" | jq -r ".value[].name"'
    [ "$(sed -n '2,4p' <<<"$output" | uniq | wc -l)" -eq 1 ]
    has "200 " "mine"
    # With time passing quickly, they only come late.
    expect_status 0 hub-sim --from "$ROOT/examples/contoso.json" --operation-ms=400 -- bash -c '. "$0"
        failover "East US" >/dev/null; arm POST "$H/listkeys" | cut -c1-4; seen | cut -c1-9' "$BATS_FILE_TMPDIR/lib"
    is $'200 \n["Active"'
}

@test "failover: Resource Manager may say for a while that there is no such hub" {
    sim 0 --doubt failover-get=missing -- 'code() { arm GET "$H" | cut -c1-4; }
        failover "East US" >/dev/null; code; after 130; code; after 200; code; after 300; code'
    is $'200 \n404 \n200 \n200 '
}

@test "failover: what is refused, before anything is begun" {
    sim 0 -- 'say() { jq -Rr "[.[0:4], (.[4:] | fromjson | .code // .error.code)] | map(tostring) | join(\"\")"; }
        failover "West US" | say; failover "Nowhere" | say; failover "eastus" | say
        arm POST "$H/failover" "{}" | say; arm POST "$H/failover" "[" | say
        failover "East US" "$HUBS/none" | say
        tag "{\"hub-sim-deny\":\"failover\"}"; failover "East US" | say
        tag "{\"hub-sim-created\":\"2016-12-24\"}"; failover "East US" | say; get "$H" | jq -r .systemData.createdAt
        tag "{}"
        new() { arm PUT "$HUBS/$1" "{\"location\":\"$2\",\"sku\":{\"name\":\"$3\",\"capacity\":1},\"properties\":$4}" >/dev/null
            failover "East US" "$HUBS/$1" | say; after 170; failover "$5" "$HUBS/$1" | say; }
        new free westus F1 {} "East US"
        new alone qatarcentral S1 {} "East US"
        new home brazilsouth S1 "{\"enableDataResidency\":true}" "South Central US"
        seen'
    [ "$(head -7 <<<"$output")" = '400 400120
400 400120
400 400120
400 400120
400 InvalidRequestContent
404 ResourceNotFound
403 AuthorizationFailed' ]
    [ "$(sed -n '8,15p' <<<"$output")" = '400 400122
2016-12-24T00:00:00.0000000Z
409 409002
400 400123
409 409002
400 400121
409 409002
400 400121' ]
    has '["Active","West US",'
    sim 0 --doubt failover-region-name=both --doubt failover-region=409 -- 'failover westus | cut -c1-4; failover eastus | cut -c1-4'
    is $'409 \n202 '
}

@test "failover: twice there, twice back, an hour between, and again the next day" {
    sim 0 --token-seconds=1000000 -- 'hop() { failover "$1" | cut -c1-4; after "$2"; }
        hop "East US" 600; hop "West US" 3600; hop "West US" 4200; hop "East US" 4200; hop "West US" 4200
        hop "East US" 0; arm POST "$H/failover" "{\"failoverRegion\":\"East US\"}" | cut -c5- | jq -r .message
        after 70000; hop "East US" 600; seen | cut -d, -f1,2'
    [ "$(sed 7d <<<"$output")" = '202 
409 
202 
202 
202 
409 
202 
["Active","East US"' ]
    has "had the 2 successful failovers that it may have in a day"
    sim 0 --token-seconds=1000000 --doubt failover-limit=429 --doubt failover-hour=start -- 'failover "East US" >/dev/null
        after 3500; failover "West US" | cut -c1-4; after 101; failover "West US" | cut -c1-4'
    is $'429 \n202 '
    sim 0 --token-seconds=1000000 --doubt failover-day=utc -- 'for to in East West East West; do
        failover "$to US" >/dev/null; after 4200; done
        after $((86400 - $(date -ud "$(curl -sS "$HUB_SIM_CONTROL/clock")" +%s) % 86400)); failover "East US" | cut -c1-4'
    is '202 '
}

@test "failover: one that ends Failed leaves the hub where it was" {
    sim 0 --token-seconds=10000 -- 'tag "{\"hub-sim-failover\":\"fail\"}"; seen; failover "East US" | cut -c1-4; header azure-asyncoperation >async
        header location >location
        after 200; seen; after 400; seen; arm GET "$(cat async)"; arm GET "$(cat location)" | cut -c1-15
        after 3600; tag "{}"; failover "East US" | cut -c1-4'
    [ "$(sed -n '1p;4p' <<<"$output" | uniq | wc -l)" -eq 1 ]
    [ "$(sed -n '3p' <<<"$output" | cut -d, -f1)" = '["FailingOver"' ]
    [ "$(sed -n '5p' <<<"$output" | cut -c5- | jq -c '[.status, .error.code]')" = '["Failed","500020"]' ]
    [ "$(tail -2 <<<"$output")" = $'500 {"code":500\n202 ' ]
    sim 0 --doubt failover-failed-state=FailoverFailed -- 'tag "{\"hub-sim-failover\":\"fail\"}"; failover "East US" >/dev/null
        after 600; seen | cut -d, -f1; data GET /devices | tail -1; after 600; seen | cut -d, -f1'
    is $'["FailoverFailed"\n200\n["Active"'
}

@test "failover: begun although nobody was told, and found by whoever looks" {
    sim 0 --fault 'method=POST,path=*/failover,do=lose' -- 'failover "East US" 2>&1 | grep -o "Empty reply\|unexpected eof" | head -1
        seen | cut -d, -f1,2; failover "East US" | cut -c1-4; after 600; seen | cut -d, -f1,2'
    [ "$(tail -3 <<<"$output")" = '["FailingOver","West US"
409 
["Active","East US"' ]
}

@test "failover: by Microsoft, which counts against nobody's two" {
    sim 0 --token-seconds=1000000 -- 'its() { curl -sS -o /dev/null -w "%{http_code}\n" -X "$1" "$HUB_SIM_CONTROL/failovers/$2"; }
        its POST none; its GET contoso; its POST contoso; its POST contoso; seen | cut -d, -f1,2; after 600; seen | cut -d, -f1,2
        for to in West East West East; do after 3600; failover "$to US" | cut -c1-4; after 600; done; seen | cut -d, -f1,2'
    is '404
405
202
404
["FailingOver","West US"
["Active","East US"
202 
202 
202 
202 
["Active","East US"'
}

@test "failover: a hub-sim that was killed in the middle goes on" {
    export LIB=$BATS_FILE_TMPDIR/lib
    run hub-sim --db state.db --timing=real --from "$ROOT/examples/contoso.json" -- bash -c '. "$LIB"
        failover "East US" | cut -c1-4; header azure-asyncoperation >async; seen >first; kill -9 $HUB_SIM_PID'
    [ "$status" -eq 137 ]
    expect_status 0 hub-sim --db state.db --timing=real -- bash -c '. "$LIB"; seen | cmp - first && arm GET "$(cat async)"'
    is '200 {"status":"Running"}'
    expect_status 0 hub-sim --db state.db --timing=real --clock=600 -- bash -c '. "$LIB"; seen | cut -d, -f1,2; arm GET "$(cat async)"'
    is $'["Active","East US"\n200 {"status":"Succeeded"}'
}

@test "--lose: what was written in the last minutes is gone, and what was deleted is back" {
    sim 0 --lose=300 -- '
        twin() { data PATCH "/twins/$1" "{\"properties\":{\"desired\":{\"n\":$2}}}" >/dev/null; }
        device() { data PUT "/devices/$1" "{\"deviceId\":\"$1\"}" >/dev/null; }
        conf() { data PUT "/configurations/$1" "{\"id\":\"$1\",\"targetCondition\":\"tags.no=1\",\"priority\":1,\"content\":{\"deviceContent\":{\"properties.desired.x\":{\"a\":1}}}}" >/dev/null; }
        list() { data GET /devices | head -1 | jq -r ".[].deviceId" | grep "^t-" | sort | paste -sd" "; data GET /twins/t-old | head -1 | jq -c "[.properties.desired.n, .version]"; data GET /configurations | head -1 | jq -r ".[].id" | sort | paste -sd" "; }
        device t-old; device t-doomed; twin t-old 1; conf c-old; after 600
        data GET /twins/t-old | head -1 >was; list
        device t-new; twin t-old 2; twin t-old 3; data DELETE /devices/t-doomed "" -H "If-Match: *" >/dev/null; device t-both
        data DELETE /devices/t-both "" -H "If-Match: *" >/dev/null; conf c-new; list
        failover "East US" >/dev/null; after 600; list
        data GET /twins/t-old | head -1 | cmp - was && echo same; seen | cut -d, -f1,2
        curl -sS -X PUT -d 0 "$HUB_SIM_CONTROL/lose"; device t-late; after 4000; TOKEN=$(token https://management.azure.com)
        DATA=$(token https://iothubs.azure.net); device t-later
        curl -sS -X PUT -d 300 "$HUB_SIM_CONTROL/lose"; device t-last; failover "West US" >/dev/null; after 600; list | sed -n 1p'
    is 't-doomed t-old
[1,3]
c-old
t-new t-old
[3,5]
c-new c-old
t-doomed t-old
[1,3]
c-old
same
["Active","East US"
0
300
t-doomed t-late t-later t-old'
}

@test "without --lose, or for what is older, nothing is lost" {
    script='data PUT /devices/t-old "{\"deviceId\":\"t-old\"}" >/dev/null; after "$1"; failover "East US" >/dev/null; after 600; data GET /devices/t-old | tail -1'
    sim 0 -- "set -- 1; $script"
    is 200
    sim 0 --lose=300 -- "set -- 200; $script"
    is 200
    sim 0 --lose=300 -- "set -- 100; $script"
    is 404
}

@test "states: Activating without a host name, Deleting still readable, the name is free at once" {
    sim 0 -- 'new() { arm PUT "$HUBS/new" "{\"location\":\"westus\",\"sku\":{\"name\":\"S1\",\"capacity\":1},\"properties\":{}}" | cut -c1-4; }
        other() { $C -o /dev/null -w "%{http_code}\n" -H "Authorization: Bearer $DATA" "https://new.azure-devices.net/devices?api-version=2021-04-12"; }
        state() { get "$HUBS/new" | jq -c "[.properties.state, .properties.provisioningState, (.properties | has(\"hostName\")), (.properties.eventHubEndpoints.events | has(\"endpoint\"))]"; }
        new; state; other; new; after 170; state; other
        arm DELETE "$HUBS/new" | cut -c1-4; state; other; new; after 60; arm GET "$HUBS/new" | cut -c1-4; other; new; state'
    is '201 
["Activating","Activating",false,false]
401
409 
["Active","Succeeded",true,true]
200
202 
["Deleting","Deleting",true,true]
401
409 
404 
401
201 
["Activating","Activating",false,false]'
}

@test "conflicts: a hub is busy for a moment with each of its children" {
    sim 0 -- 'group() { arm PUT "$H/eventHubEndpoints/events/ConsumerGroups/$1" "{\"properties\":{\"name\":\"$1\"}}" | cut -c1-4; }
        group a; group b; arm DELETE "$H/eventHubEndpoints/events/ConsumerGroups/a" | cut -c1-4
        arm PUT "$H" "$(get "$H")" | cut -c1-14; after 5; group b; after 5
        arm DELETE "$H/eventHubEndpoints/events/ConsumerGroups/a" | cut -c1-4; group c; seen | cut -c1-9; after 5; group c'
    is '200 
409 
409 
409 {"code":40
200 
200 
409 
["Active"
200 '
    sim 0 --doubt children-conflict=no -- 'group() { arm PUT "$H/eventHubEndpoints/events/ConsumerGroups/$1" "{\"properties\":{\"name\":\"$1\"}}" | cut -c1-4; }
        group a; group b'
    is $'200 \n200 '
}

@test "a deployment lasts as long as what it does, and its hub is not there before" {
    sim 0 -- 'body=$(jq -n "{properties:{mode:\"Incremental\",template:{\"\$schema\":\"x\",contentVersion:\"1.0.0.0\",resources:[
            {type:\"Microsoft.Devices/IotHubs\",apiVersion:\"2023-06-30\",name:\"made\",location:\"westus\",sku:{name:\"S1\",capacity:1},properties:{}}]}}}")
        arm PUT "$P/Microsoft.Resources/deployments/d?api-version=2021-04-01" "$body" | cut -c1-4; header azure-asyncoperation >async
        seen "$HUBS/made" | cut -d, -f1; after 150; arm GET "$(cat async)"; after 20; arm GET "$(cat async)"; seen "$HUBS/made" | cut -d, -f1'
    is '201 
["Activating"
200 {"status":"Running"}
200 {"status":"Succeeded"}
["Active"'
}

@test "an endpoint by the hub's own identity needs a role, which counts some time later" {
    sim 0 -- 'E=$P/Microsoft.EventHub/namespaces/contoso-west-events
        hub() { jq -nc --argjson e "$1" "{location:\"westus\",sku:{name:\"S1\",capacity:1},identity:{type:\"SystemAssigned\"},properties:{routing:{endpoints:{eventHubs:\$e}}}}"; }
        end="[{\"name\":\"e\",\"authenticationType\":\"identityBased\",\"endpointUri\":\"sb://contoso-west-events.servicebus.windows.net\",\"entityPath\":\"telemetry\"}]"
        try() { arm PUT "$HUBS/own" "$(hub "$end")" | cut -c1-16; after 170; }
        role() { arm PUT "$1/providers/Microsoft.Authorization/roleAssignments/$2?api-version=2022-04-01" \
            "{\"properties\":{\"roleDefinitionId\":\"$SUB/providers/Microsoft.Authorization/roleDefinitions/$3\",\"principalId\":\"$4\",\"principalType\":\"ServicePrincipal\"}}" | cut -c1-4; }
        sender=2b629674-e913-4c01-ae53-ef4638d8f975 receiver=a638d3c7-ab3a-418d-83e6-5f17a39d4fde
        try; arm PUT "$HUBS/own" "$(hub "[]")" | cut -c1-4; after 170
        me=$(get "$HUBS/own" | jq -r .identity.principalId)
        try; role "$E" 1 $receiver "$me"; after 40; try; role "$P/../" 2 none "$me"
        role "$E/eventhubs/telemetry" 3 $sender "$me"; try; after 1; try
        arm DELETE "$E/eventhubs/telemetry/providers/Microsoft.Authorization/roleAssignments/3?api-version=2022-04-01" | cut -c1-4
        try; role "$SUB/resourceGroups/west-rg" 4 $sender "$me"; after 40; try
        arm GET "$E/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01&\$filter=principalId%20eq%20%27$me%27" |
            cut -c5- | jq -r ".value[] | .name + \" \" + .properties.scope" | sed "s,/subscriptions/[^/]*,,"
        role "$SUB/resourceGroups/west-rg" 5 $sender "$me"; role "$SUB/resourceGroups/none" 6 $sender "$me"
        get "$SUB/providers/Microsoft.Authorization/roleDefinitions?api-version=2022-04-01&\$filter=roleName%20eq%20%27Azure%20Event%20Hubs%20Data%20Sender%27" | jq -r ".value[].name"'
    no='400 {"code":4001'
    is "$no
201 
$no
201 
$no
400 
201 
$no
201 {\"id\":\"/subs
200 
$no
201 
201 {\"id\":\"/subs
1 /resourceGroups/west-rg/providers/Microsoft.EventHub/namespaces/contoso-west-events
4 /resourceGroups/west-rg
409 
404 
2b629674-e913-4c01-ae53-ef4638d8f975"
}
