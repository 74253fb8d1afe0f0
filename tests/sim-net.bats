# The network half of the simulator: what is asked of it while it runs, faults
# as a client meets them, the log, and bad input.  How Azure's rooms behave is
# tested in the other sim-*.bats.
# shellcheck shell=bash disable=SC2016 # commands for a shell inside hub-sim

load helper
bats_require_minimum_version 1.5.0

setup() {
    D=$BATS_TEST_TMPDIR
    export D TMPDIR=$D PYTHONPATH=$BATS_FILE_TMPDIR
    cd "$D" || return
}

setup_file() {
    # ask [CURL OPTION...] URL; code: its status; turn KNOB VALUE; sas, bearer
    # AUDIENCE: a header.
    cat >"$BATS_FILE_TMPDIR/lib" <<'END'
ask() { curl -sS -m 10 --connect-to "::$HUBPIPE_CONNECT_TO" "$@"; }
code() { ask -o /dev/null -w '%{http_code} ' "$@"; }
control() { local path=$1; shift; curl -sS -m 10 "$@" "$HUB_SIM_CONTROL/$path"; }
turn() { control "$1" -X PUT -d "$2" "${@:3}"; }
status() { control status | jq "$@"; }
bearer() {
    ask "https://login.microsoftonline.com/$AZURE_TENANT_ID/oauth2/v2.0/token" \
        -d "client_id=$AZURE_CLIENT_ID&grant_type=client_credentials&client_secret=$AZURE_CLIENT_SECRET&scope=$1/.default" |
        jq -r '"Authorization: Bearer " + .access_token'
}
sas() { python3 -c 'from raw import *; print("Authorization: " + sas())'; }
hub=https://contoso.azure-devices.net v=api-version=2021-04-12
arm=https://management.azure.com
groups=$arm/subscriptions/$AZURE_SUBSCRIPTION_ID/resourcegroups?api-version=2021-04-01
else=https://x.documents.azure.com
END
    # A client without manners.
    cat >"$BATS_FILE_TMPDIR/raw.py" <<'END'
import base64, hashlib, hmac, os, resource, socket, ssl, sys, time, urllib.parse
address = os.environ.get("HUBPIPE_CONNECT_TO", "").rsplit(":", 1)
def connect(tls=False):
    s = socket.create_connection((address[0], int(address[1])), timeout=10)
    if tls:
        context = ssl.create_default_context()
        s = context.wrap_socket(s, server_hostname="contoso.azure-devices.net")
    return s
def rest(s):
    """All until it is closed; a reset counts as the end."""
    got = b""
    try:
        while True:
            more = s.recv(1 << 16)
            if not more:
                return got
            got += more
    except ConnectionResetError:
        return got
def one(s):
    """One reply, with the body that Content-Length says."""
    got = b""
    while b"\r\n\r\n" not in got:
        more = s.recv(1 << 16)
        if not more:
            return got
        got += more
    head, body = got.split(b"\r\n\r\n", 1)
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            while len(body) < int(line[15:]):
                more = s.recv(1 << 16)
                if not more:
                    break
                body += more
    return head + b"\r\n\r\n" + body
def status(reply):
    return reply.split(b" ")[1].decode() if reply else "nothing"
def ask(raw, tls=False):
    s = connect(tls)
    s.sendall(raw)
    return status(one(s))
GET = b"GET / HTTP/1.1\r\nHost: x.documents.azure.com\r\n\r\n"
def served():
    """A plain request is answered, as always."""
    return ask(GET) == "501"
def sas(expiry=9999999999):
    part = dict(p.split("=", 1) for p in os.environ["IOTHUB_CONN_STRING"].split(";"))
    text = f"{part['HostName']}\n{expiry}".encode()
    sig = base64.b64encode(hmac.digest(base64.b64decode(part["SharedAccessKey"]), text, hashlib.sha256))
    return (f"SharedAccessSignature sr={part['HostName']}&sig={urllib.parse.quote(sig, safe='')}"
            f"&se={expiry}&skn={part['SharedAccessKeyName']}")
END
}

# sim STATUS [OPTION...] -- TEXT: runs TEXT by bash in a simulator.
sim() {
    simulate : "${@:1:$#-1}" '. "$PYTHONPATH/lib"; '"${!#}"
}

# python STATUS [OPTION...]: runs the program on stdin in a simulator.
python() {
    local want=$1
    shift
    { echo 'from raw import *' && cat; } >"$D/program.py"
    expect_status "$want" hub-sim "$@" -- python3 "$D/program.py"
}

# ---- control ----

@test "control: status counts, knows its time, and is JSON, by TLS too" {
    sim 0 --fault path=/x,do=cut -- 'ask -o /dev/null $else/; ask -o /dev/null $else/
        status -c "[.requests, .connections, .speed, .throttle, .faults[0].fault]"
        status -e ".uptimeSeconds > 0 and (.clock | startswith(\"20\"))"
        ask https://localhost/hub-sim/status | jq -c "keys"'
    [ "${lines[0]}" = '[3,1,"1","off","path=/x,do=cut"]' ]
    [ "${lines[1]}" = true ]
    [ "${lines[2]}" = '["clock","connections","faults","load","lose","operation-ms","requests","speed","throttle","timing","token-seconds","uptimeSeconds"]' ]
}

@test "control: faults come, are counted, and go, one or all" {
    sim 0 -- 'control faults
        control faults --data-binary $'\''path=/a,do=status:500,count=0\n\npath=/b,do=status:503\n'\'' | jq -c "map(.number)"
        code $else/a; code $else/b; code $else/b; code $else/a; echo
        control faults | jq -c "map([.number, .seen, .done, .active])"
        control faults/1 | jq -r .fault
        control faults/1 -X DELETE -w "%{http_code}\n"
        control faults | jq -c "map(.number)"
        code $else/a; echo
        control faults -d path=/c,do=cut | jq -c "map(.number)"
        control faults -X DELETE; control faults
        control faults/1 | jq -r .error.message; control faults/1x -o /dev/null -w "%{http_code}\n"'
    [ "$output" = '[][1,2]
500 503 501 500 
[[1,2,2,true],[2,1,1,false]]
path=/a,do=status:500,count=0
204
[2]
501 
[3]
[]there is no fault '"'1'"'
404' ]
}

@test "control: a bad rule gets the line of the command line, and changes nothing" {
    for spec in do=x path path=/x do=status:99 do=cut,prob=2 do=throttle:0 do=throttle:xs do=cut,every=0 do=cut,for=0; do
        expect_status 2 hub-sim --fault "$spec" -- true
        said=${output#hub-sim: }
        sim 0 -- "control faults --data-binary \$'do=cut\n$spec' -w '%{http_code}' -o reply
            control faults; jq -r .error.message reply"
        [ "$output" = "400[]${said%%$'\n'*}" ]
    done
    sim 0 -- 'control faults -X POST | jq -r .error.message'
    has "the body has no rule"
}

@test "control: no fault meets it" {
    sim 0 --fault 'count=0,do=cut' -- 'code $else/ 2>/dev/null
        control faults -X DELETE -w "%{http_code} "; code $else/'
    [ "$output" = "000 204 501 " ]
}

@test "control: the clock goes forward, an hour in no time, and tokens know" {
    sim 0 --from "$ROOT/examples/contoso.json" -- 'auth=$(bearer $arm)
        sas() { python3 -c "from raw import *; print(\"Authorization: \" + sas(int(time.time()) + 60))"; }
        code -H "$auth" $groups
        before=$(control clock); turn clock 3600 >/dev/null
        code -H "$auth" $groups
        code -H "$(sas)" "$hub/devices?$v"
        [[ $(control clock) > $before ]] && echo later
        echo $(($(date +%s -d $(control clock)) - $(date +%s -d $before) >= 3600))
        ask -D - -o /dev/null $else/ | sed -n "s/\r//; s/^Date: //p" | date +%s -f - >date
        echo $(($(cat date) - $(date +%s) > 3500))
        turn clock -5 | jq -r .error.message; turn clock soon | jq -r .error.message'
    [ "${lines[0]}" = "200 401 200 later" ]
    [ "${lines[1]} ${lines[2]}" = "1 1" ]
    has "'-5': is not a number from 0 to" "'soon': is not a number"
}

@test "control: another speed from now on, and time never goes back" {
    sim 0 -- 'a=$(control clock); turn speed 10000; sleep 0.1; b=$(control clock)
        turn speed 1; c=$(control clock); turn speed 0.001 >/dev/null; d=$(control clock)
        [[ ! $b > $c && ! $c > $d ]] && echo "never back"
        echo $(($(date +%s -d $b) - $(date +%s -d $a) > 500))'
    [ "$output" = $'10000\n1\nnever back\n1' ]
}

@test "control: every knob is shown, turned, and refuses nonsense" {
    while read -r name was good bad; do
        sim 0 -q -- "control $name; turn $name $good; control $name
            turn $name $bad -o reply; jq -r .error.code reply; control $name
            control $name -X POST -d 1 -o /dev/null -w '%{http_code} %header{allow}'"
        [ "$output" = "$was"$'\n'"$good"$'\n'"$good"$'\nBadValue\n'"$good"$'\n405 GET, PUT' ] || {
            echo "$name: $output"
            return 1
        }
    done <<'END'
speed 1 2.5 0
throttle off real on
load 0 40 101
timing fast real slow
operation-ms 20 500 -1
lose 0 300 301
token-seconds 3599 60 0
END
    sim 0 -- 'control doubts/list-order; turn doubts/list-order created; control doubts/list-order
        turn doubts/list-order maybe | jq -r .error.message
        control doubts/none | jq -r .error.message; control nothing | jq -r .error.message'
    has $'id\ncreated\ncreated\n' "the positions of list-order are id|created" \
        "there is no doubt 'none'" "'nothing' is none of status, faults"
}

@test "control: not for a page in a browser, nor by another name" {
    sim 0 -- 'for header in "Origin: http://evil.example" "Sec-Fetch-Site: cross-site" "Sec-Fetch-Site: none" "Host: evil.example" "Host: localhost"; do
            control faults -o /dev/null -w "%{http_code} " -H "$header"
        done
        control faults -H "Origin: null" -d do=cut -o /dev/null; control faults
        ask -o /dev/null -w " %{http_code}" http://127.0.0.1/faults'
    [ "$output" = "403 403 200 501 200 [] 404" ]
}

# ---- faults ----

@test "faults: a burst of refusals, by number, in each room's own form" {
    local from=(--from "$ROOT/examples/contoso.json")
    sim 0 "${from[@]}" --fault 'host=*.azure-devices.net,skip=1,do=throttle:3' -- 'auth=$(sas)
        for i in 1 2 3 4 5 6; do code -H "$auth" "$hub/devices?$v"; done; echo
        control faults | jq -c "map([.seen, .done, .active])"'
    [ "$output" = $'200 429 429 429 200 200 \n[[4,1,false]]' ]
    sim 0 --fault 'host=*azure-devices.net,do=throttle:1' --fault 'host=management*,do=throttle:1' \
        --fault 'host=*.blob.*,do=throttle:1' --fault 'host=management*,do=throttle:1,retry-after=2' -- '
        ask -i $hub/devices; echo; ask -i $groups; echo; ask -i https://a.blob.core.windows.net/c/b; echo; ask -i $groups'
    has 'HTTP/1.1 429' 'iothub-errorcode: ThrottlingBacklogTimeout' 'Connection: close' \
        '"Message":"ErrorCode:ThrottlingBacklogTimeout;The request has been throttled. Wait 10 seconds and try again. Operation type: CRUD"' \
        '{"error":{"code":"TooManyRequests"' 'Retry-After: 10' 'Retry-After: 2' \
        'HTTP/1.1 503' 'x-ms-error-code: ServerBusy' '<Error><Code>ServerBusy</Code>'
    [ "$(grep -c Retry-After <<<"$output")" -eq 2 ]
}

@test "faults: a burst of refusals by simulated time ends with it" {
    sim 0 --fault 'host=management*,do=throttle:600s' -- 'ask -D head -o /dev/null $groups
        code $groups; turn clock 590 >/dev/null; code $groups; turn clock 20 >/dev/null; code $groups
        sed -n "s/\r//; s/Retry-After: //p" head'
    [ "${lines[0]}" = "429 429 401 600" ]
}

@test "faults: a token that has expired, as each room says it" {
    sim 0 --from "$ROOT/examples/contoso.json" --fault 'do=expired,count=0' -- 'auth=$(sas)
        ask -i -H "$auth" "$hub/devices?$v"; echo
        control faults -X DELETE; a=$(bearer $arm) h=$(bearer https://iothubs.azure.net)
        control faults -o /dev/null -d do=expired,count=0
        ask -H "$h" "$hub/devices?$v"; echo; ask -i -H "$a" $groups; echo
        ask -i -H "$h" https://a.blob.core.windows.net/c/b; echo
        ask -i "https://a.blob.core.windows.net/c/b?sig=x"; echo
        echo; code "$hub/devices?$v"; control faults | jq -c "map([.seen, .done])"'
    has 'HTTP/1.1 401' 'iothub-errorcode: IotHubUnauthorizedAccess' \
        '"ErrorCode:IotHubUnauthorizedAccess;Principal iothubowner signature is invalid or has expired"' \
        '"ErrorCode:IotHubUnauthorizedAccess;The token has expired"' \
        '{"error":{"code":"ExpiredAuthenticationToken"' 'error="invalid_token"' \
        'x-ms-error-code: InvalidAuthenticationInfo' 'HTTP/1.1 403' \
        'x-ms-error-code: AuthenticationFailed' $'\n401 [[4,4]]'
}

@test "faults: every, after and for" {
    sim 0 --fault 'every=3,count=2,do=status:500' -- \
        'for i in 1 2 3 4 5 6 7 8 9; do code $else/; done'
    [ "$output" = "501 501 500 501 501 500 501 501 501 " ]
    sim 0 --fault 'after=60,for=100,count=0,do=status:500' -- 'code $else/
        for t in 61 90 20; do turn clock $t >/dev/null; code $else/; done
        control faults | jq -c "map([.seen, .done, .active])"'
    [ "$output" = "501 500 500 501 [[2,2,false]]" ]
}

@test "faults: worded as the provider, the blob service and the sign-in word them" {
    sim 0 --fault 'count=0,path=*/IotHubs/*,do=status:500' --fault 'count=0,host=*blob*,do=status:404' \
        --fault 'count=0,host=login*,do=status:503' --fault 'count=0,path=*/vaults/*,do=status:500' -- '
        ask $arm/subscriptions/s/resourceGroups/g/providers/Microsoft.Devices/IotHubs/h; echo
        ask $arm/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/h; echo
        ask -i https://a.blob.core.windows.net/c/b; echo; ask https://login.microsoftonline.com/t/oauth2/v2.0/token -d x=y'
    has '{"code":500019,"httpStatusCode":500,"message":"An error occurred. If you contact' \
        '{"error":{"code":"InternalServerError"' 'x-ms-error-code: BlobNotFound' \
        '<?xml version="1.0" encoding="utf-8"?><Error><Code>BlobNotFound</Code><Message>' \
        '"error":"temporarily_unavailable"'
}

@test "faults: one that is taken back in the same turn as it meets a request" {
    python 0 --fault 'path=/slow,do=delay:200' --log log <<'END'
slow, quick = connect(), connect()
slow.sendall(GET.replace(b"GET / ", b"GET /slow "))
quick.sendall(b"DELETE /hub-sim/faults HTTP/1.1\r\nHost: localhost\r\n\r\n")
print(status(one(quick)), status(one(slow)))
END
    [ "$output" = "204 501" ]
    grep -q '"fault":"path=/slow,do=delay:200"' log
}

@test "faults: each one that the manual recommends is one" {
    sed -n '/^\.Sh FAULTS/,/^\.Sh CONTROL/s/^\.It Li \([^ ]*\) Ta .*/\1/p' "$ROOT/man/hub-sim.1" >specs
    [ "$(wc -l <specs)" -ge 8 ]
    sim 0 -- 'control faults --data-binary @specs -o new -w "%{http_code} "; jq length new'
    [ "$output" = "201 $(wc -l <specs)" ]
}

# ---- the log ----

@test "--log: who, how much, how long, which reply; no key and no signature" {
    sim 0 --from "$ROOT/examples/contoso.json" --log log --fault 'path=/slow,do=delay:150' -- 'auth=$(sas)
        ask -D head -o body -H "$auth" "$hub/devices?$v"
        a=$(bearer $arm); ask -o /dev/null -H "$a" $groups
        ask -o /dev/null -H "Authorization: Bearer wrong" $groups
        ask -o /dev/null "https://a.blob.core.windows.net/c/b?sv=1&SIG=SECRET%2F&se=2"
        ask -o /dev/null -H "Authorization: SharedKey acct:SECRET=" https://a.blob.core.windows.net/c/b
        ask -o /dev/null -d 12345 $else/slow
        sed -n "s/\r//; s/x-ms-request-id: //p" head; echo "$auth" | sed "s/.*sig=//; s/&.*//"; echo "$a"'
    id=${lines[-3]} sig=${lines[-2]} token=${lines[-1]#*Bearer }
    run jq -sc 'map(.who)' log
    [ "$output" = '["iothubowner",null,"33333333-3333-3333-3333-333333333333",null,"sas","acct",null]' ]
    [ "$(jq -r .id log | head -n 1)" = "$id" ]
    [ "$(jq -r .id log | sort -u | wc -l)" -eq 7 ]
    [ "$(jq -r '.out' log | head -n 1)" -eq $(($(stat -c %s head) + $(stat -c %s body))) ]
    jq -se 'all(.ms > 0 and .ms < 5000 and .in > 60) and .[6].ms >= 150' log
    jq -se '.[6] | .fault == "path=/slow,do=delay:150" and .path == "/slow" and .status == 501' log
    [ "$(jq -sr '.[4].query' log)" = 'sv=1&SIG=****&se=2' ]
    run grep -e SECRET -e "$sig" -e "$token" -e hub-sim-secret log
    [ "$status" -eq 1 ]
}

@test "--log: what nobody could read has a line too" {
    python 0 --log log <<'END'
for bad in b"GARBAGE\r\n\r\n", b"GET /%s HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n" % (b"x" * 20):
    print(ask(bad))
END
    [ "$output" = $'400\n413' ]
    run jq -c '[.method, .host, .path, .status]' log
    [ "$output" = $'["","","",400]\n["GET","a","/xxxxxxxxxxxxxxxxxxxx",413]' ]
}

@test "--log: a full disk is said once, and serving goes on" {
    sim 0 --log /dev/full -- 'for i in 1 2 3; do code $else/; done'
    has "501 501 501" "'log': cannot be written, and ends here: No space left"
    [ "$(grep -c 'cannot be written' <<<"$output")" -eq 1 ]
}

# ---- bad input ----

@test "bad input: no HTTP: 400 in JSON, never silence, and the server lives" {
    python 0 <<'END'
host = b"Host: x.documents.azure.com\r\n"
for bad in (b"\r\n\r\nGARBAGE\r\n\r\n", b"GET\r\n\r\n", b"GET /\x00 HTTP/1.1\r\n" + host + b"\r\n",
            b"GET / HTTP/x\r\n" + host + b"\r\n", b"get / HTTP/1.1\r\n\r\n",
            b"GET  HTTP/1.1\r\n" + host + b"\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
            b"GET / HTTP/1.1\r\nA\x01: b\r\n\r\n", b"\x80\x2e\x01\x03\x01", b"\x00" * 64,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
    s = connect()
    s.sendall(bad)
    s.shutdown(socket.SHUT_WR)
    got = rest(s)
    print(status(got), b'"code":"BadRequest"' in got, bad[:20])
print(ask(b"GET / HTTP/9.9\r\n" + host + b"\r\n"))
print(served())
END
    has $'\n505\n'
    [ "$(grep -c '^400 True' <<<"$output")" -eq 11 ] || {
        echo "$output"
        return 1
    }
    [ "${lines[-1]}" = True ]
}

@test "bad input: Content-Length twice, beside chunked, negative, huge; bad chunks" {
    python 0 <<'END'
post = b"POST / HTTP/1.1\r\nHost: x.documents.azure.com\r\n"
for more in (b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
             b"Content-Length: -1\r\n\r\n", b"Content-Length: 99999999999999999999999\r\n\r\n", b"Content-Length: 1x\r\n\r\n",
             b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"):
    print(ask(post + more), end=" ")
print(ask(post + b"Transfer-Encoding: chunked\r\n\r\n1000001\r\n" + b"x" * 0x1000001), end=" ")
print(ask(post + b"Transfer-Encoding: chunked\r\n\r\n2;a=b\r\nab\r\n0\r\nTrailer: x\r\n\r\n"), served())
END
    [ "$output" = "400 400 400 400 400 400 400 413 501 True" ]
}

@test "bad input: headers too large or too many, a path of any length" {
    python 0 <<'END'
print(ask(b"GET / HTTP/1.1\r\nA: " + b"x" * 100000 + b"\r\n\r\n"))
print(ask(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20000 + b"\r\n"))
print(ask(b"GET /" + b"x" * 100000 + b" HTTP/1.1\r\nHost: x.documents.azure.com\r\n\r\n"))
print(ask(b"GET /" + b"x" * 60000 + b" HTTP/1.1\r\nHost: x.documents.azure.com\r\n\r\n"), served())
END
    [ "$output" = $'431\n431\n431\n501 True' ]
}

@test "bad input: a body of 100 MiB for a blob, of 16 MiB elsewhere, and the refusal is read" {
    python 0 <<'END'
put = "PUT /c/b HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n"
for host in "a.blob.core.windows.net", "x.documents.azure.com":
    for size in 16 << 20, (16 << 20) + 1, 100 << 20, (100 << 20) + 1:
        print(ask((put % (host, size)).encode()), end=" ")
s = connect(True)
s.sendall(b"POST / HTTP/1.1\r\nHost: x.documents.azure.com\r\nContent-Length: 20000000\r\n\r\n")
try:
    for i in range(20):
        s.sendall(b"x" * 1000000)
except OSError:
    pass
print(status(one(s)), served())
END
    [ "$output" = "100 100 100 413 100 413 413 413 413 True" ]
}

@test "bad input: one byte at a time, silence, and answers that nobody reads" {
    python 0 --from "$ROOT/examples/contoso.json" <<'END'
slow, silent, deaf, half = connect(), connect(), connect(), connect(True)
deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
half.sendall(GET[:30])
deaf.setblocking(False)
sent = 0
try:
    while sent < 50000000:
        sent += deaf.send(GET * 1000)
except BlockingIOError:
    pass
good = 0
for byte in GET:
    slow.sendall(bytes([byte]))
    good += served()
half.sendall(GET[30:])
print(good == len(GET), status(one(slow)), status(one(half)), sent < 50000000)
END
    [ "$output" = "True 501 501 True" ]
}

@test "bad input: requests one after the other without waiting, HEAD among them" {
    python 0 <<'END'
for tls in False, True:
    s = connect(tls)
    s.sendall(GET * 500 + GET.replace(b"GET", b"HEAD") * 2 + b"GET http://y.documents.azure.com:80/?a HTTP/1.1\r\nHost: no\r\nConnection: close\r\n\r\n")
    got = rest(s)
    print(got.count(b"HTTP/1.1 501"), got.count(b"the host 'x.documents"), got.count(b"the host 'y.documents"))
END
    [ "$output" = $'503 500 1\n503 500 1' ]
}

@test "bad input: TLS that is none, that stops, that is cut; plain text in it" {
    python 0 <<'END'
for bad in (b"\x16" + b"\xff" * 500, b"\x16\x03\x01\x02\x00\x01", b"\x16", b"\x16\x03\x01\xff\xff" + b"\x00" * 65535):
    s = connect()
    try:
        s.sendall(bad)
        s.shutdown(socket.SHUT_WR)
    except OSError: # refused before it was all said
        pass
    print(b"HTTP" in rest(s), end=" ")
s = connect(True)
raw = socket.socket(fileno=os.dup(s.fileno()))
raw.settimeout(10)
raw.sendall(GET)
print(b"HTTP" in rest(raw), served(), ask(GET, True))
END
    [ "$output" = "False False False False False True 501" ]
}

@test "bad input: paths that would climb, names that would inject" {
    python 0 --from "$ROOT/examples/contoso.json" <<'END'
token = sas()
for host in "contoso.azure-devices.net", "management.azure.com", "a.blob.core.windows.net", "login.microsoftonline.com", "127.0.0.1":
    for path in ("/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/devices/..%2f..%2fetc%2fpasswd", "//etc/passwd",
                 "/devices/%00", "/devices/'%20OR%201=1--", "/%", "/%zz", "*", "/" + "a/" * 3000, "/hub-sim/../../etc/passwd",
                 "/devices/x?api-version=2021-04-12';DROP TABLE registry;--".replace(" ", "%20")):
        s = connect()
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\n\r\n".encode())
        got = one(s)
        if not got.startswith(b"HTTP/1.1 4") and not got.startswith(b"HTTP/1.1 501") or b"root:" in got:
            print(host, path, got[:200])
print(ask(f"GET /devices?api-version=2021-04-12 HTTP/1.1\r\nHost: contoso.azure-devices.net\r\nAuthorization: {token}\r\n\r\n".encode()))
END
    [ "$output" = 200 ]
}

@test "a delayed reply keeps nobody waiting, and its client may go away" {
    python 0 --fault 'path=/slow,count=0,do=delay:300' --fault 'path=/never,count=0,do=hang' <<'END'
slow = [connect(i % 2 == 0) for i in range(20)]
for s in slow:
    get = GET.replace(b"GET / ", b"GET /slow ")
    s.sendall(get + get[:-2] + b"Connection: close\r\n\r\n")
for s in slow[10:]:
    s.close()
never = connect()
never.sendall(GET.replace(b"GET / ", b"GET /never "))
began = time.time()
print(served(), time.time() - began < 0.25)
print({rest(s).count(b"HTTP/1.1 501") for s in slow[:10]}, time.time() - began >= 0.5)
never.close()
for i in range(100):
    s = connect()
    s.sendall(b"GET /hub-sim/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
    left = one(s).split(b'"connections":')[1].split(b",")[0]
    if left == b"1":
        break
    time.sleep(0.05)
print(left)
END
    [ "$output" = $'True True\n{2} True\nb\'1\'' ]
}

@test "faults on a long blob: half of it, a byte less, late, and a client that leaves" {
    python 0 <<'END'
key = base64.b64decode("Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==")
fields = ["devstoreaccount1", "rwdlac", "b", "sco", "", "2090-01-01T00:00:00Z", "", "", "2021-12-02", "", ""]
sig = base64.b64encode(hmac.digest(key, "\n".join(fields).encode(), hashlib.sha256))
query = "sv=2021-12-02&ss=b&srt=sco&sp=rwdlac&se=2090-01-01T00:00:00Z&sig=" + urllib.parse.quote(sig, safe="")
def call(method, path, body=b"", head="", host="localhost"):
    return (f"{method} {path}{'&' if '?' in path else '?'}{query} HTTP/1.1\r\nHost: {host}\r\n"
            f"x-ms-version: 2021-12-02\r\n{head}Content-Length: {len(body)}\r\n\r\n").encode() + body
blob, long = "/devstoreaccount1/files/long", os.urandom(20000000)
print(ask(call("PUT", "/devstoreaccount1/files?restype=container")),
      ask(call("PUT", blob, long, "x-ms-blob-type: BlockBlob\r\n")))
def get(fault, tls=False):
    if fault:
        ask(call("POST", "/hub-sim/faults", fault.encode()))
    s = connect(tls)
    s.sendall(call("GET", blob, head="Connection: close\r\n"))
    got = rest(s)
    head, body = got.split(b"\r\n\r\n", 1)
    said = next(int(l[15:]) for l in head.split(b"\r\n") if l.lower().startswith(b"content-length:"))
    return status(head), said, len(body), long.startswith(body)
for tls in False, True:
    for fault in "", "path=*/long,do=half", "path=*/long,do=badjson", "path=*/long,do=delay:100", "":
        print(*get(fault, tls))
print(*get("path=*/long,do=status:503")[:1])
for i in range(20): # in the middle of it, and a reset with it
    s = connect(i % 2 == 1)
    s.sendall(call("GET", blob))
    s.recv(100)
    s.close()
s = connect() # takes it as fast as it can, and nobody waits for it
s.sendall(call("GET", blob) * 5)
print(served(), *get(""))
END
    [ "$output" = "201 201
200 20000000 20000000 True
200 20000000 10000000 True
200 19999999 19999999 True
200 20000000 20000000 True
200 20000000 20000000 True
200 20000000 20000000 True
200 20000000 10000000 True
200 19999999 19999999 True
200 20000000 20000000 True
200 20000000 20000000 True
503
True 200 20000000 20000000 True" ]
}

@test "a token that was found good is not good for ever: its policies, its key" {
    sim 0 --from "$ROOT/examples/contoso.json" -- 'auth=$(sas) a=$(bearer $arm)
        hubs=$arm/subscriptions/$AZURE_SUBSCRIPTION_ID/resourceGroups/west-rg/providers/Microsoft.Devices/IotHubs/contoso
        call() { code -H "$auth" "$hub/devices?$v"; }
        change() { ask -H "$a" "$hubs?api-version=2023-06-30" | jq "$1" >hub.json
            ask -o /dev/null -X PUT -H "$a" -d @hub.json "$hubs?api-version=2023-06-30"; }
        call; call; change ".properties.disableLocalAuth = true"; sleep 0.1; call
        change ".properties.disableLocalAuth = false"; sleep 0.1; call
        ask -H "$a" -X POST -d "" "$hubs/listkeys?api-version=2023-06-30" |
            jq "[.value[] | if .keyName == \"iothubowner\" then .primaryKey = (\"x\" * 32 | @base64) else . end]" >keys
        jq --slurpfile k keys ".properties.authorizationPolicies = \$k[0]" hub.json >with.json
        ask -o /dev/null -X PUT -H "$a" -d @with.json "$hubs?api-version=2023-06-30"; sleep 0.1; call'
    [ "$output" = "200 200 401 200 401 " ]
}

@test "ten thousand idle connections, and a request is answered beside them" {
    [ "$(ulimit -Hn)" = unlimited ] || [ "$(ulimit -Hn)" -gt 10100 ] ||
        skip "this machine allows $(ulimit -Hn) open files"
    python 0 <<'END'
resource.setrlimit(resource.RLIMIT_NOFILE, [resource.getrlimit(resource.RLIMIT_NOFILE)[1]] * 2)
pid = os.environ["HUB_SIM_PID"]
def rss():
    return next(int(l.split()[1]) for l in open(f"/proc/{pid}/status") if l.startswith("VmRSS"))
before, idle = rss(), []
for i in range(10000):
    s = connect()
    if i % 2: # half of them have been of use
        s.sendall(GET)
    idle.append(s)
print({status(one(s)) for s in idle[1::2]}, served(), ask(GET, True))
print("KiB for each:", (rss() - before) / len(idle), file=sys.stderr)
print((rss() - before) / len(idle) < 3)
del idle
print(served())
END
    has $'{\'501\'} True 501\n' $'\nTrue\nTrue'
}
