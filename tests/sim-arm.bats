# The simulator's Resource Manager, asked with curl and compared with what the
# service was recorded to answer.
# shellcheck shell=bash disable=SC2016,SC2034

load helper

setup_file() {
    sim_start --operation-ms=30
    local form=(-d grant_type=client_credentials -d "client_id=$AZURE_CLIENT_ID"
        -d "client_secret=$AZURE_CLIENT_SECRET"
        -d scope=https://management.azure.com/.default)
    TOKEN=$(curl -sS --connect-to "::$HUBPIPE_CONNECT_TO" "${form[@]}" \
        "https://login.microsoftonline.com/$AZURE_TENANT_ID/oauth2/v2.0/token" |
        jq -r .access_token)
    export TOKEN SUB="/subscriptions/$AZURE_SUBSCRIPTION_ID"
    export RG="$SUB/resourceGroups/west"
    export P="$RG/providers" HUBS="$RG/providers/Microsoft.Devices/IotHubs"
    arm 201 PUT "$RG" '{"location":"West US"}' >/dev/null
    services >/dev/null
}

setup() {
    set -o pipefail
}

teardown_file() {
    sim_stop
}

# arm STATUS METHOD PATH [BODY [CURL-OPTION...]]: the answer's body.
arm() {
    local want=$1 method=$2 path=$3 body=${4:-} mark='?' got reply
    [[ $path == *\?* ]] && mark='&'
    [[ $path == https://* ]] || path="https://management.azure.com$path"
    [[ $path == *api-version=* ]] || path+="${mark}api-version=2023-06-30"
    local args=(-sS -X "$method" --connect-to "::$HUBPIPE_CONNECT_TO"
        -H "Authorization: Bearer $TOKEN" -w '\n%{http_code}' "${@:5}")
    [ -n "$body" ] && args+=(-H 'Content-Type: application/json' -d "$body")
    [ "$method" = HEAD ] && args+=(-I)
    reply=$(curl "${args[@]}" "$path") || return 1
    got=${reply##*$'\n'}
    printf '%s\n' "${reply%$'\n'*}"
    if [ "$got" != "$want" ]; then
        echo "$method $path answered $got instead of $want: $reply" >&2
        return 1
    fi
}

# Waits for a hub to be ready for the next change.
ready() {
    local i
    for ((i = 0; i < 50; i++)); do
        arm 200 GET "$1" 2>/dev/null |
            jq -e '.properties.state == "Active"' >/dev/null && sleep 0.05 &&
            return
        sleep 0.02
    done
    return 1
}

hub() { # NAME [PROPERTIES [IDENTITY]]
    jq -nc --argjson p "${2:-{\}}" --argjson i "${3:-null}" '{location: "westus",
        sku: {name: "S1", capacity: 1}, properties: $p} +
        (if $i then {identity: $i} else {} end)'
}

make_hub() {
    arm 201 PUT "$HUBS/$1" "$(hub "$@")" && ready "$HUBS/$1"
}

services() {
    local eh=$P/Microsoft.EventHub/namespaces/west-events
    local sb=$P/Microsoft.ServiceBus/namespaces/west-bus
    local st=$P/Microsoft.Storage/storageAccounts/westdata
    local db=$P/Microsoft.DocumentDB/databaseAccounts/west-cosmos
    arm 200 PUT "$eh" '{"location":"westus","sku":{"name":"Standard"},"properties":{}}'
    arm 200 PUT "$eh/eventhubs/telemetry" '{"properties":{"partitionCount":2}}'
    arm 200 PUT "$eh/eventhubs/telemetry/authorizationRules/routes" \
        '{"properties":{"rights":["Send"]}}'
    arm 200 PUT "$eh/eventhubs/telemetry/authorizationRules/reader" \
        '{"properties":{"rights":["Listen"]}}'
    arm 200 PUT "$sb" '{"location":"westus","properties":{}}'
    arm 200 PUT "$sb/queues/alerts" '{"properties":{}}'
    arm 200 PUT "$sb/queues/alerts/authorizationRules/routes" \
        '{"properties":{"rights":["Send"]}}'
    arm 200 PUT "$sb/topics/life" '{}'
    arm 200 PUT "$st" '{"location":"westus","sku":{"name":"Standard_LRS"},"kind":"StorageV2"}'
    arm 201 PUT "$st/blobServices/default/containers/archive" '{}'
    arm 200 PUT "$db" '{"location":"westus","properties":{}}'
    arm 202 PUT "$db/sqlDatabases/fleet" '{"properties":{"resource":{"id":"fleet"}}}'
    arm 202 PUT "$db/sqlDatabases/fleet/containers/messages" \
        '{"properties":{"resource":{"id":"messages","partitionKey":{"paths":["/deviceId"]}}}}'
    arm 201 PUT "$P/Microsoft.ManagedIdentity/userAssignedIdentities/router" \
        '{"location":"westus"}'
}

keys() { # ID: listKeys
    arm 200 POST "$1/listKeys"
}

# Five endpoints with their keys.
endpoints() {
    local eh sb topic st db
    eh=$(keys "$P/Microsoft.EventHub/namespaces/west-events/eventhubs/telemetry/authorizationRules/routes")
    sb=$(keys "$P/Microsoft.ServiceBus/namespaces/west-bus/queues/alerts/authorizationRules/routes")
    topic=$(keys "$P/Microsoft.ServiceBus/namespaces/west-bus/authorizationRules/RootManageSharedAccessKey")
    st=$(keys "$P/Microsoft.Storage/storageAccounts/westdata")
    db=$(keys "$P/Microsoft.DocumentDB/databaseAccounts/west-cosmos")
    jq -nc --argjson eh "$eh" --argjson sb "$sb" --argjson t "$topic" \
        --argjson st "$st" --argjson db "$db" '{
        eventHubs: [{name: "telemetry", resourceGroup: "west",
            connectionString: $eh.primaryConnectionString}],
        serviceBusQueues: [{name: "alerts",
            connectionString: $sb.secondaryConnectionString}],
        serviceBusTopics: [{name: "life",
            connectionString: "\($t.primaryConnectionString);EntityPath=life"}],
        storageContainers: [{name: "archive", containerName: "archive",
            connectionString:
            "DefaultEndpointsProtocol=https;AccountName=westdata;AccountKey=\($st.keys[0].value);EndpointSuffix=core.windows.net"}],
        cosmosDBSqlContainers: [{name: "messages", databaseName: "fleet",
            containerName: "messages",
            endpointUri: "https://west-cosmos.documents.azure.com:443/",
            primaryKey: $db.primaryMasterKey,
            secondaryKey: $db.secondaryMasterKey}]}'
}

@test "a token is asked for, and it must be for Resource Manager" {
    run curl -sS --connect-to "::$HUBPIPE_CONNECT_TO" -w '%{http_code}' \
        "https://management.azure.com$RG?api-version=2021-04-01"
    has 'AuthenticationFailed' 401
    TOKEN=nonsense arm 401 GET "$RG" | grep Token
}

@test "the api-version is required and has a form" {
    arm 400 GET "$RG?api-version=" | grep MissingApiVersionParameter
    arm 400 GET "$RG?api-version=latest" | grep InvalidApiVersionParameter
}

@test "another subscription, a group that is not there" {
    arm 404 GET /subscriptions/99999999-9999-9999-9999-999999999999/resourceGroups |
        grep SubscriptionNotFound
    arm 404 GET "$SUB/resourceGroups/nowhere" | grep ResourceGroupNotFound
    arm 404 GET "$SUB/resourceGroups/nowhere/providers/Microsoft.Devices/IotHubs/x" |
        grep ResourceGroupNotFound
    arm 404 GET "$HUBS/nohub" | grep ResourceNotFound
}

@test "groups are made, listed and deleted with what is in them" {
    local g=$SUB/resourceGroups/gone
    arm 404 HEAD "$g"
    arm 201 PUT "$g" '{"location":"westus","tags":{"a":"b"}}'
    arm 200 PUT "$SUB/RESOURCEGROUPS/GONE" '{"location":"westus"}' |
        jq -e '.name == "gone" and .type == "Microsoft.Resources/resourceGroups"'
    arm 409 PUT "$g" '{"location":"eastus"}' | grep InvalidResourceGroupLocation
    arm 400 PUT "$SUB/resourceGroups/x." '{"location":"eastus"}'
    arm 400 PUT "$SUB/resourceGroups/x" '{"location":"nowhere"}' |
        grep LocationNotAvailableForResourceGroup
    arm 204 HEAD "$g"
    arm 200 GET "$SUB/resourcegroups" | jq -e '[.value[].name] | index("gone")'
    arm 201 PUT "$g/providers/Microsoft.Devices/IotHubs/gone-hub" "$(hub)"
    place=$(arm 202 DELETE "$g" '' -D - |
        sed -n 's/^location: \(.*\)\r$/\1/Ip')
    [[ $place == *"/operationresults/"* ]]
    sleep 0.1
    arm 200 GET "$place"
    arm 404 HEAD "$g"
    arm 200 POST "$SUB/providers/Microsoft.Devices/checkNameAvailability" \
        '{"name":"gone-hub"}' | jq -e '.nameAvailable and .reason == "Invalid"'
}

@test "a hub is Accepted, Activating, then Active, as it was recorded" {
    local h=$HUBS/states place
    arm 201 PUT "$h" "$(hub)" -D "$BATS_TEST_TMPDIR/head" |
        jq -e '.properties | .provisioningState == "Accepted" and
            has("state") == false and has("hostName") == false'
    place=$(sed -n 's/^azure-asyncoperation: \(.*\)\r$/\1/Ip' "$BATS_TEST_TMPDIR/head")
    [[ $place == *"/operationResults/"*"&asyncinfo" ]]
    grep -i '^x-ms-retry-after-ms: 20' "$BATS_TEST_TMPDIR/head"
    ready "$h"
    arm 200 GET "$place" | jq -e '. == {status: "Succeeded"}'
    arm 200 GET "$h" | jq -e '.properties | .state == "Active" and
        .hostName == "states.azure-devices.net" and
        .eventHubEndpoints.events.path == "states" and
        .locations == [{location: "West US", role: "primary"},
            {location: "East US", role: "secondary"}] and
        (.eventHubEndpoints.events.endpoint | test(
            "^sb://iothub-ns-states-[0-9]+-[0-9a-f]{10}[.]servicebus[.]windows[.]net/$"))'
}

@test "the body of a hub has the members of the recorded one" {
    need_shared
    make_hub shape '{"minTlsVersion":"1.2"}'
    arm 200 GET "$HUBS/shape" >"$BATS_TEST_TMPDIR/ours"
    jq '.interactions[] | select(.request.method == "GET") | .response.body |
        select(type == "object" and .properties.state == "Active")' \
        "$SHARED/azure/recordings/iothub-lifecycle.json" |
        jq -s '.[0]' >"$BATS_TEST_TMPDIR/theirs"
    # What the new features of a hub add is not the point here.
    shape='def walk_keys: [paths | map(select(type == "string")) | join(".")];
        del(.properties.rootCertificate) | walk_keys | unique | .[]'
    jq -r "$shape" "$BATS_TEST_TMPDIR/ours" >"$BATS_TEST_TMPDIR/a"
    jq -r "$shape" "$BATS_TEST_TMPDIR/theirs" >"$BATS_TEST_TMPDIR/b"
    [ "$(wc -l <"$BATS_TEST_TMPDIR/b")" -gt 40 ]
    same "$BATS_TEST_TMPDIR/a" "$BATS_TEST_TMPDIR/b"
}

@test "deleting a hub frees its name" {
    make_hub deleted
    arm 202 DELETE "$HUBS/deleted" '' -D "$BATS_TEST_TMPDIR/head"
    grep -i '^location: https' "$BATS_TEST_TMPDIR/head"
    place=$(sed -n 's/^location: \(.*\)\r$/\1/Ip' "$BATS_TEST_TMPDIR/head")
    [[ $place != *asyncinfo* ]]
    sleep 0.1
    [ -z "$(arm 200 GET "$place")" ]
    arm 404 GET "$HUBS/deleted"
    arm 204 DELETE "$HUBS/deleted"
    arm 404 POST "$HUBS/deleted/listkeys"
}

@test "what a hub refuses, in the words of the service" {
    make_hub refuse
    arm 400 PUT "$HUBS/free-hub" '{"location":"westus","sku":{"name":"F1","capacity":1},
        "properties":{"eventHubEndpoints":{"events":{"partitionCount":4}}}}' |
        jq -e '.code == 400016 and .httpStatusCode == 400 and (.message |
            startswith("Invalid PartitionCount 4 - value must be between 2 and 2.")) and
            (.message | endswith("errorcode: IH400016."))'
    arm 400 PUT "$HUBS/x-" "$(hub)"
    arm 400 PUT "$HUBS/ab" "$(hub)"
    arm 400 PUT "$HUBS/a_b_c" "$(hub)"
    arm 400 PUT "$HUBS/tls" "$(hub tls '{"minTlsVersion":"2.5"}')" | grep 400089
    arm 400 PUT "$HUBS/place" "$(hub | jq -c '.location = "atlantis"')" |
        jq -e '.error.code == "LocationNotAvailableForResourceType"'
    arm 400 PUT "$HUBS/place" "$(hub | jq -c 'del(.location)')" |
        jq -e '.error.code == "LocationRequired"'
    arm 400 PUT "$HUBS/sku" "$(hub | jq -c '.sku.name = "S9"')"
    arm 400 PUT "$HUBS/sku" "$(hub | jq -c '.sku.capacity = 201')"
    arm 409 PUT "$HUBS/refuse" "$(hub | jq -c '.location = "eastus"')" |
        jq -e '.error.code == "InvalidResourceLocation"'
    arm 400 PUT "$HUBS/refuse" \
        "$(hub x '{"eventHubEndpoints":{"events":{"partitionCount":8}}}')" |
        jq -e '.code == 400016'
    arm 400 PUT "$HUBS/refuse" 'not json' | grep InvalidRequestContent
    arm 400 PUT "$HUBS/refuse" '{"location":"westus","location":"eastus"}'
    arm 201 PUT "$SUB/resourceGroups/other" '{"location":"eastus"}'
    arm 409 PUT "$SUB/resourceGroups/other/providers/Microsoft.Devices/iothubs/REFUSE" \
        "$(hub)" | jq -e '.httpStatusCode == 409'
}

@test "a hub that is still busy takes no change" {
    export -f arm hub
    expect_status 0 hub-sim --operation-ms=60000 -- bash -o pipefail -ec '
        arm 201 PUT "$RG" "{\"location\":\"westus\"}"
        place=$(arm 201 PUT "$HUBS/busy" "$(hub)" -D - |
            sed -n "s/^azure-asyncoperation: \(.*\)\r$/\1/Ip")
        arm 200 GET "$place" | jq -e ". == {status: \"Running\"}"
        arm 200 GET "$HUBS/busy" | jq -ec ".properties |
            [.state, .provisioningState] == [\"Activating\", \"Activating\"] and
            (has(\"hostName\") or (.eventHubEndpoints.events | has(\"path\")) | not)"
        arm 409 PUT "$HUBS/busy" "$(hub)" | jq -e ".code == 409002"
        arm 409 PUT "$HUBS/busy/eventHubEndpoints/events/ConsumerGroups/early" "{}" |
            jq -e ".code == 409002"
        arm 409 DELETE "$HUBS/busy"'
}

@test "a stale ETag" {
    make_hub etags
    etag=$(arm 200 GET "$HUBS/etags" | jq -r .etag)
    [[ $etag =~ ^AAAA[A-Za-z0-9+/]{7}=$ ]]
    arm 201 PUT "$HUBS/etags" "$(hub)" -H "If-Match: $etag" | jq -e --arg e "$etag" '.etag == $e'
    ready "$HUBS/etags"
    arm 412 PUT "$HUBS/etags" "$(hub)" -H "If-Match: $etag"
    arm 412 PUT "$HUBS/none" "$(hub)" -H 'If-Match: "x"' |
        jq -e '.error.code == "PreconditionFailed"'
    now=$(arm 200 GET "$HUBS/etags" | jq -r .etag)
    arm 201 PUT "$HUBS/etags" "$(hub)" -H "If-Match: \"$now\""
}

@test "only tags can be patched, and a PUT replaces" {
    make_hub patched '{"comments":"hello","eventHubEndpoints":{"events":{"retentionTimeInDays":3}}}'
    arm 200 PATCH "$HUBS/patched" '{"tags":{"a":"b"},"properties":{"comments":"no"}}' |
        jq -e '.tags.a == "b" and .properties.comments == "hello"'
    arm 201 PUT "$HUBS/patched" "$(hub)"
    arm 200 GET "$HUBS/patched" | jq -e '.tags == {} and .properties.comments == null and
        .properties.eventHubEndpoints.events.retentionTimeInDays == 1'
}

@test "policies: five at first, replaced as a whole, kept without the member" {
    make_hub keys
    arm 200 POST "$HUBS/keys/listkeys" | jq -e '[.value[].keyName] ==
        ["iothubowner", "service", "device", "registryRead", "registryReadWrite"] and
        .value[0].rights == "RegistryWrite, ServiceConnect, DeviceConnect" and
        (.value[0].primaryKey | length) == 44'
    arm 200 GET "$HUBS/keys" | jq -e '.properties | has("authorizationPolicies") | not'
    own='[{"keyName":"mine","primaryKey":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=","rights":"RegistryRead"}]'
    arm 201 PUT "$HUBS/keys" "$(hub x "{\"authorizationPolicies\":$own}")"
    ready "$HUBS/keys"
    arm 200 POST "$HUBS/keys/IotHubKeys/mine/listkeys" |
        jq -e '.primaryKey == "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" and
            (.secondaryKey | length) == 44'
    arm 404 POST "$HUBS/keys/IotHubKeys/service/listkeys"
    arm 201 PUT "$HUBS/keys" "$(hub)"
    arm 200 POST "$HUBS/keys/listkeys" | jq -e '[.value[].keyName] == ["mine"]'
    ready "$HUBS/keys"
    arm 400 PUT "$HUBS/keys" "$(hub x '{"authorizationPolicies":[{"keyName":"a","rights":"All"}]}')"
    arm 400 PUT "$HUBS/keys" "$(hub x '{"authorizationPolicies":[{"keyName":"a","rights":"DeviceConnect","primaryKey":"?"}]}')"
}

@test "masks: five types are masked, and a mask that is written back keeps its key" {
    ends=$(endpoints)
    arm 201 PUT "$HUBS/masks" "$(hub x "{\"routing\":{\"endpoints\":$ends}}")" |
        jq -e '.properties.routing.endpoints.eventHubs[0].connectionString |
            contains("****") | not'
    ready "$HUBS/masks"
    arm 200 GET "$HUBS/masks" >"$BATS_TEST_TMPDIR/one"
    run jq -r '.properties.routing.endpoints | .eventHubs[0].connectionString,
        .serviceBusQueues[0].connectionString, .serviceBusTopics[0].connectionString,
        .storageContainers[0].connectionString' "$BATS_TEST_TMPDIR/one"
    [ "${lines[0]}" = 'Endpoint=sb://west-events.servicebus.windows.net:5671/;SharedAccessKeyName=routes;SharedAccessKey=****;EntityPath=telemetry' ]
    [ "${lines[1]}" = 'Endpoint=sb://west-bus.servicebus.windows.net:5671/;SharedAccessKeyName=routes;SharedAccessKey=****;EntityPath=alerts' ]
    [ "${lines[2]}" = 'Endpoint=sb://west-bus.servicebus.windows.net:5671/;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=****;EntityPath=life' ]
    [ "${lines[3]}" = 'DefaultEndpointsProtocol=https;EndpointSuffix=core.windows.net;AccountName=westdata;AccountKey=****' ]
    jq -e '.properties.routing.endpoints | .cosmosDBSqlContainers[0] |
        has("primaryKey") or has("secondaryKey") | not' "$BATS_TEST_TMPDIR/one"
    jq -e '[.properties.routing.endpoints[][].id | length] == [36, 36, 36, 36, 36]' "$BATS_TEST_TMPDIR/one"
    # No key is anywhere in it.
    for key in $(jq -r '.. | strings | scan("Key=([^;]{40,})")[0]' <<<"$ends"); do
        expect_status 1 grep -F "$key" "$BATS_TEST_TMPDIR/one"
    done
    arm 201 PUT "$HUBS/masks" "$(cat "$BATS_TEST_TMPDIR/one")"
    ready "$HUBS/masks"
    arm 200 GET "$HUBS/masks" | jq -S 'del(.etag)' >"$BATS_TEST_TMPDIR/two"
    jq -S 'del(.etag)' "$BATS_TEST_TMPDIR/one" >"$BATS_TEST_TMPDIR/one.sorted"
    same "$BATS_TEST_TMPDIR/one.sorted" "$BATS_TEST_TMPDIR/two"
    # Without the id, and on another hub, there is no key to keep.
    arm 400 PUT "$HUBS/masks" "$(jq -c 'del(.etag) |
        del(.properties.routing.endpoints[][].id)' "$BATS_TEST_TMPDIR/one")" |
        jq -e '.code == 400116'
    arm 400 PUT "$HUBS/masked2" "$(jq -c 'del(.etag)' "$BATS_TEST_TMPDIR/one")" |
        jq -e '.code == 400116'
    arm 200 GET "$HUBS/masks?api-version=2021-07-02" |
        jq -e '.properties.routing.endpoints | has("cosmosDBSqlContainers") | not'
}

@test "an endpoint must point at something that is there, with a key that works" {
    ends=$(endpoints)
    try() { # JQ: changes the endpoints; says what the hub answers
        arm 400 PUT "$HUBS/reach" "$(hub x "$(jq -c "{routing: {endpoints: ($1)}}" <<<"$ends")")"
    }
    try '.eventHubs[0].connectionString |= sub("west-events"; "no-events")' |
        jq -e '.code == 400116 and (.message | contains("endpointName:telemetry"))'
    try '.eventHubs[0].connectionString |= sub("EntityPath=telemetry"; "EntityPath=x")' |
        grep "entity 'x'"
    try '.eventHubs[0].connectionString |= sub("SharedAccessKeyName=routes"; "SharedAccessKeyName=reader")' |
        grep 'Send'
    try '.serviceBusQueues[0].connectionString |= sub("SharedAccessKey=....."; "SharedAccessKey=AAAAA")' |
        grep 'InvalidSignature'
    try '.serviceBusQueues[0].connectionString |= sub("Endpoint=[^;]*;"; "")' |
        grep "The Queue connection string is missing 'Endpoint'"
    try '.storageContainers[0].containerName = "none"' | grep 400116
    try '.storageContainers[0].connectionString |= sub("AccountKey=....."; "AccountKey=AAAAA")' |
        grep 400116
    try '.cosmosDBSqlContainers[0] |= del(.primaryKey)' | grep 400116
    try '.cosmosDBSqlContainers[0].primaryKey |= "AAAA" + .[4:]' | grep 400116
    try '.eventHubs[0].resourceGroup = "other"' | grep 400116
    try '.eventHubs[0].name = "events"' | jq -e '.code == 400000'
    try '.eventHubs[0].name = "alerts"' | grep 'more than once'
    # None of these tries has made the hub.
    arm 404 GET "$HUBS/reach"
}

@test "endpoints by identity" {
    user="$P/Microsoft.ManagedIdentity/userAssignedIdentities/router"
    one='{"name":"t","authenticationType":"identityBased","endpointUri":"sb://west-events.servicebus.windows.net","entityPath":"telemetry"'
    sys="{\"routing\":{\"endpoints\":{\"eventHubs\":[$one}]}}}"
    usr="{\"routing\":{\"endpoints\":{\"eventHubs\":[$one,\"identity\":{\"userAssignedIdentity\":\"$user\"}}]}}}"
    arm 400 PUT "$HUBS/ident" "$(hub x "$usr")" | grep 'not assigned'
    arm 400 PUT "$HUBS/ident" "$(hub x "$sys")"
    arm 400 PUT "$HUBS/ident" "$(hub x "$sys" '{"type":"SystemAssigned"}')" | grep 'no role'
    arm 400 PUT "$HUBS/ident" "$(hub x '{}' "{\"type\":\"UserAssigned\",\"userAssignedIdentities\":{\"${user}x\":{}}}")" |
        jq -e '.error.code == "FailedIdentityOperation"'
    both="{\"type\":\"SystemAssigned,UserAssigned\",\"userAssignedIdentities\":{\"$user\":{}}}"
    make_hub ident "$usr" "$both"
    arm 200 GET "$HUBS/ident" | jq -e --arg u "$user" '
        .identity.type == "SystemAssigned, UserAssigned" and .identity.tenantId and
        .identity.principalId and
        (.identity.userAssignedIdentities[$u] | has("clientId") and has("principalId")) and
        (.properties.routing.endpoints.eventHubs[0] | has("connectionString") | not)'
    # Now that the hub is there, its own identity can be given a role.
    arm 400 PUT "$HUBS/ident" "$(hub x "$sys" "$both")" | grep 'no role'
    me=$(arm 200 GET "$HUBS/ident" | jq -r .identity.principalId)
    role="$P/Microsoft.EventHub/namespaces/west-events/providers/Microsoft.Authorization/roleAssignments/one"
    arm 201 PUT "$role" "{\"properties\":{\"principalId\":\"$me\",
        \"roleDefinitionId\":\"$SUB/providers/Microsoft.Authorization/roleDefinitions/2b629674-e913-4c01-ae53-ef4638d8f975\"}}"
    arm 201 PUT "$HUBS/ident" "$(hub x "$sys" "$both")"
}

@test "routes, fallback and enrichments" {
    make_hub routes
    r() { hub x "{\"routing\":$1}"; }
    arm 400 PUT "$HUBS/routes" "$(r '{"enrichments":[{"key":"key","value":"v","endpointNames":["fake_endpoint"]}]}')" |
        jq -e '.code == 400131 and (.message | startswith(
            "Enrichment has an undefined endpoint, Enrichment Key:key, EndpointName:fake_endpoint."))'
    arm 400 PUT "$HUBS/routes" "$(r '{"routes":[{"name":"a","source":"DeviceMessages","endpointNames":["x"]}]}')"
    arm 400 PUT "$HUBS/routes" "$(r '{"routes":[{"name":"a","source":"Elsewhere","endpointNames":["events"]}]}')"
    arm 400 PUT "$HUBS/routes" "$(r '{"routes":[{"name":"a b","source":"DeviceMessages","endpointNames":["events"]}]}')"
    arm 201 PUT "$HUBS/routes" "$(r '{"routes":[{"name":"a","source":"twinchangeevents","endpointNames":["events"]}],
        "enrichments":[{"key":"k","value":"$iothubname","endpointNames":["events"]}]}')"
    arm 200 GET "$HUBS/routes" | jq -e '.properties.routing | .routes == [{name: "a",
        source: "TwinChangeEvents", condition: "true", endpointNames: ["events"],
        isEnabled: true}] and .fallbackRoute.isEnabled == false and .enrichments[0].key == "k"'
}

@test "file upload: masked, kept, refused without its key" {
    key=$(keys "$P/Microsoft.Storage/storageAccounts/westdata" | jq -r '.keys[1].value')
    up() { hub x "{\"enableFileUploadNotifications\":true,\"storageEndpoints\":{\"\$default\":{\"connectionString\":\"DefaultEndpointsProtocol=https;AccountName=westdata;AccountKey=$1\",\"containerName\":\"archive\"}}}"; }
    arm 400 PUT "$HUBS/upload" "$(up '****')" | jq -e '.code == 400116'
    arm 400 PUT "$HUBS/upload" "$(hub x '{"enableFileUploadNotifications":true}')"
    arm 201 PUT "$HUBS/upload" "$(up "$key")"
    ready "$HUBS/upload"
    arm 200 GET "$HUBS/upload" | jq -e '.properties.storageEndpoints["$default"].connectionString ==
        "DefaultEndpointsProtocol=https;AccountName=westdata;AccountKey=****"'
    arm 201 PUT "$HUBS/upload" "$(up '****')"
}

@test "consumer groups" {
    make_hub groups
    local g=$HUBS/groups/eventHubEndpoints/events/ConsumerGroups
    arm 200 PUT "$g/cg1" '{"properties":{"name":"cg1"}}' | jq -e --arg id "$g/cg1" '
        .properties.properties.name == "cg1" and .etag == null and .id == $id and
        .type == "Microsoft.Devices/IotHubs/EventHubEndpoints/ConsumerGroups"'
    arm 200 GET "$g/cg1" | jq -e '.properties | keys == ["created"]'
    arm 200 GET "$g" | jq -e '[.value[].name] == ["$Default", "cg1"] and
        (.value[0].id | endswith("%24Default"))'
    arm 200 GET "$g/%24Default" | jq -e '.name == "$Default"'
    [ -z "$(arm 200 DELETE "$g/cg1")" ]
    arm 404 GET "$g/cg1"
    arm 404 GET "$HUBS/nohub/eventHubEndpoints/events/ConsumerGroups"
    arm 404 PUT "$HUBS/nohub/eventHubEndpoints/events/ConsumerGroups/x" '{}' |
        grep ParentResourceNotFound
    for n in $(seq 19); do arm 200 PUT "$g/n$n" '{}' >/dev/null; done
    arm 400 PUT "$g/n20" '{}'
}

@test "certificates: proof, ETags, no overwriting without one" {
    cd "$BATS_TEST_TMPDIR"
    openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 30 \
        -subj /CN=Fleet 2>/dev/null
    make_hub certs
    local c=$HUBS/certs/certificates
    body=$(jq -nc --arg c "$(base64 -w0 ca.pem)" '{properties: {certificate: $c}}')
    arm 200 GET "$c" | jq -e '. == {value: []}'
    etag=$(arm 200 PUT "$c/root" "$body" | jq -r 'if .properties.isVerified == false
        and .properties.subject == "Fleet" then .etag else error end')
    [ ${#etag} = 52 ]
    print=$(openssl x509 -in ca.pem -noout -fingerprint -sha1 | sed 's/.*=//;s/://g')
    arm 200 GET "$c/root" | jq -e --arg p "$print" '.properties.thumbprint == $p'
    arm 412 PUT "$c/root" "$body"
    arm 412 POST "$c/root/generateVerificationCode"
    reply=$(arm 200 POST "$c/root/generateVerificationCode" '' -H "If-Match: $etag" -H 'Content-Length: 0')
    code=$(jq -r .properties.verificationCode <<<"$reply")
    etag=$(jq -r .etag <<<"$reply")
    openssl req -newkey rsa:2048 -nodes -keyout p.key -subj "/CN=$code" -out p.csr 2>/dev/null
    openssl x509 -req -in p.csr -CA ca.pem -CAkey ca.key -out p.pem -days 2 2>/dev/null
    arm 400 POST "$c/root/verify" "$(jq -nc --arg c "$(base64 -w0 ca.pem)" '{certificate: $c}')" -H "If-Match: $etag"
    arm 200 POST "$c/root/verify" "$(jq -nc --arg c "$(base64 -w0 p.pem)" '{certificate: $c}')" -H "If-Match: $etag" |
        jq -e '.properties.isVerified'
    arm 200 PUT "$c/root" "$body" -H 'If-Match: *' | jq -e '.properties.isVerified == false'
    arm 200 PUT "$c/sure" "$(jq -c '.properties.isVerified = true' <<<"$body")" |
        jq -e '.properties.isVerified'
    arm 400 PUT "$c/bad" '{"properties":{"certificate":"AAAA"}}'
    arm 412 DELETE "$c/root"
    arm 200 DELETE "$c/root" '' -H 'If-Match: *'
    arm 404 GET "$c/root"
}

@test "names, quotas, statistics, SKUs, regions" {
    make_hub names
    arm 200 POST "$SUB/providers/Microsoft.Devices/checkNameAvailability" '{"name":"NAMES"}' |
        jq -e '. == {nameAvailable: false, reason: "AlreadyExists",
            message: "IotHub name '"'NAMES'"' is not available"}'
    arm 200 GET "$HUBS/names/quotaMetrics" | jq -e '.value[0] ==
        {name: "TotalMessages", currentValue: 0, maxValue: 400000}'
    arm 200 GET "$HUBS/names/IotHubStats" | jq -e '.totalDeviceCount == 0'
    arm 200 GET "$HUBS/names/skus" | jq -e '[.value[].sku.name] == ["S1", "S2", "S3"]'
    arm 200 GET "$SUB/locations" | jq -e '.value[] | select(.name == "westus") |
        .displayName == "West US" and .metadata.pairedRegion[0].name == "eastus"'
    arm 501 GET "$P/Microsoft.Devices/provisioningServices/x" | grep 'does not simulate'
}

@test "keys of the services" {
    local eh=$P/Microsoft.EventHub/namespaces/west-events
    keys "$eh/eventhubs/telemetry/authorizationRules/routes" | jq -e '
        .primaryConnectionString == "Endpoint=sb://west-events.servicebus.windows.net/;SharedAccessKeyName=routes;SharedAccessKey=\(.primaryKey);EntityPath=telemetry"
        and (.primaryKey | length) == 44 and .keyName == "routes"'
    arm 200 POST "$eh/AuthorizationRules/RootManageSharedAccessKey/ListKeys" |
        jq -e '.secondaryConnectionString | contains("EntityPath") | not'
    arm 200 GET "$eh/authorizationRules" | jq -e '.value[0].properties.rights == ["Listen", "Manage", "Send"]'
    arm 404 POST "$eh/eventhubs/telemetry/authorizationRules/none/listKeys" | grep ResourceNotFound
    keys "$P/Microsoft.Storage/storageAccounts/westdata" | jq -e '[.keys[].keyName] == ["key1", "key2"]
        and (.keys[0].value | length) == 88 and .keys[0].permissions == "FULL"'
    local db=$P/Microsoft.DocumentDB/databaseAccounts/west-cosmos
    keys "$db" | jq -e 'keys == ["primaryMasterKey", "primaryReadonlyMasterKey",
        "secondaryMasterKey", "secondaryReadonlyMasterKey"]'
    arm 200 POST "$db/listConnectionStrings" | jq -e '.connectionStrings[0].description == "Primary SQL Connection String"'
    arm 200 GET "$eh" | jq -e '.location == "West US" and .properties.serviceBusEndpoint ==
        "https://west-events.servicebus.windows.net:443/"'
    arm 409 PUT "$SUB/resourceGroups/west2" '{"location":"westus"}' 2>/dev/null || true
    arm 409 PUT "$SUB/resourceGroups/west2/providers/Microsoft.EventHub/namespaces/west-events" '{"location":"westus"}'
    arm 404 PUT "$P/Microsoft.EventHub/namespaces/none-such/eventhubs/x" '{}' | grep ParentResourceNotFound
    arm 400 PUT "$eh/authorizationRules/bad" '{"properties":{"rights":["Manage"]}}'
}

@test "a regenerated key makes the old one useless" {
    local st=$P/Microsoft.Storage/storageAccounts/rotated old
    arm 200 PUT "$st" '{"location":"westus"}'
    arm 201 PUT "$st/blobServices/default/containers/box" '{}'
    old=$(keys "$st" | jq -r '.keys[0].value')
    arm 200 POST "$st/regenerateKey" '{"keyName":"key1"}' |
        jq -e --arg o "$old" '.keys[0].value != $o'
    arm 400 PUT "$HUBS/rotated" "$(hub x "{\"routing\":{\"endpoints\":{\"storageContainers\":[{\"name\":\"s\",\"containerName\":\"box\",\"connectionString\":\"AccountName=rotated;AccountKey=$old\"}]}}}")" |
        jq -e '.code == 400116'
}

@test "the tag hub-sim-deny makes listKeys answer 403" {
    local ns=$P/Microsoft.ServiceBus/namespaces/denied-bus
    arm 200 PUT "$ns" '{"location":"westus","tags":{"hub-sim-deny":"listKeys"}}'
    arm 200 PUT "$ns/queues/q" '{}'
    arm 200 PUT "$ns/queues/q/authorizationRules/r" '{"properties":{"rights":["Send"]}}'
    arm 403 POST "$ns/queues/q/authorizationRules/r/listKeys" |
        jq -e '.error.code == "AuthorizationFailed"'
    arm 200 GET "$ns/queues/q/authorizationRules"
    arm 200 PATCH "$ns" '{"tags":{}}'
    arm 200 POST "$ns/queues/q/authorizationRules/r/listKeys"
}

@test "lists come in pages" {
    local g=$SUB/resourceGroups/many n next
    arm 201 PUT "$g" '{"location":"westus"}'
    for ((n = 0; n < 101; n++)); do
        printf 'url = "https://management.azure.com%s/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id%d?api-version=2023-01-31"\nrequest = "PUT"\ndata = "{\\"location\\":\\"westus\\"}"\noutput = "/dev/null"\nheader = "Authorization: Bearer %s"\nconnect-to = "::%s"\n' \
            "$g" "$n" "$TOKEN" "$HUBPIPE_CONNECT_TO"
        [ "$n" = 100 ] || echo next
    done | curl -sS -K -
    arm 200 GET "$g/resources" >"$BATS_TEST_TMPDIR/page"
    [ "$(jq '.value | length' "$BATS_TEST_TMPDIR/page")" = 100 ]
    next=$(jq -r .nextLink "$BATS_TEST_TMPDIR/page")
    arm 200 GET "$next" | jq -e '(.value | length) == 1 and has("nextLink") == false'
    arm 200 GET "$g/providers/Microsoft.ManagedIdentity/userAssignedIdentities" | jq -e .nextLink
}

@test "every doubt that Resource Manager has, in its other position" {
    export -f arm hub ready make_hub services endpoints keys
    expect_status 0 hub-sim --doubt unmask-by=name --doubt cosmos-mask=stars \
        --doubt masked-new-hub=accepted --doubt policies-without-member=defaults \
        --doubt lro-retry-after=seconds --doubt etag-stale-body=flat \
        --doubt group-location=kept --doubt hub-name-hyphen=accepted \
        --doubt consumer-groups-max=50 --doubt not-found-code=NotFound \
        --doubt forbidden-code=Forbidden -- bash -o pipefail -c '
        set -e
        arm 201 PUT "$RG" "{\"location\":\"westus\"}"
        arm 200 PUT "$RG" "{\"location\":\"eastus\"}" | jq -e ".location == \"westus\""
        services >/dev/null
        one=$(hub x "{\"routing\":{\"endpoints\":$(endpoints)}}")
        arm 201 PUT "$HUBS/doubts-" "$one" -D - | grep -i "^retry-after: 1"
        ready "$HUBS/doubts-"
        got=$(arm 200 GET "$HUBS/doubts-")
        jq -e ".properties.routing.endpoints.cosmosDBSqlContainers[0] |
            .primaryKey == \"****\" and .secondaryKey == \"****\"" <<<"$got"
        bare=$(jq -c "del(.etag, .properties.routing.endpoints[][].id)" <<<"$got")
        arm 201 PUT "$HUBS/doubts-" "$bare" >/dev/null
        arm 201 PUT "$HUBS/dead" "$bare" >/dev/null
        ready "$HUBS/dead"
        arm 200 GET "$HUBS/dead" | jq -e ".properties.routing.endpoints |
            .cosmosDBSqlContainers[0].primaryKey == \"****\" and
            (.eventHubs[0].connectionString | contains(\"SharedAccessKey=****\"))"
        ready "$HUBS/doubts-"
        arm 412 PUT "$HUBS/doubts-" "$one" -H "If-Match: x" | jq -e ".httpStatusCode == 412"
        own="[{\"keyName\":\"mine\",\"rights\":\"RegistryRead\"}]"
        arm 201 PUT "$HUBS/own" "$(hub x "{\"authorizationPolicies\":$own}")"
        ready "$HUBS/own"
        arm 201 PUT "$HUBS/own" "$(hub)"
        arm 200 POST "$HUBS/own/listkeys" | jq -e ".value | length == 5"
        ready "$HUBS/own"
        for n in $(seq 21); do
            arm 200 PUT "$HUBS/own/eventHubEndpoints/events/ConsumerGroups/n$n" "{}"
        done >/dev/null
        arm 404 GET "$HUBS/none" | jq -e ".error.code == \"NotFound\""
        arm 200 PATCH "$HUBS/own" "{\"tags\":{\"hub-sim-deny\":\"listKeys,delete\"}}"
        arm 403 POST "$HUBS/own/listkeys" | jq -e ".error.code == \"Forbidden\""
        arm 403 DELETE "$HUBS/own"'
}

@test "members of a wrong kind are refused, and hub-sim lives on" {
    local p
    for p in '{"routing":{"endpoints":{"eventHubs":[1]}}}' \
        '{"routing":{"endpoints":{"eventHubs":[{"name":1}]}}}' \
        '{"routing":{"routes":["x"]}}' '{"routing":{"enrichments":[[]]}}' \
        '{"storageEndpoints":{"$default":["x"]},"enableFileUploadNotifications":true}' \
        '{"storageEndpoints":{"other":{}}}' '{"authorizationPolicies":["x"]}' \
        '{"eventHubEndpoints":{"events":{"partitionCount":9007199254740993}}}'; do
        arm 400 PUT "$HUBS/kinds" "$(hub x "$p")" | jq -e '.httpStatusCode == 400'
    done
    arm 404 GET "$HUBS/kinds"
}

@test "null counts as absent" {
    make_hub nulls '{"routing":null,"features":null,"storageEndpoints":{"$default":
        {"sasTtlAsIso8601":null,"connectionString":null,"containerName":null}}}'
    arm 200 GET "$HUBS/nulls" | jq -e '.properties | .features == "None" and
        .storageEndpoints == {"$default": {sasTtlAsIso8601: "PT1H",
            connectionString: "", containerName: ""}}'
}

@test "numbers that libjq would alter come back as they were sent" {
    arm 201 PUT "$HUBS/numbers" '{"location":"westus","sku":{"name":"S1","capacity":1},
        "properties":{"networkRuleSets":{"odd":9007199254740993}}}' |
        grep '"odd":9007199254740993'
    arm 200 GET "$HUBS/numbers" | grep '"odd":9007199254740993'
}
