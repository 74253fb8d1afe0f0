# The recorded exchanges of the real service, asked of hub-sim again.  What it
# answers otherwise is in recordings/differences, with the reasons.
# shellcheck shell=bash

load helper

replay() {
    "$ROOT/tests/recordings/replay" "$SHARED/azure/recordings" "$@"
}

@test "hubs answer as they were recorded" {
    need_shared
    expect_status 0 replay iothub-certificates iothub-data-residency \
        iothub-failover iothub-file-upload iothub-identity-endpoints \
        iothub-lifecycle iothub-routing iothub-state-machine
    has "84 exchanges replayed, 0 skipped" ", 0 others"
}

@test "Resource Manager answers as it was recorded" {
    need_shared
    expect_status 0 replay deployment deployment-what-if export-template \
        export-template-names resource-group
    has "34 exchanges replayed, 0 skipped" ", 0 others"
}

@test "the services that routes end in answer as they were recorded" {
    need_shared
    expect_status 0 replay cosmosdb-container cosmosdb-keys eventhub-keys \
        servicebus-keys servicebus-queue storage-keys
    has "exchanges replayed, 0 skipped" ", 0 others"
}

@test "what is not replayed is said, and there is no other recording" {
    need_shared
    expect_status 0 replay dps-keys dps-linked-hubs
    has "0 exchanges replayed, 18 skipped"
    set -- "$SHARED"/azure/recordings/*.json
    [ $# = 21 ]
}

@test "a difference that is not listed is found, and one that is no more" {
    need_shared
    cd "$BATS_TEST_TMPDIR"
    mkdir tests
    cp -r "$ROOT/tests/recordings" tests
    echo 'resource-group 9 /name value -- made up' >>tests/recordings/differences
    sed -i '/^resource-group 18/d' tests/recordings/differences
    expect_status 1 tests/recordings/replay "$SHARED/azure/recordings" resource-group
    has "does not occur: resource-group 9 /name value"
    has "differs: resource-group 18 x-ms-ratelimit-remaining-subscription-writes: extra"
    has "2 others"
}
