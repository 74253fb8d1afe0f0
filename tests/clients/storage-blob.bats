#!/usr/bin/env bats
# @azure/storage-blob, unmodified, against the blobs of hub-sim (issue 8).

load ../helper

setup_file() {
    # The names that tests/clients/inside knows.
    sed 's/contosowestdata/sdkstore/g' "$ROOT/examples/contoso.json" \
        >"$BATS_FILE_TMPDIR/sdk.json"
    sim_start --listen 127.0.0.1:443 --from "$BATS_FILE_TMPDIR/sdk.json"
    export NODE_PATH=$O/clients/node_modules
}

teardown_file() {
    sim_stop
}

client() {
    timeout 100 node "$ROOT/tests/clients/storage-blob.js" "$@"
}

@test "by the account's key" {
    expect_status 0 client key
    has "done"
}

@test "by SAS of containers and blobs, of every version" {
    expect_status 0 client sas
    has "done"
}

@test "by SAS of the account" {
    expect_status 0 client account-sas
    has "done"
}

@test "by a token of Entra ID" {
    expect_status 0 client bearer
    has "done"
}
