# dataplane.bash: what the tests of hub-sim's data plane share: a hub named hub1,
# tokens for it, and asking it with curl.  Load after helper.
# shellcheck shell=bash disable=SC2154 # set by helper and bats

api='api-version=2021-04-12'

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
    local sig
    sig=$(printf '%s\n%s' "$1" "$2" | hmac "$4")
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

# q STATUS QUERY [CURL OPTION...]
q() {
    local want=$1 query=${2//\\/\\\\}
    shift 2
    hub "$want" POST /devices/query -d "{\"query\":\"${query//\"/\\\"}\"}" "$@"
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

# soon VALUE JQ METHOD PATH [CURL OPTION...]: asks until the program gives that
# value for the body: what goes on in the background takes its time.
soon() {
    local want=$1 program=$2 i got
    shift 2
    for ((i = 0; i < 200; i++)); do
        hub 200 "$@" || return 1
        got=$(jq -rc "$program" <<<"$output")
        [ "$got" = "$want" ] && return
        sleep 0.03
    done
    printf '%s stays %s, not %s, in: %s\n' "$program" "$got" "$want" "$output"
    return 1
}

# soon_q VALUE JQ QUERY
soon_q() {
    soon "$1" "$2" POST /devices/query -d "$(jq -nc --arg q "$3" '{query: $q}')"
}
