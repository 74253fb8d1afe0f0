# Microsoft's packages for Resource Manager against hub-sim: arm-sdk.js has the
# steps, as their users write them; here each is a test.
# shellcheck shell=bash disable=SC2154

load ../helper

setup_file() {
    [ -d "$O/clients/node_modules/@azure/arm-iothub" ] || return 0
    printf '%s\n' '{"id":"one"}' '{"id":"two"}' \
        '{"id":"three","status":"disabled"}' >"$BATS_FILE_TMPDIR/devices.txt"
    sim_start --listen 127.0.0.1:443 --from "$ROOT/examples/contoso.json" \
        --registry "$BATS_FILE_TMPDIR/devices.txt"
    export NODE_PATH="$O/clients/node_modules"
    sdk prepare
}

setup() {
    [ -d "$O/clients/node_modules/@azure/arm-iothub" ] ||
        skip "needs make check-clients"
    export NODE_PATH="$O/clients/node_modules"
    cd "$BATS_TEST_TMPDIR" || return
}

teardown_file() {
    sim_stop
}

sdk() {
    node "$ROOT/tests/clients/arm-sdk.js" "$1"
}

@test "a hub is read, changed with its ETag, not with an old one, and tagged" {
    sdk update
}

@test "a hub is made and deleted at the pace that the SDK has by itself" {
    sdk patient
}

@test "hubs are listed by subscription and by group" {
    sdk lists
}

@test "access policies are listed and replaced, with keys of one's own" {
    sdk keys
}

@test "consumer groups" {
    sdk consumers
}

@test "certificates: made, proven or known, and their ETags" {
    openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem \
        -days 30 -subj "/CN=SDK Root" 2>/dev/null
    CA_SUM=$(openssl x509 -in ca.pem -noout -fingerprint -sha1 | tr -d : | cut -d= -f2)
    CA_PEM=ca.pem
    export CA_PEM CA_SUM
    sdk certificates
}

@test "statistics, quotas, sizes and operations" {
    sdk numbers
}

@test "routes are tested, and their endpoints' health is asked for" {
    sdk routes
}

@test "what is wrong is refused with the service's codes" {
    sdk wrong
}

@test "devices are exported through the door of Resource Manager" {
    expire=$(date -u -d '+1 hour' +%Y-%m-%dT%H:%M:%SZ)
    account=$(curl -s -X POST -H "Authorization: Bearer $(token)" \
        "https://management.azure.com/subscriptions/$AZURE_SUBSCRIPTION_ID/resourceGroups/west-rg/providers/Microsoft.Storage/storageAccounts/contosowestdata/listKeys?api-version=2023-05-01" |
        jq -r '.keys[0].value')
    CONTAINER_URI=$(KEY=$account EXPIRE=$expire node -e '
        const { StorageSharedKeyCredential, generateBlobSASQueryParameters,
            ContainerSASPermissions } = require("@azure/storage-blob");
        const key = new StorageSharedKeyCredential("contosowestdata", process.env.KEY);
        console.log("https://contosowestdata.blob.core.windows.net/uploads?" +
            generateBlobSASQueryParameters({ containerName: "uploads",
                permissions: ContainerSASPermissions.parse("racwdl"),
                expiresOn: new Date(process.env.EXPIRE) }, key));')
    export CONTAINER_URI
    sdk jobs
}

token() {
    curl -s -d grant_type=client_credentials -d "client_id=$AZURE_CLIENT_ID" \
        -d "client_secret=$AZURE_CLIENT_SECRET" \
        -d scope=https://management.azure.com/.default \
        "https://login.microsoftonline.com/$AZURE_TENANT_ID/oauth2/v2.0/token" |
        jq -r .access_token
}

@test "resource groups: pages, existence, tags, export" {
    sdk groups
}

@test "a deployment: validated, planned, made, looked at, and its history deleted" {
    sdk deploy
}

@test "a deployment that fails says why, within and in its operations" {
    sdk failing
}

@test "what runs: a hub refuses changes; a deployment a second one, and is cancelled" {
    # shellcheck disable=SC2016 # for the inner shell
    expect_status 0 hub-sim --operation-ms 4000 -- bash -c '
        export ENDPOINT=https://localhost:${HUBPIPE_CONNECT_TO##*:}
        node "$0" busy && node "$0" cancel' "$ROOT/tests/clients/arm-sdk.js"
}

@test "on any port, with the SDKs' own options for it" {
    # shellcheck disable=SC2016 # for the inner shell
    expect_status 0 hub-sim -- bash -c '
        export ENDPOINT=https://localhost:${HUBPIPE_CONNECT_TO##*:}
        for step in prepare update keys consumers deploy failing end; do
            node "$0" $step || exit
        done' "$ROOT/tests/clients/arm-sdk.js"
}

@test "a failover swaps the regions and keeps the name" {
    sdk failover
}

@test "hub and group are deleted" {
    sdk end
}
