# jobs.bash: what the tests of jobs share: asking a hub, Resource Manager and
# a storage account with curl.  Load after helper.
# shellcheck shell=bash disable=SC2154

api='api-version=2021-04-12'

to_sim() {
    curl -sS --connect-to "::$HUBPIPE_CONNECT_TO" --cacert "$SSL_CERT_FILE" \
        --max-time 20 "$@"
}

entra() {
    to_sim "https://login.microsoftonline.com/$AZURE_TENANT_ID/oauth2/v2.0/token" \
        -d "client_id=$AZURE_CLIENT_ID" -d grant_type=client_credentials \
        --data-urlencode "client_secret=$AZURE_CLIENT_SECRET" \
        -d "scope=$1/.default" | jq -er .access_token
}

# arm METHOD PATH [CURL OPTION...]
arm() {
    local method=$1 path=$2
    shift 2
    to_sim -H "Authorization: Bearer $ARM_TOKEN" \
        -H 'Content-Type: application/json' -X "$method" \
        "https://management.azure.com/subscriptions/$AZURE_SUBSCRIPTION_ID/resourceGroups/west-rg/providers$path" "$@"
}

# hub METHOD PATH [BODY [CURL OPTION...]]; $HUB: another one than contoso
hub() {
    local method=$1 path=$2 body=${3-}
    shift 2
    [ $# -eq 0 ] || shift
    case $path in *\?*) path+="&$api" ;; *) path+="?$api" ;; esac
    to_sim -H "Authorization: Bearer $HUB_TOKEN" -X "$method" \
        "https://${HUB:-contoso}.azure-devices.net$path" -d "$body" "$@"
}

# The status alone, and the code of an error.
hub_status() {
    hub "$1" "$2" "${3-}" -D "$BATS_TEST_TMPDIR/head" \
        -o "$BATS_TEST_TMPDIR/body"
    awk 'NR == 1 { s = $2 } tolower($1) == "iothub-errorcode:" { c = $2 }
        END { sub("\r", "", c); print s, c }' "$BATS_TEST_TMPDIR/head"
}

# sign ACCOUNT KEY CONTAINER PERMISSIONS [EXPIRY]: the SAS of a container
# (CONTRACT 17.2, sv 2021-12-02).
sign() {
    local se=${5:-2099-01-01T00:00:00Z} sig
    sig=$(printf '%s\n\n%s\n/blob/%s/%s\n\n\n\n2021-12-02\nc\n\n\n\n\n\n\n' \
        "$4" "$se" "$1" "$3" |
        hmac "$2")
    printf 'sv=2021-12-02&sr=c&sp=%s&se=%s&sig=%s' "$4" "${se//:/%3A}" \
        "$(printf %s "$sig" | jq -sRr @uri)"
}

# container NAME [PERMISSIONS [EXPIRY]]: its URI with a SAS.
container() {
    printf 'https://contosowestdata.blob.core.windows.net/%s?%s' "$1" \
        "$(sign contosowestdata "$STORAGE_KEY" "$1" "${2:-racwdl}" ${3+"$3"})"
}

make_container() {
    arm PUT "/Microsoft.Storage/storageAccounts/contosowestdata/blobServices/default/containers/$1?api-version=2023-05-01" \
        -d '{"properties":{}}' >/dev/null
}

# blob METHOD CONTAINER NAME [CURL OPTION...]
blob() {
    local uri
    uri=$(container "$2")
    to_sim -X "$1" -H 'x-ms-version: 2021-12-02' -H 'x-ms-blob-type: BlockBlob' \
        "${uri%%\?*}/$3?${uri#*\?}" "${@:4}"
}

# put CONTAINER NAME: a blob of what is on stdin.
put() {
    blob PUT "$1" "$2" --data-binary @- -f
}

# wait_job ID: until it is over; prints it.
wait_job() {
    local i job
    for ((i = 0; i < 300; i++)); do
        job=$(hub GET "/jobs/$1")
        case $(jq -r .status <<<"$job") in
        completed | failed | cancelled)
            printf '%s\n' "$job"
            return
            ;;
        esac
        sleep 0.02
    done
    printf 'never over: %s\n' "$job"
    return 1
}

# run_job BODY: and waits; prints it as it ended.
run_job() {
    local job id
    job=$(hub POST /jobs/create "$1")
    id=$(jq -er .jobId <<<"$job") || {
        printf '%s\n' "$job"
        return 1
    }
    wait_job "$id"
}

# import CONTAINER [JQ: more members]: of devices.txt on stdin; prints the job.
import() {
    put "$1" devices.txt && run_job "$(jq -nc --arg u "$(container "$1")" \
        "{type: \"import\", inputBlobContainerUri: \$u, outputBlobContainerUri: \$u} + ${2-{\}}")"
}

# export_to CONTAINER [JQ: more members]
export_to() {
    run_job "$(jq -nc --arg u "$(container "$1")" \
        "{type: \"export\", outputBlobContainerUri: \$u, excludeKeysInExport: false} + ${2-{\}}")"
}

# make_hub NAME [SKU [MORE MEMBERS]]: makes it, or changes it to that.
make_hub() {
    local i hub="/Microsoft.Devices/IotHubs/$1?api-version=2023-06-30"
    arm PUT "$hub" -d "{\"location\":\"westus\",\"sku\":{\"name\":\"${2-S1}\",\"capacity\":1},\"properties\":{}${3-}}" >/dev/null
    for ((i = 0; i < 200; i++)); do
        [ "$(arm GET "$hub" | jq -r .properties.state)" = Active ] && return
        sleep 0.02
    done
    return 1
}

# control METHOD PATH [BODY]
control() {
    curl -sS -X "$1" "$HUB_SIM_CONTROL/$2" ${3+-d "$3"} >/dev/null
}

# until_said FILE TEXT
until_said() {
    local i
    for ((i = 0; i < 400; i++)); do
        grep -q "$2" "$1" && return
        sleep 0.05
    done
    cat "$1"
    return 1
}

jobs_set_up() {
    ARM_TOKEN=$(entra https://management.azure.com)
    HUB_TOKEN=$(entra https://iothubs.azure.net)
    export ARM_TOKEN HUB_TOKEN
    STORAGE_KEY=$(arm POST '/Microsoft.Storage/storageAccounts/contosowestdata/listKeys?api-version=2023-05-01' -d '' |
        jq -er '.keys[0].value')
    export STORAGE_KEY
    make_container jobs
}
