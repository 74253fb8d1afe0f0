# rehearsal.bats: one's own migration tried on the local Azure: the line that
# hubpipe(7) teaches, and how long it says that Azure would take.
# shellcheck shell=bash disable=SC2016 # text for a shell inside hub-sim

load helper

setup_file() {
    for n in 60 200; do
        jq -nrc --argjson n $n -f "$ROOT/examples/fleet.jq" >"$BATS_FILE_TMPDIR/fleet$n.txt"
    done
}

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    cp "$ROOT/examples/contoso.json" "$ROOT/examples/migrate.mk" .
    cp "$BATS_FILE_TMPDIR/fleet200.txt" contoso.txt
}

# the_line: as both manual pages have it.
the_line() {
    local page
    for page in hubpipe.7 hub-sim.1; do
        grep -qx '\$ hub-sim --from contoso.json --registry contoso.txt --sku S1 -- make -f migrate.mk' \
            "$ROOT/man/$page" || {
            echo "man/$page does not teach the line"
            return 1
        }
    done
    echo 'hub-sim --from contoso.json --registry contoso.txt --sku S1 -- make -f migrate.mk'
}

# operations HUB: the identity operations that were said of it.
operations() {
    sed -nE "s/^hub-sim: $1 \(.*: ([0-9,]+) identity operations.*/\1/p" <<<"$output" | tr -d ,
}

# minutes PATTERN: a duration in the line with it, in minutes.
minutes() {
    sed -nE "s/.*$1 (less than|about) ([0-9.]+) (s|min|h|days).*/\2 \3/p" <<<"$output" |
        awk '{ print $1 * ($2 == "s" ? 1 / 60 : $2 == "min" ? 1 : $2 == "h" ? 60 : 1440) }'
}

# near A B PERCENT
near() {
    awk -v a="$1" -v b="$2" -v p="$3" 'BEGIN { exit !(a > 0 && b > 0 && a >= b * (1 - p / 100) && a <= b * (1 + p / 100)) }' || {
        echo "$1 is not within $3 % of $2"
        return 1
    }
}

@test "the line of the manual: the clone is made, proved, and its real duration said" {
    line=$(the_line)
    expect_pipe 0 "$line --no-print-directory"
    [ -e proved ]
    [ ! -s differences ]
    [ ! -s rejects.txt ]
    [ "$(wc -l <registry.txt)" = "$(wc -l <contoso.txt)" ]
    has "registry-diff: equal" "hub-sim: contoso (S1 x1): " "hub-sim: contoso-east (S1 x1): " \
        "1 hub made: on Azure about 2.8 min" "(limited by identity operations)"
    # 100 a minute: the arithmetic of annex A.
    for hub in contoso contoso-east; do
        near "$(minutes "$hub \(S1 x1\):.*: on Azure")" "$(awk "BEGIN { print $(operations $hub) / 100 }")" 10
    done
    # Twice all devices are read here, once they are written there and read.
    [ "$(operations contoso)" -ge 400 ]
    [ "$(operations contoso-east)" -ge 400 ]
    all=$(minutes "documented limits:")
    near "$all" "$(awk "BEGIN { print ($(operations contoso) + $(operations contoso-east)) / 100 + 2.75 }")" 40
}

@test "size, units and the load of others change what is said, not what is done" {
    for options in "S3:10" "S1:4" "S2 --load 50"; do
        # shellcheck disable=SC2086 # two options
        expect_pipe 0 "hub-sim --from contoso.json --registry contoso.txt --sku $options -- make -s -f migrate.mk"
        [ -e proved ]
        [ ! -s differences ]
        case $options in
        S3*) per_minute=50000 ;;
        S1*) per_minute=400 ;;
        *) per_minute=50 && has "contoso (S2 x1, others use 50 %)" ;;
        esac
        [ "$options" = S3:10 ] ||
            near "$(minutes "contoso \(.*: on Azure")" "$(awk "BEGIN { print $(operations contoso) / $per_minute }")" 10
        [ "$options" != S3:10 ] || has "on Azure less than 1 s"
        rm -f proved loaded registry.* deployed.json new.json old.json
    done
}

@test "the plan alone: nothing is made, and it takes no time" {
    expect_pipe 0 "hub-sim --from contoso.json --registry contoso.txt --sku S1 -- make -s -f migrate.mk plan"
    has "plan: " " to add" "documented limits: less than 1 s"
    has_not "hub made" "identity operation"
}

@test "what Azure would refuse is seen in the rehearsal, with make's own status" {
    sed -i 's/tmpl-rewrite /tmpl-rewrite --sku F1 /' migrate.mk
    expect_pipe 2 "hub-sim --from contoso.json --registry contoso.txt --sku S1 -- make -s -f migrate.mk"
    has "make: ***" "on Azure"
    [ ! -e loaded ]
    [ ! -e proved ]
}

@test "with the throttle on, what the simulated clock shows agrees with the forecast" {
    cp "$BATS_FILE_TMPDIR/fleet60.txt" contoso.txt
    # The time of the forecast is the time at the documented rate: without
    # what a hub lets through at once.  The tools go by the clock on the wall,
    # in which the hub of --speed=30 is as good as one of 30 units.
    expect_pipe 0 "hub-sim --from '$FIXTURES/two-hubs.json' --registry contoso.txt --sku S1 \
        --throttle=real --speed=30 --doubt throttle-burst=small -- \
        make -s -f migrate.mk 'PACE=--retry-delay=0.33 --sku=S1:30 --share=100' -o deployed.json proved"
    [ -e proved ]
    [ ! -s differences ]
    forecast=$(minutes "documented limits:") here=$(minutes "simulated clock,")
    echo "forecast $forecast, here $here"
    awk -v f="$forecast" -v h="$here" 'BEGIN { exit !(f > 2 && h > f * 0.8 && h < f * 2) }'
}

@test "import and export jobs have the durations that were seen" {
    # Whether jobs are simulated or not, asking for one counts.
    expect_pipe 0 "hub-sim --forecast --from contoso.json --registry contoso.txt --dest contoso -- bash -c '
        token=\$(curl -sS --connect-to ::\$HUBPIPE_CONNECT_TO https://login.microsoftonline.com/\$AZURE_TENANT_ID/oauth2/v2.0/token \
            -d client_id=\$AZURE_CLIENT_ID -d grant_type=client_credentials -d client_secret=\$AZURE_CLIENT_SECRET \
            -d scope=https://iothubs.azure.net/.default | jq -er .access_token)
        curl -sS -o /dev/null --connect-to ::\$HUBPIPE_CONNECT_TO -H \"Authorization: Bearer \$token\" -X POST -d \"{}\" \
            https://contoso.azure-devices.net/jobs/create?api-version=2021-04-12'"
    has "contoso (S1 x1): 1 job call, 1 import or export job: on Azure about"
}
