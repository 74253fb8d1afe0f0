# What Microsoft's clients ask of hub-sim beyond the service's own: asked with
# curl here, so that make check needs none of them; tests/clients has them.
# shellcheck shell=bash disable=SC2016,SC2034

load helper

setup_file() {
    sim_start --from "$ROOT/examples/contoso.json"
    local form=(-d grant_type=client_credentials -d "client_id=$AZURE_CLIENT_ID"
        -d "client_secret=$AZURE_CLIENT_SECRET"
        -d scope=https://management.azure.com/.default)
    TOKEN=$(curl -sS --connect-to "::$HUBPIPE_CONNECT_TO" "${form[@]}" \
        "https://login.microsoftonline.com/$AZURE_TENANT_ID/oauth2/v2.0/token" |
        jq -r .access_token)
    export TOKEN SUB="/subscriptions/$AZURE_SUBSCRIPTION_ID"
    export HUB="$SUB/resourceGroups/west-rg/providers/Microsoft.Devices/IotHubs/contoso"
}

setup() {
    set -o pipefail
    HERE=https://localhost:${HUBPIPE_CONNECT_TO##*:}
}

teardown_file() {
    sim_stop
}

# arm STATUS METHOD PATH [BODY [CURL-OPTION...]]: the answer's body.
arm() {
    local mark='?' reply args
    [[ $3 == *\?* ]] && mark='&'
    args=(-sS -X "$2" --connect-to "::$HUBPIPE_CONNECT_TO" --path-as-is
        -H "Authorization: Bearer $TOKEN" -w '\n%{http_code}' "${@:5}")
    [ -n "${4-}" ] && args+=(-d "$4")
    reply=$(curl "${args[@]}" \
        "${BASE-https://management.azure.com}$3${mark}api-version=2023-06-30") || return
    printf '%s\n' "${reply%$'\n'*}"
    [ "${reply##*$'\n'}" = "$1" ] || {
        echo "$2 $3 answered ${reply##*$'\n'} instead of $1: $reply" >&2
        return 1
    }
}

# route WANT CONDITION MESSAGE [TWIN]
route() {
    local twin=${4:-'{}'} body got
    body=$(jq -n --arg c "$2" --argjson m "$3" --argjson t "$twin" '{message: $m,
        twin: $t, route: {name: "r", source: "DeviceMessages", condition: $c,
            endpointNames: ["events"], isEnabled: true}}')
    got=$(arm 200 POST "$HUB/routing/routes/\$testnew" "$body" | jq -r .result)
    [ "$got" = "$1" ] || {
        echo "$2 is $got, not $1"
        return 1
    }
}

@test "conditions of routes: literals, properties, body and twin" {
    route true true '{}'
    route false false '{}'
    route true "level = 'hot'" '{"appProperties":{"level":"hot"}}'
    route false "level = 'hot'" '{"appProperties":{"level":"cold"}}'
    route undefined "level = 'hot'" '{}'
    route undefined "level > 3" '{"appProperties":{"level":"4"}}'
    route true "as_number(level) > 3" '{"appProperties":{"level":"4"}}'
    route true '$body.a.b[1] = 2' '{"body":"{\"a\":{\"b\":[1,2]}}"}'
    route undefined '$body.a.b' '{"body":"no json"}'
    route true '$contentType = "text"' '{"systemProperties":{"contentType":"text"}}'
    route true "\$twin.tags.site = 'x' AND \$twin.properties.desired.n >= 5" '{}' \
        '{"tags":{"site":"x"},"properties":{"desired":{"n":5}}}'
    route true "it's = 'a' OR a = 'it''s'" '{}' && return 1
    route true "a = 'it''s'" "{\"appProperties\":{\"a\":\"it's\"}}"
}

@test "conditions of routes: what is undefined, operators, functions" {
    route false "nothing = 1 AND false" '{}'
    route true "nothing = 1 OR true" '{}'
    route undefined "NOT nothing = 1" '{}'
    route true "NOT (1 = 2) AND 1 <> 2 AND 1 != 2 AND 'a' < 'b' AND -1 <= 0.5" '{}'
    route true "a IN ['x', 'y']" '{"appProperties":{"a":"y"}}'
    route false "a IN ['x']" '{"appProperties":{"a":"y"}}'
    route true "IS_DEFINED(a) AND NOT IS_DEFINED(b)" '{"appProperties":{"a":"y"}}'
    route true "STARTS_WITH(a, 'fl') AND ENDS_WITH(a, 'et') AND CONTAINS(a, 'ee')" \
        '{"appProperties":{"a":"fleet"}}'
    route true "LENGTH(UPPER(a)) = 5 AND UPPER(a) = 'FLEET' AND IS_STRING(a)" \
        '{"appProperties":{"a":"fleet"}}'
}

@test "a condition that cannot be read says where, however deep it is" {
    local body deep
    for text in '' 'a =' '(a' "'open" 'a b' 'a IN [1' 'nosuch(a)' '$body[x]' 'a ='; do
        body=$(jq -n --arg c "$text" '{message: {}, route: {condition: $c}}')
        arm 200 POST "$HUB/routing/routes/\$testnew" "$body" |
            jq -e '.result == "undefined" and .details.compilationErrors[0].severity == "error" and
                .details.compilationErrors[0].location.start.line == 1'
    done
    for deep in "$(printf '(%.0s' {1..5000})" "$(printf 'NOT %.0s' {1..5000})"; do
        body=$(jq -n --arg c "$deep" '{message: {}, route: {condition: $c}}')
        arm 200 POST "$HUB/routing/routes/\$testnew" "$body" |
            jq -e '.details.compilationErrors[0].message | contains("too deep")'
    done
    arm 400 POST "$HUB/routing/routes/\$testnew" 'no json' | jq -e .error.code
}

@test "all routes of a source that a message meets, enabled ones only" {
    arm 200 POST "$HUB/routing/routes/\$testall" \
        '{"routingSource":"devicemessages","message":{"appProperties":{"level":"info"}}}' |
        jq -e '[.routes[].properties.name] == ["telemetry", "archive", "events"]'
    arm 200 POST "$HUB/routing/routes/\$testall" \
        '{"routingSource":"TwinChangeEvents","message":{}}' |
        jq -e '[.routes[].properties.name] == ["twin-changes"]'
}

@test "providers, their types and versions; tenants; operations; usages" {
    arm 200 GET "$SUB/providers" | jq -e '[.value[].namespace] |
        contains(["Microsoft.Devices", "Microsoft.Storage", "Microsoft.Resources"])'
    arm 200 GET "$SUB/providers/microsoft.devices" |
        jq -e '.registrationState == "Registered" and (.resourceTypes |
            map(select(.resourceType == "IotHubs"))[0] |
            .apiVersions[0] == "2023-06-30" and (.locations | index("West US")))'
    arm 200 POST "$SUB/providers/Microsoft.Devices/register" |
        jq -e '.namespace == "Microsoft.Devices"'
    arm 404 GET "$SUB/providers/Nobody.There" |
        jq -e '.error.code == "InvalidResourceNamespace"'
    arm 200 GET /tenants | jq -e --arg t "$AZURE_TENANT_ID" '.value[0].tenantId == $t'
    arm 200 GET /providers/Microsoft.Devices/operations |
        jq -e '[.value[].name] | index("Microsoft.Devices/iotHubs/Read")'
    arm 200 GET "$SUB/providers/Microsoft.Devices/usages" |
        jq -e 'map_values(map({(.name.value): [.currentValue, .limit]}) | add) |
            .value.paidHubCount == [1, 50] and .value.freeHubCount == [0, 1]'
}

@test "two slashes are one; resources are listed by the group of a filter" {
    arm 200 GET "${HUB/Devices\//Devices//}" | jq -e '.name == "contoso"'
    filter='$filter=resourceGroup%20eq%20%27'
    arm 200 GET "$SUB/resources?${filter}west-rg%27" |
        jq -e '[.value[].name] | index("contoso")'
    arm 200 GET "$SUB/resources?${filter}nowhere%27" | jq -e '.value == []'
}

@test "by hub-sim's own name and port: metadata, sign-in, Resource Manager" {
    curl -sS "$HERE/metadata/endpoints?api-version=2015-01-01" |
        jq -e --arg h "$HERE" '.authentication.loginEndpoint == $h + "/adfs" and
            (.authentication.audiences | index($h))'
    curl -sS "$HERE/metadata/endpoints?api-version=2022-09-01" |
        jq -e --arg h "$HERE" '.[0] | .name == "hub-sim" and .resourceManager == $h'
    curl -sS "$HERE/adfs/.well-known/openid-configuration" |
        jq -e --arg h "$HERE" '.token_endpoint == $h + "/adfs/oauth2/token" and
            .issuer == $h + "/adfs"'
    curl -sS "$(curl -sS "$HERE/$AZURE_TENANT_ID/v2.0/.well-known/openid-configuration" |
        jq -r .jwks_uri)" | jq -e '.keys == []'
    BASE=$HERE arm 200 GET "$HUB" | jq -e '.properties.hostName == "contoso.azure-devices.net"'
    # What is polled is on the same port.
    BASE=$HERE arm 201 PUT "$SUB/resourceGroups/gone" '{"location":"westus"}'
    BASE=$HERE arm 202 DELETE "$SUB/resourceGroups/gone" '' -D "$BATS_TEST_TMPDIR/head"
    grep -qi "^location: $HERE/" "$BATS_TEST_TMPDIR/head"
}

@test "an If-Match that is no ETag, as az sends it, counts for nothing" {
    expect_status 0 hub-sim --from "$ROOT/examples/contoso.json" -- \
        bash -o pipefail -c "$(declare -f put); put"
    has 201 '412 PreconditionFailed'
    expect_status 0 hub-sim --from "$ROOT/examples/contoso.json" \
        --doubt if-match-malformed=refused -- \
        bash -o pipefail -c "$(declare -f put); put"
    has '412 PreconditionFailed'
    has_not 201
}

# One PUT with az's If-Match, one with an ETag that is too old.
put() {
    local to="https://localhost:${HUBPIPE_CONNECT_TO##*:}" token hub match
    token=$(curl -s -d grant_type=client_credentials -d "client_id=$AZURE_CLIENT_ID" \
        -d "client_secret=$AZURE_CLIENT_SECRET" -d scope=https://management.azure.com/.default \
        "$to/$AZURE_TENANT_ID/oauth2/v2.0/token" | jq -r .access_token)
    hub="$to/subscriptions/$AZURE_SUBSCRIPTION_ID/resourceGroups/west-rg/providers"
    hub+="/Microsoft.Devices/IotHubs/contoso?api-version=2023-06-30"
    for match in "{'IF-MATCH': 'AAAADH/h3VM='}" "AAAADH/old0="; do
        curl -s -H "Authorization: Bearer $token" "$hub" |
            curl -s -X PUT -H "Authorization: Bearer $token" -H "If-Match: $match" \
                -d @- -w '\n%{http_code}\n' "$hub" |
            jq -rRs 'split("\n") | .[1] + " " + (.[0] | fromjson | .error.code // "")'
    done
}
