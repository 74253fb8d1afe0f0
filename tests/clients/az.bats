# Microsoft's az, as Debian has it, against hub-sim: every command as its user
# would type it.  Nothing in it is changed or configured: in the network of
# tests/clients/inside its hosts lead here.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154

load ../helper

setup_file() {
    command -v az >/dev/null || return 0
    sim_start --listen 127.0.0.1:443 --from "$ROOT/examples/contoso.json" \
        --timing fast
    az_quiet
    az login --service-principal -u "$AZURE_CLIENT_ID" \
        -p "$AZURE_CLIENT_SECRET" -t "$AZURE_TENANT_ID" >"$BATS_FILE_TMPDIR/login"
    az group create -n az-rg -l eastus --tags made=by-az \
        >"$BATS_FILE_TMPDIR/group"
    az iot hub create -n az-hub -g az-rg --sku S1 --unit 2 -l westus2 \
        --partition-count 8 >"$BATS_FILE_TMPDIR/hub"
}

setup() {
    command -v az >/dev/null || skip "needs azure-cli"
    az_quiet
    cd "$BATS_TEST_TMPDIR" || return
}

teardown_file() {
    sim_stop
}

az_quiet() {
    export AZURE_CORE_COLLECT_TELEMETRY=false AZURE_CORE_SURVEY_MESSAGE=false
    export AZURE_EXTENSION_USE_DYNAMIC_INSTALL=no AZURE_CORE_ONLY_SHOW_ERRORS=yes
    SUB=/subscriptions/$AZURE_SUBSCRIPTION_ID
    RG=$SUB/resourceGroups/az-rg HUB=$SUB/resourceGroups/az-rg/providers
    HUB+=/Microsoft.Devices/IotHubs/az-hub
}

# azq WANT ARGUMENT...: az's answer, as words, is WANT.
azq() {
    local want=$1 got
    shift
    got=$(az "$@" -o tsv) || return 1
    got=${got//[$'\n\t']/ }
    if [ "$got" != "$want" ]; then
        printf 'az %s\ngave: %s\nnot:  %s\n' "$*" "$got" "$want"
        return 1
    fi
}

# refused TEXT ARGUMENT...: az fails and says TEXT.
refused() {
    local text=$1
    shift
    run az "$@"
    [ "$status" -ne 0 ] || {
        echo "not refused: az $*"
        return 1
    }
    has "$text"
    has_not Traceback NotSimulated
}

@test "login gives the subscription, and the group and the hub were made" {
    jq -e --arg s "$AZURE_SUBSCRIPTION_ID" --arg t "$AZURE_TENANT_ID" \
        '.[0] | .id == $s and .tenantId == $t and .isDefault and
            .state == "Enabled" and .user.type == "servicePrincipal"' \
        "$BATS_FILE_TMPDIR/login"
    jq -e '.name == "az-rg" and .location == "eastus" and
        .tags == {"made": "by-az"} and
        .properties.provisioningState == "Succeeded"' "$BATS_FILE_TMPDIR/group"
    jq -e '.name == "az-hub" and .location == "westus2" and
        .sku == {"name": "S1", "tier": "Standard", "capacity": 2} and
        .properties.state == "Active" and
        .properties.hostName == "az-hub.azure-devices.net" and
        .properties.eventHubEndpoints.events.partitionCount == 8 and
        (.properties.eventHubEndpoints.events.endpoint |
            startswith("sb://iothub-ns-az-hub-"))' "$BATS_FILE_TMPDIR/hub"
}

@test "a wrong secret is refused in Entra's words" {
    AZURE_CONFIG_DIR=$BATS_TEST_TMPDIR refused 'AADSTS7000215: Invalid client secret' \
        login --service-principal -u "$AZURE_CLIENT_ID" -p not-it -t "$AZURE_TENANT_ID"
    has_not "$AZURE_CLIENT_SECRET"
}

@test "a token by az serves az's own requests and hubpipe's --auth=cli" {
    az account get-access-token --resource https://management.azure.com >token
    jq -e --arg s "$AZURE_SUBSCRIPTION_ID" '.subscription == $s and
        .tokenType == "Bearer" and (.accessToken | length > 100)' token
    status=$(curl -s -o out -w '%{http_code}' \
        -H "Authorization: Bearer $(jq -r .accessToken token)" \
        "https://management.azure.com$HUB?api-version=2023-06-30")
    [ "$status" = 200 ]
    [ "$(jq -r .name out)" = az-hub ]
}

@test "hub list and show, by name alone and with the group" {
    azq 'az-hub contoso' iot hub list --query 'sort([].name)'
    azq az-hub iot hub list -g az-rg --query '[].name'
    azq 'Active S1' iot hub show -n contoso --query '[properties.state, sku.name]'
    azq 2 iot hub show -n az-hub -g az-rg --query sku.capacity
    refused "No IoT Hub found with name nobody" iot hub show -n nobody
    refused "IotHub name 'contoso' is not available" \
        iot hub create -n contoso -g az-rg
}

@test "hub update changes what was set, keeps the rest, and wants a fresh hub" {
    before=$(az iot hub show -n az-hub --query etag -o tsv)
    azq 'b 5' iot hub update -n az-hub --set tags.a=b --unit 2 \
        --retention-day 5 \
        --query '[tags.a, properties.eventHubEndpoints.events.retentionTimeInDays]'
    [ "$(az iot hub show -n az-hub --query etag -o tsv)" != "$before" ]
    azq 8 iot hub show -n az-hub \
        --query properties.eventHubEndpoints.events.partitionCount
    refused "Invalid capacity 999 of SKU S1" iot hub update -n az-hub --set sku.capacity=999
    azq 2 iot hub show -n az-hub --query sku.capacity
}

@test "access policies: list, create, renew, delete; connection strings" {
    azq 'iothubowner service device registryRead registryReadWrite' \
        iot hub policy list --hub-name contoso --query '[].keyName'
    az iot hub policy create --hub-name az-hub -n mine \
        --permissions RegistryRead ServiceConnect -o none
    az iot hub policy show --hub-name az-hub -n mine >one
    jq -e '.rights == "RegistryRead, ServiceConnect" and
        (.primaryKey | @base64d | length > 8) and
        .primaryKey != .secondaryKey' one
    az iot hub policy renew-key --hub-name az-hub -n mine --rk primary >two
    jq -se '.[0].primaryKey != .[1].primaryKey and
        .[0].secondaryKey == .[1].secondaryKey' one two
    azq "HostName=az-hub.azure-devices.net;SharedAccessKeyName=mine;SharedAccessKey=$(jq -r .primaryKey two)" \
        iot hub show-connection-string -n az-hub --policy-name mine \
        --query connectionString
    az iot hub policy delete --hub-name az-hub -n mine -o none
    refused "mine" iot hub policy show --hub-name az-hub -n mine
    azq 5 iot hub policy list --hub-name az-hub --query 'length(@)'
}

@test "consumer groups" {
    azq first iot hub consumer-group create --hub-name az-hub -n first \
        --query properties.properties.name
    azq '$Default first' iot hub consumer-group list --hub-name az-hub \
        --query '[].name'
    azq "$HUB/eventHubEndpoints/events/ConsumerGroups/first" \
        iot hub consumer-group show --hub-name az-hub -n first --query id
    az iot hub consumer-group delete --hub-name az-hub -n first
    azq '$Default' iot hub consumer-group list --hub-name az-hub --query '[].name'
    refused "first" iot hub consumer-group show --hub-name az-hub -n first
}

# sign CODE: a certificate for that code, by the authority in ca.pem.
sign() {
    openssl req -new -newkey rsa:2048 -nodes -keyout proof.key -subj "/CN=$1" \
        -out proof.csr 2>/dev/null
    openssl x509 -req -in proof.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
        -days 2 -out "$2" 2>/dev/null
}

@test "a certificate authority is uploaded, proven with a code, and deleted" {
    openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem \
        -days 30 -subj "/CN=Fleet Root" 2>/dev/null
    az iot hub certificate create --hub-name az-hub -n root -p ca.pem >made
    sum=$(openssl x509 -in ca.pem -noout -fingerprint -sha1 | tr -d : | cut -d= -f2)
    jq -e --arg sum "$sum" '.properties | .subject == "Fleet Root" and
        .thumbprint == $sum and (.isVerified | not)' made
    jq -r .properties.certificate made | base64 -d | cmp - ca.pem
    azq 'root False' iot hub certificate list --hub-name az-hub \
        --query 'value[].[name, properties.isVerified]'
    refused "ETag" iot hub certificate generate-verification-code \
        --hub-name az-hub -n root -e stale
    az iot hub certificate generate-verification-code --hub-name az-hub \
        -n root -e "$(jq -r .etag made)" >code
    sign "not the code" wrong.pem
    refused "does not prove possession" iot hub certificate verify \
        --hub-name az-hub -n root -e "$(jq -r .etag code)" -p wrong.pem
    sign "$(jq -r .properties.verificationCode code)" proof.pem
    az iot hub certificate verify --hub-name az-hub -n root \
        -e "$(jq -r .etag code)" -p proof.pem >verified
    jq -e '.properties.isVerified' verified
    azq 'Fleet Root true' iot hub certificate show --hub-name az-hub -n root \
        --query 'properties.[subject, isVerified]'
    az iot hub certificate delete --hub-name az-hub -n root \
        -e "$(jq -r .etag verified)"
    azq 0 iot hub certificate list --hub-name az-hub --query 'length(value)'
}

@test "statistics, quotas and sizes" {
    azq '0 0 0' iot hub show-stats -n az-hub \
        --query '[totalDeviceCount, enabledDeviceCount, disabledDeviceCount]'
    az iot hub show-quota-metrics -n az-hub >quota
    jq -e 'map({(.name): [.currentValue, .maxValue]}) | add |
        .TotalMessages == [0, 800000] and .TotalDeviceCount[0] == 0' quota
    azq 'S1 200 S2 200 S3 10' iot hub list-skus -n az-hub \
        --query '[].[sku.name, capacity.maximum]'
}

@test "routes: endpoint with a real key, route, test, enrichment; all gone again" {
    rule=(--namespace-name contoso-west-events -g west-rg -n RootManageSharedAccessKey)
    key=$(az eventhubs namespace authorization-rule keys list "${rule[@]}" \
        --query primaryKey -o tsv)
    to="Endpoint=sb://contoso-west-events.servicebus.windows.net/"
    to+=";SharedAccessKeyName=RootManageSharedAccessKey"
    az iot hub routing-endpoint create --hub-name az-hub -g az-rg -n far \
        -t eventhub -r west-rg -s "$AZURE_SUBSCRIPTION_ID" \
        -c "$to;SharedAccessKey=$key;EntityPath=telemetry" >made
    jq -e '.eventHubs[0] | .name == "far" and (.connectionString |
        contains("SharedAccessKey=****") and contains(":5671/"))' made
    run cat made
    has_not "$key"
    azq 'hot DeviceMessages True' iot hub route create --hub-name az-hub \
        -g az-rg -n hot -s devicemessages --en far -c 'AS_NUMBER(level) > 3' \
        --query '[].[name, source, isEnabled]'
    azq true iot hub route test --hub-name az-hub -g az-rg -n hot \
        --ap '{"level":4}' --query result
    azq false iot hub route test --hub-name az-hub -g az-rg -n hot \
        --ap '{"level":3}' --query result
    azq undefined iot hub route test --hub-name az-hub -g az-rg -n hot \
        --query result
    azq 'archive events' iot hub route test --hub-name contoso -g west-rg \
        -s devicemessages --query 'routes[].properties.name'
    azq v iot hub message-enrichment create -n az-hub --key k --value v \
        --endpoints far --query 'properties.routing.enrichments[0].value'
    az iot hub message-enrichment delete -n az-hub --key k -o none
    az iot hub route delete --hub-name az-hub -g az-rg -n hot -o none
    azq 0 iot hub routing-endpoint delete --hub-name az-hub -g az-rg -n far \
        --query 'length(eventHubs)'
}

@test "an endpoint without a good key is refused in the service's words" {
    refused "400116" iot hub routing-endpoint create --hub-name az-hub -g az-rg \
        -n bad -t eventhub -r west-rg -s "$AZURE_SUBSCRIPTION_ID" \
        -c "SharedAccessKeyName=x;SharedAccessKey=eA==;EntityPath=telemetry"
    has "ConnectionString is invalid, endpointName:bad"
}

@test "keys of storage, event hubs, service bus and Cosmos DB" {
    azq 'key1 key2' storage account keys list -n contosowestdata \
        -g west-rg --query '[].keyName'
    azq 'contosowestdata StorageV2' storage account list --query '[].[name, kind]'
    az servicebus namespace authorization-rule keys list -g west-rg \
        --namespace-name contoso-west-bus -n RootManageSharedAccessKey >bus
    jq -e '.primaryConnectionString == "Endpoint=sb://contoso-west-bus.servicebus.windows.net/;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=\(.primaryKey)"' bus
    az eventhubs eventhub authorization-rule keys list -g west-rg \
        --namespace-name contoso-west-events --eventhub-name telemetry -n routes >hub
    jq -e '.keyName == "routes" and (.primaryConnectionString |
        endswith(";EntityPath=telemetry"))' hub
    azq 88 cosmosdb keys list -g west-rg -n contoso-west-cosmos \
        --query 'length(primaryMasterKey)'
}

@test "resources, by az resource and az rest; what is made by rest is there" {
    azq az-hub resource list -g az-rg --query '[].name'
    azq "$HUB" resource show -g az-rg -n az-hub \
        --resource-type Microsoft.Devices/IotHubs --query id
    azq y resource tag --tags x=y -g az-rg -n az-hub \
        --resource-type Microsoft.Devices/IotHubs --query tags.x
    url="$RG/providers/Microsoft.Storage/storageAccounts/azreststore"
    azq azreststore rest --method put --url "$url?api-version=2023-05-01" \
        --body '{"location":"eastus","sku":{"name":"Standard_LRS"},"kind":"StorageV2","properties":{}}' \
        --query name
    azq https://azreststore.blob.core.windows.net/ storage account show \
        -n azreststore -g az-rg --query primaryEndpoints.blob
    az rest --method delete --url "$url?api-version=2023-05-01"
    refused "ResourceNotFound" rest --url "$url?api-version=2023-05-01"
    refused "MissingApiVersionParameter" rest --url "$url"
}

@test "providers, locations and tenants" {
    azq Registered provider show -n Microsoft.Devices --query registrationState
    az account list-locations >places
    jq -e 'map(select(.name == "westus"))[0] | .displayName == "West US" and
        .metadata.pairedRegion[0].name == "eastus"' places
    azq "$AZURE_TENANT_ID" rest --url '/tenants?api-version=2022-12-01' \
        --query 'value[].tenantId'
}

@test "groups: show, list, export, delete" {
    azq eastus group show -n az-rg --query location
    az group create -n az-gone -l westus -o none
    azq true group exists -n az-gone
    az group delete -n az-gone -y
    azq false group exists -n az-gone
    refused "ResourceGroupNotFound" group show -n az-gone
    az group export -n az-rg >exported.json
    jq -e '.parameters.IotHubs_az_hub_name.defaultValue == "az-hub" and
        (.resources | map(.type) == ["Microsoft.Devices/IotHubs"])' exported.json
    az group export -n west-rg --skip-all-params --resource-ids \
        "$SUB/resourceGroups/west-rg/providers/Microsoft.Devices/IotHubs/contoso" >exported.json
    jq -e '.parameters == {} and .resources[0].name == "contoso"' exported.json
}

template() {
    jq -n '{"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        contentVersion: "1.0.0.0",
        parameters: {hub: {type: "string"}, tag: {type: "string", defaultValue: "one"},
            units: {type: "int", defaultValue: 1}},
        resources: [{type: "Microsoft.Devices/IotHubs", apiVersion: "2023-06-30",
            name: "[parameters('"'hub'"')]", location: "westus",
            tags: {t: "[parameters('"'tag'"')]"},
            sku: {name: "S1", capacity: "[parameters('"'units'"')]"}, properties: {}}],
        outputs: {host: {type: "string",
            value: "[reference(parameters('"'hub'"')).hostName]"}}}' >hub.json
}

@test "a deployment: validate, what-if, create, change, look back, delete" {
    template
    azq "Succeeded $RG/providers/Microsoft.Devices/IotHubs/az-made" \
        deployment group validate -g az-rg -f hub.json -p hub=az-made \
        --query 'properties.[provisioningState, validatedResources[0].id]'
    az deployment group what-if -g az-rg -f hub.json -p hub=az-made \
        --no-pretty-print >plan
    jq -e '.changes | map({(.changeType): (.resourceId | split("/")[-1])}) | add |
        .Create == "az-made" and .Ignore == "az-hub"' plan
    azq 'Succeeded az-made.azure-devices.net' deployment group create -g az-rg \
        -f hub.json -p hub=az-made \
        --query 'properties.[provisioningState, outputs.host.value]'
    az deployment group what-if -g az-rg -f hub.json -p hub=az-made tag=two \
        --no-pretty-print >plan
    jq -e '.changes | map(select(.changeType == "Modify"))[0].delta |
        length == 1 and (.[0] | .path == "tags.t" and .before == "one" and
            .after == "two" and .propertyChangeType == "Modify")' plan
    run az deployment group what-if -g az-rg -f hub.json -p hub=az-made tag=two
    has '~ tags.t: "one" => "two"' "1 to modify"
    az deployment group create -g az-rg -f hub.json -p hub=az-made tag=two \
        -n second -o none
    azq two iot hub show -n az-made --query tags.t
    azq 'hub second' deployment group list -g az-rg --query 'sort([].name)'
    azq 'Create az-made EvaluateDeploymentOutput None' \
        deployment operation group list -g az-rg -n second \
        --query '[].properties.[provisioningOperation, targetResource.resourceName]'
    # The service spells types its own way when it gives a template back.
    types='(.parameters, .outputs)[].type |= ascii_downcase'
    az deployment group export -g az-rg -n hub | jq -S "$types" >exported
    jq -S "$types" hub.json | diff - exported
    az deployment group delete -g az-rg -n hub
    refused "DeploymentNotFound" deployment group show -g az-rg -n hub
    az iot hub delete -n az-made -g az-rg
}

@test "deployments that fail: a parameter, the template, the provider" {
    template
    refused "Missing input parameters: hub" deployment group create -g az-rg -f hub.json
    refused "Invalid capacity 999 of SKU S1" deployment group create -g az-rg \
        -f hub.json -p hub=az-bad units=999 -n fails
    has DeploymentFailed BadRequest
    azq Failed deployment group show -g az-rg -n fails \
        --query properties.provisioningState
    azq BadRequest deployment operation group list -g az-rg -n fails \
        --query '[?properties.provisioningState==`Failed`].properties.statusCode'
    jq '.resources[0].location = "[nosuch()]"' hub.json >wrong.json
    refused "InvalidTemplate" deployment group validate -g az-rg -f wrong.json \
        -p hub=az-bad
    has nosuch
}

@test "the clone by Microsoft's tools and by ours makes the same hub" {
    contoso=$SUB/resourceGroups/west-rg/providers/Microsoft.Devices/IotHubs/contoso
    # The service exports by a schema that knows no Cosmos DB endpoints.
    older='.resources[0].properties.routing |= (del(.endpoints.cosmosDBSqlContainers)
        | .routes |= map(select(.endpointNames != ["messages"])))'
    rewrite=(tmpl-rewrite --name contoso-east --location eastus --filter "$older")
    az group create -n clone-rg -l eastus -o none
    az group export -n west-rg --resource-ids "$contoso" |
        "${rewrite[@]}" --no-file-upload | key-inject -o new.json
    az deployment group create -g clone-rg -f new.json -n clone \
        --query properties.provisioningState -o tsv >state
    [ "$(cat state)" = Succeeded ]
    hub=$SUB/resourceGroups/clone-rg/providers/Microsoft.Devices/IotHubs
    plain='del(.etag, .systemData, .properties.eventHubEndpoints.events.endpoint,
        .properties.routing.endpoints[][].id) | .resourcegroup |= ascii_downcase'
    az rest --url "$hub/contoso-east?api-version=2023-06-30" | jq -S "$plain" >theirs
    az iot hub delete -n contoso-east -g clone-rg
    hub-export -g west-rg contoso | "${rewrite[@]}" --no-file-upload |
        key-inject | tmpl-deploy -g clone-rg >ours.json
    az rest --url "$hub/contoso-east?api-version=2023-06-30" | jq -S "$plain" >ours
    jq -e '.location == "eastus" and (.properties.routing.routes | length) > 5' theirs
    diff theirs ours
    az iot hub delete -n contoso-east -g clone-rg
}

@test "manual failover swaps the regions and moves the endpoint" {
    before=$(az iot hub show -n az-hub \
        --query properties.eventHubEndpoints.events.endpoint -o tsv)
    az iot hub manual-failover -n az-hub >after
    jq -e --arg e "$before" '.location == "westus2" and
        (.properties | .state == "Active" and
            .eventHubEndpoints.events.endpoint != $e and
            (.locations | map({(.role): .location}) | add) ==
            {"primary": "West Central US", "secondary": "West US 2"})' after
    # Not back within the hour.
    refused "(409" iot hub manual-failover -n az-hub
    azq 'West Central US' iot hub show -n az-hub \
        --query "properties.locations[?role=='primary'].location | [0]"
}

@test "a hub's identity, and the free size with its limits" {
    az iot hub identity assign -n az-hub --system-assigned >made
    jq -e '.type == "SystemAssigned" and (.principalId | length == 36)' made
    azq "$(jq -r .principalId made)" iot hub identity show -n az-hub --query principalId
    az iot hub create -n az-free -g az-rg --sku F1 --partition-count 2 -o none
    azq 'F1 Free 1 2' iot hub show -n az-free --query \
        '[sku.name, sku.tier, sku.capacity, properties.eventHubEndpoints.events.partitionCount]'
    refused "Invalid PartitionCount 4" iot hub create -n az-more -g az-rg \
        --sku F1 --partition-count 4
    az iot hub delete -n az-free -g az-rg
}

@test "delete ends with the hub gone and its name free" {
    az iot hub create -n az-gone -g az-rg --sku B1 -o none
    azq az-gone iot hub list -g az-rg --query "[?name=='az-gone'].name"
    az iot hub delete -n az-gone
    azq '' iot hub list -g az-rg --query "[?name=='az-gone'].name"
    azq true rest --method post --query nameAvailable --body '{"name":"az-gone"}' \
        --url "$SUB/providers/Microsoft.Devices/checkNameAvailability?api-version=2023-06-30"
}

@test "on any port, as a cloud that is registered by one address" {
    expect_status 0 hub-sim --from "$ROOT/examples/contoso.json" -- bash -c '
        set -e
        url=https://localhost:${HUBPIPE_CONNECT_TO##*:}
        az cloud register -n sim --endpoint-resource-manager "$url"
        az cloud set -n sim
        az login --service-principal -u "$AZURE_CLIENT_ID" \
            -p "$AZURE_CLIENT_SECRET" -t "$AZURE_TENANT_ID" -o none
        az iot hub create -n az-port -g west-rg --sku S1 -o none
        az iot hub list --query "sort([].name)" -o tsv | paste -sd " "'
    has "az-port contoso"
}

@test "on any port, as a cloud of the metadata endpoint" {
    expect_status 0 hub-sim --from "$ROOT/examples/contoso.json" -- bash -c '
        set -e
        url=https://localhost:${HUBPIPE_CONNECT_TO##*:}
        export ARM_CLOUD_METADATA_URL="$url/metadata/endpoints?api-version=2022-09-01"
        az cloud list --query "[].name" -o tsv
        az cloud set -n hub-sim
        az login --service-principal -u "$AZURE_CLIENT_ID" \
            -p "$AZURE_CLIENT_SECRET" -t "$AZURE_TENANT_ID" -o none
        az group list --query "[].name" -o tsv'
    has hub-sim west-rg
}
