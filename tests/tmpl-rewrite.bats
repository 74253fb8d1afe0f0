# tmpl-rewrite: every folder of tests/golden/tmpl-rewrite is a case: in.json
# on stdin, args, and what comes out: out.json, err, status.  With GOLDEN_UPDATE
# set, what comes out is written there instead: look at the diff.

load helper

golden() {
    umask 022
    local dir=$1 got=0
    cd "$dir" || return 1
    eval "set -- $(cat args)"
    tmpl-rewrite "$@" <in.json >"$BATS_TEST_TMPDIR/out" \
        2>"$BATS_TEST_TMPDIR/err" || got=$?
    # Where the tree stands is not part of what is said.
    sed -i "s|$(cd "$O" && pwd -P)|BUILD|g; s|$O|BUILD|g; s|$ROOT|ROOT|g" \
        "$BATS_TEST_TMPDIR/err"
    if [ -n "${GOLDEN_UPDATE-}" ]; then
        cp "$BATS_TEST_TMPDIR/out" out.json
        cp "$BATS_TEST_TMPDIR/err" err
        echo "$got" >status
    fi
    if [ "$got" != "$(cat status)" ]; then
        echo "status $got instead of $(cat status)"
        cat "$BATS_TEST_TMPDIR/err"
        return 1
    fi
    same err "$BATS_TEST_TMPDIR/err" && same out.json "$BATS_TEST_TMPDIR/out"
}

# The output, rewritten again with the same options, is the same.
idempotent() {
    cd "$1" || return 1
    eval "set -- $(cat args)"
    case " $* " in *" -n "*) return 0 ;; esac
    tmpl-rewrite "$@" <out.json >"$BATS_TEST_TMPDIR/again" 2>/dev/null &&
        same out.json "$BATS_TEST_TMPDIR/again"
}

@test "every golden case" {
    local failed=0 case
    for case in "$ROOT"/tests/golden/tmpl-rewrite/*/; do
        (golden "$case") || {
            echo "^ $case"
            failed=1
        }
    done
    [ "$failed" = 0 ]
}

@test "rewriting what is rewritten changes nothing" {
    local failed=0 case
    for case in "$ROOT"/tests/golden/tmpl-rewrite/*/; do
        [ "$(cat "$case/status")" = 0 ] || continue
        (idempotent "$case") || {
            echo "^ $case"
            failed=1
        }
    done
    [ "$failed" = 0 ]
}

# What the examples from the field are: templates, which are rewritten here with
# the parameters that they leave open, and bodies of resources or whole other
# documents, which are not templates.
templates=(deploy-consumer-group deploy-dps-linked-hub
    deploy-hub-and-storage-2017-07-01 deploy-message-enrichments
    deploy-sbqueue-storage-routing deploy-storage-route-2023-06-30
    export-2018-04-01-no-routing export-2021-07-01-no-routing
    ext-blank-hub-export-no-params)
bodies=(live-get-eventhub-storage-keybased live-get-identity-based)
others=(ext-hub-state-export)

@test "every example from the field is a template, a body, or another thing" {
    need_shared
    local f name
    for f in "$SHARED"/azure/examples/*.json; do
        name=$(basename "$f" .json)
        case " ${templates[*]} ${bodies[*]} ${others[*]} " in
        *" $name "*) ;;
        *) echo "what is $name?" && return 1 ;;
        esac
    done
    for name in "${bodies[@]}"; do
        expect_status 3 tmpl-rewrite "$SHARED/azure/examples/$name.json"
        has "not a template but the body of a resource (use hub-export)"
    done
    for name in "${others[@]}"; do
        expect_status 3 tmpl-rewrite "$SHARED/azure/examples/$name.json"
        has "not a template: no 'resources' array"
        expect_pipe 0 "jq .arm '$SHARED/azure/examples/$name.json' | tmpl-rewrite --name=other -o /dev/null"
    done
}

@test "every template from the field becomes one of another hub" {
    need_shared
    local name t=$BATS_TEST_TMPDIR
    echo '{"d2c_partitions": {"value": "4"}, "iotHubName": {"value": "oldhub"},
        "provisioningServiceName": {"value": "dps1"},
        "location": {"value": "westus2"}}' >"$t/values.json"
    for name in "${templates[@]}"; do
        tmpl-rewrite --name=new-hub --location="East US" --no-file-upload \
            --parameters="$t/values.json" "$SHARED/azure/examples/$name.json" \
            >"$t/$name" 2>"$t/err"
        # The hub, its children and what waits for them follow.
        jq -e '.resources | map(select(.type | ascii_downcase | startswith("microsoft.devices/iothubs")))
            | length > 0
            and all(.[]; .name == "new-hub" or (.name | startswith("new-hub/")))
            and all(.[]; .apiVersion == "2023-06-30")
            and (map(select(.location != null)) | map(.location) == ["eastus"])
            and ([.[].dependsOn // [] | .[] | select(test("iothubs"; "i"))]
                | all(test("^\\[resourceId\\(.*, .new-hub.")))' "$t/$name"
        # What a deployment alone knows stays, and of parameters only what it
        # needs for that.
        run jq -c '[.parameters // {} | keys[]]' "$t/$name"
        case $name in
        deploy-message-enrichments | deploy-sbqueue-storage-routing)
            [ "$output" = '["randomValue"]' ]
            ;;
        *) [ "$output" = '[]' ] ;;
        esac
        kept=$(grep -oi 'listkeys(' "$t/$name" | wc -l)
        case $name in
        deploy-sbqueue*) [ "$kept" = 3 ] ;;
        deploy-message*) [ "$kept" = 2 ] ;;
        deploy-[dhs]*) [ "$kept" = 1 ] ;;
        *) [ "$kept" = 0 ] ;;
        esac || {
            echo "$name: $kept listKeys"
            return 1
        }
        # And again: nothing.
        tmpl-rewrite -q --name=new-hub --location="East US" --no-file-upload \
            "$t/$name" >"$t/again" 2>/dev/null
        same "$t/$name" "$t/again"
    done
}

@test "an export that hides the file-upload storage says what to give" {
    need_shared
    local x=$SHARED/azure/examples
    expect_status 3 tmpl-rewrite "$x/export-2021-07-01-no-routing.json"
    has "hidden in parameter 'IotHubs_ContosoHub_connectionString'" --file-upload --no-file-upload
    expect_status 3 tmpl-rewrite "$x/ext-blank-hub-export-no-params.json"
    has "hidden as null"
    expect_pipe 0 "tmpl-rewrite --file-upload=acct/up '$x/export-2021-07-01-no-routing.json' |
        jq -c '.resources[0].properties.storageEndpoints'"
    [ "$output" = '{"$default":{"sasTtlAsIso8601":"PT1H","containerName":"up","connectionString":"DefaultEndpointsProtocol=https;EndpointSuffix=core.windows.net;AccountName=acct;AccountKey=****"}}' ]
}

@test "a new storage account has the suffix of its cloud" {
    cd "$ROOT/tests/golden/tmpl-rewrite/file-upload-given"
    expect_status 0 tmpl-rewrite --cloud=AzureChinaCloud --file-upload=a/b in.json
    has "EndpointSuffix=core.chinacloudapi.cn;AccountName=a;"
}

@test "the rules run with plain jq" {
    run jq -c -L "$ROOT/share/jq" 'import "rewrite" as r; r::rewrite({name: "b", location: "eastus"})
        | .resources[0] | [.name, .location]' "$ROOT/tests/golden/tmpl-rewrite/clean-up-only/in.json"
    [ "$output" = '["b","eastus"]' ]
}

@test "--explain says each change, -n prints them and nothing else" {
    cd "$ROOT/tests/golden/tmpl-rewrite/five-types-renamed"
    expect_status 0 tmpl-rewrite -n --name=beta in.json
    has '~ hub.name: "alpha" -> "beta"' '- hub.properties.hostName: "alpha.azure-devices.net"'
    has '- hub.properties.routing.endpoints.eventHubs[ns-west].id: "1"'
    has "tmpl-rewrite: 1 added, 2 changed, 17 removed"
    has_not '"resources"' c2VjcmV0
    expect_pipe 0 "tmpl-rewrite --explain --name=beta in.json 2>&1 >/dev/null"
    has 'tmpl-rewrite: ~ hub.name: "alpha" -> "beta"'
    has_not c2VjcmV0
    # What says that nothing changes, changes nothing.
    tmpl-rewrite -q --name=beta in.json >"$BATS_TEST_TMPDIR/out" 2>/dev/null
    expect_status 0 tmpl-rewrite -n --name=beta "$BATS_TEST_TMPDIR/out"
    [ "$output" = "tmpl-rewrite: 0 added, 0 changed, 0 removed" ]
}

@test "nothing is written unless all of it can be" {
    cd "$ROOT/tests/golden/tmpl-rewrite/bad-evaluation"
    expect_status 3 tmpl-rewrite in.json -o "$BATS_TEST_TMPDIR/none"
    [ ! -e "$BATS_TEST_TMPDIR/none" ]
    cd ../clean-up-only
    expect_status 4 bash -c 'tmpl-rewrite in.json >/dev/full'
    expect_status 4 bash -c 'tmpl-rewrite in.json >&-'
    expect_status 4 bash -c 'tmpl-rewrite <&-'
    expect_status 4 tmpl-rewrite /nowhere.json
}
