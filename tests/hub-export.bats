# hub-export: the hub as a template, with what an export leaves out.

load helper

sub=11111111-1111-1111-1111-111111111111

setup_file() {
    export T=$BATS_FILE_TMPDIR
    hub-sim --from "$ROOT/examples/contoso.json" -- \
        hub-export -q -g west-rg contoso -o "$T/hub.json" 2>/dev/null
}

# sim STATUS COMMAND: in a fresh local Azure; options in $sim_options.
sim() {
    expect_status "$1" hub-sim --from "${from:-$ROOT/examples/contoso.json}" \
        "${sim_options[@]}" -- bash -o pipefail -c "$2"
}

@test "the hub comes first, then its certificates and consumer groups" {
    run jq -r '.resources[] | .type + " " + .name + " " + .apiVersion' "$T/hub.json"
    [ "$output" = "Microsoft.Devices/IotHubs contoso 2023-06-30
Microsoft.Devices/IotHubs/certificates contoso/fleet-ca 2023-06-30
Microsoft.Devices/IotHubs/eventHubEndpoints/ConsumerGroups contoso/events/analytics 2023-06-30
Microsoft.Devices/IotHubs/eventHubEndpoints/ConsumerGroups contoso/events/monitoring 2023-06-30" ]
    run jq -c '.resources[1].properties | keys, .isVerified' "$T/hub.json"
    [ "$output" = $'["certificate","isVerified"]\ntrue' ]
    run jq -c 'keys_unsorted, ."$schema", .contentVersion' "$T/hub.json"
    [ "${lines[0]}" = '["$schema","contentVersion","resources"]' ]
    has '"https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"' '"1.0.0.0"'
}

@test "each child waits for the hub and for the one before" {
    run jq -r '.resources[] | .dependsOn // ["none"] | join(" ")' "$T/hub.json"
    [ "$output" = "none
[resourceId('Microsoft.Devices/IotHubs', 'contoso')]
[resourceId('Microsoft.Devices/IotHubs', 'contoso')] [resourceId('Microsoft.Devices/IotHubs/certificates', 'contoso', 'fleet-ca')]
[resourceId('Microsoft.Devices/IotHubs', 'contoso')] [resourceId('Microsoft.Devices/IotHubs/eventHubEndpoints/ConsumerGroups', 'contoso', 'events', 'analytics')]" ]
}

@test "what the service gives and a new hub must not get is not in it" {
    run jq -c '[.resources[0] | paths | map(strings) | last] | unique' "$T/hub.json"
    has_not '"id"' '"etag"' '"hostName"' '"locations"' '"state"' \
        '"provisioningState"' '"partitionIds"' '"endpoint"' '"path"' \
        '"tier"' '"principalId"' '"clientId"' '"systemData"' '"tenantId"'
    has '"endpointUri"' '"partitionCount"' '"retentionTimeInDays"' '"tags"'
}

@test "settings, routes and masked endpoints of all types are as they were" {
    jq '[.resources[] | select(.type == "Microsoft.Devices/IotHubs")][0]
        | {tags, sku: .sku | {name, capacity}, routes: .properties.routing.routes,
           enrichments: .properties.routing.enrichments,
           c2d: .properties.cloudToDevice}' -S "$ROOT/examples/contoso.json" >"$T/want"
    jq '.resources[0] | {tags, sku, routes: .properties.routing.routes,
           enrichments: .properties.routing.enrichments,
           c2d: .properties.cloudToDevice}' -S "$T/hub.json" >"$T/got"
    diff "$T/want" "$T/got"
    run jq -c '.resources[0].properties.routing.endpoints | map_values(map(.name))' "$T/hub.json"
    [ "$output" = '{"serviceBusQueues":["alerts"],"serviceBusTopics":["lifecycle"],"eventHubs":["telemetry","twin-changes"],"storageContainers":["archive"],"cosmosDBSqlContainers":["messages"]}' ]
    run grep -cF 'Key=****' "$T/hub.json"
    [ "$output" = 5 ]
}

@test "a hub by name alone, by full id, and in any case of letters" {
    sim 0 "hub-export -q contoso >'$T/b.json' &&
        hub-export -q /subscriptions/$sub/resourceGroups/west-rg/providers/Microsoft.Devices/IotHubs/contoso >'$T/c.json' &&
        hub-export -q -g WEST-RG Contoso >'$T/d.json'"
    same "$T/hub.json" "$T/b.json"
    same "$T/hub.json" "$T/c.json"
    same "$T/hub.json" "$T/d.json"
}

@test "--policies: the keys of the hub, and the output is a secret" {
    umask 022
    sim 0 "hub-export -q --policies contoso -o '$T/p.json' && echo \"\$IOTHUB_CONN_STRING\" >'$T/conn'"
    [ "$(stat -c %a "$T/p.json")" = 600 ]
    key=$(jq -r '.resources[0].properties.authorizationPolicies[] | select(.keyName == "iothubowner").primaryKey' "$T/p.json")
    [ "${#key}" = 44 ]
    grep -qF "SharedAccessKey=$key" "$T/conn"
    run jq -c '[.resources[0].properties.authorizationPolicies[].keyName]' "$T/p.json"
    [ "$output" = '["iothubowner","service","device","registryRead","registryReadWrite"]' ]
    sim 0 "hub-export --policies contoso >'$T/open.json'"
    has "keys go into a file that others can read"
    run jq -c '.resources[0].properties.authorizationPolicies' "$T/hub.json"
    [ "$output" = null ]
}

@test "--via=export: the service's own, with children and file upload from GET" {
    sim 0 "hub-export --via=export contoso >'$T/e.json'"
    has "the export lacks endpoints that the hub has: messages"
    run jq -c '.resources[0].properties.storageEndpoints."$default".containerName, (.resources | length), .resources[0].name' "$T/e.json"
    [ "$output" = $'"uploads"\n4\n"contoso"' ]
    run jq -r '.resources[0].apiVersion' "$T/e.json"
    [ "$output" = 2023-06-30 ]
    expect_status 0 tmpl-rewrite --name=other "$T/e.json"
}

@test "--via=export: what the service calls incomplete is refused" {
    sim_options=(--fault 'method=POST,path=*exportTemplate,do=status:200')
    sim 6 "hub-export --via=export contoso -o '$T/none.json'"
    has "the export is incomplete: A fault was asked for" --via=get --allow-partial
    [ ! -e "$T/none.json" ]
    sim 6 "hub-export --via=export --allow-partial contoso -o '$T/none.json'"
    has "the export holds no template"
    [ ! -e "$T/none.json" ]
}

@test "text that looks like an expression stays text" {
    jq '(.resources[] | select(.type == "Microsoft.Devices/IotHubs").tags) = {"a": "[[concat(1)]", "b": "[open", "c": "x]"}' \
        "$ROOT/examples/contoso.json" >"$T/from.json"
    from=$T/from.json sim 0 "hub-export -q contoso | tee '$T/x.json' | tmpl-rewrite -q | jq -c '.resources[0].tags'"
    has '{"a":"[[concat(1)]","b":"[open","c":"x]"}'
    run jq -c '.resources[0].tags' "$T/x.json"
    [ "$output" = '{"a":"[[concat(1)]","b":"[open","c":"x]"}' ]
}

@test "what comes out is valid by the published schema of the hub" {
    need_shared
    python3 -c 'import jsonschema' 2>/dev/null || skip "needs python3-jsonschema"
    run python3 - "$SHARED/azure/specs/azure-resource-manager-schemas/schemas" "$T/hub.json" <<'EOF'
import json, sys, warnings
warnings.simplefilter("ignore")
import jsonschema
root, template = sys.argv[1:]
load = lambda p: json.load(open(root + "/" + p))
base = "https://schema.management.azure.com/schemas/"
devices = load("2023-06-30/Microsoft.Devices.json")
store = {base + "common/definitions.json": load("common/definitions.json"),
         base + "2023-06-30/Microsoft.Devices.json": devices,
         devices["id"]: devices}
names = {"iothubs": "IotHubs", "iothubs/certificates": "IotHubs_certificates",
         "iothubs/eventhubendpoints/consumergroups":
             "IotHubs_eventHubEndpoints_ConsumerGroups"}
for r in json.load(open(template))["resources"]:
    kind = names[r["type"].lower().removeprefix("microsoft.devices/")]
    schema = devices["resourceDefinitions"][kind]
    resolver = jsonschema.RefResolver(devices["id"], devices, store)
    # The schema means the last part of a child's name.
    r["name"] = r["name"].split("/")[-1]
    jsonschema.Draft4Validator(schema, resolver=resolver).validate(r)
    print("valid", kind)
EOF
    echo "$output"
    [ "$status" = 0 ]
    [ "${#lines[@]}" = 4 ]
}

@test "the rule runs with plain jq on recorded answers of the service" {
    need_shared
    for body in live-get-eventhub-storage-keybased live-get-identity-based; do
        jq -L "$ROOT/share/jq" 'import "export" as e; {hub: ., groups: [{name: "$Default"}],
            certificates: [], policies: null, export: null} | e::export' \
            "$SHARED/azure/examples/$body.json" >"$T/$body"
        run jq -c '.resources[0] | keys_unsorted' "$T/$body"
        [ "$output" = '["type","apiVersion","name","location","tags","sku","identity","properties"]' ]
        expect_status 0 tmpl-rewrite --name=other --location=eastus "$T/$body"
        has_not principalId hostName partitionIds '"id"' '"etag"'
    done
}

@test "private endpoint connections are left out, aloud" {
    echo '{"hub": {"name": "a", "location": "westus", "sku": {"name": "S1", "capacity": 1},
        "properties": {"privateEndpointConnections": [{"name": "pe"}]}},
        "groups": [], "certificates": [], "policies": null, "export": null}' >"$T/in.json"
    run jq -L "$ROOT/share/jq" -c 'import "export" as e; e::export | ."$say", .resources[0].properties' "$T/in.json"
    [ "${lines[0]}" = '["private endpoint connections are left out: pe"]' ]
    [ "${lines[1]}" = '{}' ]
}

@test "no such hub, no such group, no hub said" {
    sim 1 'hub-export nobody'
    has "hub-export: 'nobody'" "contoso"
    sim 1 'hub-export -g east-rg contoso'
    sim 2 'hub-export'
    has "which hub?"
    sim 2 'hub-export ../x'
    sim 2 'hub-export /subscriptions/x'
    sim 2 'hub-export --via=guess contoso'
}

@test "an answer that fails: nothing is written" {
    sim_options=(--fault 'path=*/certificates,count=0,do=status:403')
    sim 6 "hub-export contoso -o '$T/none.json'"
    [ ! -e "$T/none.json" ]
    sim_options=(--fault 'path=*/ConsumerGroups,count=0,do=half')
    sim 5 "hub-export --retry-delay=0 --retry-max-time=1 contoso -o '$T/none.json'"
    [ ! -e "$T/none.json" ]
    sim_options=(--fault 'path=*/listkeys,count=0,do=status:403')
    sim 6 "hub-export --policies contoso"
    has_not '"resources"'
    sim_options=()
    sim 4 'hub-export -q contoso >/dev/full'
}
