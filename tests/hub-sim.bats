# The simulator itself: loop, faults, tokens, state, child.  What its rooms
# know of Azure is tested in sim-*.bats.
# shellcheck shell=bash disable=SC2016 # commands for a shell inside hub-sim

load helper
bats_require_minimum_version 1.5.0

setup() {
    export TMPDIR=$BATS_TEST_TMPDIR
    D=$BATS_TEST_TMPDIR
    export D
    # ask [CURL OPTION...] URL; raw TEXT; token: for the commands below.
    cat >"$D/lib" <<'EOF'
ask() { curl -sS -m 5 --connect-to "::$HUBPIPE_CONNECT_TO" "$@"; }
raw() {
    exec 9<>"/dev/tcp/127.0.0.1/${HUBPIPE_CONNECT_TO#*:}"
    printf "$1" >&9
    timeout 3 cat <&9
    exec 9>&-
}
entra=https://login.microsoftonline.com/$AZURE_TENANT_ID/oauth2/v2.0/token
arm=https://management.azure.com
sub=$arm/subscriptions/$AZURE_SUBSCRIPTION_ID
form="client_id=$AZURE_CLIENT_ID&grant_type=client_credentials&scope=$arm/.default"
token() {
    ask "$entra" -d "$form&client_secret=$AZURE_CLIENT_SECRET" | jq -r .access_token
}
EOF
}

# sim STATUS [OPTION...] -- TEXT: runs TEXT by bash in a simulator.
sim() {
    simulate : "${@:1:$#-1}" '. "$D/lib"; '"${!#}"
}

@test "the status of COMMAND is passed on, its death too" {
    expect_status 0 hub-sim -- true
    expect_status 7 hub-sim -- sh -c 'exit 7'
    run -127 hub-sim -- no-such-command
    has "hub-sim: " "'no-such-command'" "cannot be run"
    run -126 hub-sim -- /etc/passwd
    for signal in TERM KILL ABRT; do
        run bash -c "hub-sim -- sh -c 'kill -$signal \$\$' & wait \$!"
        [ "$status" -eq $((128 + $(kill -l "$signal"))) ]
    done
    [ -z "$(ls -d "$TMPDIR"/hub-sim.* 2>/dev/null)" ]
}

@test "signals are forwarded to COMMAND, whose answer is the status" {
    for signal in TERM INT HUP; do
        sim 3 -- "trap 'echo got it; exit 3' $signal
            kill -$signal \$HUB_SIM_PID; for i in 1 2 3 4 5 6 7 8 9; do sleep 0.2; done"
        has "got it"
    done
}

@test "COMMAND gets its signals as they were" {
    # Without 32 and 33, which are the C library's own.
    masks='sed -n "s/^Sig\(Blk\|Ign\):.*\(........\)$/\1 \2/p" /proc/self/status |
        while read -r name mask; do echo $name $((16#$mask & 0x7fffffff)); done'
    expect_status 0 hub-sim -- bash -c "$masks"
    same <(echo "$output") <(bash -c "$masks")
}

@test "the environment of COMMAND: what it needs, nothing of the real Azure" {
    export HTTPS_PROXY=http://10.0.0.1:1 no_proxy=x SSL_CERT_DIR=/x \
        AZURE_PASSWORD=real AZURE_CLIENT_CERTIFICATE_PATH=/real \
        OLD_AZURE_CLIENT_SECRET=real IOTHUB_CONN_STRING=real \
        AZURE_CLOUD=AzureCloud STORAGE_ACCT_CONN_STRING=real PLAIN=kept
    expect_status 0 hub-sim --dest Contoso-New -- env
    has_not "=real" "=/real" PROXY no_proxy SSL_CERT_DIR
    has "PLAIN=kept" "AZURE_CLOUD=AzureCloud" "HUBPIPE_CONNECT_TO=127.0.0.1:" \
        "AZURE_TENANT_ID=22222222" "AZURE_CLIENT_ID=33333333" \
        "AZURE_CLIENT_SECRET=hub-sim-secret" "AZURE_SUBSCRIPTION_ID=11111111" \
        "DEST_IOTHUB_CONN_STRING=HostName=Contoso-New.azure-devices.net;SharedAccessKeyName=iothubowner;SharedAccessKey="
    [ "$(grep -c "^[A-Z_]*=$TMPDIR/hub-sim\..*/ca.pem$" <<<"$output")" -eq 4 ]
    sim 0 -- '[ -d "$AZURE_CONFIG_DIR" ] && [ -z "$(ls -A "$AZURE_CONFIG_DIR")" ]
        stat -c %a "$SSL_CERT_FILE" "${SSL_CERT_FILE%/*}"'
    [ "$output" = $'600\n700' ]
}

@test "without COMMAND: shell assignments, ready, and an end by signal" {
    mkfifo "$D/pipe"
    (exec hub-sim --seed "it's" >"$D/pipe" 3>&- 4>&- </dev/null) &
    pid=$!
    exec 8<"$D/pipe"
    text=
    while read -r line <&8 && [ "$line" != "# ready" ]; do
        text+=$line$'\n'
    done
    (eval "$text" && . "$D/lib" && ask https://x.documents.azure.com/) >"$D/out"
    exec 8<&-
    kill "$pid"
    wait "$pid"
    grep -q "does not simulate the host 'x.documents.azure.com'" "$D/out"
    expect_pipe 4 'hub-sim >/dev/full'
}

@test "a key of --dest follows from the seed" {
    for seed in a a b; do
        hub-sim --seed "$seed" --dest h -- sh -c 'echo $DEST_IOTHUB_CONN_STRING'
    done >"$D/keys"
    [ "$(sort -u "$D/keys" | wc -l)" -eq 2 ]
    [ "$(sed -n 1p "$D/keys")" = "$(sed -n 2p "$D/keys")" ]
}

@test "only this run's authority is trusted, and its names are the clouds' only" {
    sim 0 -- 'for h in login.microsoftonline.com management.azure.com a.azure-devices.net \
            b.documents.azure.com c.blob.core.windows.net d.servicebus.windows.net \
            e.azure-devices-provisioning.net management.chinacloudapi.cn; do
            ask -o /dev/null -w "%{http_code} " "https://$h/"
        done
        ask https://other.example/; [ $? -eq 60 ] && echo wrong name refused
        ask --cacert /etc/ssl/certs/ca-certificates.crt https://a.azure-devices.net/
        [ $? -eq 60 ] && echo wrong authority refused'
    has "wrong name refused" "wrong authority refused"
    [[ $output =~ ^([0-9]{3}\ ){8} ]]
}

@test "a token: given for the secret or an assertion, refused as Entra does" {
    sim 0 -- 'ask -i "$entra" -d "$form&client_secret=$AZURE_CLIENT_SECRET"; echo
        ask "$entra" -d "$form&client_secret=wrong" -w " %{http_code}\n"
        ask "$entra" -d "$form&client_assertion=a.b.c&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer" -w " %{http_code}\n"
        ask "$entra" -d "client_id=x&grant_type=client_credentials" -w " %{http_code}\n"
        ask "$entra" -d "client_id=$AZURE_CLIENT_ID&client_secret=$AZURE_CLIENT_SECRET&grant_type=client_credentials&scope=x" -w " %{http_code}\n"
        ask "https://login.microsoftonline.com/no-tenant/oauth2/v2.0/token" -d "$form" -w " %{http_code}\n"'
    has "HTTP/1.1 200 OK" "x-ms-request-id: " '"token_type":"Bearer","expires_in":3599,' \
        '"error":"invalid_client","error_description":"AADSTS7000215: ' \
        '"error_codes":[7000215]' 'AADSTS700016' '"error":"invalid_scope"' AADSTS90002
    [ "$(grep -c '"access_token"' <<<"$output")" -eq 2 ]
    [ "$(grep -oE '} [0-9]{3}$' <<<"$output" | tr -d '\n')" = "} 401} 200} 400} 400} 400" ]
    has_not "hub-sim-secret"
}

@test "a token is good for its time, for this seed, and across a restart" {
    sim 0 --seed one -- 'token'
    token=$output
    sim 0 --seed one -- "ask -o /dev/null -w %{http_code} -H 'Authorization: Bearer $token' \$sub/resourcegroups?api-version=2021-04-01"
    [ "$output" = 200 ]
    sim 0 --seed two -- "ask -i -H 'Authorization: Bearer $token' \$sub/resourcegroups?api-version=2021-04-01"
    has "HTTP/1.1 401" 'WWW-Authenticate: Bearer authorization_uri=' \
        'error="invalid_token"' '"code":"InvalidAuthenticationToken"'
    sim 0 --seed one --clock 3700 -- "ask -H 'Authorization: Bearer $token' \$sub/resourcegroups?api-version=2021-04-01"
    has '"code":"ExpiredAuthenticationToken"'
    sim 0 -- 'ask $sub/resourcegroups?api-version=2021-04-01'
    has '"code":"AuthenticationFailed"'
    sim 0 --token-seconds 0 -- 'ask -H "Authorization: Bearer $(token)" $sub/resourcegroups?api-version=2021-04-01'
    has '"code":"ExpiredAuthenticationToken"'
}

@test "a forged token is refused" {
    sim 0 -- 't=$(token)
        for bad in "${t%?}" "${t}x" "x$t" "${t%.*}" a.b.c "" "$(printf %s "$t" | sed "s/\.[^.]*\./.e30./")"; do
            ask -o /dev/null -w "%{http_code} " -H "Authorization: Bearer $bad" $sub/resourcegroups?api-version=2021-04-01
        done'
    [ "$output" = "401 401 401 401 401 401 401 " ]
}

@test "the managed identity answers plain HTTP on the same port, all in strings" {
    sim 0 -- 'u="http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fmanagement.azure.com%2F"
        ask -H Metadata:true "$u" | jq -c "[.expires_in, .resource, .refresh_token, (.[] | type)] | unique"
        ask -w "%{http_code}" "$u"'
    has '["","3599","https://management.azure.com/","string"]' '400'
}

@test "what is not simulated answers 501 with a sentence" {
    sim 0 -- 'ask -i https://x.documents.azure.com/dbs; echo
        ask -I https://x.servicebus.windows.net/'
    has "HTTP/1.1 501 Not Implemented" \
        "hub-sim does not simulate the host 'x.documents.azure.com'"
    [ "$(grep -c 'HTTP/1.1 501' <<<"$output")" -eq 2 ]
    [ "$(grep -c 'does not simulate' <<<"$output")" -eq 1 ] # HEAD has no body
}

@test "no HTTP, too large, no host: an answer in JSON, and the server lives" {
    sim 0 -- 'raw "GARBAGE\r\n\r\n"; echo
        raw "GET / HTTP/1.1\r\n\r\nContent-Length: x\r\n\r\n"; echo
        raw "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"; echo
        raw "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"; echo
        raw "GET / HTTP/1.1\r\nX: $(head -c 99999 /dev/zero | tr "\0" a)\r\n\r\n"; echo
        raw "GET / HTTP/1.1\r\nConnection: close\r\n\r\n"; echo
        raw "POST / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n"; echo
        ask -o /dev/null -w "%{http_code}" https://x.documents.azure.com/'
    [ "$(grep -c '"code":"BadRequest"' <<<"$output")" -eq 4 ]
    has "HTTP/1.1 431 " '"code":"InvalidHostName"' "HTTP/1.1 417 "
    [ "${lines[-1]}" = 501 ]
}

@test "a body of more than 16 MiB: 413 that the client sees, however it sends" {
    head -c 17000000 /dev/zero >"$D/big"
    head -c 16777216 /dev/zero >"$D/fits"
    sim 0 -- 'u=https://x.documents.azure.com/
        for how in Expect: "Expect: 100-continue" Transfer-Encoding:chunked; do
            ask -H "$how" --data-binary @$D/big -w " %{http_code}\n" $u
        done
        ask -H Expect: --data-binary @$D/fits -w " %{http_code}\n" -o /dev/null $u'
    [ "$(grep -c '"code":"RequestTooLarge".* 413$' <<<"$output")" -eq 3 ]
    [ "${lines[-1]}" = " 501" ]
}

@test "keep-alive, pipelined requests in order, 100-continue, absolute form" {
    sim 0 -- 'raw "GET /1 HTTP/1.1\r\nHost: a.b\r\n\r\nPOST /2 HTTP/1.1\r\nHost: C.d:443\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET http://e.f:80/3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"; echo
        ask -v -H "Expect: 100-continue" -d x https://x.documents.azure.com/ 2>&1 | grep "^< HTTP"
        ask -w "%{num_connects} " -o /dev/null -o /dev/null https://x.documents.azure.com/ https://x.documents.azure.com/'
    [ "$(grep -o "the host '[^']*'" <<<"$output" | head -3 | tr -d '\n')" = \
        "the host 'a.b'the host 'c.d'the host 'e.f'" ]
    has "100 Continue"
    [ "${lines[-1]}" = "1 0 " ]
}

@test "faults: each kind as a client sees it" {
    for kind in status:503 cut lose half empty garbage badjson hang delay:300; do
        specs+=(--fault "path=/$kind,do=$kind")
    done
    sim 0 "${specs[@]}" --log "$D/log" -- 'for kind in status:503 cut lose half empty garbage badjson hang delay:300; do
            ask -m 1 -o $D/body -w "$kind %{http_code} %{size_download}" https://x.documents.azure.com/$kind 2>/dev/null
            echo " curl $?"
            [ $kind != badjson ] || ! jq . <$D/body 2>/dev/null || echo valid
        done
        for kind in cut half; do ask -o /dev/null -w "again %{http_code}\n" https://x.documents.azure.com/$kind; done'
    has "status:503 503 93 curl 0" "cut 000 0 curl 52" "lose 000 0 curl 52" \
        "half 501 52 curl 18" "empty 200 0 curl 0" "garbage 000 0 curl 1" \
        "badjson 501 103 curl 0" "hang 000 0 curl 28" "delay:300 501 104 curl 0" \
        "again 501"
    has_not valid
    run jq -c '[.path, .status, .fault != null]' "$D/log"
    has '["/cut",null,true]' '["/lose",null,true]' '["/hang",null,true]' \
        '["/half",501,true]' '["/cut",501,false]'
}

@test "faults: skip, count, method, patterns in any case, chance from the seed" {
    specs=(--fault 'host=*.Documents.azure.com,method=get,path=/A*,skip=1,count=2,do=status:500')
    sim 0 "${specs[@]}" -- 'code() { ask -o /dev/null -w "%{http_code} " "$@"; }
        x=https://x.documents.azure.com
        code $x/a/1; code $x/b; code $x/a/2; code -X POST $x/a/3; code $x/a%2F4; code $x/a/5'
    [ "$output" = "501 501 500 501 500 501 " ]
    for seed in 1 1 2; do
        hub-sim --seed $seed --fault 'prob=0.5,count=0,do=status:500' -- \
            bash -c '. "$D/lib"; for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
                ask -o /dev/null -w "%{http_code} " http://x/; done; echo'
    done >"$D/codes"
    [ "$(sed -n 1p "$D/codes")" = "$(sed -n 2p "$D/codes")" ]
    [ "$(sort -u "$D/codes" | wc -l)" -eq 2 ]
    grep -q 500 "$D/codes"
    grep -q 501 "$D/codes"
}

@test "faults: worded as the room that was asked words them" {
    sim 0 --fault 'count=0,path=/1,do=status:429' --fault 'count=0,path=/2,do=status:409' \
        --fault 'count=0,path=/3,do=status:401' \
        --fault 'path=/4,do=status:429,retry-after=3,code=Odd' -- 'hub=https://h.azure-devices.net
        for i in 1 2 3; do ask -i $arm/$i; echo; ask -i $hub/$i; echo; done; ask -i $arm/4'
    has '{"error":{"code":"TooManyRequests"' 'iothub-errorcode: ThrottlingBacklogTimeout' \
        '"Message":"ErrorCode:ThrottlingBacklogTimeout;' 'Connection: close' \
        '{"code":409002,"httpStatusCode":409,' 'iothub-errorcode: DeviceAlreadyExists' \
        '"code":"ExpiredAuthenticationToken"' 'iothub-errorcode: IotHubUnauthorizedAccess' \
        'Retry-After: 3' '{"error":{"code":"Odd"'
    [ "$(grep -c 'Retry-After' <<<"$output")" -eq 1 ]
}

@test "faults: lose is carried out, cut is not, applied=1 says otherwise" {
    sim 0 --fault 'method=PUT,path=*/lost,do=lose' --fault 'method=PUT,path=*/cut,do=cut' \
        --fault 'method=PUT,path=*/said,do=status:503,applied=1' -- 'auth="Authorization: Bearer $(token)"
        for g in lost cut said; do
            ask -o /dev/null -X PUT -H "$auth" -d "{\"location\":\"westus\"}" "$sub/resourcegroups/$g?api-version=2021-04-01" 2>/dev/null
            ask -o /dev/null -w "$g %{http_code}\n" -H "$auth" "$sub/resourcegroups/$g?api-version=2021-04-01"
        done'
    [ "$output" = $'lost 200\ncut 404\nsaid 200' ]
}

@test "a bad --fault or --doubt is a usage error that names the part" {
    while IFS='|' read -r spec part; do
        expect_status 2 hub-sim --fault "$spec" -- true
        has "hub-sim: '$spec': " "$part"
    done <<'EOF'
do=x|do=x is none of
path|'path' is not key=value
path=/x|do= is missing
do=status:99|'99' is not a whole number
do=delay:soon|'soon' is not
do=cut,skip=-1|skip: '-1'
do=cut,prob=2|prob: '2'
do=cut,colour=red|'colour' is none of
do=cut,path=|path= needs a value
EOF
    expect_status 2 hub-sim --doubt nobody=asked -- true
    has "nobody=asked" "no doubt has this name"
    expect_status 2 hub-sim --doubt bulk-partial -- true
    has "is not NAME=POSITION"
    expect_status 2 hub-sim --doubt bulk-partial=maybe -- true
    has "the positions of bulk-partial are applied|none"
}

@test "each doubt: a default among its positions, a reason, and somebody who asks" {
    hub-sim --list-doubts >"$D/doubts"
    [ -s "$D/doubts" ]
    while IFS=$'\t' read -r name default positions why; do
        [[ "|$positions|" == *"|$default|"*"|"* && $positions == *"|"* ]]
        [[ $why =~ ^([0-9]|annex) ]]
        for position in ${positions//|/ }; do
            expect_status 0 hub-sim --doubt "$name=$position" -- true
        done
        grep -rq "\"$name\"" --include='*.c' --exclude=doubt.c "$ROOT/tools/hub-sim" || {
            echo "nobody asks for $name"
            return 1
        }
    done <"$D/doubts"
    # And nobody asks for what is not in the table, which would be a crash.
    cat "$ROOT"/tools/hub-sim/*.c | tr -d '\n\t' |
        grep -oE 'sim_doubt_is\( *"[^"]*", *"[^"]*"' | cut -d'"' -f2,4 | sort -u >"$D/asked"
    [ "$(wc -l <"$D/asked")" -gt 20 ]
    while IFS='"' read -r name position; do
        [[ "|$(cut -f1,3 "$D/doubts" | grep "^$name	" | cut -f2)|" == *"|$position|"* ]] || {
            echo "no doubt $name=$position"
            return 1
        }
    done <"$D/asked"
}

@test "--db: what was acknowledged is there after kill -9" {
    put='auth="Authorization: Bearer $(token)"
        for i in 1 2 3; do
            ask -o /dev/null -w "%{http_code} " -X PUT -H "$auth" -d "{\"location\":\"westus\"}" "$sub/resourcegroups/group-$i?api-version=2021-04-01"
        done'
    run hub-sim --db "$D/db" -- bash -c '. "$D/lib"; '"$put"'; kill -9 $HUB_SIM_PID'
    [ "$status" -eq 137 ]
    has "201 201 201"
    [ "$(stat -c %a "$D/db")" = 600 ]
    sim 0 --db "$D/db" -- 'ask -H "Authorization: Bearer $(token)" "$sub/resourcegroups?api-version=2021-04-01" | jq -r ".value[].name"'
    [ "$output" = $'group-1\ngroup-2\ngroup-3' ]
}

@test "--db: seed and hub are remembered, --from is not loaded twice" {
    expect_status 0 hub-sim --db "$D/db" --seed s --from "$ROOT/examples/contoso.json" -- \
        sh -c 'echo $IOTHUB_CONN_STRING'
    string=$output
    [[ $string == HostName=contoso.azure-devices.net\;SharedAccessKeyName=iothubowner\;SharedAccessKey=*= ]]
    expect_status 0 hub-sim --db "$D/db" -- sh -c 'echo $IOTHUB_CONN_STRING'
    [ "$output" = "$string" ]
    expect_status 0 hub-sim --db "$D/db" --from "$ROOT/examples/contoso.json" -- true
    has "has its state already"
    expect_status 2 hub-sim --db "$D/db" --seed t -- true
    has "was made with another --seed"
}

@test "--db: killed while it is filled, it is filled again from the start" {
    jq -nrc --argjson n 30 -f "$ROOT/examples/fleet.jq" >"$D/fleet"
    mkfifo "$D/pipe"
    hub-sim --db "$D/db" --from "$ROOT/examples/contoso.json" \
        --registry "$D/pipe" -- touch "$D/ran" 3>&- 4>&- &
    pid=$!
    exec 8>"$D/pipe" # opens when hub-sim has deployed the hub
    head -n 5 "$D/fleet" >&8
    kill -9 "$pid"
    wait "$pid" || :
    exec 8>&-
    [ ! -e "$D/ran" ]
    [ -s "$D/db-journal" ]
    sim 0 --db "$D/db" --from "$ROOT/examples/contoso.json" --registry "$D/fleet" -- \
        'registry-dump -q --auth=login contoso 2>/dev/null | jq -r .id | sort -u | wc -l'
    [ "${lines[0]}" = 30 ]
    hub-sim --db "$D/db" -- true
    [ "$(sqlite3 "$D/db" 'PRAGMA journal_mode')" = wal ]
}

@test "--db: of another version, of somebody else, no database, in use, no place" {
    hub-sim --db "$D/db" -- true
    sqlite3 "$D/db" 'PRAGMA user_version = 99'
    expect_status 3 hub-sim --db "$D/db" -- true
    has "'$D/db': was made by another version of hub-sim: its layout is 99"
    sqlite3 "$D/other" 'CREATE TABLE t (x)'
    expect_status 3 hub-sim --db "$D/other" -- true
    has "'$D/other': is no hub-sim database"
    head -c 5000 "$ROOT/LICENSE" >"$D/text"
    expect_status 3 hub-sim --db "$D/text" -- true
    has "'$D/text': is no hub-sim database"
    same <(head -c 5000 "$ROOT/LICENSE") "$D/text"
    expect_status 4 hub-sim --db "$D/fresh" -- hub-sim --db "$D/fresh" -- true
    has "is in use by another hub-sim"
    expect_status 4 hub-sim --db "$D/none/db" -- true
    has "'$D/none/db': cannot be opened: No such file"
    TMPDIR=$D/none expect_status 4 hub-sim -- true
    has "'$D/none': no directory can be made"
    [ -z "$(ls -d "$D"/hub-sim.* 2>/dev/null)" ]
}

@test "a disk that is full: 503, nothing acknowledged is lost, and it goes on" {
    sim 0 --db "$D/db" -- true
    blocks=$(($(stat -c %s "$D/db") / 1024 + 80))
    cat >"$D/fill" <<'EOF'
. "$D/lib"
auth="Authorization: Bearer $(token)"
tags=$(head -c 8000 /dev/zero | tr '\0' x)
for i in $(seq 40); do
    code=$(ask -o /dev/null -w "%{http_code}" -X PUT -H "$auth" \
        -d "{\"location\":\"westus\",\"tags\":{\"t\":\"$tags\"}}" \
        "$sub/resourcegroups/g$i?api-version=2021-04-01")
    echo "$code g$i"
done >$D/codes
ask -H "$auth" "$sub/resourcegroups?api-version=2021-04-01" | jq -r ".value[].name" >$D/groups
EOF
    expect_status 0 bash -c 'trap "" XFSZ; ulimit -f '"$blocks"'; HUB_SIM_RECORD= hub-sim --db "$D/db" -- bash "$D/fill"'
    has "the state could not be written"
    grep -q '^503' "$D/codes"
    same <(sed -n 's/^201 //p' "$D/codes" | sort) <(sort "$D/groups")
    sim 0 --db "$D/db" -- 'ask -H "Authorization: Bearer $(token)" "$sub/resourcegroups?api-version=2021-04-01" | jq -r ".value[].name"'
    same <(sed -n 's/^201 //p' "$D/codes" | sort) <(echo "$output" | sort)
}

@test "--listen: taken, no address, another address" {
    expect_status 4 hub-sim -- sh -c 'hub-sim --listen "$HUBPIPE_CONNECT_TO" -- true'
    has "cannot listen: Address already in use"
    for bad in 127.0.0.1 :1 127.0.0.1: 127.0.0.1:x here:1 ''; do
        expect_status 2 hub-sim --listen "$bad" -- true
        has "is no address to listen on"
    done
    sim 0 --listen 127.8.8.8:0 -- 'echo "$HUBPIPE_CONNECT_TO"; ask https://x.documents.azure.com/'
    has "127.8.8.8:" "does not simulate"
    sim 0 --listen 0.0.0.0:0 -- 'echo "$HUBPIPE_CONNECT_TO"'
    has "127.0.0.1:"
}

@test "--log: one line a request, no signature, no key, no header" {
    sim 0 --log "$D/log" -- 'ask -o /dev/null "https://c.blob.core.windows.net/x?sv=1&sig=SECRET%3D&se=2" -H "Authorization: Bearer SECRET"
        ask -o /dev/null "$entra" -d "$form&client_secret=$AZURE_CLIENT_SECRET"'
    [ "$(wc -l <"$D/log")" -eq 2 ]
    run -1 grep 'SECRET\|hub-sim-secret' "$D/log"
    run jq -r '[.host, .method, .path, .query, .status] | join(" ")' "$D/log"
    [[ ${lines[0]} == "c.blob.core.windows.net GET /x sv=1&sig=****&se=2 4"* ]]
    [ "${lines[1]}" = "login.microsoftonline.com POST /22222222-2222-2222-2222-222222222222/oauth2/v2.0/token  200" ]
    [ "$(stat -c %a "$D/log")" = 600 ]
    expect_status 4 hub-sim --log "$D/none/log" -- true
}

@test "--clock and --speed move the Date of every answer" {
    when='ask -D - -o /dev/null https://x.documents.azure.com/ | sed -n "s/\r//; s/^Date: //p" | date +%s -f -'
    sim 0 --clock -86400 -- "$when; date +%s"
    ((lines[1] - lines[0] > 86300 && lines[1] - lines[0] < 86500))
    sim 0 --speed 100000 -- "$when; sleep 0.1; $when"
    ((lines[1] - lines[0] > 5000))
    for bad in x 1x nan inf; do
        expect_status 2 hub-sim --clock "$bad" -- true
    done
    expect_status 2 hub-sim --speed 0 -- true
}

@test "without share/: said at the start, not in the middle of a request" {
    mkdir "$D/bin"
    cp "$O/bin/hub-sim" "$D/bin"
    expect_status 4 "$D/bin/hub-sim" -- echo started
    has "hub-sim: '$D/share/hubpipe/regions.json': "
    has_not started
}

@test "--registry needs --from" {
    expect_status 2 hub-sim --registry "$D/lib" -- true
    has "--registry needs --from"
}
