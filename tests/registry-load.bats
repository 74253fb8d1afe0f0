# registry-load: records into a hub; nothing lost, nothing twice.
# shellcheck shell=bash disable=SC2016 # $ in what hub-sim's shell evaluates

load helper
load records

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    umask 077
    # east: what the destination holds now, without what differs by hub.
    cat >east <<'END'
registry-dump -q --retry-delay=0.01 env:DEST_IOTHUB_CONN_STRING | sed 's/"\(eTag\|twinETag\)":"[^"]*",//g'
END
    chmod +x east
}

# sim STATUS [OPTION...] -- SCRIPT: in bash, with two empty hubs, contoso and
# contoso-east (DEST_IOTHUB_CONN_STRING).
sim() {
    simulate --from "$FIXTURES/two-hubs.json" --dest contoso-east --operation-ms 1 : "$@"
}

fleet() {
    jq -nrc --argjson n "$1" -f "$ROOT/examples/fleet.jq"
}

# On the destination only.
EAST='host=contoso-east.*'

@test "a fleet of every kind: loaded, equal; again: nothing to write" {
    fleet 120 >f.txt
    sim 0 -- 'registry-load --audit=a.txt <f.txt >out && registry-diff -q f.txt env:DEST_IOTHUB_CONN_STRING'
    [ ! -s out ]
    has "152 applied (0 were equal already), 0 failed, 0 rejected, 0 not tried"
    # 120 devices in two calls for each kind, their modules in one.
    [ "$(grep -c '"operation":"bulk"' a.txt)" -eq 4 ]
    sim 0 -- 'registry-load -q <f.txt && grep -v disabled-too f.txt >g.txt && registry-load --audit=b.txt <g.txt'
    has "147 applied (147 were equal already)"
    [ "$(grep -vc '"operation":"bulk"' b.txt)" -eq 0 ]
}

@test "the same from the service's own export: CRLF, byte order mark, numbers as modes" {
    { printf '\xef\xbb\xbf'; device a | sed 's/}$/,"importMode":0}/'; device b; } | sed 's/$/\r/' >f.txt
    sim 0 -- 'registry-load <f.txt && ./east >now'
    has "2 applied"
    [ "$(jq -r .id now | tr '\n' ' ')" = "a b " ]
}

@test "Edge parents three deep follow by id to the scopes of the new hub" {
    edge() { device "$1" ',"capabilities":{"iotEdge":true},"deviceScope":"ms-azure-iot-edge://'"$1"'-1"'"${2-}"; }
    {
        device leaf-1 ',"deviceScope":"ms-azure-iot-edge://line-2-1","parentScopes":["ms-azure-iot-edge://line-2-1"]'
        device leaf-2 ',"parentScopes":["ms-azure-iot-edge://top-1"]'
        edge line-2 ',"parentScopes":["ms-azure-iot-edge://line-1-1"]'
        edge line-1 ',"parentScopes":["ms-azure-iot-edge://top-1"]'
        edge top ''
    } >f.txt
    for doubt in applied ignored; do
        sim 0 --doubt bulk-edge-scope=$doubt -- 'registry-load <f.txt && ./east >now && registry-diff -q f.txt now'
        [ "$(jq -r 'select(.moduleId == null) | "\(.id) \(.parentScopes[0] // "-" | sub("ms-azure-iot-edge://(?<p>.*)-[0-9]+"; "\(.p)"))"' now | sort)" = \
            "leaf-1 line-2
leaf-2 top
line-1 top
line-2 line-1
top -" ]
        [ "$(grep -c 'iot-edge://[a-z0-9-]*-1"' now)" -eq 0 ]
    done
}

@test "a parent that is on the hub already is found; one that is nowhere is said" {
    device child ',"deviceScope":"ms-azure-iot-edge://top-9"' >child.txt
    device top ',"capabilities":{"iotEdge":true}' >top.txt
    device lost ',"capabilities":{"iotEdge":true},"parentScopes":["ms-azure-iot-edge://nowhere-9"]' >lost.txt
    sim 0 -- '
        registry-load -q <child.txt >one; test $? -eq 5 && registry-load -q <top.txt && registry-load -q <child.txt &&
        registry-load -q <lost.txt >two; test $? -eq 5 && ./east >now'
    [ "$(jq -r '.code + " " + .message' one)" = "NoGround the hub has no Edge device of its parent's id" ]
    [ "$(jq -c '[.id, .code, .retry]' two)" = '["lost","NoGround",true]' ]
    [ "$(jq 'select(.id == "child") | .deviceScope | startswith("ms-azure-iot-edge://top-")' now)" = true ]
}

@test "what differs is written, and only that" {
    { device a; device b ',"tags":{"x":1}'; device c; device d ',"properties":{"desired":{"y":{"z":1}}}'; } >f.txt
    sed '/"a"/s/"enabled"/"disabled","statusReason":"lost"/; /"b"/s/"x":1/"x":1.50/; /"c"/s/primaryKey":"..../primaryKey":"AAAA/' f.txt >g.txt
    sim 0 -- 'registry-load -q <f.txt && registry-load --outcomes=all --audit=a.txt <g.txt >out && ./east >now'
    has "4 applied (1 were equal already)"
    [ "$(jq -r 'select(.operation != "bulk") | .operation + " " + .id' a.txt | sort | tr '\n' ';')" = \
        "update a;update c;updateTwin b;" ]
    [ "$(jq -r '.id + " " + .tried + " " + .code' out | sort | tr '\n' ';')" = \
        "a update applied;b updateTwin applied;c update applied;d createOrUpdate equal;" ] ||
        { cat out; false; }
    grep -q '"tags":{"x":1.50}' now
    [ "$(jq -r 'select(.id == "a") | .status + " " + .statusReason' now)" = "disabled lost" ]
    # Members that a record does not have stay.
    device d >h.txt
    sim 0 -- 'registry-load -q <f.txt && registry-load <h.txt && ./east >now'
    has "1 applied (1 were equal already)"
    grep -q '"desired":{"y":{"z":1}}' now
}

@test "a disabled device with modules never has usable keys on the way" {
    {
        echo "{\"id\":\"d\",\"status\":\"disabled\",\"statusReason\":\"stolen\",$(sas d),\"tags\":{\"a\":1}}"
        echo "{\"id\":\"d\",\"moduleId\":\"m\",\"status\":\"enabled\",$(sas m)}"
        echo '{"id":"x","status":"disabled","authentication":{"type":"certificateAuthority"}}'
        echo "{\"id\":\"x\",\"moduleId\":\"m\",\"status\":\"enabled\",$(sas m)}"
        echo "{\"id\":\"plain\",\"status\":\"disabled\",$(sas plain)}"
    } >f.txt
    # Stopped before the last write: enabled, but with nobody's keys.
    sim 0 --fault "$EAST,method=PUT,count=2,do=status:401" -- '
        registry-load -j 1 --rejects=r.txt <f.txt >out; test $? -eq 6 && ./east >half && registry-load -q <r.txt && ./east >whole'
    [ "$(jq -r 'select(.moduleId == null) | .id + " " + .status + " " + .authentication.type' half | sort)" = \
        "d enabled sas
plain disabled sas
x enabled sas" ]
    [ "$(grep -c "$(printf 'd/p................' | base64)" half)" -eq 0 ]
    [ "$(jq -r '.id + " " + .code' out | tr '\n' ';')" = "d Unfinished;x Unfinished;" ]
    [ "$(jq -c 'select(.moduleId == null) | [.id, .status, .statusReason, .authentication.type, .tags]' whole | sort)" = \
        '["d","disabled","stolen","sas",{"a":1}]
["plain","disabled",null,"sas",{}]
["x","disabled",null,"certificateAuthority",{}]' ]
    [ "$(grep -c "$(printf 'd/p................' | base64)" whole)" -eq 1 ]
    [ "$(jq -r 'select(.moduleId) | .id + .moduleId' whole | tr '\n' ' ')" = "dm xm " ]
    # And again, when all is there.
    sim 0 -- 'registry-load -q <f.txt && registry-load <f.txt && registry-diff -q f.txt env:DEST_IOTHUB_CONN_STRING'
}

@test "system modules: not created, but their desired is set" {
    {
        device e ',"capabilities":{"iotEdge":true}'
        echo '{"id":"e","moduleId":"$edgeAgent","status":"enabled","authentication":null,"properties":{"desired":{"v":1.0,"$version":7}}}'
        echo '{"id":"e","moduleId":"$edgeHub","status":"enabled","authentication":null}'
        device p
        echo '{"id":"p","moduleId":"$edgeHub","status":"enabled","authentication":null,"properties":{"desired":{"v":1}}}'
    } >f.txt
    sim 7 -- 'registry-load <f.txt >out; s=$?; ./east >now; exit $s'
    [ "$(jq -c '[.line, .id, .moduleId, .code]' out)" = '[5,"p","$edgeHub","DeviceNotFound"]' ] || { cat out; false; }
    grep -q '"desired":{"v":1.0}' now
}

@test "ambiguous answers are looked at, never repeated blindly" {
    fleet 60 >f.txt
    for fault in lose half cut badjson garbage empty status:500 status:503; do
        sim 0 --fault "$EAST,method=POST,path=/devices*,count=2,do=$fault" -- \
            'registry-load --retry-delay=0.01 <f.txt && registry-diff -q f.txt env:DEST_IOTHUB_CONN_STRING'
        has "78 applied (0 were equal already)"
    done
    for fault in lose half status:503; do
        sim 0 --fault "$EAST,prob=0.2,count=0,do=$fault" -- \
            'registry-load -q --retry-delay=0.01 <f.txt && ./east >now && registry-diff -q f.txt now'
    done
}

@test "a create that was applied and not answered keeps its keys" {
    device a >f.txt
    sim 0 --fault "$EAST,method=POST,count=1,do=lose" -- \
        'registry-load --outcomes=all --audit=a.txt <f.txt >out && ./east >now'
    [ "$(jq -r .code out)" = applied ]
    [ "$(jq -r .operation a.txt | tr '\n' ' ')" = "bulk " ]
    grep -q "$(printf 'a/p................' | base64)" now
    # With importMode create, what is there and equal is ours; else it is not.
    sed 's/}$/,"importMode":"create"}/' f.txt >g.txt
    sim 0 --fault "$EAST,method=POST,count=1,do=lose" -- 'registry-load <g.txt'
    sim 0 -- 'registry-load -q <f.txt; registry-load -q <g.txt >out; test $? -eq 6'
    [ "$(jq -r .code out)" = DeviceAlreadyExists ]
}

@test "throttled, with and without Retry-After: waited for" {
    device a >f.txt
    sim 0 --fault "$EAST,method=POST,count=1,do=status:429" -- 'registry-load --retry-delay=0.01 <f.txt'
    has "1 applied"
    sim 0 --fault "$EAST,method=POST,count=1,do=status:429,retry-after=1" -- 'registry-load <f.txt'
    has "1 applied"
}

@test "an expired token is renewed; a 401 that stays stops the run, and the rest is rejected" {
    fleet 60 >f.txt
    sim 0 --fault "$EAST,skip=3,count=1,do=status:401" -- 'registry-load <f.txt'
    has "78 applied"
    sim 0 --fault "$EAST,skip=3,count=7,do=status:401" -- '
        registry-load -j 1 --retry-delay=0.01 --rejects=r.txt <f.txt >out; test $? -eq 6 && registry-load -q <r.txt && registry-diff -q f.txt env:DEST_IOTHUB_CONN_STRING'
    has "iothubowner" "IoT Hub Data Contributor" "not tried"
    [ "$(wc -l <out)" -eq "$(wc -l <r.txt)" ]
    [ "$(jq -r .code out | sort -u | tr '\n' ' ')" = "NotTried Unfinished " ]
    [ "$(stat -c %a r.txt)" = 600 ]
    # Rejects keep their order and their bytes.
    same r.txt <(grep -Fxf r.txt f.txt)
    sim 6 --fault "$EAST,count=0,do=status:403,code=IotHubQuotaExceeded" -- 'registry-load <f.txt >out'
    has "IotHubQuotaExceeded" "78 not tried"
}

@test "a hub that is not there for long: status 5, and all of it is left for the next run" {
    fleet 30 >f.txt
    sim 5 --fault "$EAST,count=0,do=status:503" -- 'registry-load --retry-max-time=0 --rejects=r.txt <f.txt >out'
    same f.txt r.txt
    [ "$(jq -c .retry out | sort -u)" = true ]
}

@test "bad lines are rejects with their line numbers, the others go on" {
    big=$(head -c 33000 /dev/zero | tr '\0' x | fold -w 4000 | jq -Rc . | paste -sd, | sed 's/^/[/; s/$/]/')
    {
        device good-1
        echo 'no json'
        echo '{"status":"enabled"}'
        device good-1
        echo '{"id":"half","status":"enabled","authentication":{"type":"sas","symmetricKey":{"primaryKey":"QUJDREVGR0hJSktMTU5PUA=="}}}'
        echo '{"id":"none","status":"enabled"}'
        echo '{"id":"null","status":"enabled","authentication":null}'
        echo '{"id":"sas","status":"enabled","authentication":{"type":"sas"}}'
        device nostatus | sed 's/"status":"enabled",//'
        device 'bad id'
        device big ",\"properties\":{\"desired\":{\"big\":$big}}"
        echo '{"id":"gone","moduleId":"m","status":"enabled",'"$(sas m)"'}'
        device mode ',"importMode":"upsert"'
        device twice ',"tags":{},"tags":{}'
        head -c 5000000 /dev/zero | tr '\0' ' '
        echo
        device etag ',"importMode":"updateIfMatchETag"'
        echo '["id"]'
        printf '{"id":"good-2","status":"disabled","authentication":{"type":"certificateAuthority"}}'
    } >f.txt
    sim 7 -- 'registry-load --rejects=r.txt <f.txt >out; s=$?; ./east >now; exit $s'
    has "2 applied (0 were equal already), 2 failed, 14 rejected, 0 not tried"
    [ "$(jq -r '"\(.line) \(.id // "-") \(.code)"' out | sort -n)" = \
        "2 - BadRecord
3 - BadRecord
4 good-1 DuplicateId
5 half HalfKey
6 none NoKeys
7 null NoKeys
8 sas NoKeys
9 nostatus NoStatus
10 - BadRecord
11 big ArgumentInvalid
12 gone DeviceNotFound
13 mode BadRecord
14 twice BadRecord
15 - BadRecord
16 etag NoETag
17 - BadRecord" ] || { cat out; false; }
    same r.txt <(grep -v 'good-2\|^{"id":"good-1".*' f.txt | cat <(sed -n 2,3p f.txt) <(sed -n 4p f.txt) <(sed -n '5,17p' f.txt))
    [ "$(jq -r .id now | tr '\n' ' ')" = "good-1 good-2 " ]
    [ "$(grep -c "$(printf 'good-1/p................' | base64)" out)" -eq 0 ]
}

@test "empty input, only bad input, an export without keys, no stdin: status 3" {
    sim 3 -- 'registry-load </dev/null'
    has "has no records"
    sim 3 -- 'false | registry-load'
    sim 4 -- 'registry-load <&-'
    sim 3 -- 'echo "{}" | registry-load'
    printf 'Keys are not in this file.\n{"id":"a","status":"enabled","authentication":null}\n' >f.txt
    sim 3 -- 'registry-load <f.txt'
    has "as an export without keys" '"code":"NoKeys"' '"line":2'
}

@test "keys are generated only on request, and only for new devices" {
    { device a; echo '{"id":"b","status":"enabled"}'; } >f.txt
    sed 's/,"authentication":.*"type":"sas"}//' f.txt >g.txt
    sim 0 -- 'registry-load -q --generate-keys <f.txt && ./east >one && registry-load --generate-keys <g.txt && ./east >two'
    has "2 applied (2 were equal already)"
    same one two
    [ "$(jq -r .authentication.symmetricKey.primaryKey one | sort -u | wc -l)" -eq 2 ]
}

@test "import modes: update, updateTwin, and by ETag" {
    { device a ',"tags":{"t":1}'; device b ',"tags":{"t":1}'; } >f.txt
    sim 0 -- '
        registry-load -q <f.txt
        registry-dump -q env:DEST_IOTHUB_CONN_STRING >was
        m() { jq -c "select(.id == \"$1\") | $3 + {importMode: \"$2\"}" was; }
        {
            m a update ". + {status: \"disabled\", tags: {t: 2}}"
            m b updateTwin ". + {tags: {u: 3}} | del(.authentication, .status)"
            m a update ". + {id: \"none\"}"
            m a updateTwin ". + {id: \"none-either\"}"
        } | registry-load >out1; test $? -eq 7 && ./east >now1
        {
            m a updateIfMatchETag ". + {statusReason: \"stale\"}"
            m b updateTwinIfMatchETag ". + {tags: {u: 4}}"
        } | registry-load -q >out2; test $? -eq 6 && ./east >now2
        registry-dump -q env:DEST_IOTHUB_CONN_STRING >was
        {
            m a createOrUpdateIfMatchETag ". + {statusReason: \"fresh\"}"
            m b updateTwinIfMatchETag ". + {tags: {u: 5}}"
        } | registry-load -q && ./east >now3'
    [ "$(jq -c '[.id, .status, .tags]' now1)" = '["a","disabled",{"t":2}]
["b","enabled",{"u":3}]' ]
    [ "$(jq -r '.id + " " + .code' out1 | sort | tr '\n' ';')" = "none DeviceNotFound;none-either DeviceNotFound;" ]
    [ "$(jq -r '.id + " " + .code' out2 | sort | tr '\n' ';')" = "a PreconditionFailed;b PreconditionFailed;" ]
    same now1 now2
    [ "$(jq -c '[.id, .statusReason, .tags]' now3)" = '["a","fresh",{"t":2}]
["b",null,{"u":5}]' ]
}

@test "modes of records that take two steps: create is no conflict with ourselves, an ETag counts once" {
    {
        device top ',"capabilities":{"iotEdge":true}'
        device low ',"capabilities":{"iotEdge":true},"parentScopes":["ms-azure-iot-edge://top-1"]'
        device off | sed 's/enabled/disabled/'
        echo "{\"id\":\"off\",\"moduleId\":\"m\",\"status\":\"enabled\",$(sas m)}"
    } | sed 's/}$/,"importMode":"create"}/' >f.txt
    sim 0 -- '
        registry-load -q <f.txt && ./east >now && registry-diff -q f.txt now &&
        registry-dump -q env:DEST_IOTHUB_CONN_STRING | grep -v edgeHub | grep -v edgeAgent |
            registry-edit --mode=updateIfMatchETag --set "statusReason=\"new\"" --where ".moduleId == null" >g.txt &&
        registry-load <g.txt && ./east >then'
    has "3 applied (0 were equal"
    [ "$(jq -r 'select(.moduleId == null) | .id + " " + .status + " " + .statusReason' "then" | sort | tr '\n' ';')" = \
        "low enabled new;off disabled new;top enabled new;" ]
}

@test "deleting: named twice, and all of it" {
    fleet 30 >f.txt
    jq -c '{id, moduleId, importMode: "delete"} | with_entries(select(.value))' f.txt >d.txt
    sim 0 -- '
        registry-load -q <f.txt
        export C=$DEST_IOTHUB_CONN_STRING N=$(wc -l <d.txt)
        no() { "$@" <d.txt; test $? -eq 2; }
        no registry-load && no registry-load --confirm=contoso-east --expect=$N &&
        no registry-load env:C --expect=$N && no registry-load env:C --confirm=contoso --expect=$N &&
        no registry-load env:C --confirm=contoso-east &&
        IOTHUB_CONN_STRING=$C no registry-load env:C --confirm=contoso-east --expect=$N &&
        { registry-load env:C --confirm=contoso-east --expect=7 <d.txt; test $? -eq 3; } &&
        { head -c -20 d.txt | registry-load env:C --confirm=contoso-east --expect=$N; test $? -eq 3; } &&
        { registry-load env:C --confirm=contoso-east --manifest=none <d.txt; test $? -eq 3; } &&
        registry-diff -q f.txt env:C && registry-load -n env:C <d.txt >plan &&
        registry-dump -q -o dump --manifest=m.json env:C &&
        { head -n 9 dump | registry-load env:C --confirm=contoso-east --manifest=m.json; test $? -eq 3; } &&
        registry-edit --mode=delete dump | registry-load env:C --confirm=contoso-east --max-delete=100% --manifest=m.json && ./east >now &&
        registry-load env:C --confirm=contoso-east --max-delete=100% --expect=$N <d.txt'
    has "the hub must be named as an operand" "--confirm=contoso-east is needed" "is the source too" \
        "--manifest=FILE or --expect=N is needed" "has 40 records, not 7" "1 lines are wrong, and others delete" \
        "a dump that died has no manifest" "tells of 40 records, but the input has 9" "40 applied (40 were equal already)"
    [ ! -s now ]
    [ "$(jq -c '[.step, .records]' plan)" = '["delete devices",30]
["delete modules",10]' ]
}

@test "source and destination the same: refused unless named and confirmed" {
    device a >f.txt
    sim 0 -- 'export DEST_IOTHUB_CONN_STRING=$IOTHUB_CONN_STRING
        registry-load <f.txt; test $? -eq 2 && { registry-load env:IOTHUB_CONN_STRING <f.txt; test $? -eq 2; } &&
        registry-load --confirm=contoso env:IOTHUB_CONN_STRING <f.txt'
    has "is the source too" "--confirm=contoso" "1 applied"
}

@test "a dry run prints the plan, sends nothing, and shows no secret" {
    { fleet 60; echo bad; } >f.txt
    sim 0 --log=log.txt -- '
        registry-load -n <f.txt >out; test $? -eq 7 && ! grep contoso-east.azure log.txt && ./east >now'
    [ ! -s now ]
    [ "$(jq -c 'select(.step) | [.step, .records, .calls]' out)" = \
        '["create Edge devices",4,1]
["read the scopes of parents",4,4]
["create devices",56,1]
["set the parents of Edge devices",2,2]
["create modules",10,1]
["set keys and status of disabled devices",2,2]
["set the twins of system modules",8,8]' ]
    [ "$(jq -r 'select(.code) | "\(.line) \(.code)"' out)" = "79 BadRecord" ]
    has "'contoso-east': 90 identity operations, 18 twin reads, 10 twin writes: "
    sim 0 -- 'registry-load -v --outcomes=all --rejects=r <f.txt >out 2>err; test $? -eq 7; c=${DEST_IOTHUB_CONN_STRING##*Key=}
        ! grep -F "$c" out err'
    [ "$(grep -cE "$(grep -o '"primaryKey":"[^"]*' f.txt | cut -d'"' -f4 | head -n 40 | paste -sd'|' | sed 's/[+]/\\+/g')" out err | paste -sd' ')" = "out:0 err:0" ]
}

@test "killed at any moment and started again: the same end" {
    fleet 300 >f.txt
    for after in 1 3 12 40; do
        sim 0 --fault "$EAST,skip=$after,count=1,do=hang" -- '
            registry-load -q -j 2 <f.txt >/dev/null & pid=$!
            sleep 0.3; kill -9 $pid; wait $pid
            registry-load -q <f.txt && registry-diff -q f.txt env:DEST_IOTHUB_CONN_STRING'
    done
}

@test "numbers and spelling of what the service takes stay as they are" {
    sim 7 -- 'registry-load -q <"$FIXTURES/hazards.txt" >out; s=$?; ./east >now; exit $s'
    [ "$(jq -r .code out | sort | uniq -c | tr -s ' ' | tr '\n' ';')" = " 6 ArgumentInvalid; 1 NoKeys;" ]
    grep -o '"tags":{.*' now | sed 's/,"properties":.*//' | grep -v '^"tags":{}$' >have
    grep -o '"tags":{.*' "$FIXTURES/hazards.txt" | sed 's/}\r*$//' >want
    [ "$(wc -l <have)" -eq 23 ]
    run grep -vFxf want have
    [ -z "$output" ]
}

@test "every fact that is not confirmed, the other way round" {
    # It turns them all itself: check-doubts need not repeat it for each.
    [ -z "${HUB_SIM_DOUBTS-}" ] || skip "turns the doubts itself"
    fleet 60 >f.txt
    for doubt in bulk-partial=none bulk-error-code=number bulk-update-twin=both \
        bulk-edge-scope=ignored thumbprint-case=upper module-of-disabled=answered \
        query-lag=on reported-on-create=ignored no-change-version=same twin-metadata=refused; do
        sim 0 --doubt $doubt -- '
            head -n 40 f.txt | registry-load -q && registry-load -q <f.txt >out &&
            ./east >now && registry-diff -q f.txt now'
    done
}

@test "a reject has one word for a refusal, also where a bulk call answers with numbers" {
    device big ",\"properties\":{\"desired\":{\"x\":[$(seq -s, 9000)]}}" >f.txt
    for position in text number; do
        sim 6 --doubt bulk-error-code=$position -- 'registry-load -q <f.txt >out'
        [ "$(jq -r .code out)" = ArgumentInvalid ]
    done
}

@test "stdout full, rejects that cannot be written, a hub that is not named" {
    echo bad >f.txt
    sim 4 -- 'registry-load <f.txt >/dev/full'
    sim 4 -- 'registry-load --rejects=none/r <f.txt'
    sim 2 -- 'DEST_IOTHUB_CONN_STRING= registry-load <f.txt'
    has "DEST_IOTHUB_CONN_STRING"
}
