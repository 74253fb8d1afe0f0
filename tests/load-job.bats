# registry-load --via=job: records through import jobs of the hub.
# shellcheck shell=bash disable=SC2016,SC2034,SC2154 # $edgeAgent; HUB

load helper
load jobs
load records
load loadjob

@test "a fleet of every kind by two jobs: equal, and nothing is left" {
    fleet 120 >f.txt
    expect_status 0 by_job --audit=a.txt <f.txt
    has "152 applied" "0 failed, 0 rejected, 0 not tried"
    expect_status 0 registry-diff -q f.txt "$HUB"
    [ "$(jobs completed)" -eq 2 ]
    [ "$(containers)" -eq 0 ]
    # No device by calls.
    [ "$(grep -c '"operation":"bulk"' a.txt)" -eq 0 ]
    # Again: nothing changes.
    expect_status 0 by_job -q <f.txt
    expect_status 0 registry-diff -q f.txt "$HUB"
}

@test "everything that a registry can hold goes by job as it goes by calls, and comes back either way" {
    write_everything
    configurations >c.txt
    expect_status 0 by_job --configurations=c.txt <f.txt
    has "18 applied" "configurations: 3 applied" "of 1 devices with several parents it keeps only the first"
    expect_status 0 registry-load --via=rest --audit=a.txt --configurations=c.txt "$HUB" <f.txt
    has "18 applied (18 were equal already)" "3 applied (3 were equal already)"
    [ -z "$(jq -r 'select(.status < 300 and .operation != "post") | .operation' a.txt)" ]
    expect_status 0 registry-dump -q --via=rest --configurations=rest.conf -o rest.txt "$HUB"
    expect_status 0 registry-dump -q --via=job --configurations=job.conf -o job.txt "$HUB"
    same <(jq -S . rest.conf) <(jq -S . job.conf)
    expect_status 0 registry-diff --reported rest.txt job.txt
    has "managedBy of 2 modules, of which one side says nothing, as an export by job does, is not compared"
    # hub-sim keeps one parent of several.
    expect_status 1 registry-diff -q --reported f.txt job.txt
    [ "$output" = '{"id":"l5","path":"/parentScopes/1","a":"l3"}' ]
    [ "$(jq -r 'select(.id == "off" and .moduleId == null) | .status + " " + .statusReason' job.txt)" = "disabled stolen" ]
    [ "$(jq -r 'select(.id == "two") | .authentication.x509Thumbprint | .primaryThumbprint + .secondaryThumbprint' job.txt)" = "$(thumb A)$(thumb B 64)" ]
    [ "$(jq -c 'select(.moduleId == "$edgeHub" and .id == "l5") | .properties.desired.routes' job.txt)" = '{"r":"FROM /* INTO $upstream"}' ]
}

@test "numbers, order and spelling go over byte for byte" {
    local twin='"tags":{"z":1.0,"a":4503599627370495,"e":1e2,"u":"\u00e9\/"},"properties":{"desired":{"big":-4503599627370496,"f":0.10},"reported":{}}'
    device a ",$twin,\"x\":9007199254740993" >f.txt
    control PUT knob/operation-ms 1
    knob hold
    by_job --container=given --keep-blobs <f.txt >out 2>err &
    BACK=$!
    await_job
    blob GET given "$(lists given | grep ^devices-)" >sent
    knob release
    wait "$BACK"
    # What was sent is the record and what a line needs more.
    grep -qF "$(head -c -2 f.txt | cut -c2-)" sent
    lists given | grep -q '^errors-0-'
    there >out
    grep -qF '"tags":{"z":1.0,"a":4503599627370495,"e":1e2' out
    grep -qF '"big":-4503599627370496,"f":0.10' out
}

@test "every mode by its line; what is there already keeps its keys" {
    { for d in up gone twin etag; do device $d; done; } >first.txt
    expect_status 0 by_job <first.txt
    local etag
    etag=$(hub GET /devices/etag | jq -r .etag)
    {
        device up | sed 's/"enabled"/"disabled","importMode":"update"/'
        echo '{"id":"gone","importMode":"delete"}'
        echo '{"id":"never","importMode":"delete"}'
        echo '{"id":"twin","importMode":"updateTwin","tags":{"t":1},"properties":{"desired":{"d":2}}}'
        device etag ",\"eTag\":\"$etag\"" | sed 's/"enabled"/"disabled","importMode":"updateIfMatchETag"/'
        device new | sed 's/{/{"importMode":"create",/'
    } >f.txt
    expect_status 0 by_job --confirm="$HUB" --expect=6 --max-delete=2 --no-undo --outcomes=all <f.txt
    has '"id":"up","tried":"update","code":"applied"' '"id":"never","tried":"delete","code":"equal"' \
        "6 applied"
    run there
    has '"id":"up","status":"disabled"' '"id":"etag","status":"disabled"' '"tags":{"t":1}' '"id":"new"'
    has_not gone
    # Keys that are not given: not by a line that would make new ones.
    local key
    key=$(hub GET /devices/twin | jq -r .authentication.symmetricKey.primaryKey)
    printf '%s\n' '{"id":"twin","status":"disabled"}' '{"id":"fresh","status":"enabled"}' >g.txt
    expect_status 3 by_job <g.txt
    has NoKeys
    expect_status 0 by_job --generate-keys <g.txt
    [ "$(hub GET /devices/twin | jq -r .authentication.symmetricKey.primaryKey)" = "$key" ]
    hub GET /devices/twin | jq -e '.status == "disabled"'
    hub GET /devices/fresh | jq -e '.authentication.symmetricKey.primaryKey | length == 44'
}

@test "managedBy of modules, which a line does not have, is set afterwards" {
    {
        device off ',"statusReason":"lost"' | sed 's/"enabled"/"disabled"/'
        echo "{\"id\":\"off\",\"moduleId\":\"own\",\"status\":\"enabled\",\"managedBy\":\"iotEdge\",$(sas own)}"
        device on
        echo "{\"id\":\"on\",\"moduleId\":\"made\",\"status\":\"enabled\",\"managedBy\":\"me\",\"importMode\":\"create\",\"properties\":{\"reported\":{\"r\":1}},$(sas made)}"
        echo "{\"id\":\"on\",\"moduleId\":\"none\",\"status\":\"enabled\",$(sas none)}"
    } >f.txt
    local position
    for position in dropped kept; do
        control PUT doubts/bulk-module-managed-by $position
        make_hub "$HUB-$position"
        HUB=$HUB-$position
        expect_status 0 by_job <f.txt
        has "5 applied" "2 modules with managedBy, which a job does not take, are looked at one by one"
        expect_status 0 registry-diff --reported -q --via=rest f.txt "$HUB"
        HUB=${HUB%-*}
    done
}

@test "configurations go by a job of their own, and its log is joined with their lines" {
    device a >f.txt
    {
        configurations
        configuration UPPER '{"DeviceContent":{"properties.desired.fw":1}}'
        configuration target '{"DeviceContent":{"properties.desired.fw":1}}' | sed "s/='x'/==/"
        configuration dev2 '{"DeviceContent":{"properties.desired.fw":1}}' ',"importMode":"update"'
    } >c.txt
    expect_status 7 by_job --outcomes=all --audit=a.txt --configurations=c.txt <f.txt
    has "configurations: 3 applied (0 were equal already), 3 failed" \
        '"line":4,"configurationId":"UPPER","tried":"import","code":"ArgumentInvalid"' \
        '"line":5,"configurationId":"target","tried":"import","code":"ArgumentInvalid"' \
        '"line":6,"configurationId":"dev2","tried":"import","code":"ConfigurationNotFound"' \
        '"line":2,"configurationId":"base","tried":"import","code":"applied"'
    has_not "fit no configuration" "by calls, then"
    # Nothing of it by calls.
    [ "$(grep -c Configuration a.txt)" -eq 0 ]
    [ "$(jobs completed)" -eq 2 ]
    [ "$(containers)" -eq 0 ]
    configurations >good.txt
    registry-dump -q --configurations=now.txt "$HUB" >/dev/null
    grep -q 9007199254740993 now.txt
    # What is there already is not sent again, and its content nobody changes.
    sed '/"dev"/s/9007199254740993/1/; /"base"/s/"Priority":10/"Priority":11/' good.txt >next.txt
    expect_status 7 by_job --outcomes=all --configurations=next.txt <f.txt
    has '"configurationId":"dev","tried":"update","code":"ContentFixed"' \
        '"configurationId":"base","tried":"import","code":"applied"' \
        '"configurationId":"layer","tried":"update","code":"equal"'
    [ "$(jobs completed)" -eq 4 ]
    # Base deployments before layered ones.
    HUB=$HUB-2
    make_hub "$HUB"
    expect_status 0 by_job --container=conf --keep-blobs --configurations=good.txt <f.txt
    blob GET conf "$(lists conf | grep ^configurations-)" | jq -r '[.Id, .importMode] | join(" ")' >order
    [ "$(tr '\n' ';' <order)" = "base createOrUpdate;dev createOrUpdate;layer createOrUpdate;" ]
    lists conf | grep -q '^importConfigErrors.log'
    expect_status 0 by_job -n --configurations=good.txt <f.txt
    has '{"step":"import configurations","records":3,"calls":3}'
}

@test "a hub that does not import configurations, or a run that dies there: they arrive once" {
    device a >f.txt
    configurations >c.txt
    control POST faults "host=$HUB.*,method=POST,path=/jobs/create,skip=1,do=status:400,code=ArgumentInvalid"
    expect_status 0 by_job --configurations=c.txt <f.txt
    has "configurations by calls, then" "configurations: 3 applied"
    control DELETE faults
    HUB=$HUB-2
    make_hub "$HUB"
    control POST faults "host=$HUB.*,method=POST,path=/jobs/create,skip=1,do=hang"
    timeout -s KILL 2 registry-load -q --via=job --configurations=c.txt "$HUB" <f.txt >out 2>err || true
    control DELETE faults
    [ "$(containers)" -eq 1 ]
    expect_status 0 by_job --configurations=c.txt --audit=a.txt <f.txt
    has "1 applied" "configurations: 3 applied (0 were equal already)"
    [ "$(grep -c Configuration a.txt)" -eq 0 ]
    [ "$(jobs completed)" -eq 2 ]
    [ "$(containers)" -eq 0 ]
    # The answer is lost: it is not taken for the job before.
    HUB=$HUB-3
    make_hub "$HUB"
    control POST faults "host=$HUB.*,method=POST,path=/jobs/create,skip=1,do=lose"
    expect_status 0 by_job --configurations=c.txt <f.txt
    has "configurations: 3 applied (0 were equal already)"
    [ "$(jobs completed)" -eq 2 ]
}

@test "a run that dies before its second job: that one is begun, and not taken for the first" {
    {
        device top ',"capabilities":{"iotEdge":true},"deviceScope":"ms-azure-iot-edge://top-1"'
        device leaf ',"deviceScope":"ms-azure-iot-edge://top-1"'
    } >f.txt
    control POST faults "host=$HUB.*,method=POST,path=/jobs/create,skip=1,do=hang"
    timeout -s KILL 2 registry-load -q --via=job "$HUB" <f.txt >out 2>err || true
    control DELETE faults
    expect_status 0 by_job --audit=a.txt <f.txt
    has_not "are looked at one by one"
    expect_status 0 registry-diff -q f.txt "$HUB"
    [ "$(jobs completed)" -eq 2 ]
    [ "$(containers)" -eq 0 ]
}

@test "one line in a hundred is bad: each has its outcome, and the rest is there" {
    many d 300 'if . == 5 then {importMode: "update"}
        elif . == 105 then {statusReason: ("x" * 200)}
        elif . == 205 then {tags: {"a.b": 1}} else {} end' >f.txt
    expect_status 7 by_job --rejects=r.txt <f.txt
    has "297 applied" "3 failed" '"line":6,"id":"d5","tried":"update","code":"DeviceNotFound"' \
        '"line":106,"id":"d105"' '"line":206,"id":"d205"'
    sed -n '6p;106p;206p' f.txt | same - r.txt
    expect_status 0 registry-diff -q <(sed '6d;106d;206d' f.txt) "$HUB"
    [ "$(containers)" -eq 0 ]
}

@test "errors that name the device only: it and its modules are looked at" {
    control PUT doubts/import-error-module left-out
    {
        device a
        echo "{\"id\":\"a\",\"moduleId\":\"good\",$(sas good)}"
        echo "{\"id\":\"a\",\"moduleId\":\"bad\",$(sas bad),\"tags\":{\"x.y\":1}}"
        device b ',"tags":{"x.y":1}'
        echo "{\"id\":\"elsewhere\",\"moduleId\":\"m\",$(sas m)}"
    } >f.txt
    expect_status 7 by_job --rejects=r.txt <f.txt
    has "2 applied" "3 failed" '"id":"a","moduleId":"bad"' '"id":"b"' '"id":"elsewhere","moduleId":"m"'
    sed -n '3,5p' f.txt | same - r.txt
    run there
    has '"moduleId":"good"' '"id":"a"'
    has_not '"id":"b"'
}

@test "a job that fails: what is there is seen, and the rest is written" {
    fleet 60 >f.txt
    knob hold
    by_job <f.txt >out 2>err &
    BACK=$!
    await_job
    knob 'fail the disk is broken'
    knob release
    wait "$BACK"
    grep -q 'the disk is broken' err
    grep -q 'are looked at one by one' err
    expect_status 0 registry-diff -q f.txt "$HUB"
    [ "$(containers)" -eq 0 ]
}

@test "a job that somebody else cancels" {
    fleet 60 >f.txt
    knob hold
    by_job <f.txt >out 2>err &
    BACK=$!
    await_job
    knob cancel
    knob release
    wait "$BACK"
    grep -qi 'cancelled' err
    [ ! -s out ]
    expect_status 0 registry-diff -q f.txt "$HUB"
}

@test "killed while its job runs: the same command goes on with it" {
    fleet 60 >f.txt
    knob hold
    registry-load --via=job "$HUB" <f.txt >out 2>err &
    BACK=$!
    await_job
    sleep 0.3
    kill -9 "$BACK"
    wait "$BACK" || true
    [ "$(containers)" -eq 1 ]
    knob release
    expect_status 0 by_job <f.txt
    has "78 applied"
    expect_status 0 registry-diff -q f.txt "$HUB"
    # One for the devices, one for what is below Edge devices; none twice.
    [ "$(hub GET /jobs | jq length)" -eq 2 ]
    [ "$(containers)" -eq 0 ]
}

@test "the slot is taken: it waits, and says so" {
    local u
    device a >f.txt
    make_container other
    u=$(container other)
    knob hold
    hub POST /jobs/create "{\"type\":\"export\",\"outputBlobContainerUri\":\"$u\"}" | jq -e .jobId
    by_job <f.txt >out 2>err &
    BACK=$!
    until_said err 'another job'
    knob cancel
    knob release
    wait "$BACK"
    cat err
    grep -qi 'another job' err
    expect_status 0 registry-diff -q f.txt "$HUB"
}

@test "storage that is ill, answers that are cut: equal, nothing twice, no key changed" {
    fleet 500 >f.txt
    control POST faults 'host=*.blob.core.windows.net,prob=0.05,count=0,do=status:503
host=*.blob.core.windows.net,prob=0.05,count=0,do=cut
host=*.blob.core.windows.net,prob=0.05,count=0,do=half
host=*.azure-devices.net,prob=0.05,count=0,do=lose
host=*.azure-devices.net,prob=0.05,count=0,do=cut'
    expect_status 0 by_job <f.txt
    control DELETE faults
    has "0 failed, 0 rejected, 0 not tried"
    expect_status 0 registry-diff -q f.txt "$HUB"
    [ "$(containers)" -eq 0 ]
}

@test "an answer is lost, late, cut or refused: nothing is begun or done twice" {
    local spec n=0
    while read -r spec; do
        n=$((n + 1))
        many "x$n-" 20 >"f$n"
        control DELETE faults
        control POST faults "$spec"
        echo "$spec"
        expect_status 0 by_job <"f$n"
        echo "$output"
        has "20 applied" "0 failed"
        curl -sS "$HUB_SIM_CONTROL/faults" | jq -e '[.. | .done? // empty] | add > 0'
    done <<END
host=$HUB.*,method=POST,path=/jobs/create,do=lose
host=$HUB.*,method=POST,path=/jobs/create,do=half
host=$HUB.*,method=POST,path=/jobs/create,do=throttle:2
host=$HUB.*,method=GET,path=/jobs/*,count=3,do=status:500
host=$HUB.*,method=GET,path=/jobs/*,do=badjson
host=*.blob.core.windows.net,method=PUT,path=/hubpipe-*,count=3,every=2,do=lose
host=*.blob.core.windows.net,path=*/devices-*,count=2,do=throttle:3
host=*.blob.core.windows.net,path=*/errors-*,count=2,do=status:500
host=*.blob.core.windows.net,method=DELETE,do=lose
END
    control DELETE faults
    cat f[1-9] >all
    expect_status 0 registry-diff -q all "$HUB"
    # One job for each, and no container is left.
    [ "$(hub GET /jobs | jq 'map(select(.type == "import")) | length')" -eq 9 ]
    [ "$(containers)" -eq 0 ]
}

@test "a storage account that is none: refused before anything is sent" {
    device a >f.txt
    local good=$STORAGE_ACCT_CONN_STRING
    STORAGE_ACCT_CONN_STRING='AccountName=x;AccountKey=%%' expect_status 2 by_job <f.txt
    has STORAGE_ACCT_CONN_STRING
    STORAGE_ACCT_CONN_STRING='' expect_status 2 by_job <f.txt
    has STORAGE_ACCT_CONN_STRING
    # A key that is not the account's.
    STORAGE_ACCT_CONN_STRING=${good/AccountKey=?/AccountKey=} expect_status 2 by_job <f.txt
    [ "$(hub GET /jobs | jq length)" -eq 0 ]
    there 2>/dev/null >out
    [ ! -s out ]
}

@test "half of the lines fail, each in its way" {
    many d 60 'if . % 6 == 0 then {importMode: "update"}
        elif . % 6 == 1 then {tags: {}, properties: {desired: {"$x": 1}, reported: {}}}
        elif . % 6 == 2 then {importMode: "updateIfMatchETag", eTag: "AAA="}
        else {} end' >f.txt
    expect_status 7 by_job --rejects=r.txt <f.txt
    has "30 applied" "30 failed"
    awk 'NR % 6 > 3 || NR % 6 == 0' f.txt >good.txt
    grep -vxFf good.txt f.txt | sort | same - <(sort r.txt)
    expect_status 0 registry-diff -q good.txt "$HUB"
}

@test "the container vanishes while the job runs" {
    fleet 40 >f.txt
    knob hold
    by_job <f.txt >out 2>err &
    BACK=$!
    await_job
    sleep 0.1
    arm DELETE "/Microsoft.Storage/storageAccounts/contosowestdata/blobServices/default/containers/$(container_names)?api-version=2023-05-01"
    knob release
    wait "$BACK"
    cat err
    grep -q 'are looked at one by one' err
    expect_status 0 registry-diff -q f.txt "$HUB"
}

@test "more than a thousand in doubt: the same lines once more" {
    fleet 1100 >f.txt
    [ "$(wc -l <f.txt)" -gt 1000 ]
    knob hold
    by_job <f.txt >out 2>err &
    BACK=$!
    await_job
    knob 'fail an internal error'
    knob release
    wait "$BACK" || {
        cat err out
        return 1
    }
    grep -q 'the same lines once more' err
    expect_status 0 registry-diff -q f.txt "$HUB"
    [ "$(jobs completed)" -eq 2 ]
    # Cancelled by somebody: nothing is claimed, and the run can be repeated.
    knob hold
    by_job --rejects=r.txt <f.txt >out 2>err &
    BACK=$!
    await_job
    knob cancel
    knob release
    status=0
    wait "$BACK" || status=$?
    [ "$status" -eq 5 ]
    grep -q 'is not known' err
    [ "$(grep -c '"code":"\(Unfinished\|NotTried\)"' out)" -eq "$(wc -l <f.txt)" ]
    sort f.txt | same - <(sort r.txt)
    [ "$(containers)" -eq 0 ]
}

@test "a log that goes elsewhere than it was told" {
    control PUT doubts/import-output-name ignored
    { device a; device b ',"tags":{"x.y":1}'; device c; } >f.txt
    expect_status 7 by_job <f.txt
    has "2 applied" "1 failed" '"line":2,"id":"b"'
    # No log at all is no word that all is well.
    control POST faults 'host=*.blob.core.windows.net,method=HEAD,path=*errors*,count=0,do=status:404,code=BlobNotFound
host=*.blob.core.windows.net,method=HEAD,path=*Errors*,count=0,do=status:404,code=BlobNotFound'
    device d >g.txt
    expect_status 0 by_job <g.txt
    has "its log is not there" "are looked at one by one" "1 applied"
}

@test "interrupted: the job goes on, or is cancelled if that was asked" {
    fleet 20 >f.txt
    knob hold
    registry-load --via=job "$HUB" <f.txt >out 2>err &
    BACK=$!
    await_job
    sleep 0.3
    kill -TERM "$BACK"
    wait "$BACK" || true
    [ "$(jobs cancelled)" -eq 0 ]
    [ "$(containers)" -eq 1 ]
    registry-load --via=job --cancel-on-interrupt "$HUB" <f.txt >out 2>err &
    BACK=$!
    until_said err 'goes on with import job'
    kill -TERM "$BACK"
    wait "$BACK" || true
    [ "$(jobs cancelled)" -eq 1 ]
    knob release
    expect_status 0 by_job <f.txt
    expect_status 0 registry-diff -q f.txt "$HUB"
    [ "$(containers)" -eq 0 ]
}

@test "killed again and again: in the end all is there, and nothing is left" {
    local i status=137
    fleet 100 >f.txt
    for ((i = 1; i < 40 && status; i++)); do
        status=0
        timeout -s KILL "$(awk "BEGIN { print 0.05 * 1.25 ^ $i }")" \
            registry-load -q --via=job --retry-delay=0.01 --journal=j.txt "$HUB" <f.txt >out 2>err || status=$?
        [ "$status" -eq 0 ] || [ "$status" -eq 137 ] || {
            cat err out
            return 1
        }
    done
    [ "$i" -gt 3 ]
    expect_status 0 registry-diff -q f.txt "$HUB"
    [ "$(containers)" -eq 0 ]
}

@test "with a journal, a later run writes over nothing that changed meanwhile" {
    local u
    device a >a.txt
    expect_status 0 by_job <a.txt
    { device a ',"tags":{"ours":1},"properties":{"desired":{"ours":1}}'; device b; } >f.txt
    make_container busy
    u=$(container busy)
    knob hold
    hub POST /jobs/create "{\"type\":\"export\",\"outputBlobContainerUri\":\"$u\"}" | jq -e .jobId
    registry-load --via=job --journal=j.txt "$HUB" <f.txt >out 2>err &
    BACK=$!
    until_said err 'another job'
    kill -9 "$BACK"
    wait "$BACK" || true
    knob cancel
    knob release
    sleep 1.1
    device a ',"tags":{"his":1},"properties":{"desired":{"his":1}}' >his.txt
    expect_status 0 registry-load --via=rest "$HUB" <his.txt
    expect_status 7 registry-load --via=job --journal=j.txt "$HUB" <f.txt
    has '"id":"a"' ChangedSince "1 applied"
    hub GET /twins/a | jq -e '.tags == {his: 1}'
    hub GET /devices/b | jq -e '.status == "enabled"'
    [ "$(jobs completed)" -eq 2 ]
    expect_status 0 registry-load --via=job --overwrite --journal=j.txt "$HUB" <f.txt
    hub GET /twins/a | jq -e '.tags == {ours: 1}'
    [ "$(containers)" -eq 0 ]
}

@test "a hub that applies no reported properties: that is said" {
    for i in 1 2 3; do
        device "d$i" ',"tags":{},"properties":{"desired":{},"reported":{"r":1}}'
    done >f.txt
    expect_status 0 by_job <f.txt
    has_not reported
    sed 's/"id":"/&n/' f.txt >g.txt
    control PUT doubts/reported-on-create ignored
    expect_status 0 by_job <g.txt
    has "of 3 records that were looked at, 3 have reported properties that the job did not write"
}

@test "a job that says it applied what it did not" {
    many d 50 >f.txt
    knob lie
    expect_status 0 by_job <f.txt
    has "were not as the job says" "50 applied"
    expect_status 0 registry-diff -q f.txt "$HUB"
    # Of more than a thousand, the rest is not claimed.
    many e 1200 >g.txt
    expect_status 7 by_job --rejects=r.txt <g.txt
    has "were not as the job says" '"code":"Unproven"'
    knob release
    expect_status 0 by_job <r.txt
    expect_status 0 registry-diff -q <(cat f.txt g.txt) "$HUB"
}

@test "what deletes by job needs what deletes by calls needs; a dry run sends nothing" {
    device a >f.txt
    expect_status 0 by_job <f.txt
    echo '{"id":"a","importMode":"delete"}' >g.txt
    expect_status 2 by_job <g.txt
    has "--confirm=$HUB"
    fleet 30 >h.txt
    expect_status 0 by_job -n <h.txt
    has '{"step":"import job 1"' '{"step":"import job 2"' 'set the twins of system modules'
    [ "$(hub GET /jobs | jq length)" -eq 1 ]
    expect_status 0 by_job --confirm="$HUB" --expect=1 --max-delete=1 --no-undo <g.txt
    there 2>/dev/null >out
    [ ! -s out ]
}

@test "the signature of the container ends while the job runs" {
    local uri ends=$((EPOCHSECONDS + 8))
    fleet 40 >f.txt
    make_container short
    uri=$(container short racwdl "$(date -u -d "@$ends" +%FT%TZ)")
    knob hold
    STORAGE_ACCT_CONN_STRING="BlobEndpoint=https://contosowestdata.blob.core.windows.net;SharedAccessSignature=${uri#*\?}" \
        by_job --container=short <f.txt >out 2>err &
    BACK=$!
    await_job
    while [ "$EPOCHSECONDS" -le "$ends" ]; do sleep 0.2; done
    knob release
    wait "$BACK"
    cat err
    grep -q 'import job .* failed: Unauthorized' err
    grep -q 'are looked at one by one' err
    grep -q 'by calls, then' err
    # The blobs cannot be removed any more, and hold keys: that is said.
    grep -q "'short': could not be removed" err
    expect_status 0 registry-diff -q f.txt "$HUB"
}

@test "the input is written to while it is read: no job begins, and all is told" {
    many a 200 >good.txt
    { cat good.txt; echo 'no record'; } >f.txt
    expect_pipe 3 "registry-load --via=job --rejects=r.txt $HUB <f.txt 1<>f.txt"
    has "'stdin': the file was written to while it was loaded" "'r.txt': is not written" "0 applied"
    [ "$(jobs completed)" = 0 ]
    [ "$(containers)" = 0 ]
    by_job <good.txt
    same <(there | jq -r .id | sort) <(jq -r .id good.txt | sort)
}
