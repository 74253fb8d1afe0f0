# sim-registry.bats: the data plane of hub-sim: what CONTRACT 11 to 15 says of
# identities, twins, bulk calls, queries and configurations, asked with curl.
# shellcheck shell=bash disable=SC2016,SC2154 # $edgeAgent is no variable

load helper

api='api-version=2021-04-12'
scheme=ms-azure-iot-edge://

# arm METHOD PATH [CURL OPTION...]
arm() {
    local method=$1 path=$2
    shift 2
    curl -sS --connect-to "::$HUBPIPE_CONNECT_TO" --cacert "$SSL_CERT_FILE" \
        -H "Authorization: Bearer $ARM_TOKEN" \
        -H 'Content-Type: application/json' -X "$method" \
        "https://management.azure.com/subscriptions/$AZURE_SUBSCRIPTION_ID/resourceGroups/rg$path" "$@"
}

entra() {
    curl -sS --connect-to "::$HUBPIPE_CONNECT_TO" --cacert "$SSL_CERT_FILE" \
        "https://login.microsoftonline.com/$AZURE_TENANT_ID/oauth2/v2.0/token" \
        -d "client_id=$AZURE_CLIENT_ID" -d grant_type=client_credentials \
        --data-urlencode "client_secret=$AZURE_CLIENT_SECRET" \
        -d "scope=$1/.default" | jq -er .access_token
}

# make_hub NAME BODY: and waits until it is there.
make_hub() {
    local i hub="/providers/Microsoft.Devices/IotHubs/$1?api-version=2023-06-30"
    arm PUT "$hub" -d "$2" >/dev/null
    for ((i = 0; i < 100; i++)); do
        [ "$(arm GET "$hub" | jq -r .properties.state)" = Active ] && return
        sleep 0.02
    done
    return 1
}

listkeys() {
    arm POST "/providers/Microsoft.Devices/IotHubs/$1/listkeys?api-version=2023-06-30" -d ''
}

set_up_hub() {
    ARM_TOKEN=$(entra https://management.azure.com)
    BEARER=$(entra https://iothubs.azure.net)
    arm PUT '?api-version=2021-04-01' -d '{"location":"westus"}' >/dev/null
    make_hub hub1 '{"location":"westus","sku":{"name":"S1","capacity":1},"properties":{}}'
    KEYS=$(listkeys hub1)
    export ARM_TOKEN BEARER KEYS
}

setup_file() {
    sim_start
    set_up_hub
    cp "$BATS_FILE_TMPDIR/sim.env" "$BATS_FILE_TMPDIR/shared.env"
}

# helper.bash has forgotten what setup_file exported.
setup() {
    # shellcheck disable=SC1091 # made by setup_file
    . "$BATS_FILE_TMPDIR/shared.env"
}

teardown_file() {
    sim_stop
}

# own_sim OPTION...: a simulator for one test alone.
own_sim() {
    OWN_SIM=yes
    again "$@"
    set_up_hub
}

# Not "# ready" because an earlier one was.
again() {
    rm -f "$BATS_FILE_TMPDIR/sim.env"
    sim_start "$@" 2>/dev/null
}

teardown() {
    if [ "${OWN_SIM-}" ]; then
        sim_stop
    fi
}

# sas RESOURCE EXPIRY POLICY KEY: a token, made by openssl (CONTRACT 11.1).
sas() {
    local key sig
    key=$(printf %s "$4" | base64 -d | od -An -vtx1 | tr -d ' \n')
    sig=$(printf '%s\n%s' "$1" "$2" |
        openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64 -w0)
    sig=${sig//+/%2B} sig=${sig//\//%2F} sig=${sig//=/%3D}
    printf 'SharedAccessSignature sr=%s&sig=%s&se=%s&skn=%s' "$1" "$sig" "$2" "$3"
}

# policy_sas POLICY [RESOURCE]
policy_sas() {
    sas "${2:-hub1.azure-devices.net}" $(($(date +%s) + 600)) "$1" \
        "$(jq -r --arg p "$1" '.value[] | select(.keyName == $p).primaryKey' <<<"$KEYS")"
}

# hub STATUS METHOD PATH [CURL OPTION...]: asks hub1 (or $HUB) and expects that
# status.  The body is in $output, the headers in $heads.
hub() {
    local want=$1 method=$2 path=$3 code
    shift 3
    [[ $path == *api-version* ]] || path+="?$api"
    : >"$BATS_TEST_TMPDIR/body"
    code=$(curl -sS --connect-to "::$HUBPIPE_CONNECT_TO" \
        --cacert "$SSL_CERT_FILE" -o "$BATS_TEST_TMPDIR/body" \
        -D "$BATS_TEST_TMPDIR/heads" -w '%{http_code}' \
        -H "Authorization: ${AUTH-Bearer $BEARER}" \
        -H 'Content-Type: application/json; charset=utf-8' -X "$method" \
        "https://${HUB:-hub1}.azure-devices.net$path" "$@")
    output=$(<"$BATS_TEST_TMPDIR/body")
    heads=$(<"$BATS_TEST_TMPDIR/heads")
    heads=${heads//$'\r'/}
    if [ "$code" != "$want" ]; then
        echo "$method $path: $code instead of $want: $output"
        return 1
    fi
}

# is JQ VALUE: what the program gives for the last body.
is() {
    local got
    got=$(jq -rc "$1" <<<"$output") || return 1
    if [ "$got" != "$2" ]; then
        printf '%s is %s, not %s, in: %s\n' "$1" "$got" "$2" "$output"
        return 1
    fi
}

header() {
    sed -n "s/^$1: //Ip" <<<"$heads"
}

error_is() {
    [ "$(header iothub-errorcode)" = "$1" ] || {
        echo "iothub-errorcode is $(header iothub-errorcode), not $1: $output"
        return 1
    }
}

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

@test "create, create again, read: errors in the service's form" {
    hub 200 PUT /devices/c1 -d '{"deviceId":"c1","statusReason":"h\u00e9","status":"disabled"}'
    is .status disabled
    is .connectionStateUpdatedTime 0001-01-01T00:00:00
    has '"statusReason":"h\u00e9"'
    [ "$(header etag)" = "\"$(jq -r .etag <<<"$output")\"" ]
    jq -e '.etag | @base64d | test("^[0-9]+$")' <<<"$output"
    hub 409 PUT /devices/c1 -d '{"deviceId":"c1"}'
    error_is DeviceAlreadyExists
    is .Message "ErrorCode:DeviceAlreadyExists;A device with ID 'c1' is already registered."
    jq -e '.ExceptionMessage | test("^Tracking ID:[0-9A-F]{32}-G2:-TimeStamp:20")' <<<"$output"
    hub 404 GET /devices/c2
    error_is DeviceNotFound
    hub 200 GET /devices/c1
    is .connectionStateUpdatedTime 0001-01-01T00:00:00Z
    # An empty If-Match is none.
    hub 200 PUT /devices/c3 -H 'If-Match: ""' -d '{"deviceId":"c3"}'
    hub 400 PUT /devices/c4 -d '{"deviceId":"other"}'
    hub 400 PUT /devices/c4 -d '{"deviceId":"c4"'
    error_is DeserializationError
    hub 400 PUT /devices/c4 -d '[]'
    hub 400 PUT "/devices/c%20d" -d '{}'
    hub 200 GET "/devices/?top=1"
    is length 1
}

@test "update and delete: etags quoted or not, stale, missing, star" {
    local old
    hub 200 PUT /devices/u1 -d '{"deviceId":"u1"}'
    old=$(jq -r .etag <<<"$output")
    hub 404 PUT /devices/u2 -H 'If-Match: *' -d '{"deviceId":"u2"}'
    hub 200 PUT /devices/u1 -H "If-Match: $old" -d "$output"
    hub 200 PUT /devices/u1 -H 'If-Match: *' -d '{"deviceId":"u1","status":"disabled"}'
    [ "$(jq -r '.etag | @base64d' <<<"$output")" -eq $(($(base64 -d <<<"$old") + 2)) ]
    jq -e '.statusUpdatedTime | test("^20")' <<<"$output"
    hub 412 PUT /devices/u1 -H "If-Match: \"$old\"" -d '{"deviceId":"u1"}'
    error_is PreconditionFailed
    has 'ETag mismatch'
    hub 412 DELETE /devices/u1
    has 'Etag missing'
    hub 412 DELETE /devices/u1 -H "If-Match: \"$old\""
    hub 404 DELETE /devices/u2 -H 'If-Match: *'
    hub 204 DELETE /devices/u1 -H 'If-Match: "*"'
    [ -z "$output" ]
    hub 404 GET /devices/u1
    hub 404 GET /twins/u1
}

@test "without authentication the hub makes new keys; halves and bad lengths are refused" {
    local first second
    hub 200 PUT /devices/k1 -d '{"deviceId":"k1","authentication":{"symmetricKey":{"primaryKey":"","secondaryKey":""},"type":"sas"}}'
    first=$(jq -r .authentication.symmetricKey.primaryKey <<<"$output")
    [ "$(base64 -d <<<"$first" | wc -c)" -ge 16 ]
    hub 200 PUT /devices/k1 -H 'If-Match: *' -d '{"deviceId":"k1"}'
    second=$(jq -r .authentication.symmetricKey.primaryKey <<<"$output")
    [ "$first" != "$second" ]
    # The whole identity sent back keeps them.
    hub 200 PUT /devices/k1 -H 'If-Match: *' -d "$output"
    is .authentication.symmetricKey.primaryKey "$second"
    hub 400 PUT /devices/k2 -d '{"authentication":{"symmetricKey":{"primaryKey":"MDEyMzQ1Njc4OWFiY2RlZg=="}}}'
    has 'Either no keys or both keys can be set'
    hub 400 PUT /devices/k2 -d '{"authentication":{"symmetricKey":{"primaryKey":"MDEyMzQ1Njc4OWFiY2Rl","secondaryKey":"MDEyMzQ1Njc4OWFiY2Rl"}}}'
    has 'Invalid device key length'
    hub 400 PUT /devices/k2 -d '{"authentication":{"symmetricKey":{"primaryKey":"no base64!","secondaryKey":"no base64!"}}}'
    # .NET spells + as \u002B.
    hub 200 PUT /devices/k2 -d '{"authentication":{"symmetricKey":{"primaryKey":"MDEyMzQ1Njc4OWFiY\u002BRlZg==","secondaryKey":"MDEyMzQ1Njc4OWFiY2RlZg=="}}}'
    is .authentication.symmetricKey.primaryKey MDEyMzQ1Njc4OWFiY+RlZg==
}

@test "certificates: thumbprints as typed, other types without secrets, none refused" {
    local t=0123456789abcdefABCD0123456789abcdefABCD
    hub 200 PUT /devices/x1 -d "{\"authentication\":{\"type\":\"selfSigned\",\"x509Thumbprint\":{\"primaryThumbprint\":\"$t\",\"secondaryThumbprint\":\"$t\"}}}"
    is .authentication.x509Thumbprint.primaryThumbprint $t
    is .authentication.symmetricKey.primaryKey null
    hub 400 PUT /devices/x2 -d '{"authentication":{"type":"selfSigned","x509Thumbprint":{"primaryThumbprint":"01:23"}}}'
    has StringIsNotThumbprint
    hub 200 PUT /devices/x2 -d '{"authentication":{"type":"certificateAuthority"}}'
    is .authentication.type certificateAuthority
    is .authentication.symmetricKey.primaryKey null
    hub 400 PUT /devices/x3 -d '{"authentication":{"type":"none"}}'
    hub 400 PUT /devices/x3 -d "{\"statusReason\":\"$(printf '%0129d' 0)\"}"
    hub 200 PUT /devices/x3 -d "{\"statusReason\":\"$(printf '%0128d' 0)\"}"
}

@test "ids with # % ? and the rest of what ids may hold" {
    hub 200 PUT '/devices/a%23b%25c%3Fd' -d '{"deviceId":"a#b%c?d"}'
    is .deviceId 'a#b%c?d'
    hub 200 PUT "/devices/-.+%25_%23*%3F!(),=@\$'" -d '{}'
    is .deviceId "-.+%_#*?!(),=@\$'"
    hub 200 PUT '/devices/a%23b%25c%3Fd/modules/m%23' -d '{"moduleId":"m#","deviceId":"a#b%c?d"}'
    hub 200 GET '/twins/a%23b%25c%3Fd/modules/m%23'
    is '[.deviceId, .moduleId]' '["a#b%c?d","m#"]'
    hub 204 DELETE '/devices/a%23b%25c%3Fd' -H 'If-Match: *'
    hub 404 GET '/twins/a%23b%25c%3Fd/modules/m%23'
}

@test "a new twin, and what a patch does to versions, etags and metadata" {
    hub 200 PUT /devices/t1 -d '{}'
    hub 200 GET /twins/t1
    is '[.etag, .version, .properties.desired["$version"], .properties.reported["$version"]]' \
        '["AAAAAAAAAAE=",2,1,1]'
    [ -z "$(header etag)" ]
    hub 200 PATCH /twins/t1 -d '{"properties":{"desired":{"net":{"wifi":1,"lan":2},"rate":5}}}'
    is '[.etag, .version, .properties.desired["$version"]]' '["AAAAAAAAAAI=",3,2]'
    hub 200 PATCH /twins/t1 -H 'If-Match: "AAAAAAAAAAI="' -d '{"tags":{"a":{"b":1,"c":2}}}'
    is '[.etag, .version, .properties.desired["$version"]]' '["AAAAAAAAAAM=",4,2]'
    hub 200 PATCH /twins/t1 -H 'If-Match: "*"' -d '{"tags":{"a":{"b":null}},"properties":{"desired":{"net":{"wifi":9}}}}'
    is .tags '{"a":{"c":2}}'
    is '.properties.desired | [.net, .rate, .["$version"]]' '[{"wifi":9,"lan":2},5,3]'
    # The path that changed is marked up to the root; what stayed is not.
    is '.properties.desired["$metadata"] | [.["$lastUpdatedVersion"], .net["$lastUpdatedVersion"], .net.wifi["$lastUpdatedVersion"], .net.lan["$lastUpdatedVersion"], .rate["$lastUpdatedVersion"]]' \
        '[3,3,3,2,2]'
    hub 412 PATCH /twins/t1 -H 'If-Match: "AAAAAAAAAAI="' -d '{"tags":{"a":1}}'
    error_is PreconditionFailed
    # What the service adds is ignored when it is sent back.
    hub 200 GET /twins/t1
    hub 200 PATCH /twins/t1 -d "$output"
    is '[.version, .properties.desired["$version"], .tags]' '[6,4,{"a":{"c":2}}]'
    hub 200 PUT /twins/t1 -d '{"properties":{"desired":{"only":true}}}'
    is '[.tags, .properties.desired.only, .properties.desired.net]' '[{},true,null]'
    # null clears a section, and nothing else.
    hub 200 PATCH /twins/t1 -d '{"tags":{"x":1}}'
    hub 200 PATCH /twins/t1 -d '{"tags":null,"properties":{"desired":{"more":1}}}'
    is '[.tags, .properties.desired.only, .properties.desired.more]' '[{},true,1]'
    hub 404 PATCH /twins/nobody -d '{}'
    hub 404 GET /twins/t1/modules/nobody
    error_is DeviceNotFound
}

@test "a twin keeps every byte that was not changed" {
    local tags='{"z":1.0,"a":1e2,"n":-0,"f":0.30000000000000004,"u":"\u00e9\/é","big":4503599627370495,"sp": [ 1, 2 ],"dup":1}'
    hub 200 PUT /devices/b1 -d '{}'
    hub 200 PATCH /twins/b1 -d "{\"tags\":$tags}"
    hub 200 GET /twins/b1
    has "\"tags\":$tags,"
    hub 200 PATCH /twins/b1 -d '{"tags":{"n":null,"new":{"k\u00e9":1.50}}}'
    has '"tags":{"z":1.0,"a":1e2,"f":0.30000000000000004,"u":"\u00e9\/é","big":4503599627370495,"sp":[ 1, 2 ],"dup":1,"new":{"k\u00e9":1.50}},'
    # A body of many lines is one line when it comes back.
    hub 200 PATCH /twins/b1 -d $'{"tags": {\n  "lines": {\n "a": "x  y" }\n}}'
    [ "$(wc -l <<<"$output")" -eq 1 ]
    has '"x  y"'
}

@test "limits of twins: sizes, names, strings, integers, depth, null in arrays" {
    local deep
    hub 200 PUT /devices/l1 -d '{}'
    bad() {
        hub 400 PATCH /twins/l1 -d "$1"
        error_is ArgumentInvalid
    }
    text() { head -c "$1" /dev/zero | tr '\0' x; }
    bad "{\"tags\":{\"a\":\"$(text 4097)\"}}"
    hub 200 PATCH /twins/l1 -d "{\"tags\":{\"a\":\"$(text 4096)\"}}"
    # 8192 bytes of names and values are the most: 1 + 4096 are there.
    hub 200 PATCH /twins/l1 -d "{\"tags\":{\"b\":\"$(text 4094)\"}}"
    bad '{"tags":{"c":true}}'
    bad "{\"properties\":{\"desired\":{$(for i in 1 2 3 4 5 6 7 8; do printf '"%s":"%s",' $i "$(text 4096)"; done)\"z\":1}}}"
    bad '{"tags":{"a.b":1}}'
    bad '{"tags":{"x":{"$y":1}}}'
    bad '{"tags":{"a b":1}}'
    bad '{"tags":{"a#":1}}'
    bad '{"tags":{"a\u0001":1}}'
    bad '{"tags":{"n":4503599627370496}}'
    bad '{"tags":{"n":-4503599627370497}}'
    hub 200 PATCH /twins/l1 -d '{"properties":{"desired":{"n":-4503599627370496,"x":1e300}}}'
    bad '{"tags":{"n":[1,null]}}'
    bad '{"tags":[]}'
    deep=1
    for i in 1 2 3 4 5 6 7 8 9 10; do deep="{\"d\":$deep}"; done
    hub 200 PATCH /twins/l1 -d "{\"properties\":{\"desired\":{\"r\":$deep}}}"
    bad "{\"properties\":{\"desired\":{\"r\":{\"q\":$deep}}}}"
    bad "{\"tags\":{\"$(text 1025)\":1}}"
}

@test "modules: full replacement, duplicates in the second form, at most 50" {
    local i
    hub 200 PUT /devices/m1 -d '{}'
    hub 200 PUT /devices/m1/modules/one -d '{"moduleId":"one","deviceId":"m1","managedBy":"me"}'
    is .managedBy me
    is 'has("status")' false
    hub 409 PUT /devices/m1/modules/one -d '{}'
    error_is ModuleAlreadyExistsOnDevice
    is .errorCode 409301
    hub 200 PUT /devices/m1/modules/one -H 'If-Match: *' -d '{}'
    is .managedBy null
    hub 404 GET /devices/m1/modules/two
    error_is ModuleNotFound
    hub 401 PUT '/devices/m1/modules/%24mine' -d '{}'
    hub 200 GET /devices/m1/modules
    is 'map(.moduleId)' '["one"]'
    hub 204 DELETE /devices/m1/modules/one -H 'If-Match: *'
    for ((i = 0; i < 50; i++)); do
        echo "{\"id\":\"m1\",\"moduleId\":\"m$i\",\"importMode\":\"create\",\"status\":\"enabled\"}"
    done | jq -sc . >"$BATS_TEST_TMPDIR/fifty"
    hub 200 POST /devices -d "@$BATS_TEST_TMPDIR/fifty"
    hub 413 PUT /devices/m1/modules/one-too-many -d '{}'
    error_is TooManyModulesOnDevice
}

@test "modules of missing and of disabled devices: 401 with a signature, unless told otherwise" {
    hub 200 PUT /devices/off -d '{}'
    hub 200 PUT /devices/off/modules/m -d '{}'
    hub 200 PUT /devices/off -H 'If-Match: *' -d '{"status":"disabled"}'
    hub 200 GET /devices/off/modules/m
    AUTH=$(policy_sas iothubowner)
    hub 401 GET /devices/off/modules/m
    hub 401 GET /devices/off/modules
    hub 401 GET /devices/nobody/modules/m
    hub 200 GET /twins/off/modules/m
    hub 200 PATCH /twins/off/modules/m -d '{"tags":{"a":1}}'
    own_sim --doubt=module-of-disabled=answered
    AUTH=$(policy_sas iothubowner)
    hub 200 PUT /devices/off -d '{"status":"disabled"}'
    hub 200 PUT /devices/off/modules/m -d '{}'
    hub 200 GET /devices/off/modules/m
    hub 404 GET /devices/nobody/modules
}

@test "Edge: scopes of the hub's own, system modules, parents" {
    local top below
    hub 200 PUT /devices/top-1 -d '{"capabilities":{"iotEdge":true},"deviceScope":"ms-azure-iot-edge://mine-1"}'
    top=$(jq -r .deviceScope <<<"$output")
    [[ $top == ${scheme}top-1-* ]]
    is .deviceScope "${scheme}top-1-$(jq -r .generationId <<<"$output")"
    hub 200 GET /devices/top-1/modules
    is 'map([.moduleId, .managedBy, .authentication.type])' '[["$edgeAgent","iotEdge","none"],["$edgeHub","iotEdge","none"]]'
    hub 200 PATCH '/twins/top-1/modules/%24edgeAgent' -d '{"properties":{"desired":{"a":1}}}'
    hub 401 PUT '/devices/top-1/modules/%24edgeAgent' -H 'If-Match: *' -d '{}'
    error_is SystemModuleModifyUnauthorizedAccess
    hub 401 DELETE '/devices/top-1/modules/%24edgeHub' -H 'If-Match: *'
    hub 200 PUT /devices/below -d "{\"capabilities\":{\"iotEdge\":true},\"parentScopes\":[\"$top\"]}"
    below=$(jq -r .deviceScope <<<"$output")
    is .parentScopes "[\"$top\"]"
    # The parent of a leaf is its deviceScope; parentScopes alone is ignored.
    hub 200 PUT /devices/leaf -d "{\"deviceScope\":\"$below\"}"
    is '[.deviceScope, .parentScopes]' "[\"$below\",[\"$below\"]]"
    hub 200 PUT /devices/leaf2 -d "{\"parentScopes\":[\"$below\"]}"
    is '[.deviceScope, .parentScopes]' '[null,[]]'
    hub 400 PUT /devices/leaf3 -d '{"deviceScope":"ms-azure-iot-edge://top-1-123"}'
    error_is InvalidDeviceScope
    hub 400 PUT /devices/leaf3 -d '{"deviceScope":"ms-azure-iot-edge://leaf-123"}'
    hub 400 PUT /devices/below -H 'If-Match: *' -d '{"capabilities":{"iotEdge":true}}'
    has 'Device scope is immutable'
    hub 200 PUT /devices/below -H 'If-Match: *' -d "{\"capabilities\":{\"iotEdge\":true},\"deviceScope\":\"$below\"}"
    is .parentScopes '[]'
    hub 200 GET /twins/leaf
    is .deviceScope "$below"
}

@test "bulk: modes in any case, part failure, twins, both spellings of codes" {
    hub 200 POST /devices -d '[{"id":"q1","importMode":"create","status":"enabled","tags":{"a":1.0},"properties":{"desired":{"d":1},"reported":{"r":2}}},{"id":"q2","importMode":"Create","status":"disabled","statusReason":"lost"}]'
    is . '{"isSuccessful":true,"errors":[],"warnings":[]}'
    hub 200 GET /twins/q1
    has '"tags":{"a":1.0}'
    is '[.version, .properties.desired.d, .properties.reported.r]' '[2,1,2]'
    is '.properties.desired["$metadata"].d["$lastUpdatedVersion"]' 1
    hub 400 POST /devices -d '[{"id":"q1","importMode":"create","status":"enabled"},{"id":"q3","importMode":"create","status":"enabled"},{"id":"nobody","importMode":"UpdateTwin","status":"enabled","tags":{}},{"id":"q2","importMode":"updateIfMatchETag","eTag":"MQ==","status":"enabled"}]'
    is '.errors | map([.deviceId, .moduleId, .errorCode, .operation])' \
        '[["q1",null,"DeviceAlreadyExists","create"],["nobody",null,"DeviceNotFound","updateTwin"],["q2",null,"PreconditionFailed","updateIfMatchETag"]]'
    hub 200 GET /devices/q3
    hub 200 POST /devices -d '[{"id":"q1","importMode":"updateTwin","status":"enabled","tags":{"b":2}},{"id":"q2","importMode":"Update","status":"enabled","tags":{"ignored":1}},{"id":"q3","importMode":"Delete","status":"enabled"}]'
    hub 200 GET /twins/q1
    is '[.tags, .properties.desired.d, .version]' '[{"b":2},1,3]'
    hub 200 GET /twins/q2
    is '[.status, .tags]' '["enabled",{}]'
    hub 404 GET /devices/q3
    hub 400 POST /devices -d '[{"id":"q4","importMode":"create","status":"enabled","authentication":{"symmetricKey":{"primaryKey":"MDEyMzQ1Njc4OWFiY2RlZg=="}}},{"id":"q5","importMode":"create","status":"enabled","properties":{"desired":{"n":4503599627370496}}}]'
    is '.errors | map([.deviceId, .errorCode])' '[["q4","ArgumentInvalid"],["q5","ArgumentInvalid"]]'
    hub 404 GET /devices/q5
}

@test "bulk: calls that are refused as a whole" {
    hub 400 POST /devices -d '[{"id":"w1","importMode":"create","status":"enabled"},{"id":"w1","importMode":"create","status":"enabled"}]'
    error_is DeviceDefinedMultipleTimes
    hub 400 POST /devices -d '[{"id":"w1","importMode":"create","status":"enabled"},{"id":"w1","moduleId":"m","importMode":"create","status":"enabled"}]'
    error_is DeviceDefinedMultipleTimes
    hub 400 POST /devices -d '[{"id":"w1","importMode":"createOrUpdate","status":"enabled"}]'
    error_is ArgumentInvalid
    hub 400 POST /devices -d '[{"id":7,"importMode":"create"}]'
    error_is DeserializationError
    hub 400 POST /devices -d '{"id":"w1"}'
    hub 400 POST /devices -d '[]'
    jq -nc '[range(101) | {id: "w\(.)", importMode: "create", status: "enabled"}]' >"$BATS_TEST_TMPDIR/many"
    hub 413 POST /devices -d "@$BATS_TEST_TMPDIR/many"
    error_is TooManyDevices
    hub 404 GET /devices/w1
    # Two modules of one device are two identities.
    hub 200 PUT /devices/w1 -d '{}'
    hub 200 POST /devices -d '[{"id":"w1","moduleId":"a","importMode":"create","status":"enabled"},{"id":"w1","moduleId":"b","importMode":"create","status":"enabled"}]'
}

@test "bulk, the other way round: all or nothing, numbers, scopes and reported ignored" {
    own_sim --doubt=bulk-partial=none --doubt=bulk-error-code=number \
        --doubt=bulk-edge-scope=ignored --doubt=reported-on-create=ignored \
        --doubt=bulk-update-twin=both
    local scope
    hub 200 PUT /devices/e -d '{"capabilities":{"iotEdge":true}}'
    scope=$(jq -r .deviceScope <<<"$output")
    hub 400 POST /devices -d '[{"id":"g","importMode":"create","status":"enabled"},{"id":"e","importMode":"create","status":"enabled"}]'
    is '.errors | map(.errorCode)' '[409001]'
    hub 404 GET /devices/g
    hub 200 POST /devices -d "[{\"id\":\"g\",\"importMode\":\"create\",\"status\":\"enabled\",\"deviceScope\":\"$scope\",\"properties\":{\"reported\":{\"r\":1}}}]"
    hub 200 GET /twins/g
    is '[.deviceScope, .properties.reported.r]' '[null,null]'
    hub 200 POST /devices -d '[{"id":"g","importMode":"update","status":"enabled","tags":{"t":1}}]'
    hub 200 GET /twins/g
    is .tags '{"t":1}'
}

# q STATUS QUERY [CURL OPTION...]
q() {
    local want=$1 query=$2
    shift 2
    hub "$want" POST /devices/query -d "$(jq -nc --arg q "$query" '{query: $q}')" "$@"
}

@test "queries: what selects, compares, counts and groups" {
    make_hub asked '{"location":"westus","sku":{"name":"S1","capacity":1},"properties":{}}'
    HUB=asked
    hub 200 POST /devices -d '[
        {"id":"a","importMode":"create","status":"enabled","tags":{"site":"x","n":1,"on":true},"properties":{"desired":{"v":1.0},"reported":{"t":20}}},
        {"id":"b","importMode":"create","status":"disabled","tags":{"site":"y","n":2,"on":false},"properties":{"reported":{"t":30}}},
        {"id":"c","importMode":"create","status":"enabled","tags":{"site":"it\u0027s","n":"2","deep":{"k\u00e9":1}}}]'
    ids() {
        q 200 "SELECT * FROM devices WHERE $1"
        is 'map(.deviceId) | join("")' "$2"
    }
    q 200 'select * from devices'
    is 'map(.deviceId)' '["a","b","c"]'
    [ "$(header x-ms-item-type)" = Twin ]
    [ -z "$(header x-ms-continuation)" ]
    ids "deviceId = 'b'" b
    ids "status = 'enabled'" ac
    ids "tags.site != 'x'" bc
    ids "tags.n >= 1" ab
    ids "tags.n = '2'" c
    ids "tags.n > 1 OR tags.site = 'x'" ab
    ids "NOT (tags.site = 'x') AND status = 'enabled'" c
    ids "tags.site IN ['x', 'y']" ab
    ids "tags.site NIN ['x', 'y']" c
    ids "is_defined(properties.reported.t)" ab
    ids "NOT is_defined(properties.reported.t)" c
    ids "tags.on" a
    ids "tags.on = false" b
    ids "tags.site = 'it\\'s'" c
    ids 'tags.site = "y"' b
    ids "tags.nobody = 1 OR NOT tags.nobody = 1" ''
    ids "properties.desired.\$version = 1 AND capabilities.iotEdge = false" abc
    ids "properties.desired.v = 1" a
    ids "tags.deep.k$(printf '\303\251') = 1" c
    ids "tags.[[site]] = 'x'" a
    q 200 "SELECT deviceId, tags.site AS s, properties.desired.v FROM devices WHERE tags.n = 1"
    [ "$output" = '[{"deviceId":"a","s":"x","v":1.0}]' ]
    [ "$(header x-ms-item-type)" = Raw ]
    q 200 "SELECT COUNT() AS n FROM devices WHERE status = 'enabled'"
    is . '[{"n":2}]'
    q 200 "SELECT COUNT() AS n, AVG(properties.reported.t) AS t, MIN(tags.n) AS l, MAX(tags.n) AS m, SUM(tags.n) AS s FROM devices"
    is . '[{"n":3,"t":25,"l":1,"m":2,"s":3}]'
    q 200 "SELECT status, COUNT() AS n FROM devices GROUP BY status"
    is 'sort_by(.n)' '[{"status":"disabled","n":1},{"status":"enabled","n":2}]'
    q 200 "SELECT TOP 2 * FROM devices"
    is 'map(.deviceId)' '["a","b"]'
    hub 200 PUT /devices/a/modules/m -d '{}'
    q 200 "SELECT * FROM devices.modules"
    is 'map([.deviceId, .moduleId])' '[["a","m"]]'
    q 200 'SELECT COUNT() AS n FROM devices'
    is . '[{"n":3}]'
}

@test "queries: errors of syntax are the client's" {
    for bad in '' 'SELECT' 'SELECT *' 'SELECT * FROM' 'SELECT * FROM twins' \
        'SELECT * FROM devices WHERE' 'SELECT * FROM devices WHERE tags.a =' \
        "SELECT * FROM devices WHERE tags.a = 'x" 'SELECT * FROM devices WHERE (tags.a = 1' \
        'SELECT * FROM devices WHERE starts_with(tags.a, 1)' 'SELECT * FROM devices x' \
        'SELECT * FROM devices WHERE tags.a IN 1' 'SELECT * FROM devices ORDER BY deviceId' \
        'SELECT TOP x * FROM devices' 'DELETE FROM devices' 'SELECT * FROM devices WHERE tags.a == 1' \
        "SELECT * FROM devices WHERE $(printf '(%.0s' {1..100})tags.a = 1"; do
        q 400 "$bad"
        error_is ArgumentInvalid
        has 'ErrorCode:ArgumentInvalid;BadRequest'
    done
    # What is quoted of it is cut at a byte; the answer stays UTF-8.
    q 400 "SELECT * FROM devices = $(printf '\303\251%.0s' {1..40})"
    iconv -f UTF-8 -t UTF-8 <<<"$output" >/dev/null
    hub 400 POST /devices/query -d '{"query":7}'
    hub 400 POST /devices/query -d '{'
}

@test "queries: pages that end, whatever their size and order" {
    local page token
    own_sim --doubt=list-order=created --doubt=query-max=100
    jq -nc '[range(100) | {id: "d\(997 * . % 250)", importMode: "create", status: "enabled", tags: {n: (. % 2)}}]' >"$BATS_TEST_TMPDIR/1"
    jq -nc '[range(100; 200) | {id: "d\(997 * . % 250)", importMode: "create", status: "enabled", tags: {n: (. % 2)}}]' >"$BATS_TEST_TMPDIR/2"
    hub 200 POST /devices -d "@$BATS_TEST_TMPDIR/1"
    hub 200 POST /devices -d "@$BATS_TEST_TMPDIR/2"
    hub 200 GET /devices
    is '.[0].deviceId' d0
    is '.[1].deviceId' d247
    # A page of 1000 is cut to 100 by this hub.
    q 200 'SELECT * FROM devices' -H 'x-ms-max-item-count: 1000'
    is length 100
    for page in 30 100; do
        : >"$BATS_TEST_TMPDIR/seen"
        token=
        while :; do
            q 200 'SELECT deviceId FROM devices WHERE tags.n = 1' \
                -H "x-ms-max-item-count: $page" ${token:+-H "x-ms-continuation: $token"}
            jq -r '.[].deviceId' <<<"$output" >>"$BATS_TEST_TMPDIR/seen"
            token=$(header x-ms-continuation)
            [ "$token" ] || break
        done
        [ "$(wc -l <"$BATS_TEST_TMPDIR/seen")" -eq 100 ]
        [ "$(sort -u "$BATS_TEST_TMPDIR/seen" | wc -l)" -eq 100 ]
    done
    q 200 'SELECT * FROM devices' -H 'x-ms-max-item-count: 10'
    token=$(header x-ms-continuation)
    q 400 'SELECT deviceId FROM devices' -H "x-ms-continuation: $token"
    q 400 'SELECT * FROM devices' -H 'x-ms-continuation: bm9uc2Vuc2U='
    q 400 'SELECT * FROM devices' -H 'x-ms-max-item-count: some'
    # TOP counts over pages.
    q 200 'SELECT TOP 12 * FROM devices' -H 'x-ms-max-item-count: 10'
    token=$(header x-ms-continuation)
    q 200 'SELECT TOP 12 * FROM devices' -H 'x-ms-max-item-count: 10' -H "x-ms-continuation: $token"
    is length 2
    [ -z "$(header x-ms-continuation)" ]
}

@test "queries lag: the deleted are still found, the new not yet; modules unconnected" {
    own_sim --doubt=query-lag=on --doubt=modules-query=connected
    hub 200 PUT /devices/gone -d '{}'
    hub 204 DELETE /devices/gone -H 'If-Match: *'
    hub 200 PUT /devices/new -d '{}'
    hub 200 PUT /devices/new/modules/m -d '{}'
    q 200 'SELECT * FROM devices'
    is 'map(.deviceId)' '["gone"]'
    hub 200 GET /devices
    is 'map(.deviceId)' '["new"]'
    q 200 'SELECT * FROM devices.modules'
    is length 0
}

@test "configurations: made, changed with a quoted etag, content fixed, deleted" {
    local c='{"id":"fw","labels":{"k":"v"},"content":{"deviceContent":{"properties.desired.fw":{"v":1.0}}},"targetCondition":"tags.env='"'prod'"'","priority":10,"metrics":{"queries":{"m":"SELECT deviceId FROM devices"}},"etag":"*"}'
    hub 200 PUT /configurations/fw -d "$c"
    has '"properties.desired.fw":{"v":1.0}'
    is '[.etag, .priority, .metrics.results, .schemaVersion]' '["MQ==",10,{},"1.0"]'
    hub 409 PUT /configurations/fw -d "$c"
    error_is ConfigurationAlreadyExists
    hub 409 PUT /configurations/fw -H 'If-Match: MQ==' -d "$c"
    hub 200 PUT /configurations/fw -H 'If-Match: "MQ=="' -d "${c/1.0/2.0}"
    has '"properties.desired.fw":{"v":1.0}'
    is .etag Mg==
    [ "$(header etag)" = '"Mg=="' ]
    hub 412 PUT /configurations/fw -H 'If-Match: "MQ=="' -d "$c"
    hub 400 PUT /configurations/UPPER -d "$c"
    hub 400 PUT /configurations/two -d '{"content":{}}'
    hub 400 PUT /configurations/two -d "${c/tags.env=/tags.env==}"
    hub 200 GET /configurations
    is 'map(.id)' '["fw"]'
    hub 200 POST /configurations/testQueries -d '{"targetCondition":"tags.a =","customMetricQueries":{"good":"SELECT * FROM devices","bad":"SELECT"}}'
    is '[.targetConditionError != null, (.customMetricQueryErrors | keys)]' '[true,["bad"]]'
    hub 204 DELETE /configurations/fw
    hub 404 GET /configurations/fw
    error_is ConfigurationNotFound
}

@test "applyConfigurationContent writes the desired properties of modules and makes missing ones" {
    hub 200 PUT /devices/edge1 -d '{"capabilities":{"iotEdge":true}}'
    hub 204 POST /devices/edge1/applyConfigurationContent -d '{"modulesContent":{"$edgeAgent":{"properties.desired":{"schemaVersion":"1.1","modules":{"temp":{"version":1.0}}}},"$edgeHub":{"properties.desired":{"routes":{}}},"temp":{"properties.desired":{"a":1},"properties.desired.b.c":2}}}'
    hub 200 GET '/twins/edge1/modules/%24edgeAgent'
    has '"modules":{"temp":{"version":1.0}}'
    is '.properties.desired["$version"]' 2
    hub 200 GET /twins/edge1/modules/temp
    is '.properties.desired | [.a, .b]' '[1,{"c":2}]'
    hub 200 GET /devices/edge1/modules/temp
    is '[.managedBy, .authentication.type]' '["iotEdge","sas"]'
    hub 200 PUT /devices/plain -d '{}'
    hub 400 POST /devices/plain/applyConfigurationContent -d '{"modulesContent":{}}'
    hub 404 POST /devices/nobody/applyConfigurationContent -d '{"modulesContent":{}}'
}

@test "statistics; what is not simulated says so" {
    make_hub counted '{"location":"westus","sku":{"name":"S1","capacity":1},"properties":{}}'
    HUB=counted
    hub 200 PUT /devices/a -d '{}'
    hub 200 PUT /devices/b -d '{"status":"disabled"}'
    hub 200 PUT /devices/a/modules/m -d '{}'
    hub 200 GET /statistics/devices
    is . '{"totalDeviceCount":2,"enabledDeviceCount":1,"disabledDeviceCount":1}'
    hub 200 GET /statistics/service
    is .connectedDeviceCount 0
    hub 501 GET /jobs
    has 'hub-sim does not simulate'
    hub 501 POST /jobs/create -d '{}'
    hub 501 POST /twins/a/methods -d '{}'
}

@test "tiers: a free hub ends at 500 devices, a basic one has no twins" {
    local i
    make_hub free '{"location":"westus","sku":{"name":"F1","capacity":1},"properties":{}}'
    make_hub basic '{"location":"westus","sku":{"name":"B1","capacity":1},"properties":{}}'
    HUB=free
    for i in 0 1 2 3 4; do
        jq -nc --argjson i $i '[range(100) | {id: "d\($i * 100 + .)", importMode: "create", status: "enabled"}]' >"$BATS_TEST_TMPDIR/c"
        hub 200 POST /devices -d "@$BATS_TEST_TMPDIR/c"
    done
    hub 403 PUT /devices/one-more -d '{}'
    error_is IotHubQuotaExceeded
    HUB=basic
    hub 200 PUT /devices/a -d '{}'
    hub 403 GET /twins/a
    error_is OperationNotAvailableInCurrentTier
}

@test "what was acknowledged survives kill -9, and a deleted hub forgets its devices" {
    own_sim --db="$BATS_TEST_TMPDIR/state.db"
    jq -nc '[range(100) | {id: "d\(.)", importMode: "create", status: "enabled"}]' >"$BATS_TEST_TMPDIR/c"
    hub 200 POST /devices -d "@$BATS_TEST_TMPDIR/c"
    hub 200 PATCH /twins/d7 -d '{"tags":{"kept":1.0}}'
    kill -9 "$SIM_PID"
    wait "$SIM_PID" || true
    again --db="$BATS_TEST_TMPDIR/state.db"
    ARM_TOKEN=$(entra https://management.azure.com)
    BEARER=$(entra https://iothubs.azure.net)
    hub 200 GET /statistics/devices
    is .totalDeviceCount 100
    hub 200 GET /twins/d7
    has '"tags":{"kept":1.0}'
    arm DELETE '/providers/Microsoft.Devices/IotHubs/hub1?api-version=2023-06-30' >/dev/null
    sleep 0.1
    make_hub hub1 '{"location":"westus","sku":{"name":"S1","capacity":1},"properties":{}}'
    hub 404 GET /devices/d7
}

# seeded FILE OPTION...: a simulator that starts with those lines.
seeded() {
    local file=$1
    shift
    OWN_SIM=yes
    again --from "$ROOT/examples/contoso.json" --registry "$file" "$@"
    BEARER=$(entra https://iothubs.azure.net)
    HUB=contoso
}

@test "a fleet is loaded at the start, in whatever order its lines are" {
    local parent
    jq -nrc --argjson n 200 -f "$ROOT/examples/fleet.jq" | tac >"$BATS_TEST_TMPDIR/fleet"
    printf 'a warning, as exports without keys begin\n\n' |
        cat - "$BATS_TEST_TMPDIR/fleet" >"$BATS_TEST_TMPDIR/lines"
    seeded "$BATS_TEST_TMPDIR/lines"
    hub 200 GET /statistics/devices
    is .totalDeviceCount 200
    q 200 'SELECT COUNT() AS n FROM devices.modules'
    is '.[0].n' "$(grep -c moduleId "$BATS_TEST_TMPDIR/fleet")"
    hub 200 GET /devices/factory-0050
    parent=$(jq -r .deviceScope <<<"$output")
    hub 200 GET /devices/line-0050
    is .parentScopes "[\"$parent\"]"
    is '[.authentication.symmetricKey.primaryKey | @base64d | .[:12]]' '["line-0050/p."]'
    hub 200 GET '/twins/line-0050/modules/%24edgeAgent'
    is .properties.desired.runtime.type docker
}

@test "loading keeps bytes, and reported properties" {
    cat >"$BATS_TEST_TMPDIR/lines" <<'END'
{"id":"k","status":"disabled","statusReason":"\u00e9\/","tags":{ "b" : 1.0,"a":[1e2 , "\ud83d\ude00"]},"properties":{"desired":{"n":4503599627370495,"$version":7,"$metadata":{}},"reported":{"r":-0}}}
{"id":"k","moduleId":"m","status":"enabled","tags":{"x":0.10}}
END
    seeded "$BATS_TEST_TMPDIR/lines"
    hub 200 GET /twins/k
    has '"tags":{ "b" : 1.0,"a":[1e2 , "\ud83d\ude00"]}' '"statusReason":"\u00e9\/"' \
        '"desired":{"n":4503599627370495,"$metadata":' '"reported":{"r":-0,'
    is '.properties.desired["$version"]' 1
    hub 200 GET /twins/k/modules/m
    has '"tags":{"x":0.10}'
}

@test "a file that cannot be loaded is refused with the line" {
    refused() {
        printf '%s\n' '{"id":"ok"}' "$1" >"$BATS_TEST_TMPDIR/lines"
        expect_status 3 hub-sim --from "$ROOT/examples/contoso.json" \
            --registry "$BATS_TEST_TMPDIR/lines" -- true
        has 'line 2: ' "$2"
    }
    refused '{"id":"ok"}' 'already registered'
    refused '{"id":"x"' 'at byte'
    refused '{"status":"enabled"}' 'device id'
    refused '{"id":"a b"}' 'device id'
    refused '{"id":"x","moduleId":"m"}' "'x' is not registered"
    refused '{"id":"x","deviceScope":"ms-azure-iot-edge://ok-1"}' 'no Edge device'
    refused '{"id":"x","tags":{"a.b":1}}' 'not allowed'
    refused '{"id":"x","authentication":{"symmetricKey":{"primaryKey":"MDEyMzQ1Njc4OWFiY2RlZg=="}}}' 'both keys'
}
