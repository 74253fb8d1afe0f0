# Deployments of hub-sim, asked with curl: what CONTRACT 8 and 9 describe.
# shellcheck shell=bash

load helper

setup_file() {
    cd "$BATS_FILE_TMPDIR" || return 1
    cat >arm <<'END'
#!/bin/bash
# arm METHOD PATH [CURL OPTION...]: body on stdout, status and headers in
# ./head.  PATH may be a whole URL, as answers name them.
set -o pipefail
curl=(curl -sS --connect-to "::$HUBPIPE_CONNECT_TO" --cacert "$SSL_CERT_FILE")
host=https://management.azure.com
login=https://login.microsoftonline.com/$AZURE_TENANT_ID/oauth2/v2.0/token
[ -s token ] || "${curl[@]}" "$login" \
    -d "grant_type=client_credentials&client_id=$AZURE_CLIENT_ID" \
    -d "client_secret=$AZURE_CLIENT_SECRET&scope=$host/.default" |
    jq -r .access_token >token
method=$1 path=$2
shift 2
case $path in
https:*) url=$path ;;
*) url="$host/subscriptions/$AZURE_SUBSCRIPTION_ID$path?api-version=2022-09-01" ;;
esac
[ "$method" != HEAD ] || set -- -I "$@"
"${curl[@]}" -X "$method" -D head -H "Authorization: Bearer $(<token)" \
    -H "Content-Type: application/json" "$url" "$@"
END
    cat >code <<'END'
#!/bin/sh
sed -n '1s/HTTP[^ ]* \([0-9]*\).*/\1/p' head
END
    cat >field <<'END'
#!/bin/sh
tr -d '\r' <head | sed -n "s/^$1: //Ip"
END
    # request TEMPLATE [PARAMETERS]: the body of a deployment.
    cat >request <<'END'
#!/bin/sh
jq --argjson p "${2:-{\}}" \
    '{properties: {mode: "Incremental", template: ., parameters: $p}}' "$1"
END
    # finished PATH BODY-FILE: starts what-if or an export and gets its end.
    cat >finished <<'END'
#!/bin/sh
arm POST "$1" -d @"$2" >/dev/null
arm GET "$(field location)"
END
    chmod +x arm code field request finished
    jq -n '{"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        contentVersion: "1.0.0.0", parameters: {}, resources: []}' >empty.json
    jq '.resources = [{type: "Microsoft.Devices/IotHubs", apiVersion: "2023-06-30",
        name: "small", location: "westus", sku: {name: "S1", capacity: 1},
        properties: {}}]' empty.json >hub.json
    cp "$ROOT/examples/contoso.json" contoso.json
}

# sim [OPTION...] -- SHELL TEXT, in a directory of its own with the helpers.
sim() {
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    cp "$BATS_FILE_TMPDIR"/*.json "$BATS_TEST_TMPDIR"
    cd "$BATS_TEST_TMPDIR" || return 1
    G=/resourcegroups/rg D=/resourcegroups/rg/providers/Microsoft.Resources/deployments \
        PATH="$BATS_FILE_TMPDIR:$PATH" \
        hub-sim --operation-ms 0 "${options[@]}" -- bash -eo pipefail -c "
            arm PUT \$G -d '{\"location\":\"westus\"}' >/dev/null
            $2"
}

@test "validate: the resources, and nothing is made" {
    expect_status 0 sim -- '
        request hub.json >body.json
        arm POST $D/one/validate -d @body.json |
            jq -r ".properties | .provisioningState, .validatedResources[].id,
                .providers[0].resourceTypes[0].locations[0]"
        code; arm HEAD $D/one >/dev/null; code; arm GET $G/resources'
    has "Succeeded
/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg/providers/Microsoft.Devices/IotHubs/small
westus
200
404
{\"value\":[]}"
}

@test "a parameter without value: the recorded refusal, with line and column" {
    # As az sends it: no quotes around template, comments, breaks in strings.
    cat >"$BATS_FILE_TMPDIR/az.txt" <<'END'
{"properties": {"parameters": {}, "mode": "Incremental", template:{
  "$schema": "https://schema.management.azure.com/schemas/2015-01-01/deploymentTemplate.json#",
  "contentVersion": "1.0.0.0", /* comment
  */
  "parameters": {
    "given": {"type": "string", "defaultValue": "two
      lines: https://x // no comment"},
    "extra_param": { // comment "here"
      "type": "string"
    }
  },
  "resources": []
}}}
END
    expect_status 0 sim -- 'arm POST $D/one/validate --data-binary @'"$BATS_FILE_TMPDIR/az.txt"' |
        jq -c ".error.code, .error.message, .error.additionalInfo"; code'
    has '"InvalidTemplate"' '400' \
        "Deployment template validation failed: 'The value for the template parameter 'extra_param' at line '8' and column '20' is not provided. Please see https://aka.ms/arm-create-parameter-file for usage details.'." \
        '[{"type":"TemplateViolation","info":{"lineNumber":8,"linePosition":20,"path":"properties.template.parameters.extra_param"}}]'
}

@test "bad templates are refused, each with its reason" {
    jq '.parameters.size = {type: "int", allowedValues: [1, 2], defaultValue: 1}' \
        "$BATS_FILE_TMPDIR/hub.json" >"$BATS_FILE_TMPDIR/size.json"
    expect_status 0 sim -- '
        refused() { arm POST $D/one/validate -d @- | jq -r ".error | .code + \" \" + .message"; }
        request size.json "{\"size\":{\"value\":\"x\"}}" | refused
        request size.json "{\"size\":{\"value\":7}}" | refused
        request size.json "{\"other\":{\"value\":7}}" | refused
        jq ".resources[0].name = \"[parameters('"'none'"')]\"" hub.json >a.json; request a.json | refused
        jq ".resources[0].name = \"[concat(]\"" hub.json >a.json; request a.json | refused
        jq ".resources[0].name = \"[reference('"'x'"').y]\"" hub.json >a.json; request a.json | refused
        jq ".resources[0].name = \"a/b\"" hub.json >a.json; request a.json | refused
        jq ".resources[0].dependsOn = [\"nowhere\"]" hub.json >a.json; request a.json | refused
        jq ".resources[0].dependsOn = [\"two\"] | .resources += [.resources[0] | .name = \"two\" | .dependsOn = [\"small\"]]" hub.json >a.json; request a.json | refused
        jq ".resources += .resources" hub.json >a.json; request a.json | refused
        jq ".resources[0].type = \"Microsoft.Web/sites\"" hub.json >a.json; request a.json | refused
        jq "del(.resources)" hub.json >a.json; request a.json | refused
        echo "{" | refused'
    has "Expected 'Integer'. Actual 'String'" \
        "not part of the allowed value(s): '1,2'" \
        "The template parameters 'other' in the parameters file are not valid" \
        "The template parameter 'none' is not found" \
        "column 9: it ends too early" \
        "The template function 'reference' is not expected" \
        "incorrect segment lengths" \
        "The resource 'nowhere' is not defined in the template" \
        "Circular dependency detected" "is defined multiple times" \
        "NotSimulated hub-sim does not simulate resources of the type 'Microsoft.Web/sites'" \
        "'resources' not found" "InvalidRequestContent"
}

@test "what the provider's preflight finds is refused before anything is made" {
    expect_status 0 sim -- '
        say() { jq -c ".error | [.code, .details[0].code, .details[0].details[0].code]"; }
        jq ".resources[0].location = \"mars\"" hub.json >a.json
        request a.json | arm POST $D/one/validate -d @- | say
        request a.json | arm PUT $D/one -d @- | say
        request hub.json | arm PUT $D/one -d @- >/dev/null
        arm PUT /resourcegroups/other -d "{\"location\":\"eastus\"}" >/dev/null
        request hub.json | arm POST /resourcegroups/other/providers/Microsoft.Resources/deployments/x/validate -d @- | say
        code'
    has '["InvalidTemplateDeployment","PreflightValidationCheckFailed","LocationNotAvailableForResourceType"]
["InvalidTemplateDeployment","PreflightValidationCheckFailed","LocationNotAvailableForResourceType"]
["InvalidTemplateDeployment","PreflightValidationCheckFailed","409005"]
400'
}

@test "deploy: 201, poll, result, operations, list, export, delete" {
    jq '.outputs = {Host: {type: "string", value: "[reference('"'small'"').hostName]"},
        Secret: {type: "securestring", value: "x"}}' \
        "$BATS_FILE_TMPDIR/hub.json" >"$BATS_FILE_TMPDIR/out.json"
    expect_status 0 sim -- '
        request out.json >body.json
        arm PUT $D/one -d @body.json | jq -r .properties.provisioningState; code
        arm GET "$(field azure-asyncoperation)"; echo
        arm GET $D/one | jq -c ".properties | .provisioningState, .outputs, [.outputResources[].id | split(\"/\")[-1]]"
        arm GET $G/deployments/one/operations |
            jq -c ".value[].properties | [.provisioningOperation, .statusCode, .targetResource.resourceName]"
        arm GET $D | jq -c "[.value[].name]"
        arm POST $D/one/exportTemplate | jq .template | diff - <(jq ".outputs[].type |= (.[:1] | ascii_upcase) + .[1:] | .outputs.Secret.type = \"SecureString\" | .parameters |= (. // {} | map_values(.type |= (.[:1] | ascii_upcase) + .[1:]))" out.json) && echo same
        arm PUT $D/one -d @body.json >/dev/null; code
        arm DELETE $D/one; code; arm GET $D/one; code
        arm GET $G/resources | jq ".value | length"'
    has 'Accepted
201
{"status":"Succeeded"}
"Succeeded"
{"host":{"type":"String","value":"small.azure-devices.net"},"secret":{"type":"SecureString"}}
["small"]
["Create","Created","small"]
["EvaluateDeploymentOutput","OK",null]
["one"]
same
200
204
{"error":{"code":"DeploymentNotFound","message":"Deployment '"'one'"' could not be found."}}404
1'
}

@test "while it runs: Accepted, a second PUT is refused, it can be cancelled" {
    expect_status 0 sim --operation-ms 100000 -- '
        request hub.json >body.json
        arm PUT $D/one -d @body.json >/dev/null
        arm GET "$(field azure-asyncoperation)"; echo
        arm GET $D/one | jq -c ".properties | .provisioningState, .outputResources"
        arm PUT $D/one -d @body.json | jq -r .error.code; code
        arm POST $D/one/cancel; code
        arm GET $D/one | jq -r .properties.provisioningState
        arm POST $D/one/cancel | jq -r .error.code'
    has '{"status":"Accepted"}
"Accepted"
null
DeploymentActive
409
204
Canceled
DeploymentCannotBeCancelled'
    expect_status 0 sim --operation-ms 100000 --doubt deployment-active=attach -- '
        request hub.json >body.json
        arm PUT $D/one -d @body.json >/dev/null
        arm PUT $D/one -d @body.json | jq -r .properties.provisioningState; code'
    has "Accepted
200"
}

@test "no secret is in the history, but what stands in the template is" {
    jq '.parameters.key = {type: "SecureString"} |
        .parameters.box = {type: "secureObject"} |
        .resources[0].tags = {open: "inline-secret"}' \
        "$BATS_FILE_TMPDIR/hub.json" >"$BATS_FILE_TMPDIR/secret.json"
    expect_status 0 sim --db "$BATS_TEST_TMPDIR/state.db" -- '
        request secret.json "{\"key\":{\"value\":\"top-secret-1\"},\"box\":{\"value\":{\"a\":\"top-secret-2\"}}}" |
            arm PUT $D/one -d @- >said
        arm GET $D/one >>said; arm GET $D >>said; arm GET $G/deployments/one/operations >>said
        arm POST $D/one/exportTemplate >>said
        grep -c top-secret said || :
        arm GET $D/one | jq -c .properties.parameters
        arm POST $D/one/exportTemplate | grep -o inline-secret'
    has '0
{"key":{"type":"SecureString"},"box":{"type":"SecureObject"}}
inline-secret'
    run grep -c top-secret "$BATS_TEST_TMPDIR/state.db"
    [ "$output" = 0 ]
}

@test "a failing resource: the recorded shape, dependents skipped, the rest made" {
    jq '.resources = [
        (.resources[0] | .name = "bad" | .sku.capacity = 500),
        (.resources[0] | .name = "after" | .dependsOn = ["bad"]),
        .resources[0]]' "$BATS_FILE_TMPDIR/hub.json" >"$BATS_FILE_TMPDIR/bad.json"
    expect_status 0 sim -- '
        request bad.json | arm PUT $D/one -d @- >/dev/null; code
        arm GET "$(field azure-asyncoperation)" | jq -c ".status, .error.code, .error.details[0].code, (.error.details[0].message | fromjson | .code)"
        arm GET $D/one | jq -r ".properties.error.details[0].message" | od -c | grep -c "\\\\r  *\\\\n"
        arm GET $G/deployments/one/operations |
            jq -c ".value[].properties | [.targetResource.resourceName, .provisioningState, .statusCode, .statusMessage.httpStatusCode]"
        arm GET $G/resources | jq -c "[.value[].name]"'
    has '"Failed"
"DeploymentFailed"
"BadRequest"
400000' '["bad","Failed","BadRequest",400]
["small","Succeeded","Created",null]
["small"]'
    has_not '"after"' EvaluateDeploymentOutput
}

@test "children of a hub that are not chained meet 409002; a doubt decides" {
    jq '.resources += [("a", "b") | {
        type: "Microsoft.Devices/IotHubs/eventHubEndpoints/ConsumerGroups",
        apiVersion: "2023-06-30", name: "small/events/\(.)",
        properties: {name: .}, dependsOn: ["small"]}]' \
        "$BATS_FILE_TMPDIR/hub.json" >"$BATS_FILE_TMPDIR/groups.json"
    jq '.resources[2].dependsOn += ["small/events/a"]' \
        "$BATS_FILE_TMPDIR/groups.json" >"$BATS_FILE_TMPDIR/chained.json"
    local deploy='request $f | arm PUT $D/one -d @- >/dev/null
        arm GET $D/one | jq -c ".properties | [.provisioningState, .error.details[0].code, (.error.details[0].message // \"{}\" | fromjson.code)]"'
    expect_status 0 sim -- "f=groups.json; $deploy"
    has '["Failed","Conflict",409002]'
    expect_status 0 sim -- "f=chained.json; $deploy"
    has '["Succeeded",null,null]'
    expect_status 0 sim --doubt children-conflict=no -- "f=groups.json; $deploy"
    has '["Succeeded",null,null]'
    # Without dependsOn at all the parent is not there yet.
    jq '.resources[1].dependsOn = [] | del(.resources[2])' \
        "$BATS_FILE_TMPDIR/groups.json" >"$BATS_FILE_TMPDIR/orphan.json"
    expect_status 0 sim -- "f=orphan.json; $deploy; arm GET \$D/one"
    has '["Failed","NotFound",null]' ParentResourceNotFound
}

@test "what-if: create, nothing, one change, ignored" {
    expect_status 0 sim -- '
        changes() { finished $D/one/whatIf body.json |
            jq -c ".properties.changes[] | select(.changeType != \"NoChange\") | [.changeType, (.resourceId | split(\"/\")[-1]), .delta]"; }
        request contoso.json >body.json
        changes | cut -d, -f1 | sort | uniq -c
        arm GET $G/resources
        arm PUT $D/one -d @body.json | jq -r .properties.provisioningState
        arm GET $D/one | jq -r .properties.provisioningState
        echo "same:"; changes; echo "tag:"
        jq "(.resources[] | select(.type == \"Microsoft.Devices/IotHubs\") | .tags.owner) = \"else\"" contoso.json >t.json
        request t.json >body.json; changes; echo "route:"
        jq "(.resources[] | select(.type == \"Microsoft.Devices/IotHubs\") | .properties.routing.routes[1].isEnabled) = false" contoso.json >t.json
        request t.json >body.json; changes; echo "other:"
        jq ".resources = [.resources[-1] | .name = \"contoso/fleet-ca\" | del(.dependsOn)]" contoso.json >t.json
        request t.json >body.json; changes | cut -d, -f1 | sort | uniq -c
        jq ".properties.whatIfSettings.resultFormat = \"ResourceIdOnly\"" body.json >ids.json
        finished $D/one/whatIf ids.json | jq -c ".properties.changes[0] | keys"'
    has '     19 ["Create"' '{"value":[]}' "Accepted
Succeeded
same:
tag:" 'tag:
["Modify","contoso",[{"path":"tags.owner","propertyChangeType":"Modify","before":"contoso","after":"else"}]]
route:
["Modify","contoso",[{"path":"properties.routing.routes","propertyChangeType":"Array","children":[{"path":"1","propertyChangeType":"Modify","children":[{"path":"isEnabled","propertyChangeType":"Modify","before":true,"after":false}]}]}]]
other:
      6 ["Ignore"' '["changeType","resourceId"]'
}

@test "what-if never shows a key, and says why it cannot" {
    jq '.resources[0].properties.routing.endpoints.eventHubs = [{name: "e",
        connectionString: "Endpoint=sb://n.servicebus.windows.net/;SharedAccessKeyName=p;SharedAccessKey=c2VjcmV0;EntityPath=x"}]' \
        "$BATS_FILE_TMPDIR/hub.json" >"$BATS_FILE_TMPDIR/key.json"
    expect_status 0 sim -- '
        request key.json >body.json; finished $D/one/whatIf body.json
        jq ".resources[0].location = \"mars\"" hub.json >m.json; request m.json >body.json
        finished $D/one/whatIf body.json | jq -r ".status, .error.code"'
    has '"changeType":"Create"' 'SharedAccessKey=****;' 'Failed
InvalidTemplateDeployment'
    has_not c2VjcmV0
}

@test "the language: loops, conditions, nesting, functions, implicit order" {
    cat >"$BATS_FILE_TMPDIR/lang.json" <<'END'
{"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
 "contentVersion": "1.0.0.0",
 "parameters": {
   "Names": {"type": "array", "defaultValue": ["red", "blue"]},
   "when": {"type": "string", "defaultValue": "[utcNow('yyyy')]"},
   "with": {"type": "bool", "defaultValue": false}},
 "functions": [{"namespace": "own", "members": {"name": {
   "parameters": [{"name": "a", "type": "string"}],
   "output": {"type": "string", "value": "[concat('acct', parameters('a'))]"}}}}],
 "variables": {
   "containers": {"copy": [{"name": "list", "count": 2, "input": "[concat('box', copyIndex('list', 1))]"}]},
   "literal": "[[not evaluated]"},
 "resources": [
   {"type": "Microsoft.Devices/IotHubs", "apiVersion": "2023-06-30", "name": "lang",
    "location": "[resourceGroup().location]", "sku": {"name": "S1", "capacity": 1},
    "tags": {"[concat('k', '1')]": "[variables('literal')]", "year": "[length(parameters('when'))]"},
    "properties": {"storageEndpoints": {"$default": {"sasTtlAsIso8601": "PT1H", "containerName": "box1",
      "connectionString": "[concat('DefaultEndpointsProtocol=https;AccountName=acctred;AccountKey=', listKeys('acctred', '2023-05-01').keys[0].value)]"}}}},
   {"type": "Microsoft.Storage/storageAccounts", "apiVersion": "2023-05-01",
    "copy": {"name": "accounts", "count": "[length(parameters('names'))]"},
    "name": "[own.name(parameters('names')[copyIndex()])]", "location": "westus",
    "sku": {"name": "Standard_LRS"}, "kind": "StorageV2", "properties": {},
    "resources": [{"type": "blobServices/containers", "apiVersion": "2023-05-01",
      "name": "[concat('default/', variables('containers').list[0])]", "properties": {},
      "dependsOn": ["[resourceId('Microsoft.Storage/storageAccounts', own.name(parameters('names')[copyIndex('accounts')]))]"]}]},
   {"type": "Microsoft.Devices/IotHubs", "apiVersion": "2023-06-30", "name": "never",
    "condition": "[parameters('with')]", "location": "westus", "sku": {"name": "S1", "capacity": 1}, "properties": {}}],
 "outputs": {
   "all": {"type": "array", "value": "[variables('containers').list]"},
   "key": {"type": "int", "value": "[length(listKeys(resourceId('Microsoft.Devices/IotHubs', 'lang'), '2023-06-30').value[0].primaryKey)]"},
   "not": {"type": "string", "condition": false, "value": "x"}}}
END
    expect_status 0 sim -- '
        request lang.json | arm PUT $D/one -d @- >/dev/null
        arm GET $D/one | jq -c ".properties | .provisioningState, .error, .outputs.all.value, .outputs.key.value, .outputs.not"
        arm GET $G/resources | jq -c "[.value[].name] | sort"
        arm GET $G/providers/Microsoft.Devices/IotHubs/lang | jq -c .tags
        arm GET $G/providers/Microsoft.Storage/storageAccounts/acctblue/blobServices/default/containers/box1 | jq -r .name'
    has '"Succeeded"
null
["box1","box2"]
44
null
["acctblue","acctred","lang"]
{"k1":"[not evaluated]","year":4}
box1'
}

@test "listKeys that is denied fails the deployment with the provider's words" {
    expect_status 0 sim -- '
        jq "(.resources[] | select(.name == \"contoso-west-bus\") | .tags) = {\"hub-sim-deny\": \"listKeys\"}" contoso.json >d.json
        request d.json | arm PUT $D/one -d @- >/dev/null
        arm GET $D/one | jq -c ".properties | .provisioningState, .error.details[0].code, (.error.details[0].message | fromjson.error.code)"'
    has '"Failed"
"Forbidden"
"AuthorizationFailed"'
}

@test "exportTemplate: parameters or null for secrets, old schema, no consumer groups" {
    expect_status 0 sim --from "$ROOT/examples/contoso.json" -g rg -- '
        H=/subscriptions/$AZURE_SUBSCRIPTION_ID/resourceGroups/rg/providers/Microsoft.Devices/IotHubs/contoso
        echo "{\"resources\":[\"$H\"]}" >r.json; finished $G/exportTemplate r.json >a.json; head -1 head
        jq -c ".template.parameters, [.template.resources[] | .type, .name, .dependsOn], .template.resources[0].properties.storageEndpoints,
            (.template.resources[0].properties.routing.endpoints | keys, .eventHubs[0].connectionString)" a.json
        echo "{\"resources\":[\"$H\"],\"options\":\"IncludeComments,SkipAllParameterization\"}" >r.json
        finished $G/exportTemplate r.json |
            jq -c ".template.parameters, .template.resources[0].name, .template.resources[0].properties.storageEndpoints"
        echo "{\"resources\":[\"*\"]}" >r.json
        finished $G/exportTemplate r.json | jq -r ".template.resources[].type" | sort -u | tr "\n" " "; echo
        echo "{\"resources\":[\"${H}x\"]}" >r.json
        finished $G/exportTemplate r.json | jq -c ".error | .code, .details[0].code"
        arm PUT /resourcegroups/void -d "{\"location\":\"westus\"}" >/dev/null
        arm POST /resourcegroups/void/exportTemplate -d "{\"resources\":[\"*\"]}" | jq -c .template.resources; code'
    has 'HTTP/1.1 200' \
        '{"IotHubs_contoso_name":{"defaultValue":"contoso","type":"String"},"IotHubs_contoso_connectionString":{"type":"SecureString"},"IotHubs_contoso_containerName":{"type":"SecureString"}}' \
        '["Microsoft.Devices/IotHubs","[parameters('"'IotHubs_contoso_name'"')]",null,"Microsoft.Devices/IotHubs/certificates","[concat(parameters('"'IotHubs_contoso_name'"'), '"'/fleet-ca'"')]",["[resourceId('"'Microsoft.Devices/IotHubs'"', parameters('"'IotHubs_contoso_name'"'))]"]]' \
        '"connectionString":"[parameters('"'IotHubs_contoso_connectionString'"')]"' \
        '["eventHubs","serviceBusQueues","serviceBusTopics","storageContainers"]' \
        'SharedAccessKey=****;' \
        '{}
"contoso"
{"$default":{"sasTtlAsIso8601":"PT1H","connectionString":null,"containerName":null}}' \
        "Microsoft.Devices/IotHubs Microsoft.Devices/IotHubs/certificates Microsoft.DocumentDB" \
        '"ExportTemplateCompletedWithErrors"
"ResourceNotFound"
[]
200'
    has_not ConsumerGroups
}

@test "exportTemplate may hide the hub's name in other strings" {
    expect_status 0 sim --from "$ROOT/examples/contoso.json" -g rg \
        --doubt export-embeds-name=yes -- '
        echo "{\"resources\":[\"*\"]}" >r.json
        finished $G/exportTemplate r.json | jq -c ".template.resources[] | select(.name | test(\"IotHubs_contoso_name.\\\\)\\\\]\")) | .tags,
            .properties.routing.endpoints.storageContainers[0].connectionString"'
    has '{"owner":"[parameters('"'IotHubs_contoso_name'"')]","environment":"production"}
"[concat('"'DefaultEndpointsProtocol=https;EndpointSuffix=core.windows.net;AccountName=', parameters('IotHubs_contoso_name'), 'westdata;AccountKey=****'"')]"'
}

@test "--from an export: what its masked endpoints point at is made" {
    expect_status 0 sim --from "$ROOT/examples/contoso.json" -g rg -- '
        echo "{\"resources\":[\"/subscriptions/$AZURE_SUBSCRIPTION_ID/resourceGroups/rg/providers/Microsoft.Devices/IotHubs/contoso\"]}" >r.json
        finished $G/exportTemplate r.json'
    # As somebody else's: another subscription, endpoints in another group.
    jq '.template' <<<"$output" |
        sed 's/11111111-1111-1111-1111-111111111111/99999999-9999-9999-9999-999999999999/g;
            s/"resourceGroup": "rg"/"resourceGroup": "theirs"/' \
            >"$BATS_FILE_TMPDIR/exported.json"
    expect_status 0 sim --from "$BATS_FILE_TMPDIR/exported.json" -- '
        arm GET /resourcegroups/theirs/resources | jq -c "[.value[].name] | sort"
        arm GET /resourcegroups/west-rg/providers/Microsoft.Devices/IotHubs/contoso |
            jq -c ".properties.state, (.properties.routing.endpoints | map_values(length))"
        arm POST /resourcegroups/theirs/providers/Microsoft.EventHub/namespaces/contoso-west-events/eventhubs/telemetry/authorizationRules/routes/listKeys |
            jq ".primaryKey | length"'
    has "warning: 'messages': left out" \
        '["contoso-west-bus","contoso-west-events","contosowestdata"]' \
        '"Active"
{"serviceBusQueues":1,"serviceBusTopics":1,"eventHubs":2,"storageContainers":1,"cosmosDBSqlContainers":0}
44'
    echo '{"name": "hub"}' >"$BATS_FILE_TMPDIR/body.json"
    expect_status 3 hub-sim --from "$BATS_FILE_TMPDIR/body.json" -- true
    has "is no template"
}

@test "what is not simulated says so with 501" {
    expect_status 0 sim -- '
        request hub.json | jq ".properties.mode = \"Complete\"" | arm PUT $D/one -d @- | jq -r .error.message; code
        request hub.json | jq ".properties.templateLink = {uri: \"https://x\"}" | arm PUT $D/one -d @- | jq -r .error.message
        arm GET /providers/Microsoft.Resources/deployments | jq -r .error.message; code
        arm GET /resourcegroups/none/providers/Microsoft.Resources/deployments/x | jq -r .error.code; code'
    has "hub-sim does not simulate deployments of the mode Complete
501
hub-sim does not simulate linked templates
hub-sim does not simulate deployments outside of a resource group
501
ResourceGroupNotFound
404"
}

@test "the shared examples: each deploys, or fails with a stated reason" {
    need_shared
    # Templates deploy; the state file of az holds a made-up certificate and an
    # identity; bodies of live hubs are no templates; there is no DPS here yet.
    expect_status 0 sim -- '
        for f in '"$SHARED"'/azure/examples/*.json; do
            p="{}" n=$(basename "$f" .json)
            case $n in
            deploy-consumer*) p="{\"iotHubName\":{\"value\":\"with-groups\"},\"skuName\":{\"value\":\"F1\"}}" ;;
            deploy-dps*) p="{\"iotHubName\":{\"value\":\"linked\"},\"provisioningServiceName\":{\"value\":\"dps\"}}" ;;
            deploy-hub-and*) p="{\"location\":{\"value\":\"westus\"}}" ;;
            deploy-sbqueue*) p="{\"d2c_partitions\":{\"value\":\"4\"},\"randomValue\":{\"value\":\"qz\"}}" ;;
            export-2021*) p="{\"IotHubs_ContosoHub_connectionString\":{\"value\":\"\"},\"IotHubs_ContosoHub_containerName\":{\"value\":\"\"}}" ;;
            esac
            jq ".arm // ." "$f" >t.json
            request t.json "$p" | arm PUT $D/$n -d @- >put.json
            arm GET $D/$n >get.json
            jq -rn --arg n "$n" --slurpfile p put.json --slurpfile g get.json \
                "\$n + \": \" + (\$p[0].error.code // \$g[0].properties.provisioningState)"
        done'
    has "deploy-consumer-group: Succeeded" \
        "deploy-dps-linked-hub: NotSimulated" \
        "deploy-hub-and-storage-2017-07-01: Succeeded" \
        "deploy-message-enrichments: Succeeded" \
        "deploy-sbqueue-storage-routing: Succeeded" \
        "deploy-storage-route-2023-06-30: Succeeded" \
        "export-2018-04-01-no-routing: Succeeded" \
        "export-2021-07-01-no-routing: Succeeded" \
        "ext-blank-hub-export-no-params: Succeeded" \
        "ext-hub-state-export: Failed" \
        "live-get-eventhub-storage-keybased: InvalidTemplate" \
        "live-get-identity-based: InvalidTemplate"
}

@test "the recorded requests of az, as they were sent, get the recorded answers" {
    need_shared
    local rec=$SHARED/azure/recordings
    jq -rj '.interactions[] | select(.n == 1) | .request.body' \
        "$rec/deployment-what-if.json" >"$BATS_FILE_TMPDIR/put.txt"
    jq -rj '.interactions[] | select(.n == 5) | .request.body' \
        "$rec/deployment-what-if.json" >"$BATS_FILE_TMPDIR/whatif.txt"
    jq -c '.interactions[] | select(.n == 6) | .response.body |
        [.status, .properties.changes[0].changeType, .properties.changes[0].delta]' \
        "$rec/deployment-what-if.json" >"$BATS_FILE_TMPDIR/want.txt"
    jq -rj '.interactions[] | select(.n == 3) | .request.body' \
        "$rec/deployment.json" >"$BATS_FILE_TMPDIR/bad.txt"
    jq -cS '.interactions[] | select(.n == 3) | .response.body' \
        "$rec/deployment.json" >>"$BATS_FILE_TMPDIR/want.txt"
    expect_status 0 sim -- '
        F='"$BATS_FILE_TMPDIR"'
        arm PUT $D/one --data-binary @$F/put.txt >/dev/null
        arm GET $D/one | jq -r .properties.provisioningState >&2
        { finished $D/one/whatIf $F/whatif.txt |
            jq -c "[.status, .properties.changes[0].changeType, .properties.changes[0].delta]"
          arm POST $D/one/validate --data-binary @$F/bad.txt | jq -cS .
        } | diff $F/want.txt - && echo as recorded'
    has "Succeeded" "as recorded"
}

@test "doubts about exports: hyphens in parameter names, the code of an error" {
    jq '.resources[0].name = "a-hub"' "$BATS_FILE_TMPDIR/hub.json" >"$BATS_FILE_TMPDIR/hyphen.json"
    local export='request hyphen.json | arm PUT $D/one -d @- >/dev/null
        echo "{\"resources\":[\"*\",\"/subscriptions/$AZURE_SUBSCRIPTION_ID$G/providers/Microsoft.Devices/IotHubs/none\"]}" >r.json
        finished $G/exportTemplate r.json | jq -c "(.template.parameters | keys), .template.resources[0].name, .error.code"'
    expect_status 0 sim -- "$export"
    has '["IotHubs_a_hub_connectionString","IotHubs_a_hub_containerName","IotHubs_a_hub_name"]' \
        "[parameters('IotHubs_a_hub_name')]" '"ExportTemplateCompletedWithErrors"'
    expect_status 0 sim --doubt parameter-name-hyphen=kept --doubt export-error-code=ExportFailed -- "$export"
    has '"IotHubs_a-hub_name"]' "[parameters('IotHubs_a-hub_name')]" '"ExportFailed"'
}
