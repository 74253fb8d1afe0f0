# real-input.bats: what the field sends.  Which of the shared examples are
# templates and which are bodies is stated in tmpl-rewrite.bats; here they, the
# recorded hubs and the hazards of records go through whole pipelines.
# shellcheck shell=bash disable=SC2016 # text for a shell inside hub-sim

load helper

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    umask 077
}

@test "the how-to's hub of 2018: from the portal's export to a new hub, and back to the same template" {
    need_shared
    expect_status 0 hub-sim --dest east-hub -- bash -o pipefail -c '
        tmpl-rewrite -q --name east-hub --location eastus '"$SHARED"'/azure/examples/export-2018-04-01-no-routing.json >new.json &&
        key-inject -q new.json | tmpl-deploy -q -g east-rg >result &&
        tmpl-deploy -n -q -g east-rg new.json >plan &&
        hub-export -q -g east-rg east-hub >back.json'
    [ ! -s plan ]
    [ "$(jq -r .provisioningState result)" = Succeeded ]
    # What the hub of 2018 had set, the new one has.
    settings='.resources[] | select(.type | ascii_downcase == "microsoft.devices/iothubs")
        | [.sku.name, .sku.capacity, (.properties | .eventHubEndpoints.events.retentionTimeInDays,
            .eventHubEndpoints.events.partitionCount, .cloudToDevice.maxDeliveryCount,
            .cloudToDevice.feedback.ttlAsIso8601)] | map(tostring)'
    [ "$(jq -c "$settings" "$SHARED/azure/examples/export-2018-04-01-no-routing.json")" = \
        "$(jq -c "$settings" back.json)" ]
}

@test "every hub that was recorded: exported, rewritten, and nothing of the old one is left" {
    need_shared
    # Bodies as the service sent them, Activating and Deleting ones too.
    jq -c '.. | objects | select(.type? == "Microsoft.Devices/IotHubs" and .properties.state?)' \
        "$SHARED"/azure/recordings/*.json "$SHARED"/azure/examples/live-*.json | sort -u >bodies
    [ "$(wc -l <bodies)" -ge 15 ]
    while read -r body; do
        jq -L "$ROOT/share/jq" 'import "export" as e; {hub: ., groups: [{name: "$Default"}],
            certificates: [], policies: null, export: null} | e::export | del(."$say")' <<<"$body" >template.json
        expect_status 0 tmpl-rewrite -q --name=new-hub --location=eastus template.json -o new.json
        # Read-only members are gone, and names that were the old hub's follow.
        jq -e '.resources[0] | .name == "new-hub" and .location == "eastus"
            and ([.. | objects | keys[]] | all(IN("id", "etag", "hostName", "state", "provisioningState",
                "partitionIds", "principalId", "clientId", "systemData", "subscriptionid", "locations") | not))' new.json
        # Settings are what they were.
        keep='{sku: {name, capacity} , p: (.properties | {routes: .routing.routes, ip: (.ipFilterRules // []),
            c2d: .cloudToDevice, features, minTlsVersion, u: .enableFileUploadNotifications,
            e: (.routing.endpoints | map_values(map([.name, .authenticationType, .entityPath, .containerName])))})}'
        diff <(jq -S "{sku: .sku.name} + (. | del(.sku)) | .sku = {} | ${keep/sku: \{name, capacity\} , /}" <<<"$body") \
            <(jq -S ".resources[0] | ${keep/sku: \{name, capacity\} , /}" new.json)
    done <bodies
}

# What comes between "tags": and the end of a record's tags.
tags() {
    grep -o '"tags":{.*' "$1" | sed -E 's/,"properties":.*//; t; s/}\r*$//'
}

@test "hazards: byte for byte through every stage that copies" {
    registry-edit -q "$FIXTURES/hazards.txt" >edited
    same "$FIXTURES/hazards.txt" edited
    registry-edit -q --where='true' edited | registry-edit -q --drop=nothing.here | registry-edit -q >through
    same "$FIXTURES/hazards.txt" through
    # There and back: what is set and dropped leaves no trace.
    registry-edit -q --mode=update "$FIXTURES/hazards.txt" >moded
    [ "$(grep -c '"importMode":"update"' moded)" -eq "$(grep -c '' moded)" ]
    registry-edit -q --drop=importMode moded >back
    same "$FIXTURES/hazards.txt" back
    # And each is itself, and differs from what jq would make of it.
    expect_status 0 registry-diff -q "$FIXTURES/hazards.txt" edited
    sed 's/9007199254740993/9007199254740992/' "$FIXTURES/hazards.txt" >other
    run registry-diff -q "$FIXTURES/hazards.txt" other
    [ "$status" -eq 1 ]
    [ "$(jq -r '.id + " " + .path' <<<"$output")" = "h-01 /tags/v" ]
}

@test "hazards: the whole way, from a hub to a file to another hub" {
    # Those that the service takes.
    expect_status 0 hub-sim --from "$FIXTURES/two-hubs.json" --dest contoso-east -- bash -o pipefail -c '
        registry-load -q --confirm=contoso env:IOTHUB_CONN_STRING <'"$FIXTURES"'/hazards.txt >refused
        registry-dump -q -o a && registry-load -q <a && registry-dump -q -o b env:DEST_IOTHUB_CONN_STRING &&
        registry-diff -q && registry-diff -q a b'
    [ "$(wc -l <a)" -ge 20 ]
    [ $(($(wc -l <a) + $(wc -l <refused))) -eq "$(grep -c '' "$FIXTURES/hazards.txt")" ]
    tags a >ta
    tags b >tb
    same ta tb
    # As they were typed.
    tags "$FIXTURES/hazards.txt" | sort -u >typed
    grep -v '^"tags":{}$' ta | sort -u | comm -23 - typed >changed
    [ ! -s changed ] || { cat changed; false; }
    [ "$(grep -cF '"v":1.0}' ta)" -eq 1 ]
}

@test "hazards: a simulator that is started with a file gives it back" {
    grep -Fv -f <(hub-sim --from "$FIXTURES/two-hubs.json" -- registry-load -q --confirm=contoso env:IOTHUB_CONN_STRING \
        <"$FIXTURES/hazards.txt" 2>/dev/null | jq -r '"\"id\":\"" + (.id // "-none-") + "\""') \
        "$FIXTURES/hazards.txt" >taken
    [ "$(wc -l <taken)" -ge 20 ]
    hub-sim --from "$ROOT/examples/contoso.json" --registry taken -- registry-dump -q -o dump 2>/dev/null
    [ "$(wc -l <dump)" -eq "$(grep -c . taken)" ] || { wc -l dump taken; diff <(jq -r .id dump | sort) <(jq -r .id taken | sort); false; }
    tags taken | sort >want
    tags dump | grep -v '^"tags":{}$' | sort >have
    same want have
}

@test "a fleet of every kind has every kind" {
    # What the demo shows is only worth what is in it.
    jq -nrc --argjson n 200 -f "$ROOT/examples/fleet.jq" >fleet.txt
    for kind in '.authentication.type == "sas"' '.authentication.type == "selfSigned"' \
        '.authentication.type == "certificateAuthority"' '.status == "disabled" and .statusReason' \
        '.capabilities.iotEdge and (.parentScopes // [] == [])' '.capabilities.iotEdge and (.parentScopes // [] | length > 0)' \
        '(.capabilities.iotEdge | not) and .deviceScope' '.moduleId and (.moduleId | startswith("$") | not)' \
        '.moduleId == "$edgeAgent"' '.tags | . and length > 0' '.properties.desired[]? | objects | .[]? | objects' \
        '.id | contains("#")' '.id | contains("%")' '.id | contains("?")' '.tags | tojson | test("[^ -~]")'; do
        [ "$(jq -c "select(try ($kind) catch false)" fleet.txt | wc -l)" -ge 1 ] || { echo "none: $kind"; false; }
    done
}
