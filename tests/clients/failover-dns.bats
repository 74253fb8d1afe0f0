# hub-failover and the DNS: only here do the names of hubs lead somewhere
# without HUBPIPE_CONNECT_TO, and can be led elsewhere while it watches.
# shellcheck shell=bash

load ../helper

@test "the hub's name leads to another address: seen, timed, and the data plane is met there" {
    cat >"$BATS_TEST_TMPDIR/drill" <<'END'
unset HUBPIPE_CONNECT_TO
cd "$1" || exit
(sleep 1; sed 's/^127.0.0.1\(.*contoso.azure-devices.net\)/127.0.0.2\1/' /etc/hosts >hosts; cat hosts >/etc/hosts) &
hub-failover -q --journal=moves --every=0.2 --to=eastus --confirm=contoso --report=report contoso
END
    expect_status 0 hub-sim --listen 0.0.0.0:443 --from "$ROOT/examples/contoso.json" --operation-ms=3000 -- \
        sh "$BATS_TEST_TMPDIR/drill" "$BATS_TEST_TMPDIR"
    run jq -c '[.addressesBefore, .addressesAfter, .seconds.dns > 0.5, .seconds.firstCall > 0]' "$BATS_TEST_TMPDIR/report"
    [ "$output" = '[["127.0.0.1"],["127.0.0.2"],true,true]' ] || { echo "$output"; false; }
}
