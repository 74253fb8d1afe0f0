# http.bats: what the network does to a request, whatever tool sent it.  A GET
# may be repeated; what creates is looked at first (tmpl-deploy's PUT).
# shellcheck shell=bash disable=SC2016 # text for a shell inside hub-sim

load helper

setup() {
    D=$BATS_TEST_TMPDIR
    export D
    cat >"$D/hub.json" <<'EOF'
{"$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
 "contentVersion": "1.0.0.0",
 "resources": [{"type": "Microsoft.Devices/IotHubs", "apiVersion": "2023-06-30",
  "name": "t-hub", "location": "eastus", "sku": {"name": "S1", "capacity": 1},
  "properties": {}}]}
EOF
}

# sim STATUS [OPTION...] -- TEXT
sim() {
    simulate --log="$D/log" : "$@"
}

# How often the simulator saw METHOD on a path that ends in PATTERN.
seen() {
    jq -s --arg m "$1" --arg p "$2" \
        '[.[] | select(.method == $m and (.path | test($p)))] | length' "$D/log"
}

export_hub='hub-export --timeout=1 --retry-delay=0.01 -g west-rg t-hub | jq -r .resources[0].name'
deploy_hub='tmpl-deploy --timeout=1 --retry-delay=0.01 -g east-rg "$D/hub.json" | jq -r .provisioningState'

@test "a GET survives every way in which an answer can be lost" {
    for how in cut lose half empty garbage badjson hang status:500 status:502 \
        status:503 status:504 status:408 status:429; do
        rm -f "$D/log"
        sim 0 --from "$D/hub.json" \
            --fault "method=GET,path=*IotHubs/t-hub,do=$how" -- "$export_hub"
        has "t-hub"
        [ "$(seen GET 'IotHubs/t-hub$')" -ge 2 ] || { echo "$how"; return 1; }
    done
}

@test "what a GET is refused for is not tried again" {
    for how in 400 403 404 405 409 412 501; do
        rm -f "$D/log"
        sim "$([ "$how" = 404 ] && echo 1 || { [ "$how" = 409 ] && echo 5; } || echo 6)" \
            --from "$D/hub.json" \
            --fault "method=GET,path=*IotHubs/t-hub,count=0,do=status:$how" -- "$export_hub"
        has "hub-export: 't-hub': "
        [ "$(seen GET 'IotHubs/t-hub$')" -eq 1 ]
    done
}

@test "a PUT that creates is sent once, whatever becomes of its answer" {
    # lose, half and badjson are carried out; the others are not.
    for how in cut lose half empty garbage badjson hang status:500 status:503; do
        rm -f "$D/log"
        sim 0 --fault "method=PUT,path=*deployments/*,do=$how" -- "$deploy_hub"
        has "Succeeded"
        case $how in
        lose | half | badjson) [ "$(seen PUT 'deployments/')" -eq 1 ] ;;
        *) [ "$(seen PUT 'deployments/')" -eq 2 ] ;;
        esac || { echo "$how"; cat "$D/log"; return 1; }
    done
}

@test "a throttled PUT was not carried out, and is sent again" {
    sim 0 --fault 'method=PUT,path=*deployments/*,count=3,do=status:429' -- "$deploy_hub"
    has "Succeeded"
    [ "$(seen PUT 'deployments/')" -eq 4 ]
}

@test "Retry-After is obeyed, in seconds" {
    sim 0 --from "$D/hub.json" \
        --fault 'method=GET,path=*IotHubs/t-hub,retry-after=1,do=status:429' -- \
        'hub-export -v --retry-delay=60 -g west-rg t-hub'
    has "again in 1.00 s: HTTP 429"
}

@test "one that asks for more than --retry-max-time ends with 5" {
    sim 5 --from "$D/hub.json" \
        --fault 'method=GET,path=*IotHubs/t-hub,count=0,retry-after=700,do=status:429' -- \
        "$export_hub"
    has "The request has been throttled"
    [ "$(seen GET 'IotHubs/t-hub$')" -eq 1 ]
}

@test "the patience of --retry-max-time ends" {
    sim 5 --from "$D/hub.json" \
        --fault 'host=management*,path=*IotHubs/t-hub,count=0,do=status:503' -- \
        'hub-export --retry-delay=0.1 --retry-max-time=0.5 -g west-rg t-hub'
    [ "$(seen GET 'IotHubs/t-hub$')" -ge 3 ]
}

@test "nobody there: status 5, with the host that was asked" {
    expect_pipe 5 'HUBPIPE_CONNECT_TO=127.0.0.1:9 AZURE_TENANT_ID=t AZURE_CLIENT_ID=c \
        AZURE_CLIENT_SECRET=s AZURE_SUBSCRIPTION_ID=u \
        hub-export --retry-max-time=0.2 --retry-delay=0.05 -g g h'
    has "hub-export: 'login.microsoftonline.com': " "connect"
}

@test "another CA: refused at once, and it says which CA was believed" {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
        -subj /CN=other -keyout "$D/key" -out "$D/other.pem" 2>/dev/null
    sim 6 -- 'SSL_CERT_FILE=$D/other.pem hub-export -g west-rg t-hub'
    has "'login.microsoftonline.com': its certificate is not trusted" "other.pem"
    [ ! -s "$D/log" ] || [ "$(jq -s length "$D/log")" -eq 0 ]
}

@test "no CA file: a local failure that names it" {
    sim 4 -- 'SSL_CERT_FILE=$D/nowhere.pem hub-export -g west-rg t-hub'
    has "nowhere.pem': cannot read SSL_CERT_FILE"
}

@test "HUBPIPE_CONNECT_TO must be an address and a port" {
    for value in nonsense :443 127.0.0.1: 127.0.0.1:0 127.0.0.1:70000 \
        127.0.0.1:44x '1.2.3.4:5,6.7.8.9:10' ::1:443; do
        expect_status 2 env HUBPIPE_CONNECT_TO="$value" AZURE_SUBSCRIPTION_ID=u \
            hub-export -g west-rg t-hub
        has "'$value': HUBPIPE_CONNECT_TO is not ADDR:PORT"
    done
}

@test "HUBPIPE_CONNECT_TO is said, -q or not, and wins over a proxy" {
    sim 0 --from "$D/hub.json" -- \
        'HTTPS_PROXY=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9 \
        hub-export -q -g west-rg t-hub'
    has "HUBPIPE_CONNECT_TO is set: all hosts are at 127.0.0.1:"
    [ "$(grep -c HUBPIPE_CONNECT_TO <<<"$output")" -eq 1 ]
}

@test "numbers of seconds may have a fraction, and must be numbers" {
    for o in timeout retry-delay retry-max-time; do
        expect_status 2 env AZURE_SUBSCRIPTION_ID=u hub-export "--$o=soon" -g g h
        has "--$o: 'soon' is not a number of seconds"
        expect_status 2 env AZURE_SUBSCRIPTION_ID=u hub-export "--$o=-1" -g g h
    done
    expect_status 2 env AZURE_SUBSCRIPTION_ID=u hub-export -j 0 -g g h
    has "--jobs: 0 is not between 1 and"
}

@test "-v shows requests and answers, and no secret" {
    sim 0 --from "$D/hub.json" -- 'sed s/t-hub/t-hub2/ "$D/hub.json" | tmpl-deploy -v -g east-rg;
        registry-dump -v;
        env | sed -n "s/^AZURE_CLIENT_SECRET=/secret /p"'
    has "> PUT https://management.azure.com/subscriptions/" \
        "?api-version=2022-09-01" "< 201 in " "< 404 in " "> GET https://t-hub.azure-devices.net/"
    has_not "Bearer " "SharedAccessSignature" "client_secret" "Authorization"
    [ "$(grep -c "$(sed -n 's/^secret //p' <<<"$output")" <<<"$output")" -eq 1 ]
}

@test "--audit: one line for each write, appended, for the owner's eyes" {
    sim 0 -- 'for i in 1 2; do tmpl-deploy --audit="$D/audit" -g east-rg "$D/hub.json"; done'
    [ "$(stat -c %a "$D/audit")" = 600 ]
    run jq -r '[.operation, .status, .principal, .target, (.id | split("/")[-1] | split("-")[0])] | join(" ")' "$D/audit"
    has "put 201 33333333-3333-3333-3333-333333333333 Azure Resource Manager east" \
        "put 201 33333333-3333-3333-3333-333333333333 Azure Resource Manager hubpipe" \
        "put 200 33333333-3333-3333-3333-333333333333 Azure Resource Manager hubpipe"
    jq -e 'select(.operation == "put") | .request | length > 8' "$D/audit"
    jq -e '.time | test("^20[0-9-]*T[0-9:.]*Z$")' "$D/audit"
    sim 4 -- 'tmpl-deploy --audit=/no/where -g east-rg "$D/hub.json"'
    has "'/no/where': cannot open"
    sim 4 -- 'tmpl-deploy --audit=/dev/full -g west-rg "$D/hub.json"'
    has "'/dev/full': write failed"
}

@test "a token that ends in mid-run is renewed" {
    sim 0 --token-seconds=1 --operation-ms=1500 -- "$deploy_hub"
    has "Succeeded"
    [ "$(seen POST 'oauth2/v2.0/token$')" -ge 2 ]
}

@test "a 401 to a fresh-looking token gets one new token, then an answer" {
    sim 0 --from "$D/hub.json" --fault 'path=*IotHubs/t-hub,do=status:401' -- "$export_hub"
    has "t-hub"
    [ "$(seen POST 'oauth2/v2.0/token$')" -eq 2 ]
    rm "$D/log"
    sim 6 --from "$D/hub.json" --fault 'path=*IotHubs/t-hub,count=0,do=status:401' -- "$export_hub"
    has "'t-hub': " "the token of 33333333-3333-3333-3333-333333333333 is not accepted"
    [ "$(seen GET 'IotHubs/t-hub$')" -eq 2 ]
}
