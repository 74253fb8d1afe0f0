# key-inject: which keys are fetched from where, and what happens when not.

load helper

sub=11111111-1111-1111-1111-111111111111

setup_file() {
    bats_require_minimum_version 1.5.0
    export T=$BATS_FILE_TMPDIR
    hub-sim --from "$ROOT/examples/contoso.json" -- \
        hub-export -q contoso -o "$T/hub.json" 2>/dev/null
}

# sim STATUS COMMAND: in a fresh local Azure; options in $sim_options.
sim() {
    expect_status "$1" hub-sim --from "$ROOT/examples/contoso.json" \
        "${sim_options[@]}" -- bash -o pipefail -c "$2"
}

# edit JQ: the exported hub, its properties changed, as $T/edited.json.
edit() {
    jq ".resources[0].properties |= ($1)" "$T/hub.json" >"$T/edited.json"
}

@test "every masked key is the one that the service has" {
    sim 0 '
        token=$(curl -s --cacert "$SSL_CERT_FILE" --connect-to "::$HUBPIPE_CONNECT_TO" \
            -d "grant_type=client_credentials&client_id=$AZURE_CLIENT_ID&client_secret=$AZURE_CLIENT_SECRET&scope=https://management.azure.com/.default" \
            "https://login.microsoftonline.com/$AZURE_TENANT_ID/oauth2/v2.0/token" | jq -r .access_token)
        key() {
            curl -s --cacert "$SSL_CERT_FILE" --connect-to "::$HUBPIPE_CONNECT_TO" -X POST -d "" \
                -H "Authorization: Bearer $token" \
                "https://management.azure.com/subscriptions/$AZURE_SUBSCRIPTION_ID/resourceGroups/west-rg/providers/$1/listKeys?api-version=$2" | jq -r "$3"
        }
        key-inject "$T/hub.json" >"$T/out.json" || exit
        properties=".resources[0].properties"
        has() { jq -r "$properties$1" "$T/out.json" | grep -qF "$2"; }
        queue=$(key Microsoft.ServiceBus/namespaces/contoso-west-bus/queues/alerts/authorizationRules/routes 2021-11-01 .primaryKey)
        topic=$(key Microsoft.ServiceBus/namespaces/contoso-west-bus/authorizationRules/RootManageSharedAccessKey 2021-11-01 .primaryKey)
        hub=$(key Microsoft.EventHub/namespaces/contoso-west-events/eventhubs/telemetry/authorizationRules/routes 2021-11-01 .primaryKey)
        account=$(key Microsoft.Storage/storageAccounts/contosowestdata 2023-05-01 ".keys[0].value")
        cosmos=$(key Microsoft.DocumentDB/databaseAccounts/contoso-west-cosmos 2023-04-15 .primaryMasterKey)
        second=$(key Microsoft.DocumentDB/databaseAccounts/contoso-west-cosmos 2023-04-15 .secondaryMasterKey)
        routes=.routing.endpoints
        [ ${#queue} = 44 ] && [ ${#account} = 88 ] &&
        has $routes.serviceBusQueues[0].connectionString ";SharedAccessKey=$queue;EntityPath=alerts" &&
        has $routes.serviceBusTopics[0].connectionString ";SharedAccessKey=$topic;EntityPath=lifecycle" &&
        has $routes.eventHubs[0].connectionString ";SharedAccessKey=$hub;EntityPath=telemetry" &&
        has $routes.storageContainers[0].connectionString ";AccountKey=$account" &&
        has ".storageEndpoints[].connectionString" ";AccountKey=$account" &&
        has $routes.cosmosDBSqlContainers[0].primaryKey "$cosmos" &&
        has $routes.cosmosDBSqlContainers[0].secondaryKey "$second"'
    run grep -cF '****' "$T/out.json"
    [ "$output" = 0 ]
}

@test "nothing else of the template changes, identity-based endpoints neither" {
    sim 0 'key-inject -q "$T/hub.json" >"$T/out.json"'
    local blank='walk(if type == "object" then del(.primaryKey, .secondaryKey)
        | if .authenticationType == "identityBased" then . else del(.connectionString) end
        else . end)'
    jq "$blank" "$T/hub.json" >"$T/a"
    jq "$blank" "$T/out.json" >"$T/b"
    same "$T/a" "$T/b"
    grep -q identityBased "$T/b"
}

@test "where nothing is masked no network is needed and nothing changes" {
    sim 0 'key-inject -q "$T/hub.json" -o "$T/full.json"'
    expect_status 0 env -i PATH="$PATH" LC_ALL=C.UTF-8 key-inject "$T/full.json" -o "$T/again.json"
    [ "$output" = "" ]
    same "$T/full.json" "$T/again.json"
    expect_status 0 env -i PATH="$PATH" key-inject --by-reference "$T/full.json" -o "$T/again.json"
    same "$T/full.json" "$T/again.json"
}

@test "by reference no key travels, and only the rule that exists is named" {
    sim_options=(--log "$T/log")
    sim 0 'key-inject -q --by-reference "$T/hub.json" >"$T/out.json"'
    run jq -r '.resources[0].properties.routing.endpoints[][] | .connectionString // .primaryKey' "$T/out.json"
    has "listKeys(resourceId('$sub', 'west-rg', 'Microsoft.ServiceBus/namespaces/queues/authorizationRules', 'contoso-west-bus', 'alerts', 'routes'), '2021-11-01').primaryKey, ';EntityPath=alerts')]"
    has "listKeys(resourceId('$sub', 'west-rg', 'Microsoft.ServiceBus/namespaces/authorizationRules', 'contoso-west-bus', 'RootManageSharedAccessKey'), '2021-11-01').primaryKey, ';EntityPath=lifecycle')]"
    has "'contosowestdata'), '2023-05-01').keys[0].value)]"
    has "'contoso-west-cosmos'), '2023-04-15').primaryMasterKey]"
    run grep -ci '"method":"POST".*listkeys' "$T/log"
    [ "$output" = 0 ]
}

@test "-n sends nothing, and the run sends what -n said" {
    expect_status 0 env AZURE_SUBSCRIPTION_ID=$sub HUBPIPE_CONNECT_TO=127.0.0.1:1 \
        key-inject -n "$T/hub.json"
    has_not "warning: 'https"
    key_lines=$(grep -c '^{' <<<"$output")
    [ "$key_lines" = 6 ]
    grep '^{' <<<"$output" | jq -r '.requests[].path, .find.path // empty' |
        sed 's/{resourceGroup}/west-rg/' | sort -u >"$T/planned"
    sim_options=(--log "$T/log2")
    sim 0 'key-inject -q "$T/hub.json" >/dev/null'
    jq -r 'select(.host == "management.azure.com") | .path | sub("\\?.*"; "")' "$T/log2" |
        sort -u >"$T/all"
    grep -i -e listkeys -e 'storageAccounts$' "$T/all" >"$T/sent"
    [ "$(wc -l <"$T/sent")" -ge 6 ]
    run comm -23 "$T/sent" "$T/planned"
    [ "$output" = "" ]
}

@test "a key that may not be read: endpoint, resource and right are named" {
    sim_options=(--fault 'path=*contosowestdata/listKeys,count=0,do=status:403')
    edit 'del(.storageEndpoints)'
    sim 6 'key-inject "$T/edited.json" -o "$T/none.json"'
    has "key-inject: endpoint 'archive': no right to the keys of 'contosowestdata'"
    has "needs Microsoft.Storage/storageAccounts/listKeys/action"
    has "--drop-unreachable"
    [ ! -e "$T/none.json" ]
}

@test "--drop-unreachable: endpoint, routes and enrichments go, aloud" {
    sim_options=(--fault 'path=*contosowestdata/listKeys,count=0,do=status:403')
    sim 0 'key-inject --drop-unreachable "$T/hub.json" -o "$T/out.json"'
    has "endpoint 'archive' is dropped" "route 'archive', which leads there, is dropped" \
        "enrichment 'hub' is dropped there" "storageEndpoints.\$default is dropped"
    run jq -c '.resources[0].properties | .routing.endpoints.storageContainers,
        [.routing.routes[].name], .routing.enrichments, .storageEndpoints,
        .enableFileUploadNotifications, (.routing.endpoints.eventHubs | length)' "$T/out.json"
    [ "${lines[0]}" = '[]' ]
    [ "${lines[1]}" = '["telemetry","alerts","events","messages","twin-changes","lifecycle"]' ]
    [ "${lines[2]}" = '[{"key":"hub","value":"$iothubname","endpointNames":["telemetry"]},{"key":"site","value":"$twin.tags.site","endpointNames":["telemetry"]}]' ]
    [ "${lines[3]}" = null ]
    [ "${lines[4]}" = false ]
    [ "${lines[5]}" = 2 ]
}

@test "dropping keeps the places of the others right" {
    edit '.routing.endpoints.eventHubs |= [(.[0] | .name = "gone" | .connectionString |= sub("=telemetry"; "=gone") | .connectionString |= sub("KeyName=routes"; "KeyName=other")), .[]]'
    sim 0 'key-inject -q --drop-unreachable "$T/edited.json" -o "$T/out.json"'
    run jq -c '[.resources[0].properties.routing.endpoints.eventHubs[].name]' "$T/out.json"
    [ "$output" = '["telemetry","twin-changes"]' ]
    run grep -cF '****' "$T/out.json"
    [ "$output" = 0 ]
}

@test "the fallback route does not lead to what is dropped" {
    edit '.routing.fallbackRoute.endpointNames = ["archive"] | del(.storageEndpoints)'
    sim_options=(--fault 'path=*contosowestdata/listKeys,count=0,do=status:403')
    sim 0 'key-inject --drop-unreachable "$T/edited.json" -o "$T/out.json"'
    has "the fallback route leads to 'events' now"
    run jq -c '.resources[0].properties.routing.fallbackRoute.endpointNames' "$T/out.json"
    [ "$output" = '["events"]' ]
}

@test "an endpoint's resource that is gone, or its rule" {
    edit '.routing.endpoints.serviceBusQueues[0].connectionString |= sub("KeyName=routes"; "KeyName=nobody")'
    sim 1 'key-inject "$T/edited.json"'
    has "endpoint 'alerts': not found in resource group 'west-rg': 'contoso-west-bus/alerts/nobody' (Microsoft.ServiceBus/namespaces/queues/authorizationRules), nor 'contoso-west-bus/nobody' (Microsoft.ServiceBus/namespaces/authorizationRules)"
    has_not '"resources"'
    sim 1 'key-inject --by-reference "$T/edited.json"'
    has "endpoint 'alerts': not found"
}

@test "a resource group that is not said is found by listing, or not" {
    edit 'del(.routing.endpoints[][].resourceGroup)'
    sim 0 'key-inject -q "$T/edited.json" -o "$T/out.json"'
    run grep -cF '****' "$T/out.json"
    [ "$output" = 0 ]
    edit '.storageEndpoints."$default".connectionString |= sub("contosowestdata"; "somebodyelses")'
    sim 1 'key-inject "$T/edited.json"'
    has "storageEndpoints.\$default: 'somebodyelses' (Microsoft.Storage/storageAccounts) is nowhere in subscription $sub"
}

@test "several failures are all named" {
    sim_options=(--fault 'method=POST,path=*/listKeys,count=0,do=status:403')
    sim 6 'key-inject "$T/hub.json"'
    has "'alerts'" "'lifecycle'" "'telemetry'" "'archive'" "'messages'" "storageEndpoints.\$default"
}

@test "what is an expression stays one" {
    edit '.routing.endpoints.storageContainers[0].connectionString = "[concat(\u0027AccountName=x;AccountKey=\u0027, parameters( \u0027p\u0027 ))]"'
    sim 0 'key-inject -q "$T/edited.json" -o "$T/out.json"'
    run jq -r '.resources[0].properties.routing.endpoints.storageContainers[0].connectionString' "$T/out.json"
    [ "$output" = "[concat('AccountName=x;AccountKey=', parameters( 'p' ))]" ]
}

@test "Cosmos DB keys are filled in whether an answer masks or omits them" {
    for position in absent stars; do
        sim_options=(--doubt "cosmos-mask=$position")
        sim 0 'hub-export -q contoso | key-inject -q -o "$T/out.json"'
        run jq -r '.resources[0].properties.routing.endpoints.cosmosDBSqlContainers[0]
            | .primaryKey, .secondaryKey | length' "$T/out.json"
        [ "$output" = $'88\n88' ]
    done
}

@test "no key is in what -v says" {
    sim 0 'key-inject -v "$T/hub.json" -o "$T/out.json" 2>"$T/err"'
    grep -q listKeys "$T/err"
    jq -r '.. | strings | capture("Key=(?<k>[^;*]{20,})").k' "$T/out.json" |
        sort -u >"$T/keys"
    [ "$(wc -l <"$T/keys")" = 4 ]
    run grep -cFf "$T/keys" "$T/err"
    [ "$output" = 0 ]
}

@test "a file with keys is for its owner only, and stdout warns" {
    umask 022
    sim 0 'key-inject -q "$T/hub.json" -o "$T/mode.json"'
    [ "$(stat -c %a "$T/mode.json")" = 600 ]
    sim 0 'key-inject -q "$T/hub.json" >"$T/open.json"'
    has "keys go into a file that others can read"
    sim 0 'key-inject -q --by-reference "$T/hub.json" >"$T/open2.json"'
    has_not "others can read"
}

@test "a mask that no plugin knows of is pointed out" {
    edit '.strange = {"password": "****"}'
    sim 0 'key-inject -q "$T/edited.json" -o "$T/out.json"'
    has "'password': is masked and no plugin looks after it"
}

@test "a service that fails: try again later" {
    sim_options=(--fault 'path=*/listKeys,count=0,do=status:503')
    sim 5 'key-inject --retry-delay=0 --retry-max-time=1 "$T/hub.json"'
    has "'contosowestdata'"
}

@test "bad input" {
    expect_pipe 3 'printf "" | key-inject'
    has "empty input"
    expect_pipe 3 'echo "{" | key-inject'
    expect_pipe 3 'echo "{}" | key-inject'
    has "no template" || has "not a template"
    expect_pipe 3 "echo '{\"resources\":[]}' | key-inject"
    has "template without a hub"
    edit '.routing.endpoints.serviceBusQueues[0] |= del(.connectionString)'
    expect_status 3 key-inject "$T/edited.json"
    has "endpoint 'alerts'" "neither a connectionString nor identity-based"
    edit '.routing.endpoints.eventHubs[0].connectionString = "SharedAccessKey=****"'
    expect_status 3 key-inject "$T/edited.json"
    has "endpoint 'telemetry'" "lacks 'Endpoint' or 'SharedAccessKeyName'"
    edit '.routing.endpoints.eventHubs[0] = "text"'
    expect_status 3 key-inject "$T/edited.json"
    has "endpoint 0 is no object"
    expect_status 4 key-inject /nowhere.json
    expect_status 2 key-inject a b
}
