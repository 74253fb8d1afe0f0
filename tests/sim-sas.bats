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
