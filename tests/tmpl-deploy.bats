# tmpl-deploy.bats: plan, confirm, deploy, attach; and what stands against it.
# shellcheck shell=bash disable=SC2016,SC2034 # text for a shell inside hub-sim

load helper
bats_require_minimum_version 1.5.0

setup_file() {
    cd "$BATS_FILE_TMPDIR" || return
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 \
        -subj /CN=other -keyout key -out other.pem 2>/dev/null
}

setup() {
    D=$BATS_TEST_TMPDIR
    export D ROOT
    cd "$D" || return
    # A hub with a policy of its own, a consumer group and a file-upload key.
    cat >hub.json <<'EOF'
{"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
 "contentVersion": "1.0.0.0",
 "resources": [
  {"type": "Microsoft.Devices/IotHubs", "apiVersion": "2023-06-30",
   "name": "t-hub", "location": "eastus", "tags": {"env": "test"},
   "sku": {"name": "S1", "capacity": 1}, "properties": {}},
  {"type": "Microsoft.Devices/IotHubs/eventHubEndpoints/ConsumerGroups",
   "apiVersion": "2023-06-30", "name": "t-hub/events/cg1", "properties": {"name": "cg1"},
   "dependsOn": ["[resourceId('Microsoft.Devices/IotHubs', 't-hub')]"]}]}
EOF
    cat >lib <<'EOF'
curl=(curl -sS --connect-to "::$HUBPIPE_CONNECT_TO")
token=$("${curl[@]}" "https://login.microsoftonline.com/$AZURE_TENANT_ID/oauth2/v2.0/token" \
    -d "client_id=$AZURE_CLIENT_ID&client_secret=$AZURE_CLIENT_SECRET" \
    -d 'grant_type=client_credentials&scope=https://management.azure.com/.default' | jq -r .access_token)
sub=/subscriptions/$AZURE_SUBSCRIPTION_ID
east=$sub/resourceGroups/east-rg
hubs=$east/providers/Microsoft.Devices/IotHubs
# arm METHOD PATH VERSION [BODY]
arm() {
    "${curl[@]}" -X "$1" -H "Authorization: Bearer $token" -H 'Content-Type: application/json' \
        "https://management.azure.com$2?api-version=$3" ${4+-d "$4"}
}
# The whole history of a deployment: what it is, what was deployed, its steps.
history() {
    arm GET "$1" 2022-09-01
    arm POST "$1/exportTemplate" 2022-09-01 ''
    arm GET "${1/providers\/Microsoft.Resources\//}/operations" 2022-09-01
}
east_template() {
    hub-export -q -g west-rg contoso |
        tmpl-rewrite -q --name contoso-east --location eastus | key-inject -q
}
EOF
}

# sim STATUS [OPTION...] -- TEXT
sim() {
    simulate --log="$D/log" : "${@:1:$#-1}" ". ./lib; ${!#}"
}

# Requests of METHOD on a path that matches PATTERN.
seen() {
    jq -s --arg m "$1" --arg p "$2" \
        '[.[] | select(.method == $m and (.path | test($p)))] | length' log
}

contoso=(--from "$ROOT/examples/contoso.json")

@test "a hub is cloned: its result names everything, and holds no key" {
    sim 0 "${contoso[@]}" -- 'umask 077; east_template >east.json
        tmpl-deploy -g east-rg -o result.json east.json
        arm GET "$hubs/contoso-east" 2023-06-30 | jq -r .properties.state
        jq -r "[.resources[] | .. | strings | capture(\"(SharedAccessKey|AccountKey)=(?<k>[^;]+)\").k] | .[]" east.json |
            sort -u >keys'
    has "Active" "making resource group 'east-rg' in eastus"
    [ "$(wc -l <keys)" -ge 4 ]
    run grep -Ff keys result.json
    [ -z "$output" ]
    jq -e '.provisioningState == "Succeeded" and (.duration | startswith("PT"))
        and (.name | test("^hubpipe-contoso-east-[0-9a-f]{8}$"))
        and (.id | endswith(.name)? // true) and (.resources | length == 4)
        and .outputs == {}' result.json
    [ "$(stat -c %a result.json)" = 600 ]
}

@test "no secret in the deployment's history, in -v, or in the audit" {
    sim 0 "${contoso[@]}" -- 'umask 077; east_template >east.json
        tmpl-deploy -v --audit=audit -g east-rg east.json >result.json 2>trace
        history "$(jq -r .id result.json)" >history
        hub-export -q --policies -g east-rg contoso-east >policies.json
        jq -r ".. | objects | (.primaryKey?, .secondaryKey?) // empty | strings" east.json policies.json >keys
        grep -oE "(SharedAccessKey|AccountKey)=[^;\"]+" east.json | sed "s/[^=]*=//" >>keys
        grep -v "[*]" keys | sort -u >real'
    [ "$(wc -l <real)" -ge 12 ]
    run grep -Ff real history trace audit result.json
    [ -z "$output" ]
    # But the history is one: it has the template, with parameters.
    grep -q "\[parameters('hubpipeSecret1')\]" history
    grep -q '"type":"SecureString"' history
}

@test "-n without the group: planned here, said so, nothing sent" {
    sim 0 -- 'tmpl-deploy -n -g east-rg hub.json'
    has "resource group 'east-rg' does not exist yet: planned here" \
        "+ Microsoft.Devices/IotHubs t-hub" \
        "+ Microsoft.Devices/IotHubs/eventHubEndpoints/ConsumerGroups t-hub/events/cg1" \
        "plan: 2 to add, 0 to change, 0 to delete"
    [ "$(seen PUT .)" -eq 0 ]
}

@test "-n with the group: planned by the service, nothing changed" {
    sim 0 -- 'arm PUT "$east" 2021-04-01 "{\"location\":\"eastus\"}" >/dev/null
        rm log; tmpl-deploy -n -g east-rg hub.json'
    has "+ Microsoft.Devices/IotHubs t-hub" "plan: 2 to add, 0 to change, 0 to delete"
    has_not "planned here"
    [ "$(seen PUT .)" -eq 0 ]
}

@test "-n: unchanged prints no line, one changed tag exactly one" {
    sim 0 "${contoso[@]}" -- 'umask 077; east_template >east.json
        tmpl-deploy -q -g east-rg east.json >/dev/null || exit
        tmpl-deploy -n -g east-rg east.json >none || exit
        jq "(.resources[].tags | select(. != null)).owner = \"fabrikam\"" east.json |
            tmpl-deploy -q -n -g east-rg >one'
    has "plan: 0 to add, 0 to change, 0 to delete"
    [ ! -s none ]
    [ "$(cat one)" = '~ Microsoft.Devices/IotHubs contoso-east tags.owner: "contoso" -> "fabrikam"' ]
}

@test "-n: what is taken away" {
    sim 0 -- 'tmpl-deploy -q -g east-rg hub.json >/dev/null || exit
        jq "del(.resources[0].tags) | .resources[0].properties.comments = \"new\"" hub.json | tmpl-deploy -n -g east-rg'
    has 'tags.env: "test" -> (none)' 'properties.comments: (none) -> "new"'
}

@test "-n: what is added and changed, without keys" {
    sim 0 "${contoso[@]}" -- 'umask 077; east_template >east.json
        tmpl-deploy -q -g east-rg east.json >/dev/null || exit
        jq "(.resources[] | select(.sku)) |= (.sku.capacity = 2 | .tags.new = \"x\"
            | .properties.routing.endpoints.eventHubs[0].connectionString |= sub(\"EntityPath=telemetry\"; \"EntityPath=twins\"))" east.json >two.json
        tmpl-deploy -n -g east-rg two.json
        grep -o "SharedAccessKey=[^;]*" two.json | sed "s/^/KEY /"'
    has 'sku.capacity: 1 -> 2' 'tags.new: (none) -> "x"' \
        'connectionString: ' 'EntityPath=twins' \
        "plan: 0 to add, 1 to change, 0 to delete"
    [ "$(grep -c '^~ ' <<<"$output")" -eq 3 ]
    sed -n 's/^KEY SharedAccessKey=//p' <<<"$output" >keys
    [ "$(wc -l <keys)" -eq 3 ]
    [ "$(grep -cFf keys <<<"$output")" -eq 3 ]
}

@test "who may not ask for a plan is told the right" {
    sim 6 --fault 'path=*whatIf,do=status:403' -- \
        'arm PUT "$east" 2021-04-01 "{\"location\":\"eastus\"}" >/dev/null
        tmpl-deploy -n -g east-rg hub.json'
    has "needs the right 'Microsoft.Resources/deployments/whatIf/action'"
}

@test "a hub that is there is not overwritten without its name, twice" {
    sim 0 -- 'tmpl-deploy -q -g east-rg hub.json >/dev/null || exit
        sed s/test/changed/ hub.json >two.json
        tmpl-deploy -g east-rg two.json; echo "status $?"
        tmpl-deploy -g east-rg --confirm=other two.json; echo "status $?"
        arm GET "$hubs/t-hub" 2023-06-30 | jq -r .tags.env
        tmpl-deploy -g east-rg --confirm=t-hub two.json | jq -r .provisioningState
        arm GET "$hubs/t-hub" 2023-06-30 | jq -r .tags.env'
    has "'t-hub': the hub is there and would change" "--confirm=t-hub overwrites it" \
        "status 1" "--confirm: the template's hub is 't-hub', not 'other'" "status 2"
    [ "$(tail -n 1 <<<"$output")" = changed ]
    [ "$(grep -c '^test$' <<<"$output")" -eq 1 ]
}

@test "the same again needs no --confirm and changes nothing" {
    sim 0 -- 'for i in 1 2 3; do tmpl-deploy -q -g east-rg hub.json | jq -r .name; done'
    [ "$(grep -c '^hubpipe-t-hub-' <<<"$output")" -eq 3 ]
    [ "$(grep '^hubpipe-t-hub-' <<<"$output" | sort -u | wc -l)" -eq 1 ]
}

@test "more beside a hub that stays as it is needs no --confirm" {
    sim 0 -- 'tmpl-deploy -q -g east-rg hub.json >/dev/null || exit
        sed "s/cg1/cg2/g" hub.json | tmpl-deploy -q -g east-rg | jq -r .provisioningState'
    has "Succeeded"
}

@test "the hub keeps policies that the template does not name" {
    for kept in kept defaults; do
        sim 0 --doubt "policies-without-member=$kept" -- \
            'jq ".resources[0].properties.authorizationPolicies = [{keyName: \"iothubowner\", rights: \"RegistryWrite, ServiceConnect, DeviceConnect\"},
                {keyName: \"mine\", rights: \"RegistryRead\", primaryKey: \"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\", secondaryKey: \"YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODk=\"}]" hub.json |
                tmpl-deploy -q -g east-rg >/dev/null || exit
            arm POST "$hubs/t-hub/listkeys" 2023-06-30 "" | jq -S . >before
            tmpl-deploy -q -n -g east-rg hub.json || exit
            sed s/test/changed/ hub.json | tmpl-deploy -q -g east-rg --confirm=t-hub >result || exit
            arm POST "$hubs/t-hub/listkeys" 2023-06-30 "" | jq -S . >after
            history "$(jq -r .id result)" >history'
        has_not "~ "
        grep -q MDEyMzQ1Njc4OWFiY2RlZjAx after
        same before after
        run grep -F MDEyMzQ1Njc4OWFiY2RlZjAx history
        [ -z "$output" ]
    done
}

@test "a certificate that is there, equal, is left alone; another is not replaced" {
    sim 0 "${contoso[@]}" -- 'umask 077; east_template >east.json
        tmpl-deploy -q -g east-rg east.json >/dev/null || exit
        tmpl-deploy -g east-rg east.json | jq -r ".resources | length"
        jq --arg c "$(base64 -w0 "$BATS_FILE_TMPDIR/other.pem")" \
            "(.resources[] | select(.type | test(\"certificates\"))).properties.certificate = \$c" east.json |
            tmpl-deploy -g east-rg --confirm=contoso-east; echo "status $?"'
    has "certificate 'fleet-ca' is equal there; left alone" "status 1" \
        "'fleet-ca': the hub has another certificate of that name"
}

@test "what waited for a certificate that is left out waits for the hub" {
    run -0 jq -nc -L "$ROOT/share/jq" 'import "deploy" as d; "Microsoft.Devices/IotHubs" as $h
        | def id($t): "/subscriptions/s/resourceGroups/g/providers/\($h)/h\($t)";
        {do: "without", gone: [1, 2],
        template: {resources: [{}, {dependsOn: ["[H]"]}, {dependsOn: ["[C1]"]}, {dependsOn: ["[X]", "[C2]"]}]},
        known: [{type: $h, name: "h"},
            {type: "\($h)/certificates", name: "h/c1", dependsOn: [id("")]},
            {type: "\($h)/certificates", name: "h/c2", dependsOn: [id("/certificates/c1")]},
            {type: "\($h)/eventHubEndpoints/ConsumerGroups", name: "h/events/x", dependsOn: ["x", id("/Certificates/C2")]}]}
        | d::run.template.resources'
    [ "$output" = '[{},{"dependsOn":["[H]","[X]"]}]' ]
}

@test "an endpoint reached by an identity that does not exist yet is refused" {
    jq '.resources[0] |= (.identity = {type: "SystemAssigned"} | .properties = {routing: {endpoints: {eventHubs: [
        {name: "e1", authenticationType: "identityBased", endpointUri: "sb://ns1.servicebus.windows.net", entityPath: "eh1"}]}}})' hub.json >id.json
    sim 1 -- 'tmpl-deploy -g east-rg id.json'
    has "'t-hub': endpoint 'e1' is reached as the hub's own identity" \
        "deploy without it, give the hub's identity the role 'Azure Event Hubs Data Sender' on 'ns1'" \
        "or let a user-assigned identity reach it"
    [ "$(seen PUT .)" -eq 0 ]
}

@test "masked keys are refused before anything is sent" {
    sim 3 "${contoso[@]}" -- 'hub-export -q -g west-rg contoso | tmpl-rewrite -q --name contoso2 --location eastus |
        tmpl-deploy -g east-rg'
    has "has no key, only its place (run key-inject first)"
    [ "$(seen PUT .)" -eq 0 ]
}

@test "parameters: from a file; missing, unknown and malformed ones are named" {
    jq '.parameters = {env: {type: "string"}, hush: {type: "secureString"}, deep: {type: "string", defaultValue: "[concat(parameters('"'env'"'), '"'x'"')]"}}
        | .resources[0].tags = {env: "[parameters('"'ENV'"')]", deep: "[parameters('"'deep'"')]"}
        | .resources[0].properties.comments = "[parameters('"'hush'"')]"
        | .outputs = {e: {type: "string", value: "[parameters('"'env'"')]"}}' hub.json >p.json
    echo '{"parameters":{"env":{"value":"prod"},"hush":{"value":"very-secret-text"}}}' >values.json
    sim 0 -- 'tmpl-deploy -q -g east-rg p.json; echo "status $?"
        tmpl-deploy -q -g east-rg --parameters=values.json p.json >result || exit
        history "$(jq -r .id result)" >history
        arm GET "$hubs/t-hub" 2023-06-30 | jq -c .tags
        jq ".parameters.more = {value: 1}" values.json >more.json
        tmpl-deploy -q -g east-rg --parameters=more.json p.json; echo "status $?"
        echo "{\"env\":\"prod\"}" >bad.json
        tmpl-deploy -q -g east-rg --parameters=bad.json p.json; echo "status $?"'
    has "'env, hush': parameter has no value" '{"env":"prod","deep":"prodx"}' \
        "'more': the template has no such parameter" \
        "parameter 'env' is no object with a value"
    [ "$(grep -c '^status 3$' <<<"$output")" -eq 3 ]
    [ "$(jq -c .outputs result)" = '{"e":"prod"}' ]
    run grep -c very-secret-text history
    [ "$output" -eq 0 ]
}

@test "the name follows from the content, not from the keys" {
    jq '.resources[0].properties.authorizationPolicies = [{keyName: "iothubowner", rights: "RegistryWrite", primaryKey: "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", secondaryKey: "YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODk="}]' hub.json >a.json
    sed s/MDEyMzQ1/MDEyMzQ2/ a.json >b.json
    sed s/eastus/eastus2/ a.json >c.json
    sim 0 -- 'for f in a b; do tmpl-deploy -q -g east-rg $f.json | jq -r .name; done
        tmpl-deploy -q -g south-rg --name=mine c.json; sed -i s/t-hub/t-hub3/ c.json
        tmpl-deploy -q -g south-rg --name=mine c.json | jq -r .name'
    has "name is taken" "mine"
    [ "$(grep -c hubpipe-t-hub- <<<"$output")" -eq 2 ]
    [ "$(grep hubpipe-t-hub- <<<"$output" | sort -u | wc -l)" -eq 1 ]
}

@test "killed in the middle and run again: attached, deployed once" {
    sim 0 --operation-ms=6000 -- 'tmpl-deploy -g east-rg hub.json >first & pid=$!
        for i in {1..100}; do grep -q "\"PUT\".*deployments/" log && break; sleep 0.02; done
        kill -9 $pid; wait $pid; echo "first ended with $?"
        tmpl-deploy -n -g east-rg hub.json
        tmpl-deploy -g east-rg hub.json | jq -r .provisioningState
        arm GET "$hubs/t-hub" 2023-06-30 | jq -r .properties.state
        arm GET "$hubs/t-hub/eventHubEndpoints/events/ConsumerGroups/cg1" 2023-06-30 | jq -r .name'
    has "first ended with 137" "is running: the same command without -n waits for it" \
        "is running already: waiting for it" "Succeeded" "Active" "cg1"
    [ "$(seen PUT 'deployments/')" -eq 1 ]
    [ ! -s first ]
}

@test "killed before and after each request, it ends the same when run again" {
    for stop in resourceGroups/east-rg checkName validate; do
        rm -f log
        sim 0 --fault "path=*$stop*,do=delay:1500" -- 'tmpl-deploy -g east-rg hub.json & pid=$!
            sleep 0.3; kill -9 $pid; wait $pid
            tmpl-deploy -q -g east-rg hub.json | jq -r .provisioningState
            arm GET "$hubs/t-hub" 2023-06-30 | jq -r .properties.state'
        has "Succeeded" "Active"
        [ "$(seen PUT 'deployments/')" -eq 1 ]
    done
}

@test "a name that a hub elsewhere has" {
    sim 6 --from hub.json -- 'tmpl-deploy -g east-rg hub.json'
    has "'t-hub': name is taken by a hub that is not in resource group 'east-rg'" \
        "tmpl-rewrite --name"
    [ "$(seen PUT 'east-rg')" -eq 0 ]
}

@test "a name that no hub may have, a region that is none" {
    sim 3 -- 'sed s/t-hub/no_hub/ hub.json | tmpl-deploy -g east-rg'
    has "'no_hub': no name for a hub"
    sim 3 -- 'sed s/eastus/eastmars/ hub.json | tmpl-deploy -g east-rg'
    has "'eastmars': no such region" "tmpl-rewrite --location"
    sim 3 -- 'tmpl-deploy -l eastmars -g east-rg hub.json'
    has "'eastmars': no such region"
    [ "$(seen PUT .)" -eq 0 ]
}

@test "an endpoint whose resource is gone: the resource, the deepest message, 6" {
    jq '.resources[0].properties = {routing: {endpoints: {eventHubs: [{name: "e1",
        connectionString: "Endpoint=sb://gone.servicebus.windows.net/;SharedAccessKeyName=p;SharedAccessKey=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=;EntityPath=e"}]}}}' hub.json >gone.json
    sim 6 -- 'tmpl-deploy -g east-rg gone.json'
    has "'t-hub': 400" "(key-inject puts keys into endpoints)" "deployment 'hubpipe-t-hub-"
    has_not "At least one resource deployment operation failed" "MDEyMzQ1Njc4OWFi"
    [ "$(grep -c "warning: 't-hub'" <<<"$output")" -eq 1 ]
}

@test "a hub that is busy is worth trying again: 5, and how it goes on" {
    jq '.resources += [.resources[1] | .name = "t-hub/events/cg2" | .properties.name = "cg2"]' hub.json >busy.json
    sim 0 --doubt children-conflict=yes -- 'tmpl-deploy -g east-rg busy.json >/dev/null; echo "status $?"
        tmpl-rewrite -q busy.json | tmpl-deploy -q -g east-rg >/dev/null || exit
        arm GET "$hubs/t-hub/eventHubEndpoints/events/ConsumerGroups" 2023-06-30 | jq -r ".value | length"'
    has "409002" "the hub was busy: run this again" "status 5"
    [ "$(tail -n 1 <<<"$output")" -eq 3 ]
}

@test "a template that the service refuses is refused with its reason" {
    sim 6 -- 'jq ".resources[1].dependsOn = [\"nobody\"]" hub.json | tmpl-deploy -g east-rg'
    has "InvalidTemplate"
    [ "$(seen PUT 'deployments/')" -eq 0 ]
}

@test "no group, a group without a place, no template, no hub, two hubs" {
    expect_status 2 tmpl-deploy hub.json
    has "no resource group (-g GROUP)"
    sim 2 -- 'jq "del(.resources[0].location)" hub.json | tmpl-deploy -g east-rg'
    has "resource group 'east-rg' does not exist: where is it to be? (-l REGION)"
    for bad in 'not json' '{}' '[]' '{"resources":[]}' \
        "$(jq -c '.resources += .resources' hub.json)"; do
        sim 3 -- "tmpl-deploy -g east-rg <<<'$bad'"
    done
    [ "$(seen PUT .)" -eq 0 ]
}

@test "an unknown endpoint type stops it with the one line of all tools" {
    jq '.resources[0].properties = {routing: {endpoints: {carrierPigeons: [{name: "p"}]}}}' hub.json >p.json
    sim 4 -- 'tmpl-deploy -g east-rg p.json'
    has "no plugin for endpoint type 'carrierPigeons' (looked in"
}

@test "a full disk behind the result is a failure, after the deployment" {
    sim 4 -- 'tmpl-deploy -q -g east-rg hub.json >/dev/full'
    has "tmpl-deploy: 'stdout': write failed"
}
