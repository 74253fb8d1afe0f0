# plugins: the contract, the loader, and that no tool knows an endpoint type.

load helper

setup_file() {
    export PAGE_DIR=$BATS_FILE_TMPDIR/page
    mkdir -p "$PAGE_DIR"
    # The plugin and the compile line are the manual's own.
    sed -n '/^\/\* tableRows/,/^\.Ed/p' "$BATS_TEST_DIRNAME/../man/hubpipe-plugin.3" |
        sed '/^\.Ed/d' >"$PAGE_DIR/tableRows.c"
    sed -n 's/^\$ \(cc .*\)/\1/p' "$BATS_TEST_DIRNAME/../man/hubpipe-plugin.3" \
        >"$PAGE_DIR/compile"
    cp "$BATS_TEST_DIRNAME/../plugins/hubpipe-plugin.h" "$PAGE_DIR"
    (cd "$PAGE_DIR" && sh -e compile)
}

# A hub with one endpoint: TYPE ENDPOINT.
hub_with() {
    jq -n --arg t "$1" --argjson e "$2" '{resources: [{
        type: "Microsoft.Devices/IotHubs", apiVersion: "2023-06-30",
        name: "alpha", location: "westus", sku: {name: "S1", capacity: 1},
        properties: {routing: {endpoints: {($t): [$e]}, routes: []}}}]}'
}

rows='{"name":"rows","account":"contosowestdata","table":"t","id":"7",
    "key":"****","resourceGroup":"west-rg",
    "subscriptionId":"11111111-1111-1111-1111-111111111111"}'

refused() {
    cc -std=c11 -fPIC -shared -fvisibility=hidden -I"$ROOT/plugins" "$@" \
        -o "$BATS_TEST_TMPDIR/refused.so" "$ROOT/tests/plugins/refused.c" -ljq
    hub_with refused '{"name":"e"}' >"$BATS_TEST_TMPDIR/t.json"
    expect_status 4 tmpl-rewrite --plugin-dir="$BATS_TEST_TMPDIR" \
        "$BATS_TEST_TMPDIR/t.json"
}

@test "a plugin exports one symbol and can do no input or output" {
    local so n=0
    for so in "$O"/lib/hubpipe/*.so "$PAGE_DIR/tableRows.so"; do
        run nm -D --defined-only "$so"
        [ "${#lines[@]}" = 1 ]
        has "hubpipe_plugin"
        run nm -D -u "$so"
        has jv_free
        has_not curl_ socket open fopen printf write read getenv system exec
        n=$((n + 1))
    done
    [ "$n" -ge 6 ]
}

@test "the header compiles alone, as strict C11" {
    echo '#include "hubpipe-plugin.h"' >"$BATS_TEST_TMPDIR/h.c"
    expect_status 0 cc -std=c11 -Wall -Wextra -Wpedantic -Wshadow -Werror \
        -I"$ROOT/plugins" -fsyntax-only "$BATS_TEST_TMPDIR/h.c"
}

@test "what the manual shows compiles without a warning" {
    expect_status 0 cc -std=c11 -Wall -Wextra -Wpedantic -Wshadow -Werror \
        -fsyntax-only "$PAGE_DIR/tableRows.c"
}

@test "no tool contains the name of an endpoint type" {
    local type
    for type in "$ROOT"/plugins/*.c; do
        type=$(basename "$type" .c)
        run grep -rnwi "$type" "$ROOT/tools" --include='*.[ch]' \
            --exclude-dir=hub-sim --exclude='hub-sim.c'
        [ "$output" = "" ]
    done
    run grep -rnwi cosmosDBSqlCollections "$ROOT/tools" "$ROOT/share/jq" \
        --exclude-dir=hub-sim
    [ "$status" = 1 ]
}

@test "a made-up type is rewritten, by name and by alias, without a rebuild" {
    hub_with tableEntries "$rows" >"$BATS_TEST_TMPDIR/t.json"
    expect_pipe 0 "tmpl-rewrite --plugin-dir='$PAGE_DIR' --name=beta \
        --rename=CONTOSOWESTDATA=contosoeastdata <'$BATS_TEST_TMPDIR/t.json' |
        jq -c '.resources[0].properties.routing.endpoints'"
    [ "$output" = '{"tableRows":[{"name":"rows","account":"contosoeastdata","table":"t","key":"****","resourceGroup":"west-rg","subscriptionId":"11111111-1111-1111-1111-111111111111"}]}' ]
}

@test "a made-up type gets its key, as literal and by reference" {
    hub_with TABLEROWS "$rows" >"$BATS_TEST_TMPDIR/t.json"
    expect_pipe 0 "hub-sim --from '$ROOT/examples/contoso.json' -- \
        key-inject -q --plugin-dir='$PAGE_DIR' '$BATS_TEST_TMPDIR/t.json' |
        jq -r '.resources[0].properties.routing.endpoints.TABLEROWS[0].key | length'"
    [[ "${lines[-1]}" == 88 ]]
    expect_pipe 0 "hub-sim --from '$ROOT/examples/contoso.json' -- \
        key-inject -q --by-reference --plugin-dir='$PAGE_DIR' '$BATS_TEST_TMPDIR/t.json'"
    has "\"[listKeys(resourceId('11111111-1111-1111-1111-111111111111', 'west-rg', 'Microsoft.Storage/storageAccounts', 'contosowestdata'), '2023-05-01').keys[0].value]\""
}

@test "--list-plugins names all types, those of --plugin-dir first" {
    expect_status 0 key-inject --plugin-dir="$PAGE_DIR" --list-plugins
    [[ "${lines[0]}" == "tableRows"*"rows of a table, by account key" ]]
    [ "${#lines[@]}" -ge 6 ]
    expect_status 0 hub-export --list-plugins
    has_not tableRows
}

@test "without a type's plugin every tool fails on it with the same line" {
    local type=eventHubs dir=$BATS_TEST_TMPDIR/tree
    mkdir -p "$dir"
    cp -rL "$O/bin" "$O/lib" "$O/share" "$dir"
    rm "$dir/lib/hubpipe/$type.so"
    local line="no plugin for endpoint type '$type' (looked in '$dir/lib/hubpipe'; --skip-unknown passes it through)"
    hub_with "$type" '{"name":"e","connectionString":"Endpoint=sb://n.x/;SharedAccessKeyName=r;SharedAccessKey=****;EntityPath=e"}' \
        >"$BATS_TEST_TMPDIR/t.json"

    expect_status 4 "$dir/bin/tmpl-rewrite" "$BATS_TEST_TMPDIR/t.json"
    has "tmpl-rewrite: $line"
    expect_status 4 "$dir/bin/key-inject" "$BATS_TEST_TMPDIR/t.json"
    has "key-inject: $line"
    expect_status 4 hub-sim --from "$ROOT/examples/contoso.json" -- \
        "$dir/bin/hub-export" contoso
    has "hub-export: $line"
    expect_status 0 "$dir/bin/tmpl-rewrite" --skip-unknown "$BATS_TEST_TMPDIR/t.json"
    has "$type" "passed through as they are"
}

@test "refused: another API number" {
    refused -DREASON_API
    has "refused.so': plugin refused: it was built for API 7, this is 0"
}

@test "refused: another size, of the struct or of a value" {
    refused -DREASON_SIZE
    has "plugin refused: its sizes are"
    refused -DREASON_JV
    has "plugin refused: its sizes are"
}

@test "refused: a required member is missing" {
    refused -DREASON_MEMBER
    has "plugin refused: it lacks 'secrets'"
}

@test "refused: it calls itself otherwise than its file" {
    refused '-DNAME="other"'
    has "plugin refused: it calls itself 'other', its file must be called 'other.so'"
}

@test "refused: no plugin at all" {
    refused -DREASON_SYMBOL
    has "no plugin:" "undefined symbol: hubpipe_plugin"
    echo text >"$BATS_TEST_TMPDIR/refused.so"
    expect_status 4 tmpl-rewrite --plugin-dir="$BATS_TEST_TMPDIR" "$BATS_TEST_TMPDIR/t.json"
    has "refused.so': no plugin:"
}

@test "the same plugin is taken when nothing is wrong with it" {
    cc -std=c11 -fPIC -shared -fvisibility=hidden -I"$ROOT/plugins" \
        -o "$BATS_TEST_TMPDIR/refused.so" "$ROOT/tests/plugins/refused.c" -ljq
    hub_with refused '{"name":"e"}' >"$BATS_TEST_TMPDIR/t.json"
    expect_status 0 tmpl-rewrite --plugin-dir="$BATS_TEST_TMPDIR" "$BATS_TEST_TMPDIR/t.json"
}

@test "a key that is a path is refused, and the current directory is no place" {
    hub_with ../tableRows "$rows" >"$BATS_TEST_TMPDIR/t.json"
    expect_status 3 key-inject --plugin-dir="$PAGE_DIR" "$BATS_TEST_TMPDIR/t.json"
    has "key-inject: '../tableRows': an endpoint type has letters and digits only"
    hub_with tableRows "$rows" >"$BATS_TEST_TMPDIR/t.json"
    cd "$PAGE_DIR"
    expect_status 4 key-inject "$BATS_TEST_TMPDIR/t.json"
    has "no plugin for endpoint type 'tableRows'"
}

@test "a plugin directory that is not there is an error" {
    hub_with tableRows "$rows" >"$BATS_TEST_TMPDIR/t.json"
    expect_status 4 key-inject --plugin-dir=/nowhere "$BATS_TEST_TMPDIR/t.json"
    has "'/nowhere': cannot read: No such file or directory"
}

@test "five types, by key and by identity: each key is had, no identity is touched" {
    local t=$BATS_TEST_TMPDIR
    expect_pipe 0 "key-inject -n '$FIXTURES/five-types.json' | jq -r .name | sort | paste -sd,"
    [ "$output" = blob-key,cosmos-key,hub-key,queue-key,topic-key ]
    expect_status 0 hub-sim --from "$ROOT/examples/contoso.json" -- \
        key-inject -q "$FIXTURES/five-types.json" -o "$t/out.json"
    for f in "$FIXTURES/five-types.json" "$t/out.json"; do
        jq '[.. | objects | select(.authenticationType == "identityBased")]' "$f" \
            >"$t/$(basename "$f").identities"
    done
    same "$t/five-types.json.identities" "$t/out.json.identities"
    run jq length "$t/out.json.identities"
    [ "$output" = 6 ]
    run jq -r '.resources[0].properties.routing.endpoints | map_values(.[0])[]
        | .connectionString // .primaryKey' "$t/out.json"
    [ "${#lines[@]}" = 5 ]
    has_not '****'
}

@test "five types renamed: names follow, whatever way they are reached" {
    expect_pipe 0 "tmpl-rewrite -q --name=six --rename=contoso-west-events=e2 \
        --rename=contoso-west-bus=b2 --rename=contosowestdata=d2 \
        --rename=contoso-west-cosmos=c2 '$FIXTURES/five-types.json' |
        jq -r '[.. | strings | select(test(\"contoso-?west\"))] | length'"
    [ "$output" = 0 ]
    expect_pipe 0 "tmpl-rewrite -q --name=six --rename=contoso-west-bus=b2 '$FIXTURES/five-types.json' |
        jq -r '.resources[0].properties.routing.endpoints.serviceBusTopics[] | .connectionString // .endpointUri'"
    [ "${lines[0]}" = 'Endpoint=sb://b2.servicebus.windows.net:5671/;SharedAccessKeyName=RootManageSharedAccessKey;SharedAccessKey=****;EntityPath=lifecycle' ]
    [ "${lines[1]}" = 'sb://b2.servicebus.windows.net' ]
}
