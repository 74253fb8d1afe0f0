# load-everything: each thing a registry can hold goes over, and a second run
# finds it equal and writes nothing.
# shellcheck shell=bash disable=SC2016 # $ in what hub-sim's shell evaluates

load helper
load records

setup() {
    cd "$BATS_TEST_TMPDIR" || return
    umask 077
    cat >east <<'END'
registry-dump -q --retry-delay=0.01 env:DEST_IOTHUB_CONN_STRING "$@" | sed 's/"\(eTag\|twinETag\)":"[^"]*",//g'
END
    chmod +x east
}

# sim STATUS [OPTION...] -- SCRIPT: in bash, with two empty hubs, contoso and
# contoso-east (DEST_IOTHUB_CONN_STRING).
sim() {
    simulate --from "${TWO_HUBS:-$FIXTURES/two-hubs.json}" \
        --dest contoso-east --operation-ms 1 : "$@"
}

# No Entra credentials: what only a key shows.
KEY_ONLY='unset AZURE_CLIENT_ID AZURE_TENANT_ID AZURE_CLIENT_SECRET;'

# Who stands below whom on the hub.
parents() {
    jq -r 'select(.moduleId == null and .parentScopes[0]) | .id + " " +
        (.parentScopes[0] | sub("ms-azure-iot-edge://(?<p>.*)-[0-9]+"; "\(.p)"))' "$1" | sort | tr '\n' ';'
}

codes() {
    jq -r '.id + (.moduleId // "") + " " + .code' "$1" | sort | tr '\n' ';'
}

# writes AUDIT: what the hub was made to write; calls that it refused whole are
# no writes.
writes() {
    jq -r 'select(.status < 300) | .operation + " " + .id' "$1"
}
wrote_nothing() {
    [ -z "$(writes "$1")" ] || {
        cat "$1"
        return 1
    }
}

@test "everything goes over and is equal under registry-diff" {
    write_everything
    sim 0 -- 'registry-load <f.txt >out && ./east >now && grep -v "^{\"id\":\"l5\",\"status\"" f.txt | registry-diff - now |
        jq -c "select(.id != \"l5\")" >d; registry-load --audit=a.txt <f.txt'
    # hub-sim keeps one parent of several: that is said.
    [ "$(grep -c "of 1 devices with several parents it keeps only the first" <<<"$output")" -eq 2 ]
    has "18 applied (0 were equal already), 0 failed" "18 applied (18 were equal already), 0 failed"
    has_not "does not show theirs"
    [ ! -s out ]
    wrote_nothing a.txt
    [ ! -s d ] || { cat d; false; }
    [ "$(jq -r 'select(.id == "off" and .moduleId == null) | .status + " " + .statusReason' now)" = "disabled stolen" ]
    [ "$(jq -r 'select(.id == "ca" and .moduleId == null) | .statusReason + " " + .authentication.type' now)" = 'new: "x" certificateAuthority' ]
    [ "$(jq -r 'select(.id == "two") | .authentication.x509Thumbprint | .primaryThumbprint + .secondaryThumbprint' now)" = "$(thumb A)$(thumb B 64)" ]
    [ "$(parents now)" = "l2 l1;l3 l2;l4 l3;l5 l4;leaf l5;offedge l1;" ]
    [ "$(jq -c 'select(.moduleId == "$edgeAgent" and .id == "l5") | .properties.desired.modules' now)" = '{"filter":{"version":"1.0"}}' ]
    [ "$(jq -c 'select(.moduleId == "$edgeHub" and .id == "l5") | .properties.desired.routes' now)" = '{"r":"FROM /* INTO $upstream"}' ]
    [ "$(jq -r 'select(.moduleId == "mic") | .managedBy' now)" = me ]
}

@test "managedBy of modules arrives, though the format of many does not have it" {
    {
        device d ',"statusReason":"lost"' | disabled
        module d own ',"managedBy":"iotEdge","tags":{"t":1}'
        device e
        module e first ',"managedBy":"me","importMode":"create","properties":{"desired":{"x":1},"reported":{"up":true}}'
        module e none
        module e null ',"managedBy":null'
    } >f.txt
    for position in dropped kept; do
        sim 0 --doubt bulk-module-managed-by=$position --doubt reported-on-create=applied -- 'registry-load <f.txt >out && ./east >now &&
            registry-diff f.txt now && registry-diff --reported f.txt now &&
            sed "s/,.importMode.:.create.//" f.txt | registry-load --audit=a.txt'
        has "6 applied (0 were equal already)" "6 applied (6 were equal already)"
        [ ! -s out ]
        [ "$(jq -r 'select(.moduleId) | .moduleId + " " + (.managedBy // "-")' now | sort | tr '\n' ';')" = \
            "first me;none -;null -;own iotEdge;" ]
        wrote_nothing a.txt
    done
    # One that was lost: a hub says so, of a file nobody knows.
    sed '/"none"/s/"status"/"managedBy":"x",&/' f.txt >lost.txt
    sim 1 -- 'registry-load -q <f.txt && ./east >now && registry-diff lost.txt now && registry-diff lost.txt env:DEST_IOTHUB_CONN_STRING --via=rest'
    has "equal: 6 entries; " "managedBy of 1 modules, of which one side says nothing" '{"id":"e","moduleId":"none","path":"/managedBy","a":"x"}'
}

@test "a leaf of importMode create under its parent, where a bulk call takes no parents" {
    { edge top; device leaf ',"importMode":"create","deviceScope":"ms-azure-iot-edge://top-77"'; } >f.txt
    sim 0 --doubt bulk-edge-scope=ignored -- 'registry-load <f.txt && ./east >now && registry-diff -q f.txt now'
    has "2 applied"
}

@test "a second run on an equal hub writes nothing, also where a key does not show the modules" {
    write_everything
    sim 0 --doubt module-of-disabled=refused -- "$KEY_ONLY"'registry-load -q <f.txt && registry-load --outcomes=all --audit=a.txt <f.txt >again'
    has "18 applied (18 were equal already), 0 failed" \
        "3 modules of disabled devices are there, but a key does not show theirs"
    wrote_nothing a.txt
    [ "$(jq -r .code again | sort | uniq -c | tr -s ' ')" = " 18 equal" ]
}

@test "everything under faults, with a key only: one run or two, and the hubs are equal, nobody's key is another" {
    write_everything
    { configuration base "$BASE"; configuration layer "$LAYER"; } | sed "s/tags.site='x'/tags.site='nobody'/" >c.txt
    for fault in lose half status:503 status:429; do
        # After each 429 a tool is slower for a while.
        [[ $fault == *429 ]] && often=0.02 || often=0.15
        sim 0 --fault "host=contoso-east.*,prob=$often,count=0,do=$fault" -- "$KEY_ONLY"'
            run() { registry-load -q --retry-delay=0.01 --configurations=c.txt <f.txt >out; }
            run && ./east --auth=key >now 2>/dev/null; run && jq -c . out'
        ! grep -v '^registry-load: warning\|^registry-dump: warning' <<<"$output" || { echo "by $fault"; false; }
    done
    sim 0 --fault 'host=contoso-east.*,prob=0.15,count=0,do=lose' -- 'registry-load -q --retry-delay=0.01 <f.txt && ./east >now && { registry-diff f.txt now >d; true; }'
    [ "$(jq -c . d)" = '{"id":"l5","path":"/parentScopes/1","a":"l3"}' ]
}

@test "a disabled device that lacks a module is opened with keys that nobody knows, and closed again" {
    { device d ',"statusReason":"stolen"'; module d one; device e; module e two; } | disabled >f.txt
    # d was there without its module.
    grep -v '"one"' f.txt >g.txt
    sim 0 -- "$KEY_ONLY"'registry-load -q <g.txt && registry-load --audit=a.txt <f.txt'
    has "4 applied (2 were equal already)"
    [ "$(jq -r '.operation + " " + .id' a.txt | grep -v '^bulk' | tr '\n' ';')" = "update d;update d;" ] || { cat a.txt; false; }
    sim 0 -- 'registry-load -q <g.txt && registry-load -q <f.txt && ./east >now && registry-diff f.txt now'
    # Stopped while it is open: it says why it is enabled, and opens with
    # nobody's key.
    sim 0 --fault "host=contoso-east.*,method=PUT,skip=2,count=1,do=status:403,code=IotHubUnauthorized" -- "$KEY_ONLY"'
        registry-load -q -j 1 <g.txt && { registry-load -q -j 1 <f.txt >out; test $? -eq 6; } && ./east >half &&
        registry-load -q <f.txt && ./east >whole'
    [ "$(jq -r 'select(.id == "d" and .moduleId == null) | .status + " " + .statusReason' half)" = \
        "enabled enabled by registry-load until its modules are there" ]
    [ "$(grep -c "$(printf 'd/p................' | base64)" half)" -eq 0 ]
    [ "$(jq -r 'select(.id == "d" and .moduleId == null) | .status + " " + .statusReason' whole)" = "disabled stolen" ]
}

@test "modules of a disabled device: a twin that differs is written without opening it" {
    { device d; module d one ',"tags":{"a":1}'; } | disabled >f.txt
    sed 's/"a":1/"a":2/' f.txt >g.txt
    sim 0 -- "$KEY_ONLY"'registry-load -q <f.txt && registry-load --outcomes=all --audit=a.txt <g.txt >out'
    [ "$(writes a.txt)" = "updateTwin d/one" ] || { cat a.txt; false; }
    [ "$(codes out)" = "d equal;done applied;" ]
}

@test "a device that is enabled on the hub is closed in one write" {
    { device d; module d one; } >f.txt
    disabled <f.txt >g.txt
    sim 0 -- "$KEY_ONLY"'registry-load -q <f.txt && registry-load --audit=a.txt <g.txt && ./east >now'
    [ "$(writes a.txt)" = "update d" ] || { cat a.txt; false; }
    [ "$(jq -r 'select(.moduleId == null) | .status' now)" = disabled ]
}

@test "importMode create of a disabled device with modules: answer lost, killed half-way, taken by another" {
    { device d; module d one; } | disabled | sed 's/}$/,"importMode":"create"}/' >f.txt
    sim 0 --fault 'host=contoso-east.*,method=POST,count=1,do=lose' -- 'registry-load <f.txt && ./east >now && registry-diff f.txt now'
    has "2 applied"
    # Locked by a run that died: its reason tells that it is ours.
    sim 0 --fault 'host=contoso-east.*,method=PUT,count=2,do=status:401' -- '
        { registry-load -q -j 1 <f.txt >out; test $? -eq 6; } &&
        sed "/one/s/\"create\"/\"createOrUpdate\"/" f.txt | registry-load && ./east >now && registry-diff f.txt now'
    [ "$(jq -r 'select(.moduleId == null) | .status' now)" = disabled ]
    device d ',"tags":{"mine":1}' >other.txt
    sim 5 -- 'registry-load -q <other.txt; registry-load <f.txt >out'
    [ "$(codes out)" = "d DeviceAlreadyExists;done NoGround;" ] || { cat out; false; }
}

@test "five levels of Edge parents in any order; one missing: what stands on it is said" {
    { edge l4 l3; edge l2 l1; edge l5 l4; edge l1; device leaf ',"deviceScope":"ms-azure-iot-edge://l3-77"'; } >f.txt
    { edge l3 l2; edge l4 l3; tail -n 1 f.txt; } >g.txt
    sim 0 -- 'registry-load --rejects=r.txt <f.txt >out; test $? -eq 7 && registry-load <g.txt && ./east >now'
    [ "$(codes out)" = "l4 NoGround;leaf NoGround;" ] || { cat out; false; }
    same <(sort r.txt) <(grep '"leaf"\|"id":"l4"' f.txt | sort)
    [ "$(parents now)" = "l2 l1;l3 l2;l4 l3;l5 l4;leaf l3;" ]
}

@test "what a journal has finished costs nothing, nor do the parents of what is finished" {
    { edge top; edge low top; device leaf ',"deviceScope":"ms-azure-iot-edge://top-77"'; } >f.txt
    sim 0 -- 'registry-load -q --journal=j <f.txt && registry-load --journal=j <f.txt'
    has "is complete: nothing is left to do" "3 applied"
    has_not "identity operation"
    # Three of these are new, one gets its parent, and there is one parent.
    sim 0 -- 'registry-load -n <f.txt'
    has "7 identity operations"
}

@test "reported properties: applied with a new device where the hub takes them, else compared and said" {
    device r ',"tags":{"t":1},"properties":{"desired":{"a":1},"reported":{"fw":"1.2"}}' >f.txt
    sim 0 --doubt reported-on-create=applied -- 'registry-load <f.txt && ./east >now'
    has_not "reported properties"
    [ "$(jq -c .properties.reported now)" = '{"fw":"1.2"}' ]
    sim 0 --doubt reported-on-create=ignored -- 'registry-load --outcomes=all --audit=a.txt <f.txt >out && ./east >now'
    has "1 records have reported properties that nobody but the device can write"
    [ "$(jq -c '[.code, .message]' out)" = '["applied","its reported properties differ: nobody but the device can write them"]' ] || { cat out; false; }
    # Looked at, not written again.
    [ "$(jq -r .operation a.txt | tr '\n' ' ')" = "bulk " ]
    [ "$(jq -c .properties.desired now)" = '{"a":1}' ]
    sed 's/1\.2/1.3/' f.txt >g.txt
    sim 1 -- 'registry-load -q <f.txt && registry-load --audit=b.txt <g.txt; ./east >now; registry-diff --reported g.txt now'
    has "1 records have reported properties" "/properties/reported/fw"
    wrote_nothing b.txt
}

basic() {
    jq '(.resources[] | select(.name == "contoso-east") | .sku) = {name: "B1", tier: "Basic", capacity: 1}' \
        "$FIXTURES/two-hubs.json" >basic.json
    TWO_HUBS=basic.json
}

@test "a hub of the basic tier: identities are applied, each twin is an outcome, one warning" {
    basic
    { device a; device b ',"tags":{"x":1}'; module a m ',"properties":{"desired":{"y":1}}'; device c ',"tags":{},"properties":{"desired":{},"reported":{}}'; } >f.txt
    sim 7 -- 'registry-load --rejects=r.txt <f.txt >out; s=$?; ./east >now; registry-load --audit=a.txt <f.txt >out2; test $? -eq 7 && exit $s'
    has "2 applied (0 were equal already), 2 failed" "2 applied (2 were equal already), 2 failed"
    [ "$(grep -c 'its tier has no twins: identities' <<<"$output")" -eq 2 ] # of two runs
    [ "$(jq -r '.id + (.moduleId // "") + " " + .tried + " " + .code + " " + (.retry | tostring)' out | sort)" = \
        "am updateTwin OperationNotAvailableInCurrentTier false
b updateTwin OperationNotAvailableInCurrentTier false" ] || { cat out; false; }
    [ "$(jq -r '.id + (.moduleId // "")' now | tr '\n' ' ')" = "a am b c " ]
    same <(sort r.txt) <(grep '"x"\|"y"' f.txt | sort)
    wrote_nothing a.txt
    # Nothing but twins asked for: nothing done.
    sim 6 -- 'registry-load -q <f.txt >out; grep "\"x\"" f.txt | registry-edit --mode=updateTwin | registry-load'
    has "0 applied (0 were equal already), 1 failed"
}

configuration() { # ID CONTENT [MEMBERS]
    echo "{\"Id\":\"$1\",\"SchemaVersion\":\"1.0\",\"Labels\":{},\"Content\":$2,\"TargetCondition\":\"tags.site='x'\",\"Priority\":10${3-}}"
}
BASE='{"ModulesContent":{"$edgeAgent":{"properties.desired":{"modules":{}}},"$edgeHub":{"properties.desired":{"routes":{}}}}}'
LAYER='{"ModulesContent":{"$edgeAgent":{"properties.desired.modules.x":{"v":1.0}}}}'

@test "configurations: after the devices, base before layered, compared, updated by ETag; again: equal" {
    device a >f.txt
    {
        configuration layer "$LAYER"
        configuration dev '{"DeviceContent":{"properties.desired.fw":{"v":9007199254740993}}}' ',"Metrics":{"Queries":{"m":"SELECT deviceId FROM devices"}}'
        configuration base "$BASE"
    } >c.txt
    sed '/"dev"/s/"Priority":10/"Priority":30/; /"layer"/s/"Labels":{}/"Labels":{"k":"v"}/' c.txt >d.txt
    sim 0 -- '
        registry-load --configurations=c.txt --outcomes=all --audit=a.txt <f.txt >out &&
        registry-load --configurations=c.txt --audit=b.txt <f.txt >out2 &&
        registry-load --configurations=d.txt --audit=c.audit --outcomes=all <f.txt >out3 &&
        registry-dump -q --configurations=now.txt env:DEST_IOTHUB_CONN_STRING >/dev/null &&
        registry-load -n --configurations=c.txt <f.txt >plan'
    has "configurations: 3 applied (0 were equal already), 0 failed" "configurations: 3 applied (3 were equal already)" \
        "configurations: 3 applied (1 were equal already)"
    [ "$(jq -r '(.id // "-") + " " + (.configurationId // "-") + " " + .tried + " " + .code' out | tr '\n' ';')" = \
        "a - create applied;- dev create applied;- base create applied;- layer create applied;" ] || { cat out; false; }
    wrote_nothing b.txt
    [ ! -s out2 ]
    [ "$(writes c.audit | grep -v bulk | tr '\n' ';')" = "updateConfiguration dev;updateConfiguration layer;" ]
    [ "$(jq -r 'select(.configurationId) | "\(.configurationId) \(.code)"' out3 | tr '\n' ';')" = "dev applied;base equal;layer applied;" ]
    grep -q 9007199254740993 now.txt
    same <(sed 's/,"ETag":"[^"]*"//; s/,"Metrics":{"Queries":{}}//' now.txt | sort) <(sort d.txt)
    [ "$(jq -c 'select(.step == "apply configurations") | [.records, .calls]' plan)" = "[3,4]" ]
}

@test "configurations: names in any case, null content, import modes, CRLF; from one hub to the next" {
    device a >f.txt
    {
        echo '{"id":"low","content":{"deviceContent":null,"moduleContent":null,"modulesContent":{"$edgeAgent":{"properties.desired":{"a":1}}}},"targetCondition":"*","priority":1,"importMode":"createOrUpdateIfMatchETag","eTag":"*"}'
        echo '{"ID":"new","content":{"devicecontent":{"properties.desired.a":1}},"TARGETCONDITION":"*","importMode":1}'
        echo '{"id":"stale","content":{"deviceContent":{"properties.desired.a":1}},"targetCondition":"*","priority":7,"importMode":"updateIfMatchETag","etag":"OTk="}'
    } | sed 's/$/\r/' >c.txt
    sed '/"low"/!d; s/"priority":1/"priority":2/; s/"eTag":"\*"/"eTag":"OTk="/' c.txt >d.txt
    sim 0 -- 'registry-load --configurations=c.txt <f.txt >out; test $? -eq 7 &&
        { registry-load -q --configurations=d.txt <f.txt >out2; test $? -eq 7; } &&
        registry-dump -q --configurations=one env:DEST_IOTHUB_CONN_STRING >/dev/null &&
        registry-load -q --confirm=contoso --configurations=one --expect=0 env:IOTHUB_CONN_STRING </dev/null &&
        registry-dump -q --configurations=two >/dev/null'
    [ "$(jq -r '.configurationId + " " + .code' out)" = "stale ConfigurationNotFound" ]
    [ "$(jq -r '.configurationId + " " + .code' out2)" = "low PreconditionFailed" ] || { cat out2; false; }
    [ "$(wc -l <two)" -eq 2 ]
    same <(sed 's/,"ETag":"[^"]*"//' one) <(sed 's/,"ETag":"[^"]*"//' two)
}

@test "configurations: content is fixed, wrong lines are rejects with their numbers, the others go on" {
    device a >f.txt
    {
        configuration good "$LAYER"
        echo 'no json'
        configuration two '{"DeviceContent":{"properties.desired.a":1},"ModulesContent":{}}'
        configuration none '{}'
        configuration good "$BASE"
        configuration UPPER "$BASE"
        echo '{"Content":{"DeviceContent":{}}}'
        configuration kind "$BASE" ',"Metrics":[]'
        configuration mode "$BASE" ',"importMode":"delete"'
        configuration etag "$BASE" ',"importMode":"updateIfMatchETag"'
        configuration bad "$BASE" | sed "s/tags.site='x'/tags.site==/"
        configuration twice "$BASE" ',"priority":11'
        echo '["Id"]'
    } >c.txt
    configuration good "$BASE" >d.txt
    sim 7 -- 'registry-load --configurations=c.txt <f.txt >out; registry-load --configurations=d.txt --audit=a.txt <f.txt >out2'
    has "configurations: 1 applied (0 were equal already), 2 failed, 10 rejected, 0 not tried"
    [ "$(jq -r '"\(.line) \(.configurationId // "-") \(.code)"' out | sort -n)" = "2 - BadConfiguration
3 two BadConfiguration
4 none BadConfiguration
5 good DuplicateId
6 UPPER ArgumentInvalid
7 - BadConfiguration
8 kind BadConfiguration
9 mode BadConfiguration
10 etag NoETag
11 bad ArgumentInvalid
12 twice BadConfiguration
13 - BadConfiguration" ] || { cat out; false; }
    [ "$(jq -r '.configurationId + " " + .code + " " + .message' out2)" = \
        "good ContentFixed its content differs, and the service does not change that (delete the configuration on the hub and load again)" ]
    wrote_nothing a.txt
}

@test "configurations: no file, none in it, too many, no records beside them, a basic tier, a dead hub" {
    device a >f.txt
    configuration base "$BASE" >c.txt
    : >empty.txt
    jq -nc 'range(1001) | {Id: "c\(.)", Content: {DeviceContent: {}}}' >many.txt
    sim 0 -- '
        { registry-load --configurations=none <f.txt; test $? -eq 4; } &&
        { registry-load --configurations=many.txt <f.txt; test $? -eq 3; } && ./east >before &&
        registry-load --configurations=empty.txt <f.txt &&
        { registry-load --configurations=c.txt </dev/null; test $? -eq 3; } &&
        registry-load --expect=0 --configurations=c.txt </dev/null'
    has "'none': open failed" "has more than 1000 lines" "'empty.txt': has no configurations" "configurations: 1 applied"
    [ ! -s before ]
    # The devices are there; what was not tried says so.
    sim 6 --fault 'host=contoso-east.*,path=/configurations*,count=0,do=status:401' -- 'registry-load --configurations=c.txt <f.txt >out'
    [ "$(jq -r '.configurationId + " " + .code' out)" = "base NotTried" ]
    has "1 applied (0 were equal already)" "0 failed, 0 rejected, 1 not tried"
    basic
    sim 7 -- 'registry-load --configurations=c.txt <f.txt >out; s=$?; registry-dump -q --configurations=now env:DEST_IOTHUB_CONN_STRING; exit $s'
    [ "$(jq -r '.configurationId + " " + .code' out)" = "base OperationNotAvailableInCurrentTier" ]
    [ ! -s now ]
}

@test "configurations: answers that are lost are looked at, never a reject" {
    device a >f.txt
    { configuration base "$BASE"; configuration layer "$LAYER"; } >c.txt
    for fault in lose half status:500 cut; do
        sim 0 --fault "host=contoso-east.*,path=/configurations*,method=PUT,count=2,do=$fault" -- '
            registry-load --retry-delay=0.01 --configurations=c.txt <f.txt >out && registry-load --configurations=c.txt <f.txt'
        has "configurations: 2 applied (0 were" "configurations: 2 applied (2 were"
        [ ! -s out ]
    done
}
