# sim-sas.bats: tokens of hub-sim's data plane (CONTRACT 11.1, 11.2).
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # $edgeAgent is no variable

load helper
load dataplane

@test "a signed token is verified: both of the contract's vectors, and what is wrong with one" {
    local key=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=
    [ "$(sas contoso.azure-devices.net 1700000000 iothubowner $key)" = \
        'SharedAccessSignature sr=contoso.azure-devices.net&sig=WA5mJabSkWWSZo21WRgph5CHQ9FMXwo27EQaik72FJ0%3D&se=1700000000&skn=iothubowner' ]
    HUB=contoso
    make_hub contoso "{\"location\":\"westus\",\"sku\":{\"name\":\"S1\",\"capacity\":1},\"properties\":{\"authorizationPolicies\":[{\"keyName\":\"iothubowner\",\"primaryKey\":\"$key\",\"secondaryKey\":\"$key\",\"rights\":\"RegistryWrite, ServiceConnect, DeviceConnect\"}]}}"
    KEYS=$(listkeys contoso)
    # The first vector, as it stands: right, but of the year 2023.
    AUTH='SharedAccessSignature sr=contoso.azure-devices.net&sig=WA5mJabSkWWSZo21WRgph5CHQ9FMXwo27EQaik72FJ0%3D&se=1700000000&skn=iothubowner'
    hub 401 GET /devices/x
    AUTH=$(policy_sas iothubowner contoso.azure-devices.net)
    hub 404 GET /devices/x
    AUTH=$(sas contoso.azure-devices.net 4000000000 iothubowner $key)
    hub 404 GET /devices/x
    # Order of the parts is free; one changed character is not.
    AUTH="SharedAccessSignature $(tr '&' '\n' <<<"${AUTH#* }" | tac | paste -sd '&')"
    hub 404 GET /devices/x
    AUTH=${AUTH/4000000000/4000000001}
    hub 401 GET /devices/x
    error_is IotHubUnauthorizedAccess
}

@test "the contract's own token opens a hub whose clock stands before its end" {
    local key=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=
    own_sim --clock=$((1699990000 - $(date +%s)))
    make_hub contoso "{\"location\":\"westus\",\"sku\":{\"name\":\"S1\",\"capacity\":1},\"properties\":{\"authorizationPolicies\":[{\"keyName\":\"iothubowner\",\"primaryKey\":\"$key\",\"secondaryKey\":\"$key\",\"rights\":\"RegistryWrite, ServiceConnect, DeviceConnect\"}]}}"
    HUB=contoso
    AUTH='SharedAccessSignature sr=contoso.azure-devices.net&sig=WA5mJabSkWWSZo21WRgph5CHQ9FMXwo27EQaik72FJ0%3D&se=1700000000&skn=iothubowner'
    hub 200 GET /devices
    is . '[]'
}

@test "rights: each policy does what it may, a resource covers what lies below it" {
    hub 200 PUT /devices/rights -d '{"deviceId":"rights"}'
    AUTH=$(policy_sas registryRead)
    hub 200 GET /devices/rights
    hub 401 PUT /devices/rights2 -d '{"deviceId":"rights2"}'
    has 'Authorization rule registryRead does not allow access for RegistryWrite'
    hub 401 GET /twins/rights
    AUTH=$(policy_sas registryReadWrite)
    hub 200 GET /devices/rights
    hub 401 GET /twins/rights
    hub 401 POST /devices/query -d '{"query":"SELECT * FROM devices"}'
    AUTH=$(policy_sas service)
    hub 200 GET /twins/rights
    hub 401 GET /devices/rights
    AUTH=$(policy_sas device)
    hub 401 GET /devices/rights
    AUTH=$(policy_sas nobody 2>/dev/null)
    hub 401 GET /devices/rights
    has "does not contain a rule named 'nobody'"
    AUTH=$(policy_sas iothubowner hub1.azure-devices.net%2Fdevices)
    hub 200 GET /devices/rights
    AUTH=$(policy_sas iothubowner hub1.azure-devices.net%2Fdevices%2Fother)
    hub 401 GET /devices/rights
    AUTH=$(policy_sas iothubowner hub2.azure-devices.net)
    hub 401 GET /devices/rights
    error_is IotHubUnauthorizedAccess
}

@test "tokens of Entra: the audience counts; no token, no access; a hub may refuse signatures" {
    AUTH="Bearer $ARM_TOKEN"
    hub 401 GET /devices
    AUTH=
    hub 401 GET /devices
    AUTH='Bearer nonsense'
    hub 401 GET /devices
    make_hub entra-only '{"location":"westus","sku":{"name":"S1","capacity":1},"properties":{"disableLocalAuth":true}}'
    KEYS=$(listkeys entra-only)
    HUB=entra-only
    AUTH=$(policy_sas iothubowner entra-only.azure-devices.net)
    hub 401 GET /devices
    AUTH="Bearer $BEARER"
    hub 200 GET /devices
    HUB=nobodys
    hub 401 GET /devices
    error_is IotHubNotFound
}

# role NAME GUID HUB: the service principal of hub-sim gets it.
role() {
    arm PUT "/providers/Microsoft.Devices/IotHubs/$3/providers/Microsoft.Authorization/roleAssignments/$2?api-version=2022-04-01" \
        -d "{\"properties\":{\"principalId\":\"44444444-4444-4444-4444-444444444444\",\"roleDefinitionId\":\"/subscriptions/$AZURE_SUBSCRIPTION_ID/providers/Microsoft.Authorization/roleDefinitions/$1\"}}"
}

@test "tokens of Entra: where the tag says so, only roles for data open a hub" {
    make_hub strict '{"location":"westus","tags":{"hub-sim-deny":"data"},"sku":{"name":"S1","capacity":1},"properties":{}}'
    HUB=strict
    KEYS=$(listkeys strict)
    hub 401 GET /devices
    error_is IotHubUnauthorizedAccess
    has 'is not authorized for GET on /devices due to no assigned permissions'
    # Owner of all there is carries no right on data.
    role 8e3af657-a8ff-443c-a75c-2fe8c4bcb635 00000000-0000-0000-0000-000000000001 strict
    # IoT Hub Data Reader
    role b447c946-2db7-41ec-983d-d8bf3b1c77e3 00000000-0000-0000-0000-000000000002 strict
    for ((i = 0; i < 200; i++)); do
        hub 200 GET /devices >/dev/null && break
        sleep 0.05
    done
    hub 200 GET /devices
    q 200 'SELECT * FROM devices'
    hub 401 PUT /devices/a -d '{}'
    # IoT Hub Registry Contributor
    role 4ea46cd5-c1b2-4a8e-910b-273211f9ce47 00000000-0000-0000-0000-000000000003 strict
    for ((i = 0; i < 200; i++)); do
        hub 200 PUT /devices/a -d '{}' >/dev/null && break
        sleep 0.05
    done
    hub 200 GET /twins/a
    hub 401 PATCH /twins/a -d '{"tags":{"a":1}}'
    # A key asks for no role.
    AUTH=$(policy_sas iothubowner strict.azure-devices.net)
    hub 200 PATCH /twins/a -d '{"tags":{"a":1}}'
}

@test "tokens: what is malformed, and a device's own, open nothing" {
    local key
    hub 200 PUT /devices/own -d '{}'
    key=$(jq -r .authentication.symmetricKey.primaryKey <<<"$output")
    AUTH=$(sas hub1.azure-devices.net%2Fdevices%2Fown 4000000000 x "$key")
    AUTH=${AUTH%&skn=x}
    hub 401 GET /devices/own
    error_is IotHubUnauthorizedAccess
    hub 401 GET /twins/own
    for AUTH in SharedAccessSignature 'SharedAccessSignature ' \
        'SharedAccessSignature sr=&sig=&se=&skn=' \
        'SharedAccessSignature sr=hub1.azure-devices.net&sig=%00&se=9999999999999999999&skn=iothubowner' \
        'SharedAccessSignature sr=hub1.azure-devices.net&sig=AAAA&se=-1&skn=iothubowner' \
        "$(policy_sas iothubowner | sed 's/&se=[0-9]*//')" \
        "$(policy_sas iothubowner | sed 's/&sig=[^&]*//')" \
        "$(policy_sas iothubowner | sed 's/skn=iothubowner/skn=service/')" \
        "Basic $(policy_sas iothubowner)" "Bearer $(policy_sas iothubowner)" Bearer; do
        hub 401 GET /devices/own
        error_is IotHubUnauthorizedAccess
    done
    # The scheme and the host have no case; the secondary key is as good.
    AUTH=$(policy_sas iothubowner HUB1.azure-devices.net)
    hub 200 GET /devices/own
    AUTH=$(sas hub1.azure-devices.net 4000000000 iothubowner \
        "$(jq -r '.value[] | select(.keyName == "iothubowner").secondaryKey' <<<"$KEYS")")
    hub 200 GET /devices/own
    AUTH=${AUTH/SharedAccessSignature/sharedaccesssignature}
    hub 200 GET /devices/own
}
