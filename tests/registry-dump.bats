# registry-dump: a hub as records; the same lines by any path.
# shellcheck shell=bash disable=SC2016 # $ in what hub-sim's shell evaluates

load helper

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    umask 077
}

# sim STATUS [OPTION...] -- SCRIPT: in bash, with two hubs, contoso and
# contoso-east; west.txt, where it is there, is what contoso has.
sim() {
    local west=()
    [ -e west.txt ] && west=(--registry west.txt)
    simulate "${west[@]}" --from "$FIXTURES/two-hubs.json" --dest contoso-east --operation-ms 1 : "$@"
}

# What differs from hub to hub, and with time, taken out.
plain() {
    sed 's/"\(eTag\|twinETag\)":"[^"]*",//g; s/\(edge:\/\/[^"]*\)-[0-9]*"/\1"/g' "$@"
}

key() {
    printf '"authentication":{"symmetricKey":{"primaryKey":"%s","secondaryKey":"%s"},"x509Thumbprint":{"primaryThumbprint":null,"secondaryThumbprint":null},"type":"sas"}' \
        "$(printf '%s/p................' "$1" | base64 -w 0)" "$(printf '%s/s................' "$1" | base64 -w 0)"
}

make_west() {
    cat >west.txt <<END
{"id":"a#1","status":"enabled","statusReason":"none",$(key a),"tags":{"site":"Zürich","n":1.0,"e":1e2},"properties":{"desired":{"b":[ 1 , 2 ],"s":"\\/"},"reported":{}},"capabilities":{"iotEdge":false}}
{"id":"a#1","moduleId":"m","status":"enabled",$(key m),"tags":{},"properties":{"desired":{"x":{}},"reported":{}},"managedBy":"me"}
{"id":"edge","status":"enabled",$(key edge),"capabilities":{"iotEdge":true}}
{"id":"leaf","status":"disabled","statusReason":"stolen","authentication":{"x509Thumbprint":{"primaryThumbprint":"0123456789ABCDEF0123456789ABCDEF01234567","secondaryThumbprint":"0123456789ABCDEF0123456789ABCDEF01234568"},"type":"selfSigned"},"deviceScope":"ms-azure-iot-edge://edge-1"}
END
}

@test "members in a fixed order, values as the hub has them, modules after their device" {
    make_west
    sim 0 -- 'registry-dump -q >out'
    same <(plain out | head -n 2) <(head -n 2 west.txt)
    # An export has parentScopes where there are some.
    [ "$(jq -r 'keys_unsorted | join(" ")' out | sed -n 3p)" = \
        "id eTag status statusReason authentication twinETag tags properties capabilities deviceScope" ]
    [ "$(jq -r 'keys_unsorted | join(" ")' out | tail -n 1)" = \
        "id eTag status statusReason authentication twinETag tags properties capabilities deviceScope parentScopes" ]
    [ "$(jq -r '[.id, .moduleId // "-", .managedBy // "-"] | join(" ")' out)" = \
        "a#1 - -
a#1 m me
edge - -
edge \$edgeAgent iotEdge
edge \$edgeHub iotEdge
leaf - -" ]
    [ "$(jq -r 'select(.moduleId == "$edgeHub") | .authentication' out)" = null ]
    [ "$(jq -r 'select(.id == "leaf") | .deviceScope == .parentScopes[0], .status' out)" = "true
disabled" ]
}

@test "a dump that is loaded and dumped again is the same but for scopes and etags" {
    make_west
    sim 0 -- 'registry-dump -q >one && registry-load -q <one && registry-dump -q env:DEST_IOTHUB_CONN_STRING >two'
    same <(plain one | sort) <(plain two | sort)
}

@test "the same lines with any -j, and above the 1,000 that one call lists" {
    jq -nc 'range(1100) | {id: "dev-\(.)", status: "enabled", authentication: {type: "certificateAuthority"}, tags: {n: .}},
        if . % 100 == 7 then {id: "dev-\(.)", moduleId: "m", status: "enabled", authentication: {type: "sas",
            symmetricKey: {primaryKey: "QUJDREVGR0hJSktMTU5PUA==", secondaryKey: "QUJDREVGR0hJSktMTU5PUA=="}}} else empty end' >west.txt
    sim 0 -- 'registry-dump --manifest=m.json >out && registry-dump -q -j 1 >one && registry-dump -q -j 64 >many'
    has "1,200 identity operations, 1,100 twin reads, 2 query pages: about 23 min at S1 x1, share 50 %"
    same out one
    same out many
    [ "$(jq -r '.id + (.moduleId // "")' out | sort -u | wc -l)" -eq 1111 ]
    [ "$(wc -l <out)" -eq 1111 ]
    [ "$(jq -c '[.tags.n | values] | add' out | jq -s add)" -eq $((1099 * 550)) ]
    [ "$(jq -r '.sha256' m.json)" = "$(sha256sum <out | cut -d' ' -f1)" ]
    [ "$(jq -c '[.hub, .lines, .devices, .path, .keys, .complete]' m.json)" = \
        '["contoso.azure-devices.net",1111,1100,"rest",true,true]' ]
    sim 0 --doubt query-max=100 --doubt list-order=created -- 'registry-dump -q >hundred'
    same <(plain out | sort) <(plain hundred | sort)
}

@test "a device that the query does not know yet is not lost, one that is gone is left out" {
    jq -nc 'range(1001) | {id: "dev-\(.)", status: "enabled", authentication: {type: "certificateAuthority"}}' >west.txt
    sim 0 --doubt query-lag=on -- '
        jq -nc "range(3) | {id: \"dev-\(.)\", importMode: \"delete\", status: \"enabled\"}" >gone
        c=$IOTHUB_CONN_STRING
        IOTHUB_CONN_STRING= C=$c registry-load -q --expect=3 --confirm=contoso env:C <gone
        echo "{\"id\":\"a-new\",\"status\":\"enabled\",\"authentication\":{\"type\":\"certificateAuthority\"}}" |
            IOTHUB_CONN_STRING= C=$c registry-load -q env:C
        registry-dump >out || test $? -eq 7; jq -r .id out | sort >ids'
    [ "$(grep -c '^dev-' ids)" -eq 998 ]
    [ "$(grep -cx 'dev-[012]' ids)" -eq 0 ]
}

@test "\$metadata and \$version only with --metadata" {
    make_west
    sim 0 -- 'registry-dump -q >plain; registry-dump -q --metadata >full'
    [ "$(grep -c 'metadata' plain)" -eq 0 ]
    [ "$(grep -c '\$version' plain)" -eq 0 ]
    [ "$(jq -c 'select(.id == "edge" and .moduleId == null) | [.properties[]["$version"]]' full)" = "[1,1]" ]
    [ "$(jq -c 'select(.moduleId == "m") | .properties.desired["$metadata"] | has("$lastUpdated")' full)" = true ]
}

@test "without keys there is none, the manifest says so, and registry-load refuses it" {
    make_west
    sim 0 -- 'registry-dump -q --exclude-keys --manifest=m.json >out; registry-load -q <out >refused; test $? -eq 3'
    [ "$(jq -c .authentication out | sort -u)" = null ]
    [ "$(jq .keys m.json)" = false ]
    [ "$(jq -r .code refused | tr '\n' ' ')" = "NoKeys NoKeys NoKeys NoKeys NoGround NoGround " ]
}

@test "modules of a disabled device: an Entra token shows them; without one they are said to be missing" {
    cat >west.txt <<END
{"id":"d","status":"disabled",$(key d)}
{"id":"d","moduleId":"m","status":"enabled",$(key m)}
{"id":"e","status":"disabled",$(key e),"capabilities":{"iotEdge":true}}
END
    sim 0 -- 'registry-dump -o out --manifest=m.json'
    has_not "left out"
    [ "$(jq -r '.id + "/" + (.moduleId // "")' out | tr '\n' ' ')" = 'd/ d/m e/ e/$edgeAgent e/$edgeHub ' ]
    # By a query that can know of them.
    sim 7 --doubt query-lag=off --doubt modules-query=all --doubt module-of-disabled=refused -- 'env -u AZURE_CLIENT_ID registry-dump -o out --manifest=m.json'
    has "warning: 'd': its modules are left out" "does not list the modules of 1 disabled devices"
    has_not "'e': its modules"
    [ "$(jq -r '.id + "/" + (.moduleId // "")' out | tr '\n' ' ')" = 'd/ e/ e/$edgeAgent e/$edgeHub ' ]
    [ "$(jq -c '[.complete, .unlisted]' m.json)" = '[false,1]' ]
    sim 0 --doubt module-of-disabled=answered -- 'env -u AZURE_CLIENT_ID registry-dump -q -o out'
    [ "$(wc -l <out)" -eq 5 ]
}

@test "a dump that dies leaves no manifest and no file" {
    make_west
    echo old >m.json
    sim 5 --fault 'host=contoso.*,skip=3,count=0,do=status:503' -- \
        'registry-dump --retry-max-time=0 -o out --manifest=m.json'
    has "ServiceUnavailable"
    [ ! -e out ]
    [ ! -e m.json ]
}

@test "errors of the hub: 401 names the remedy, throttling and lost answers are waited for" {
    make_west
    sim 6 --fault 'host=contoso.*,count=0,do=status:401' -- 'registry-dump'
    has "IoT Hub Data Contributor" "iothubowner"
    sim 0 -- 'registry-dump -q >want'
    for fault in status:429 status:503 half cut badjson garbage empty lose; do
        sim 0 --fault "host=contoso.*,skip=2,count=3,do=$fault" -- \
            'registry-dump -q --retry-delay=0.01 >out'
        same <(plain want) <(plain out)
    done
    sim 6 -- 'registry-dump no-such-hub 2>&1 || { echo "status $?"; exit 6; }'
    has "no-such-hub" "status 1"
}

@test "a device that goes while it is read is left out and said so" {
    make_west
    sim 0 --fault 'host=contoso.*,path=/devices/leaf*,count=0,do=status:404,code=DeviceNotFound' -- 'registry-dump >out'
    has "'leaf': deleted while the dump was made"
    [ "$(jq -r .id out | sort -u | tr '\n' ' ')" = "a#1 edge " ]
    sim 0 --fault 'host=contoso.*,path=/twins/leaf,count=0,do=status:404,code=DeviceNotFound' -- 'registry-dump -q >out'
    [ "$(jq -c 'select(.id == "leaf") | has("tags")' out)" = false ]
}

@test "a tier without twins is dumped without them" {
    make_west
    sim 0 --fault 'host=contoso.*,path=/twins/*,count=0,do=status:403,code=OperationNotAvailableInCurrentTier' -- 'registry-dump >out'
    has "its tier has no twins"
    [ "$(grep -c twinETag out)" -eq 0 ]
    [ "$(wc -l <out)" -eq 6 ]
}

@test "a full disk and a closed pipe are failures; nothing to read is none" {
    make_west
    sim 4 -- 'registry-dump >/dev/full'
    has "stdout" "write failed"
    sim 2 -- 'IOTHUB_CONN_STRING= registry-dump'
    has "no hub named"
    rm west.txt
    sim 0 -- 'registry-dump -q | wc -c'
    has 0
}

@test "configurations: as the service writes them, without what only it can know" {
    sim 0 -- '
        api() { curl -sf --connect-to "::$HUBPIPE_CONNECT_TO" "$@"; }
        token=$(api -d "grant_type=client_credentials&client_id=$AZURE_CLIENT_ID&client_secret=$AZURE_CLIENT_SECRET&scope=https://iothubs.azure.net/.default" \
            "https://login.microsoftonline.com/$AZURE_TENANT_ID/oauth2/v2.0/token" | jq -r .access_token)
        api -o /dev/null -X PUT -H "Authorization: Bearer $token" -H "Content-Type: application/json" \
            "https://contoso.azure-devices.net/configurations/fw?api-version=2021-04-12" \
            -d "{\"id\":\"fw\",\"schemaVersion\":\"1.0\",\"labels\":{\"a\":\"b\"},\"content\":{\"deviceContent\":{\"properties.desired.fw\":{\"v\":1.0}}},\"targetCondition\":\"*\",\"priority\":10,\"metrics\":{\"queries\":{\"m\":\"SELECT deviceId FROM devices\"}}}"
        registry-dump -q --configurations=c.txt >/dev/null'
    [ "$(jq -c 'del(.ETag)' c.txt)" = \
        '{"Id":"fw","SchemaVersion":"1.0","Labels":{"a":"b"},"Content":{"DeviceContent":{"properties.desired.fw":{"v":1}}},"TargetCondition":"*","Priority":10,"Metrics":{"Queries":{"m":"SELECT deviceId FROM devices"}}}' ]
    grep -q '"v":1.0' c.txt
}
