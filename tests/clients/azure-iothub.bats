# azure-iothub, unmodified, against the data plane of hub-sim: azure-iothub.js
# has the steps, as its users write them; here each is a test.
# shellcheck shell=bash disable=SC2154

load ../helper

setup_file() {
    [ -d "$O/clients/node_modules/azure-iothub" ] || return 0
    # The names that tests/clients/inside knows.
    sed 's/contosowestdata/jobstore/g' "$ROOT/examples/contoso.json" \
        >"$BATS_FILE_TMPDIR/hub.json"
    sim_start --listen 127.0.0.1:443 --from "$BATS_FILE_TMPDIR/hub.json"
}

setup() {
    [ -d "$O/clients/node_modules/azure-iothub" ] ||
        skip "needs make check-clients"
    export NODE_PATH="$O/clients/node_modules" CONNECTION="$IOTHUB_CONN_STRING"
    export NODE_EXTRA_CA_CERTS="$SSL_CERT_FILE"
}

teardown_file() {
    sim_stop
}

client() {
    node "$ROOT/tests/clients/azure-iothub.js" "$1"
}

# arm METHOD PATH [BODY]: of west-rg's resources.
arm() {
    local token
    token=$(curl -sS -d grant_type=client_credentials \
        -d "client_id=$AZURE_CLIENT_ID" -d "client_secret=$AZURE_CLIENT_SECRET" \
        -d scope=https://management.azure.com/.default \
        "https://login.microsoftonline.com/$AZURE_TENANT_ID/oauth2/v2.0/token" |
        jq -r .access_token)
    curl -sS -X "$1" -d "${3-}" -H "Authorization: Bearer $token" \
        -H 'Content-Type: application/json' \
        "https://management.azure.com/subscriptions/$AZURE_SUBSCRIPTION_ID/resourceGroups/west-rg/providers/$2"
}

# container_uri: of the account's container "uploads", for all that jobs do.
container_uri() {
    local key
    key=$(arm POST 'Microsoft.Storage/storageAccounts/jobstore/listKeys?api-version=2023-05-01' |
        jq -r '.keys[0].value')
    KEY=$key node -e '
        const { StorageSharedKeyCredential, generateBlobSASQueryParameters,
            ContainerSASPermissions } = require("@azure/storage-blob");
        const key = new StorageSharedKeyCredential("jobstore", process.env.KEY);
        console.log("https://jobstore.blob.core.windows.net/uploads?" +
            generateBlobSASQueryParameters({ containerName: "uploads",
                permissions: ContainerSASPermissions.parse("racwdl"),
                expiresOn: new Date(Date.now() + 3600e3) }, key));'
}

@test "identities: made, made again, changed, listed, deleted" {
    client identities
}

@test "devices with certificates" {
    client x509
}

@test "a hundred at once, part of it failing, by ETag and by force" {
    client bulk
}

@test "twins: patches by ETag, an old one refused, a twin that updates itself" {
    client twins
}

@test "queries over several pages, as twins and as values" {
    client queries
}

@test "modules and their twins" {
    client modules
}

@test "configurations are applied, counted, changed by ETag and removed" {
    client configurations
}

@test "content applied to an Edge device, by hand and by a deployment; a leaf under it" {
    client edge
}

@test "statistics" {
    client statistics
}

@test "a wrong key and an unknown policy are told apart from all else" {
    client strangers
}

@test "tokens of Entra ID, and signatures of every policy" {
    KEYS=$(arm POST 'Microsoft.Devices/IotHubs/contoso/listkeys?api-version=2023-06-30')
    export KEYS
    client tokens
}

@test "jobs that export and import by blobs" {
    CONTAINER_URI=$(container_uri)
    export CONTAINER_URI
    client exports
}

@test "jobs by the hub's identity, when it has its role" {
    IDENTITY=$(arm GET 'Microsoft.Devices/IotHubs/contoso?api-version=2023-06-30' |
        jq -r '.identity.userAssignedIdentities | keys[0]')
    export IDENTITY
    IDENTITY_REFUSED=yes client identity
    principal=$(arm GET 'Microsoft.Devices/IotHubs/contoso?api-version=2023-06-30' |
        jq -r '.identity.userAssignedIdentities[].principalId')
    role=/subscriptions/$AZURE_SUBSCRIPTION_ID/providers/Microsoft.Authorization
    role+=/roleDefinitions/ba92f5b4-2d11-453d-a403-e96b0029c9fe
    arm PUT 'Microsoft.Storage/storageAccounts/jobstore/providers/Microsoft.Authorization/roleAssignments/6d1d2f2a-0000-4000-8000-000000000001?api-version=2022-04-01' \
        "{\"properties\":{\"principalId\":\"$principal\",\"roleDefinitionId\":\"$role\"}}" |
        jq -e .id
    client identity
}

@test "scheduled jobs change the twins that a condition chooses, and are asked for" {
    client scheduled
}

# The last: it takes the port for itself.
@test "one job at once, and it is cancelled" {
    sim_stop || true # not a child of this shell
    while kill -0 "$SIM_PID" 2>/dev/null; do sleep 0.05; done
    # shellcheck disable=SC2016 # for the inner shell
    expect_status 0 hub-sim --listen 127.0.0.1:443 \
        --from "$BATS_FILE_TMPDIR/hub.json" --timing=real --operation-ms=0 -- \
        bash -c "$(declare -f arm container_uri client); "'
            CONNECTION=$IOTHUB_CONN_STRING NODE_EXTRA_CA_CERTS=$SSL_CERT_FILE
            CONTAINER_URI=$(container_uri)
            export CONNECTION NODE_EXTRA_CA_CERTS CONTAINER_URI
            client cancel'
}
