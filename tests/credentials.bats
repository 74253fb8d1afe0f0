# credentials.bats: who the tools are, in the order of DefaultAzureCredential;
# how hubs are named; and that no secret is ever seen.
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
    # Programs named az, for a PATH.
    mkdir "$D/bin"
}

# sim STATUS [OPTION...] -- TEXT
sim() {
    simulate --log="$D/log" --from "$D/hub.json" : "$@"
}

ask='hub-export -g west-rg t-hub | jq -r .resources[0].name'

fake_az() {
    printf '#!/bin/sh\n%s\n' "$1" >"$D/bin/az"
    chmod 755 "$D/bin/az"
}

@test "environment: a client secret" {
    sim 0 -- "$ask"
    has "t-hub"
}

@test "a wrong secret: the first line of what Entra says, the variable, status 6" {
    sim 6 -- "AZURE_CLIENT_SECRET=wrong-one-42 $ask"
    has "login failed: AADSTS" "(HTTP 401; check AZURE_CLIENT_SECRET)"
    has_not "wrong-one-42" "trace" "Trace"
}

@test "environment: a certificate signs for us" {
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=t \
        -keyout "$D/key.pem" -out "$D/cert.pem" 2>/dev/null
    cat "$D/cert.pem" "$D/key.pem" >"$D/both.pem"
    cat "$D/cert.pem" "$D/key.pem" >"$D/both.pem"
    sim 0 -- "unset AZURE_CLIENT_SECRET; AZURE_CLIENT_CERTIFICATE_PATH=\$D/both.pem $ask"
    has "t-hub"
    # What is no certificate is named.
    sim 4 -- "unset AZURE_CLIENT_SECRET; AZURE_CLIENT_CERTIFICATE_PATH=\$D/cert.pem $ask"
    has "cert.pem': no PEM file with an RSA key and its certificate"
    sim 4 -- "unset AZURE_CLIENT_SECRET; AZURE_CLIENT_CERTIFICATE_PATH=\$D/none.pem $ask"
    has "none.pem': cannot open"
    sim 4 -- "unset AZURE_CLIENT_SECRET; AZURE_CLIENT_CERTIFICATE_PATH=\$D $ask"
    has "$D': read failed: Is a directory"
}

@test "environment: a federated token file" {
    echo head.claims.signature >"$D/token"
    sim 0 -- "unset AZURE_CLIENT_SECRET; AZURE_FEDERATED_TOKEN_FILE=\$D/token $ask"
    has "t-hub"
    sim 4 -- "unset AZURE_CLIENT_SECRET; AZURE_FEDERATED_TOKEN_FILE=\$D/none $ask"
    has "none': cannot open"
    : >"$D/empty"
    sim 4 -- "unset AZURE_CLIENT_SECRET; AZURE_FEDERATED_TOKEN_FILE=\$D/empty $ask"
    has "empty': is empty"
}

@test "managed identity, when the environment names nobody" {
    sim 0 -- "unset AZURE_CLIENT_SECRET AZURE_CLIENT_ID AZURE_TENANT_ID; $ask"
    has "t-hub"
    jq -es 'any(.[]; .path == "/metadata/identity/oauth2/token")' "$D/log"
}

@test "az, when nothing else is there; only expiresOn is understood too" {
    # The token that the simulator gives is the one that this az prints.
    cat >"$D/az.sh" <<'EOF'
T=$(curl -sS --connect-to "::$HUBPIPE_CONNECT_TO" \
    "https://login.microsoftonline.com/$AZURE_TENANT_ID/oauth2/v2.0/token" \
    -d "client_id=$AZURE_CLIENT_ID&client_secret=$AZURE_CLIENT_SECRET" \
    -d 'grant_type=client_credentials&scope=https://management.azure.com/.default' |
    jq -r .access_token)
for ends in '"expires_on": 4102444800' '"expiresOn": "2099-09-21 04:29:21.000000"'; do
    cat >"$D/bin/az" <<EOS
#!/bin/sh
case "\$*" in
"account get-access-token --resource https://management.azure.com --output json")
    echo '{"accessToken": "$T", $ends, "tokenType": "Bearer"}' ;;
"account show --output json") echo '{"id": "$AZURE_SUBSCRIPTION_ID"}' ;;
*) exit 9 ;;
esac
EOS
    chmod 755 "$D/bin/az"
    (
        unset AZURE_CLIENT_SECRET AZURE_CLIENT_ID AZURE_TENANT_ID AZURE_SUBSCRIPTION_ID
        PATH=$D/bin:$PATH hub-export -g west-rg t-hub | jq -r .resources[0].name
    ) || exit
done
EOF
    sim 0 --fault 'path=/metadata*,count=0,do=cut' -- 'bash "$D/az.sh"'
    [ "$(grep -c '^t-hub$' <<<"$output")" -eq 2 ]
}

@test "nobody at all: what was tried, and what to do" {
    fake_az 'exit 1'
    sim 6 --fault 'path=/metadata*,count=0,do=cut' -- \
        "unset AZURE_CLIENT_SECRET AZURE_CLIENT_ID AZURE_TENANT_ID; PATH=\$D/bin:\$PATH $ask"
    has "not logged in" "AZURE_CLIENT_SECRET are not all set" \
        "managed identity: none here" "az: not logged in" "run 'az login'"
    sim 6 --fault 'path=/metadata*,count=0,do=cut' -- \
        "unset AZURE_CLIENT_SECRET AZURE_CLIENT_ID AZURE_TENANT_ID; rm \$D/bin/az
        mkdir \$D/only; for t in hub-export jq; do ln -s \"\$(command -v \$t)\" \$D/only; done
        HUBPIPE=\$(dirname \"\$(command -v hub-export)\")
        PATH=\$HUBPIPE hub-export -g west-rg t-hub"
    has "az: "
}

@test "no subscription: status 2 and three ways to name one" {
    fake_az 'exit 1'
    sim 2 -- "unset AZURE_SUBSCRIPTION_ID; PATH=\$D/bin:\$PATH hub-export -g west-rg t-hub"
    has "no subscription known (give -s ID"
    sim 0 -- "S=\$AZURE_SUBSCRIPTION_ID; unset AZURE_SUBSCRIPTION_ID; hub-export -s \$S -g west-rg t-hub | jq -r .resources[0].name"
    has "t-hub"
}

@test "--credential reads PREFIX_AZURE_*, and nothing else" {
    sim 0 -- 'export OLD_AZURE_TENANT_ID=$AZURE_TENANT_ID OLD_AZURE_CLIENT_ID=$AZURE_CLIENT_ID \
        OLD_AZURE_CLIENT_SECRET=$AZURE_CLIENT_SECRET OLD_AZURE_SUBSCRIPTION_ID=$AZURE_SUBSCRIPTION_ID
        AZURE_CLIENT_SECRET=wrong AZURE_SUBSCRIPTION_ID=wrong hub-export --credential=OLD -g west-rg t-hub | jq -r .resources[0].name'
    has "t-hub"
    sim 2 -- "hub-export -s \$AZURE_SUBSCRIPTION_ID --credential=NEW -g west-rg t-hub"
    has "'NEW': NEW_AZURE_TENANT_ID, NEW_AZURE_CLIENT_ID and NEW_AZURE_CLIENT_SECRET"
}

@test "--cloud: known names, a file, and a list for what is unknown" {
    sim 2 -- "hub-export --cloud=Mars -g west-rg t-hub"
    has "'Mars': unknown cloud (known are AzureCloud, AzureUSGovernment, AzureChinaCloud"
    sim 2 -- "AZURE_CLOUD=Mars hub-export -g west-rg t-hub"
    jq '.AzureCloud | .arm = "http://management.azure.com"' \
        "$ROOT/share/clouds.json" >"$D/bad.json"
    sim 2 -- 'hub-export --cloud="$D/bad.json" -g west-rg t-hub'
    has "'arm' is no https:// URL"
    jq .AzureCloud "$ROOT/share/clouds.json" >"$D/good.json"
    sim 0 -- 'hub-export --cloud="$D/good.json" -g west-rg t-hub | jq -r .resources[0].name'
    has "t-hub"
    jq '.AzureCloud | del(.login)' "$ROOT/share/clouds.json" >"$D/bad.json"
    sim 2 -- 'hub-export --cloud="$D/bad.json" -g west-rg t-hub'
    has "cloud has no member 'login'"
}

@test "a hub by name, host name, id, variable and file is the same hub" {
    echo '{"id":"d1","status":"enabled","authentication":{"symmetricKey":{"primaryKey":"MDEyMzQ1Njc4OWFiY2RlZg==","secondaryKey":"MDEyMzQ1Njc4OWFiY2RlZg=="},"type":"sas"}}' >"$D/fleet"
    sim 0 --registry "$D/fleet" -- '
        umask 077; printf %s\\n "$IOTHUB_CONN_STRING" >"$D/conn"; C=$IOTHUB_CONN_STRING
        id=/subscriptions/$AZURE_SUBSCRIPTION_ID/resourceGroups/west-rg/providers/Microsoft.Devices/IotHubs/t-hub
        for h in "" env:C "file:$D/conn" t-hub t-hub.azure-devices.net "$id"; do
            export C; registry-dump -q $h | jq -r .id || exit
        done
        for h in t-hub t-hub.azure-devices.net "$id"; do
            registry-dump -q --auth=login $h | jq -r .id || exit
        done'
    [ "$(grep -c '^d1$' <<<"$output")" -eq 9 ]
    has_not "can be read by others"
    chmod 644 "$D/conn"
    sim 0 --registry "$D/fleet" -- 'printf %s\\n "$IOTHUB_CONN_STRING" >"$D/conn"; registry-dump -q "file:$D/conn" | jq -r .id'
    has "conn': holds a key and can be read by others (chmod 600)" "d1"
}

@test "a connection string as operand is refused without a word of it" {
    sim 2 -- 'registry-dump "HostName=t-hub.azure-devices.net;SharedAccessKeyName=x;SharedAccessKey=c2VjcmV0LXNlY3JldA=="'
    has "use env:NAME or file:PATH"
    has_not "c2VjcmV0" "SharedAccessKeyName=x"
}

@test "no hub of that name: status 1, with the names that are there" {
    sim 1 -- 'registry-dump t-hbu'
    has "'t-hbu': no such hub in subscription" "(there is t-hub)"
}

@test "a wrong key: the policy, the rights, the role, both remedies" {
    sim 6 -- 'IOTHUB_CONN_STRING=$(sed "s/SharedAccessKey=.*/SharedAccessKey=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=/" <<<"$IOTHUB_CONN_STRING") registry-dump'
    has "policy 'iothubowner' has the wrong key or lacks" \
        "--auth=login with the role 'IoT Hub Data Contributor'"
    has_not "MDEyMzQ1Njc4"
}

@test "a clock that is off is named where the hub refuses" {
    sim 6 --clock=7200 -- 'registry-dump'
    has "the clock of this machine is 7" "behind that of the hub"
}
