# What hub-sim answers and what the tools ask, held against the published
# OpenAPI files: a few jobs here; make check-specs does it for every test.
# shellcheck shell=bash disable=SC2016

load ../helper

setup() {
    need_shared
    export NODE_PATH=$O/clients/node_modules
    mkdir "$BATS_TEST_TMPDIR/record"
}

# recorded COMMAND...: it, with all exchanges written down.
recorded() {
    HUB_SIM_RECORD=$BATS_TEST_TMPDIR/record expect_status 0 "$@"
}

# in_spec EXCHANGES REQUESTS OPERATIONS: nothing found in at least so many;
# REQUESTS are those of the tools.
in_spec() {
    expect_status 0 "$ROOT/tests/specs/validate" --show "$SHARED/azure/specs" \
        "$BATS_TEST_TMPDIR/record"
    [[ ${lines[-1]} =~ ^([0-9]+)\ exchanges.*,\ ([0-9]+)\ requests,\ ([0-9]+)\ operations.*\ 0\ findings$ ]]
    ((BASH_REMATCH[1] >= $1 && BASH_REMATCH[2] >= $2 &&
        BASH_REMATCH[3] >= $3)) || {
        echo "${lines[-1]}"
        return 1
    }
}

fleet() {
    jq -nrc --argjson n 40 -f "$ROOT/examples/fleet.jq" >"$BATS_TEST_TMPDIR/fleet.txt"
}

@test "the clone of a hub keeps to the specifications on both sides" {
    fleet
    recorded hub-sim --from "$ROOT/examples/contoso.json" -g west-rg \
        --registry "$BATS_TEST_TMPDIR/fleet.txt" --dest contoso-east -- \
        bash -o pipefail -c 'hub-export -g west-rg contoso |
            tmpl-rewrite --name contoso-east --location eastus | key-inject |
            tmpl-deploy -g east-rg >/dev/null &&
            registry-dump | registry-load && registry-diff'
    in_spec 300 250 25
    has "covered: Deployments_CreateOrUpdate" "covered: Deployments_Validate" \
        "covered: IotHubResource_Get" "covered: BulkRegistry_UpdateRegistry" \
        "covered: Devices_GetDevices" "covered: Modules_GetTwin"
}

@test "hubs, services and deployments as tests ask for them" {
    cd "$BATS_TEST_TMPDIR"
    recorded bats "$ROOT/tests/sim-arm.bats"
    in_spec 300 0 50
    has "covered: Certificates_CreateOrUpdate" "covered: StorageAccounts_ListKeys"
}

@test "what is no answer of Azure is found, and a fault is no finding" {
    cd "$BATS_TEST_TMPDIR/record"
    jq -nc '{host: "management.azure.com", method: "GET", query: "api-version=2023-06-30",
        path: "/subscriptions/s/resourceGroups/g/providers/Microsoft.Devices/IotHubs/h",
        status: 200, head: "", type: "", reply: ({name: "h", location: "westus", odd: 1,
            properties: {state: 1}} | tostring)}' >one.jsonl
    jq -c '.fault = "do=badjson" | .reply = "{"' one.jsonl >two.jsonl
    jq -nc '{host: "h.azure-devices.net", method: "POST", query: "", path: "/devices/query",
        "user-agent": "hubpipe/0.1 registry-dump", status: 200,
        head: "x-ms-continuation: x\r\n", type: "", request: "{\"quary\":1}", reply: "[]"}' >three.jsonl
    expect_status 1 "$ROOT/tests/specs/validate" "$SHARED/azure/specs" .
    has "finding: IotHubResource_Get 200 /odd unknown (1)" \
        "finding: IotHubResource_Get 200 /properties/state not_string (1)" \
        "finding: IotHubResource_Get 200 /sku missing (1)" \
        "finding: Query_GetTwins request /quary unknown (1)" \
        "finding: Query_GetTwins request /?api-version missing (1)" \
        "3 exchanges (1 faults"
    has_not badjson
}
